// What a transform of a request costs, beside the same by hand in C++: one row, as online reads it,
// and a million rows, as the offline engine runs them. It defends the goal "at most 100 us a
// request, and under 2 us an expression", on one core. Sketch: a step is a call and a few loads, 5
// ns; a request of ten expressions of ten steps is a microsecond, with the frame's allocation.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>

#include "adapters/duckdb/duckdb.h"
#include "features/transform/compile.h"
#include "features/transform/plan.h"
#include "tests/support/fixture.h"

namespace penstock::features::transform {
namespace {

using test::must;
using SteadyClock = std::chrono::steady_clock;

struct Case {
  const char* name;
  const char* expression;
  double (*by_hand)(const double* in);
};

// The names a, b, c, d are doubles; `by_hand` knows no nulls.
constexpr Case cases[] = {
    {"ratio", "a / nullif(b, 0)",
     [](const double* in) { return in[1] == 0 ? NAN : in[0] / in[1]; }},
    {"z score, cut", "greatest(-3, least(3, (a - b) / nullif(c, 0)))",
     [](const double* in) {
       return std::max(-3.0, std::min(3.0, in[2] == 0 ? NAN : (in[0] - in[1]) / in[2]));
     }},
    {"logarithms", "ln(a + 1) - ln(b + 1) + 0.5 * sqrt(c)",
     [](const double* in) {
       return std::log(in[0] + 1) - std::log(in[1] + 1) + 0.5 * std::sqrt(in[2]);
     }},
    {"case",
     "CASE WHEN a > 900 THEN 3 WHEN a > 500 AND b < 500 THEN 2 WHEN c IS NULL THEN 1 ELSE 0 END",
     [](const double* in) { return in[0] > 900                  ? 3.0
                                   : in[0] > 500 && in[1] < 500 ? 2.0
                                                                : 0.0; }},
    {"distance", "haversine_km(a / 20, b / 20, c / 20, d / 20)",
     [](const double* in) {
       constexpr double degree = 3.14159265358979323846 / 180;
       const double x = std::sin((in[2] - in[0]) / 20 * degree / 2),
                    y = std::sin((in[3] - in[1]) / 20 * degree / 2);
       return 2 * 6371.0088 *
              std::asin(std::sqrt(x * x + std::cos(in[0] / 20 * degree) *
                                              std::cos(in[2] / 20 * degree) * y * y));
     }},
};

double nanoseconds(SteadyClock::time_point since, std::size_t count) {
  return std::chrono::duration<double, std::nano>(SteadyClock::now() - since).count() /
         static_cast<double>(count);
}

struct Compiled {
  Program program;
  std::vector<std::string> arguments;
};

Compiled compile(olap::Session& session, const std::vector<const char*>& expressions) {
  Compiler compiler(
      [](const std::string& name) {
        return name.size() == 1 && name[0] >= 'a' && name[0] <= 'd' ? std::optional(Type::real)
                                                                    : std::nullopt;
      },
      {"a", "b", "c", "d"});
  for (std::size_t i = 0; i < expressions.size(); ++i)
    must(compiler.add("x" + std::to_string(i), expressions[i], must(parse(session, expressions[i])),
                      Type::real));
  auto made = std::move(compiler).finish();
  return {std::move(made.program), std::move(made.arguments)};
}

// Nanoseconds a row, `at_once` rows in a frame; a frame of its own for each where `fresh`.
double measure(const Compiled& compiled, const std::vector<double>& rows, std::size_t at_once,
               bool fresh, double& sum) {
  const std::size_t count = rows.size() / 4;
  std::optional<Frame> frame;
  const auto start = SteadyClock::now();
  for (std::size_t from = 0; from + at_once <= count; from += at_once) {
    if (fresh || !frame) frame.emplace(compiled.program, at_once);
    for (std::size_t i = 0; i < compiled.arguments.size(); ++i)
      for (std::size_t row = 0; row < at_once; ++row)
        frame->argument(i)[row] = cell_of(
            rows[(from + row) * 4 + static_cast<std::size_t>(compiled.arguments[i][0] - 'a')]);
    frame->run(at_once);
    for (std::size_t i = 0; i < compiled.program.outputs.size(); ++i)
      for (std::size_t row = 0; row < at_once; ++row)
        if (frame->output(i)[row].valid) sum += frame->output(i)[row].real;
  }
  return nanoseconds(start, count);
}

double measure_by_hand(const Case& one, const std::vector<double>& rows, double& sum) {
  const auto start = SteadyClock::now();
  for (std::size_t row = 0; row < rows.size() / 4; ++row) sum += one.by_hand(&rows[row * 4]);
  return nanoseconds(start, rows.size() / 4);
}

// Seconds of a million rows in the offline engine: the program, and its own evaluation.
void measure_offline(olap::Session& session, const std::vector<const char*>& expressions) {
  auto plan = std::make_shared<Plan>();
  auto compiled = compile(session, expressions);
  plan->program = std::move(compiled.program);
  plan->function = "bench";
  must(session.define(function_of(plan)));
  must(
      session.run("CREATE TEMP TABLE t AS SELECT i % 997 + 1.5::DOUBLE AS a, i % 991 + 0.5::DOUBLE "
                  "AS b, i % 983 + 1.0::DOUBLE AS c, i % 977 + 2.0::DOUBLE AS d FROM "
                  "range(1000000) AS r(i)"));
  std::string ours = "bench(NULL", theirs, sums;
  for (const std::string& argument : compiled.arguments) ours += ", " + argument;
  for (std::size_t i = 0; i < expressions.size(); ++i) {
    sums += (i ? ", sum(m.v" : "sum(m.v") + std::to_string(i) + ")";
    if (std::string(expressions[i]).find("haversine") == std::string::npos)
      theirs += std::string(i ? ", sum(" : "sum(") + expressions[i] + ")";
  }
  const auto seconds = [&](const std::string& statement) {
    const auto start = SteadyClock::now();
    must(session.query(statement));
    return nanoseconds(start, 1) * 1e-9;
  };
  const double mine = seconds("SELECT " + sums + " FROM (SELECT " + ours + ") AS m FROM t)");
  std::printf(
      "a million rows offline, one thread: %.2f s; DuckDB's own, without distance: %.2f s\n", mine,
      seconds("SELECT " + theirs + " FROM t"));
}

int run() {
  const auto engine = duckdb::open({.threads = 1});
  const auto session = must(engine->session());
  std::mt19937 random(1);
  std::uniform_real_distribution<double> value(1, 1'000);
  std::vector<double> rows(4 * 128 * 8'000);
  for (double& one : rows) one = value(random);
  double sum = 0;
  std::printf("%-14s %14s %14s %12s   ns a row\n", "expression", "one request", "128 at once",
              "by hand");
  std::vector<const char*> all;
  for (const Case& one : cases) {
    all.push_back(one.expression);
    const auto compiled = compile(*session, {one.expression});
    std::printf("%-14s %14.1f %14.1f %12.1f\n", one.name, measure(compiled, rows, 1, true, sum),
                measure(compiled, rows, 128, false, sum), measure_by_hand(one, rows, sum));
  }
  all.reserve(50);
  measure_offline(*session, all);
  for (int i = 0; i < 9; ++i) all.insert(all.end(), all.begin(), all.begin() + 5);
  const auto fifty = compile(*session, all);
  std::printf("%-14s %14.1f %14.1f   (%zu steps)\n", "50 of them",
              measure(fifty, rows, 1, true, sum), measure(fifty, rows, 128, false, sum),
              fifty.program.steps.size());
  return std::isnan(sum) ? 1 : 0;
}

}  // namespace
}  // namespace penstock::features::transform

int main() { return penstock::features::transform::run(); }
