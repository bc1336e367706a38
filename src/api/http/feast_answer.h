// What Feast's server answers, written straight into one text.
#pragma once

#include "features/batch.h"

namespace penstock::api {

// A column that came with the request: its values are there, as of no time.
struct GivenColumn {
  std::string name;
  const json::array* values = nullptr;
};

// {"metadata": {"feature_names": [...]}, "results": [{"values", "statuses", "event_timestamps"}]},
// the given columns first. Numbers that JSON has no form for are the texts "NaN", "Infinity" and
// "-Infinity"; a value without a row has the time 1970-01-01T00:00:00Z.
std::string feast_answer(const features::SchemaHandle& schema,
                         const std::vector<GivenColumn>& given,
                         const features::FeatureColumns& found, bool full_names);

}  // namespace penstock::api
