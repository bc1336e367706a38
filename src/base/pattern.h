// How declarations name several things at once.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace penstock {

// Whether one of them is `name`, or begins it and ends in "*": "flight-*". None stands for all.
inline bool fits(const std::vector<std::string>& patterns, std::string_view name) {
  return patterns.empty() ||
         std::any_of(patterns.begin(), patterns.end(), [&](std::string_view pattern) {
           return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1))
                                         : name == pattern;
         });
}

}  // namespace penstock
