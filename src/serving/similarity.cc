#include "serving/similarity.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace penstock::serving {
namespace {

bool is_space(unsigned char letter) { return letter == ' ' || (letter >= '\t' && letter <= '\r'); }

// Three bytes each, sorted.
std::vector<std::uint32_t> trigrams(std::string_view text) {
  text = text.substr(0, compared_text_max);
  std::vector<std::uint32_t> out;
  out.reserve(text.size() + 2);
  std::uint32_t last = 0;
  const auto take = [&](unsigned char letter) {
    last = ((last << 8) | letter) & 0xffffff;
    out.push_back(last);
  };
  bool space = true;  // none at the start
  for (const char one : text) {
    const auto letter = static_cast<unsigned char>(one);
    if (is_space(letter)) {
      space = true;
      continue;
    }
    if (space && !out.empty()) take(' ');
    space = false;
    take(letter >= 'A' && letter <= 'Z' ? static_cast<unsigned char>(letter + 32) : letter);
  }
  if (!out.empty()) {
    take(0);
    take(0);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace

double similarity(std::string_view one, std::string_view other) {
  const auto a = trigrams(one), b = trigrams(other);
  if (a.empty() && b.empty()) return 1;
  std::size_t common = 0;
  for (auto left = a.begin(), right = b.begin(); left != a.end() && right != b.end();) {
    if (*left < *right) {
      ++left;
    } else if (*right < *left) {
      ++right;
    } else {
      ++common;
      ++left;
      ++right;
    }
  }
  return 2 * static_cast<double>(common) / static_cast<double>(a.size() + b.size());
}

}  // namespace penstock::serving
