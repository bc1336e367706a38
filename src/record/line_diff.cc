#include <algorithm>
#include <sstream>

#include "record/diff.h"

namespace penstock::record {
namespace {

constexpr std::size_t lines_max = 1'500;  // of each side: the table is their product
constexpr std::size_t around = 3;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) out.push_back(line);
  return out;
}

// Unchanged stretches are cut to what stands near a change.
std::vector<std::string> trimmed(const std::vector<std::string>& all) {
  std::vector<std::string> out;
  bool cut = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::size_t from = i > around ? i - around : 0;
    const std::size_t until = std::min(all.size(), i + around + 1);
    const bool near = std::any_of(all.begin() + static_cast<std::ptrdiff_t>(from),
                                  all.begin() + static_cast<std::ptrdiff_t>(until),
                                  [](const std::string& line) { return line[0] != ' '; });
    if (near)
      out.push_back(all[i]);
    else if (!cut)
      out.emplace_back(" ...");
    cut = !near;
  }
  return out;
}

}  // namespace

std::vector<std::string> line_diff(const std::string& before, const std::string& after) {
  const std::vector<std::string> a = lines_of(before), b = lines_of(after);
  std::vector<std::string> out;
  if (a.size() > lines_max || b.size() > lines_max) {
    for (const std::string& line : a) out.push_back("-" + line);
    for (const std::string& line : b) out.push_back("+" + line);
    return out;
  }
  // longest[i][j]: of the common subsequence of a from i on and b from j on.
  std::vector<std::vector<std::uint16_t>> longest(a.size() + 1,
                                                  std::vector<std::uint16_t>(b.size() + 1));
  for (std::size_t i = a.size(); i-- > 0;)
    for (std::size_t j = b.size(); j-- > 0;)
      longest[i][j] = a[i] == b[j] ? static_cast<std::uint16_t>(longest[i + 1][j + 1] + 1)
                                   : std::max(longest[i + 1][j], longest[i][j + 1]);
  std::size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      out.push_back(" " + a[i++]);
      ++j;
    } else if (i < a.size() && (j == b.size() || longest[i + 1][j] >= longest[i][j + 1])) {
      out.push_back("-" + a[i++]);
    } else {
      out.push_back("+" + b[j++]);
    }
  }
  return trimmed(out);
}

}  // namespace penstock::record
