#include "api/openai/similarity.h"

#include <algorithm>
#include <string>
#include <vector>

namespace penstock::api::openai {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for (const char letter : text) {
    const bool is_letter = (letter & 0x80) || (letter >= '0' && letter <= '9') ||
                           ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z');
    if (is_letter)
      words.back() +=
          letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    else if (!words.back().empty())
      words.emplace_back();
  }
  if (words.back().empty()) words.pop_back();
  std::sort(words.begin(), words.end());
  return words;
}

}  // namespace

double similarity(std::string_view one, std::string_view other) {
  const auto a = words_of(one), b = words_of(other);
  if (a.empty() && b.empty()) return 1;
  std::vector<std::string> common;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(common));
  return 2.0 * static_cast<double>(common.size()) / static_cast<double>(a.size() + b.size());
}

}  // namespace penstock::api::openai
