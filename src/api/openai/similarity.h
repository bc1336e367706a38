// How alike two answers are.
#pragma once

#include <string_view>

namespace penstock::api::openai {

// Of the words of both, the share that they have in common, each as often as it stands (Dice): 1
// for the same words in any order, 0 for none, 1 for two empty texts. Letters of ASCII in either
// case are the same.
double similarity(std::string_view one, std::string_view other);

}  // namespace penstock::api::openai
