// What a new version of a view may change of those before it.
#pragma once

#include "catalog/service.h"
#include "features/feature_view.h"

namespace penstock::features {

// What the view's `compatibility` forbids, each with who would feel it and the way out.
Result<std::vector<Violation>> forbidden_changes(sql::Tx& tx, const Call& call,
                                                 const FeatureView& after);

// Schemas, models, routes and whatever else reads a version of the view, as lineage knows them; at
// most 20, and a last line that says how many more.
Result<std::vector<std::string>> users_of_view(sql::Tx& tx, const Call& call,
                                               const std::string& view, std::int64_t newest);

}  // namespace penstock::features
