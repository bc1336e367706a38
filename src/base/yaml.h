// YAML in and out of the JSON value that all else reads.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/described.h"

namespace penstock::yaml {

struct Document {
  json::value value;
  std::map<std::string, int> lines;  // from path ("columns[2].type") to line, counted from 1
};

// Every document of `text` ("---" between them), at most 1,000. Plain scalars follow YAML 1.2's
// core schema (no "yes" booleans); a duplicate key or a depth over 64 is a fault that names its
// line.
Result<std::vector<Document>> parse(std::string_view text);

// Block style, keys in the object's own order.
std::string print(const json::value& value);

}  // namespace penstock::yaml
