// How alike two texts are, for comparing what a shadow wrote with what its caller got.
#pragma once

#include <string_view>

namespace penstock::serving {

inline constexpr std::size_t compared_text_max = 64 << 10;  // bytes of each; the rest is not read

// From 0 (nothing in common) to 1: the Sorensen-Dice coefficient of the two multisets of character
// trigrams, 2 |A and B| / (|A| + |B|) (Dice 1945, Sorensen 1948). Letters of ASCII count without
// their case and runs of white space as one space; two bytes of padding stand at both ends, so that
// short texts have trigrams too. Two empty texts are alike. It sees the words that are used and
// little of their order, and nothing of their meaning. O(n log n) in bounded n.
double similarity(std::string_view one, std::string_view other);

}  // namespace penstock::serving
