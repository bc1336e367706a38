#pragma once

#include <string>

#include "base/result.h"

namespace penstock {

// What is wrong with a field as people read it: with an example where the name of a type says too
// little.
std::string told_problem(const Violation& fault);

}  // namespace penstock
