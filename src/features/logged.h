// What models really read, for those who compare with it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/call.h"
#include "base/result.h"
#include "base/time.h"

namespace penstock::features {

// The features that one prediction was made from.
struct LoggedRead {
  std::string prediction;
  Timestamp event_time;
  std::map<std::string, std::string> request;  // join keys and inputs, as they were given
  std::vector<std::optional<double>> values;   // in the schema's order, as numbers; null is missing
};

// The newest reads by a version of a schema ("features_v1@2"), at most `most`.
using LoggedReads = std::function<Result<std::vector<LoggedRead>>(
    const Call& call, const std::string& schema, std::size_t most)>;

}  // namespace penstock::features
