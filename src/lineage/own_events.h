// What an event of the audit log is in OpenLineage's words.
#pragma once

#include "audit/follow.h"
#include "catalog/service.h"

namespace penstock::lineage {

// Whether it is one of those that are told. An action that is not is no lineage.
bool is_told(const audit::Stored& change);

// Run events, in order: one, but for a step of a pipeline, whose START and end are two.
Result<std::vector<json::object>> own_events(sql::Tx& tx, const Call& call,
                                             catalog::Service& catalog,
                                             const audit::Stored& change);

// The JSON schema of one of our own facets, by its name ("PenstockRunFacet"); nothing for others.
std::optional<json::object> facet_schema(std::string_view name);

}  // namespace penstock::lineage
