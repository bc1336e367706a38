// The model repository extension of the Open Inference Protocol: a route is a model, and what it
// serves is said by releases alone.
#pragma once

#include "serving/service.h"

namespace penstock::api::v2 {

struct IndexEntry {
  std::string name, version, state, reason;  // READY or UNAVAILABLE
};

// Routes of the project with the versions that answer; `ready`: only those that can.
Result<std::vector<IndexEntry>> repository_index(serving::Service& service, const Call& call,
                                                 bool ready);
// Loads again what of the route is not loaded, for example after its artifact came back.
// not_found where there is no such route, or no version is released on it.
Result<void> repository_load(serving::Service& service, const Call& call, const std::string& route);
// failed_precondition where the route is in service: a version leaves traffic by a release;
// not_found as above.
Result<void> repository_unload(serving::Service& service, const Call& call,
                               const std::string& route);

}  // namespace penstock::api::v2
