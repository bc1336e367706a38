// The one graph of URNs. Edges point from what was made to what it was made from.
//
// A node may be a column of another: "source:flights@2#dep_delay". An edge of columns says which
// column was made from which; one from a whole thing to a column says that all of it hangs on that
// column (a filter, a join). Where there are such edges between two things, a change of a column
// that they do not name breaks nothing.
#pragma once

#include "base/call.h"
#include "ports/sql.h"

namespace penstock::catalog {

// A row of lineage_edges: it holds from `created_at` on.
struct Edge {
  std::string project;
  std::string from_urn;  // "model:flight-delay@v1"
  std::string to_urn;    // "dataset:flights_2013_01@1"
  std::string relation;  // "trained_on", "reads", "member_of", "approved_by", "evaluated_by",
                         // "released_by", "derived_from" (of columns), ...
  Timestamp created_at;
  bool masking = false;      // of columns: a hash or redaction, past which no class flows
  json::object detail = {};  // of columns: {"type": "DIRECT", "subtype": "AGGREGATION"}
  std::int64_t change = 0;   // of its project's graph; add_edge fills it in
};
BOOST_DESCRIBE_STRUCT(Edge, (),
                      (project, from_urn, to_urn, relation, created_at, masking, detail, change))

// Inside the transaction of the change that it belongs to. The same edge twice is one edge, which
// holds from the earlier time on.
Result<void> add_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation);
// Many at once; `project` and `change` of each are filled in.
Result<void> add_edges(sql::Tx& tx, const Call& call, std::vector<Edge> edges);

// The edge held until `at` and is found by questions about earlier instants only. Nothing happens
// where it does not hold.
Result<void> end_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation);
// Edges that hold and lead from `from_urn`.
Result<std::vector<Edge>> edges_from(sql::Tx& tx, const std::string& project,
                                     const std::string& from_urn);
Result<std::vector<Edge>> edges_to(sql::Tx& tx, const std::string& project,
                                   const std::string& to_urn);

// Edges that hold and have this node, or a column of it, at either end. Reads the whole project's
// edges: for what is rare.
Result<std::vector<Edge>> edges_touching(sql::Tx& tx, const std::string& project,
                                         const std::string& urn);

// Whoever changes the class or the tags of a node's columns says so, in the same transaction; else
// what is downstream of it keeps the old ones.
Result<void> class_changed(sql::Tx& tx, const Call& call, std::string_view urn);

// "source:flights@2#dep_delay" in its parts; `column` is empty where there is none.
struct ColumnUrn {
  std::string object;  // "source:flights@2"
  std::string column;  // "dep_delay", as people write it
};
ColumnUrn column_urn(std::string_view urn);
// Letters other than a URN's are escaped, as in escaped().
std::string column_urn(std::string_view object, std::string_view column);

// A text that holds any bytes as one of letters, digits and ".-/_", and back: "://" is "._.", every
// other byte "._" and two hex digits; "._" itself becomes "._2E_". `keep_slash` leaves "/" as it
// is.
std::string escaped(std::string_view text, bool keep_slash);
std::string unescaped(std::string_view text);

}  // namespace penstock::catalog
