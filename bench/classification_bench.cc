// How well and how fast columns are classified.
//   classification_bench         precision and recall by tag of both labelled parts, and the speed
//   classification_bench PART    the tags that it suggests for each column of a part, as JSON lines
// It defends the goal "1,000,000 sampled values of 50 columns in seconds", on one core.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>

#include "tests/support/labelled_columns.h"

namespace penstock {
namespace {

using SteadyClock = std::chrono::steady_clock;

void print_part(const std::string& part) {
  for (const test::LabelledColumn& column : test::labelled_columns(part)) {
    json::array findings;
    for (const auto& finding : classification::judge(column.table, column.columns, column.sample))
      findings.push_back(encode(finding));
    std::printf("%s\n", json::serialize(json::object{{"table", column.table},
                                                     {"name", column.sample.name},
                                                     {"findings", std::move(findings)}})
                            .c_str());
  }
}

// The table of docs/classification.md.
void print_tallies() {
  const auto tuning = test::tally(test::labelled_columns("tuning"));
  const auto held_out = test::tally(test::labelled_columns("held_out"));
  std::printf(
      "| tag | precision | recall | held out: precision | recall |\n|---|---|---|---|---|\n");
  for (const auto& [tag, tuned] : tuning) {
    const auto place = held_out.find(tag);
    const test::Tally held = place == held_out.end() ? test::Tally() : place->second;
    std::printf("| %s | %.3f | %.3f | %.3f | %.3f |\n", tag.c_str(), tuned.precision(),
                tuned.recall(), held.precision(), held.recall());
  }
}

// Fifty of the labelled columns, their values repeated to 20,000 each.
void print_speed() {
  std::vector<test::LabelledColumn> columns = test::labelled_columns("tuning");
  std::mt19937 random(1);
  std::shuffle(columns.begin(), columns.end(), random);
  columns.resize(50);
  std::size_t values = 0;
  for (test::LabelledColumn& column : columns) {
    const std::vector<std::string> few = column.sample.values;
    while (column.sample.values.size() < 20'000)
      column.sample.values.push_back(few[column.sample.values.size() % few.size()]);
    values += column.sample.values.size();
  }
  const auto began = SteadyClock::now();
  std::size_t suggested = 0;
  for (const test::LabelledColumn& column : columns) suggested += suggested_tags(column).size();
  const std::chrono::duration<double> took = SteadyClock::now() - began;
  std::printf("speed: %zu values of %zu columns in %.2f s, %.2f million a second (%zu tags)\n",
              values, columns.size(), took.count(),
              static_cast<double>(values) / took.count() / 1e6, suggested);
}

}  // namespace
}  // namespace penstock

int main(int count, char** words) {
  if (count > 1) {
    penstock::print_part(words[1]);
    return 0;
  }
  penstock::print_tallies();
  penstock::print_speed();
  return 0;
}
