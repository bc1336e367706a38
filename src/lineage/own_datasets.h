// Things of ours as OpenLineage datasets: their names, and what is known of their columns.
#pragma once

#include "catalog/service.h"

namespace penstock::lineage {

// What every facet must say of itself; `file` is "1-2-0/SchemaDatasetFacet.json".
json::object standard_facet(std::string_view file, std::string_view name, json::object fields);
json::object own_facet(std::string_view name, json::object fields);

inline constexpr std::string_view producer = "urn:penstock:server";

bool is_data(std::string_view kind);

// Name and facets of what the URN names. Facets schema, ownership, version and symlinks, as far as
// the thing has them; of an output, also columnLineage.
enum class Side { input, output };
Result<json::object> own_dataset(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                                 const std::string& urn, Side side);

// What a step of a pipeline made that is no dataset of ours, such as a model's files. Its name is
// the same from run to run, and its version the digest.
json::object step_output(const Call& call, const std::string& pipeline, const std::string& name,
                         const std::string& digest);

}  // namespace penstock::lineage
