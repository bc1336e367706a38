// The one graph of URNs. Edges point from what was made to what it was made from.
#pragma once

#include "base/call.h"
#include "ports/sql.h"

namespace penstock::catalog {

struct Edge {
  std::string project;
  std::string from_urn;  // "model:flight-delay@v1"
  std::string to_urn;    // "dataset:flights_2013_01@1"
  std::string relation;  // "trained_on", "reads", "member_of", "approved_by", "evaluated_by",
                         // "released_by", ...
  Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(Edge, (), (project, from_urn, to_urn, relation, created_at))

// Inside the transaction of the change that it belongs to. The same edge twice is one edge.
Result<void> add_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation);

}  // namespace penstock::catalog
