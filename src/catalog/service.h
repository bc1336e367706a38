#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/urn.h"
#include "catalog/compatibility.h"
#include "catalog/contract.h"
#include "catalog/dataset.h"
#include "catalog/graphs.h"
#include "catalog/lineage.h"
#include "catalog/snapshots.h"
#include "catalog/source.h"
#include "ports/olap.h"
#include "resources/service.h"

namespace penstock::catalog {

struct SourceName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(SourceName, (), (name))

struct SourceView {
  Source source;
  std::int64_t version = 0;
  Classification classification = Classification::open;  // the strictest of its columns
  Timestamp applied_at;
  std::vector<SourceChange> changes;  // newest first, at most 100; empty in lists
};
BOOST_DESCRIBE_STRUCT(SourceView, (), (source, version, classification, applied_at, changes))
struct SchemaQuery {
  std::string name;
  std::int64_t version = 0;  // 0: the newest
};
BOOST_DESCRIBE_STRUCT(SchemaQuery, (), (name, version))
constexpr auto rules_of(const SchemaQuery&) {
  return std::array{Rule{.field = "version", .min = 0, .may_miss = true}};
}
struct SchemaVersion {
  std::int64_t version = 0;
  Timestamp applied_at;
  std::string applied_by;
  std::vector<std::string> changes;  // of the version before
};
BOOST_DESCRIBE_STRUCT(SchemaVersion, (), (version, applied_at, applied_by, changes))
struct SourceSchema {
  std::string source;  // URN
  std::string digest;  // of the declaration
  std::optional<std::string> event_time;
  std::vector<std::string> primary_key;
  Compatibility compatibility = Compatibility::none;
  std::vector<SourceColumn> columns;
  std::vector<SchemaVersion> versions;  // all of them, newest first, at most 100
};
BOOST_DESCRIBE_STRUCT(SourceSchema, (),
                      (source, digest, event_time, primary_key, compatibility, columns, versions))
struct SourceList {
  std::vector<SourceView> sources;
};
BOOST_DESCRIBE_STRUCT(SourceList, (), (sources))

struct CompatibilityInput {
  std::string name;
  std::optional<json::object> candidate;  // a declaration of a source that is not applied yet
};
BOOST_DESCRIBE_STRUCT(CompatibilityInput, (), (name, candidate))
struct VersionPair {
  std::int64_t before = 0, after = 0;  // 0: the candidate
  bool backward = true, forward = true;
  std::vector<Incompatibility> backward_faults, forward_faults;
};
BOOST_DESCRIBE_STRUCT(VersionPair, (),
                      (before, after, backward, forward, backward_faults, forward_faults))
struct CompatibilityReport {
  std::string source;
  Compatibility mode = Compatibility::none;
  bool allowed = true;  // the last version, or the candidate, under its mode
  std::vector<VersionPair>
      pairs;  // the last version or candidate with each before it, newest first
};
BOOST_DESCRIBE_STRUCT(CompatibilityReport, (), (source, mode, allowed, pairs))

// What add_dataset needs to know; the rest of Dataset is filled in.
struct NewDataset {
  std::string name, digest, uri;
  std::int64_t row_count = 0;
  std::vector<DatasetColumn> columns;
  std::string query, feature_schema;  // feature_schema "features_v1@1" or empty
  std::vector<std::string> sources;   // URNs: sources, feature views, other datasets
  std::optional<Timestamp> known_as_of;
  std::vector<SourceSnapshot> snapshots;
  std::string inputs_digest;
  std::vector<ColumnProfile> profile;
};
struct DatasetName {
  std::string name;
  std::string version;  // "2"; empty: the newest
};
BOOST_DESCRIBE_STRUCT(DatasetName, (), (name, version))
struct DatasetQuery {
  std::string name;  // empty: all
  std::int64_t limit = 1000;
};
BOOST_DESCRIBE_STRUCT(DatasetQuery, (), (name, limit))
constexpr auto rules_of(const DatasetQuery&) {
  return std::array{Rule{.field = "name", .max = 200, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 10'000, .may_miss = true}};
}
struct DatasetList {
  std::vector<Dataset> datasets;
};
BOOST_DESCRIBE_STRUCT(DatasetList, (), (datasets))

struct TraceInput {
  std::string urn;
  Direction direction = Direction::upstream;
  std::int64_t depth = 32;
  std::int64_t limit = 1'000;
  std::optional<Timestamp> as_of;
};
BOOST_DESCRIBE_STRUCT(TraceInput, (), (urn, direction, depth, limit, as_of))
inline constexpr std::int64_t trace_nodes_max = 5'000;
constexpr auto rules_of(const TraceInput&) {
  return std::array{
      Rule{.field = "urn",
           .doc = "kind:name, kind:name@version, or one of these with #column.",
           .min = 3,
           .max = 2'000},
      Rule{.field = "direction", .may_miss = true},
      Rule{.field = "depth", .min = 0, .max = 1'000, .may_miss = true},
      Rule{.field = "limit",
           .doc = "Of nodes, the nearest first; `total` says how many there are.",
           .min = 1,
           .max = trace_nodes_max,
           .may_miss = true},
      Rule{.field = "as_of", .doc = "What held at that instant; without it, what holds now."}};
}
struct TraceNode {
  std::string urn, kind;
  std::int64_t depth = 0;                        // of the shortest way from where the trace began
  std::string owner;                             // empty: nobody declared it
  std::optional<Classification> classification;  // the strictest of itself and all upstream of it
  std::vector<std::string> tags;                 // of itself and all upstream of it
  std::string summary;
  std::optional<Money> cost;
  json::object detail;  // what its component adds
};
BOOST_DESCRIBE_STRUCT(TraceNode, (),
                      (urn, kind, depth, owner, classification, tags, summary, cost, detail))
struct TraceEdge {
  std::string from_urn, to_urn, relation;
};
BOOST_DESCRIBE_STRUCT(TraceEdge, (), (from_urn, to_urn, relation))
struct Trace {
  std::string urn;
  Direction direction = Direction::upstream;
  std::optional<Timestamp> as_of;
  std::vector<TraceNode> nodes;  // by depth, then URN; the first is where it began
  std::vector<TraceEdge> edges;  // as stored: from what was made to what it was made from
  std::int64_t total = 0;        // of nodes within the depth
  bool truncated = false;        // not all of them are in `nodes`
};
BOOST_DESCRIBE_STRUCT(Trace, (), (urn, direction, as_of, nodes, edges, total, truncated))

struct ImpactInput {
  std::string urn;
  std::int64_t depth = 32;
  std::int64_t limit = 1'000;
  std::optional<Timestamp> as_of;
};
BOOST_DESCRIBE_STRUCT(ImpactInput, (), (urn, depth, limit, as_of))
constexpr auto rules_of(const ImpactInput&) {
  return std::array{
      Rule{.field = "urn",
           .doc = "What changes: kind:name, kind:name@version, or one of these with #column.",
           .min = 3,
           .max = 2'000},
      Rule{.field = "depth", .min = 0, .max = 1'000, .may_miss = true},
      Rule{.field = "limit", .min = 1, .max = trace_nodes_max, .may_miss = true},
      Rule{.field = "as_of", .doc = "What held at that instant; without it, what holds now."}};
}
struct Affected {
  std::string owner;  // empty: nobody declared what is affected
  std::vector<std::string> urns;
};
BOOST_DESCRIBE_STRUCT(Affected, (), (owner, urns))
struct Impact {
  std::string urn;
  std::optional<Timestamp> as_of;
  std::vector<Affected> owners;  // whom a change of `urn` concerns, by name
  std::vector<TraceNode> nodes;
  std::vector<TraceEdge> edges;
  std::int64_t total = 0;  // of nodes, `urn` itself not counted
  bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(Impact, (), (urn, as_of, owners, nodes, edges, total, truncated))

// What another component knows of its nodes: members owner, summary and cost (all texts, any may
// miss) go to the node's own fields, the rest to `detail`. An unknown URN is an empty object.
using DescribeNode =
    std::function<Result<json::object>(sql::Tx& tx, const Call& call, const Urn& urn)>;
// The same of many nodes at once, by their URNs; unknown ones are left out. For kinds of which
// there may be thousands.
using DescribeNodes = std::function<Result<std::map<std::string, json::object>>(
    sql::Tx& tx, const Call& call, const std::vector<std::string>& urns)>;
// Edges of things that are derived and never stored, such as a prediction's.
using DeriveEdges =
    std::function<Result<std::vector<Edge>>(sql::Tx& tx, const Call& call, const Urn& urn)>;

class Service {
 public:
  Service(sql::Database& db, olap::Engine& olap, const Clock& clock, Options options)
      : db_(db), olap_(olap), clock_(clock), snapshots_(olap, clock, std::move(options)) {}

  // Kinds source and entity, in the order in which they may refer to each other.
  void register_kinds(resources::Service& resources);
  // At start: fills source_columns for sources that an older program stored.
  Result<void> keep_columns();
  // At start, from wiring: what a component above says of the kind of URN that it owns.
  void describe_with(const std::string& kind, DescribeNode describe) {
    describers_[kind] = std::move(describe);
  }
  void describe_many_with(DescribeNodes describe) { describe_many_ = std::move(describe); }
  void derive_edges_with(const std::string& kind, DeriveEdges derive) {
    derivers_[kind] = std::move(derive);
  }

  Result<SourceList> list_sources(const Call& call);
  Result<SourceView> show_source(const Call& call, const SourceName& name);
  Result<ContractOutput> contract(const Call& call, const SourceName& name);
  Result<SourceSchema> schema(const Call& call, const SchemaQuery& query);
  // What each version of the source and the one before it, or a candidate for the next, say to each
  // other.
  Result<CompatibilityReport> compatibility(const Call& call, const CompatibilityInput& input);

  // Inside the transaction of what made it: the same name and digest twice is one dataset. Adds
  // edges to its sources and feature schema, and the audit event.
  Result<Dataset> add_dataset(sql::Tx& tx, const Call& call, const NewDataset& dataset);
  Result<Dataset> add_dataset(const Call& call, const NewDataset& dataset);
  Result<Dataset> show_dataset(const Call& call, const DatasetName& name);
  Result<DatasetList> list_datasets(const Call& call, const DatasetQuery& query);

  // The graph from `urn` on. A URN that nothing knows is not_found.
  Result<Trace> trace(const Call& call, const TraceInput& input);
  // What breaks, and for whom, if `urn` changes.
  Result<Impact> impact(const Call& call, const ImpactInput& input);
  // The graph itself, for components that walk it in their own way. `tx` must be one that reads.
  Result<void> ask_graph(sql::Tx& tx, const Call& call,
                         const std::function<Result<void>(const Graph&)>& ask) {
    return graphs_.ask(tx, call.project, ask);
  }

  // Loads the graphs that are likely to be asked for; a question loads its own where this has not
  // come to it.
  Result<void> keep_graphs(const Call& call) {
    return db_.read(call, [&](sql::Tx& tx) { return graphs_.keep_up(tx); });
  }

  // What is known of one URN, without what flows to it along the graph.
  Result<TraceNode> describe(sql::Tx& tx, const Call& call, const std::string& urn);

  // For features and training: sources as tables of a session.
  Result<void> bind(olap::Session& session, const std::vector<Source>& sources) {
    TRY(snapshots_.bind(session, sources));
    return {};
  }
  Result<std::string> snapshot_digest(const Source& source) { return snapshots_.digest(source); }
  Result<std::string> local_path(const std::string& path) const {
    return snapshots_.local_path(path);
  }
  Snapshots& snapshots() { return snapshots_; }

 private:
  void prepare_source(const Call& call, const json::object& declaration);
  Result<void> check_source(sql::Tx& tx, const Call& call, const Source& source);
  Result<void> source_applied(sql::Tx& tx, const Call& call, const resources::Resource& resource);
  Result<void> describe(sql::Tx& tx, const Call& call, std::vector<TraceNode>& nodes);
  static Result<void> inherit(sql::Tx& tx, const Call& call, const std::vector<Edge>& derived,
                              std::vector<TraceNode>& nodes);
  static Result<void> classify_root(sql::Tx& tx, const Call& call, const Urn& urn,
                                    const std::string& column, TraceNode& node);

  sql::Database& db_;
  olap::Engine& olap_;
  const Clock& clock_;
  Snapshots snapshots_;
  std::map<std::string, DescribeNode> describers_;
  DescribeNodes describe_many_;
  std::map<std::string, DeriveEdges> derivers_;
  Graphs graphs_;
};

// The newest version of each source, by name. not_found names the one that is missing.
struct VersionedSource {
  Source source;
  std::int64_t version = 0;
  std::string digest;  // of the declaration

  std::string urn() const { return "source:" + source.name + "@" + std::to_string(version); }
};
Result<std::vector<VersionedSource>> sources_named(sql::Tx& tx, const std::string& project,
                                                   const std::vector<std::string>& names);

// What the source's compatibility mode, or that of the version in force, forbids of a new version.
Result<std::vector<Violation>> broken_compatibility(sql::Tx& tx, const Call& call,
                                                    const Source& after);

// "dataset_2026_05_01", "NAME@2" or "dataset:NAME@2"; without a version the newest. Nothing if
// there is none.
Result<std::optional<Dataset>> find_dataset(sql::Tx& tx, const std::string& project,
                                            const std::string& reference);
// Its versions, newest first, at most 100.
Result<std::vector<Dataset>> datasets_named(sql::Tx& tx, const std::string& project,
                                            const std::string& name);
// The newest dataset whose rows lie at `uri`, as its URN.
Result<std::optional<std::string>> dataset_at(sql::Tx& tx, const std::string& project,
                                              const std::string& uri);
// What changed in the sources upstream of `urn` since `since`, newest first: an incident's
// suspects.
Result<std::vector<SourceChange>> changes_upstream(sql::Tx& tx, const Call& call,
                                                   const std::string& urn, Timestamp since);

// Every URN of `kind` that an edge leads to.
Result<std::vector<std::string>> targets_of_kind(sql::Tx& tx, const std::string& project,
                                                 const std::string& kind);

// Calls nothing that gives other values the next time, such as random() or now(); else
// invalid_argument at `field`.
Result<void> check_repeatable(std::string_view sql, const std::string& field);

// A single SELECT (or WITH ... SELECT) that calls no function that reads files, settings or other
// databases; else invalid_argument at `field`.
Result<void> check_select(std::string_view sql, const std::string& field);

}  // namespace penstock::catalog
