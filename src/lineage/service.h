// Events of other people's tools (Airflow, Spark, dbt, ...) as part of the one graph, and the graph
// as Marquez's API tells it.
#pragma once

#include "catalog/service.h"
#include "lineage/event.h"

namespace penstock::lineage {

// What an answer about many events says.
struct FailedEvent {
  std::int64_t index = 0;  // in the list that came
  std::string reason;
  bool retriable = false;
};
BOOST_DESCRIBE_STRUCT(FailedEvent, (), (index, reason, retriable))
struct BatchSummary {
  std::int64_t received = 0, successful = 0, failed = 0, retriable = 0, non_retriable = 0;
};
BOOST_DESCRIBE_STRUCT(BatchSummary, (), (received, successful, failed, retriable, non_retriable))
struct BatchAnswer {
  std::string status = "success";  // or "partial_success"
  BatchSummary summary;
  std::vector<FailedEvent> failed_events;
};
BOOST_DESCRIBE_STRUCT(BatchAnswer, (), (status, summary, failed_events))
inline constexpr std::size_t batch_max = 10'000;  // events

struct GraphQuery {
  std::string nodeId;  // "dataset:<namespace>:<name>", "job:<namespace>:<name>"
  std::int64_t depth = 20;
};
BOOST_DESCRIBE_STRUCT(GraphQuery, (), (nodeId, depth))
constexpr auto rules_of(const GraphQuery&) {
  return std::array{Rule{.field = "nodeId", .min = 5, .max = 4'100},
                    Rule{.field = "depth", .min = 0, .max = 1'000, .may_miss = true}};
}
struct ColumnQuery {
  std::string nodeId;  // "datasetField:<namespace>:<dataset>:<field>" or "dataset:..."
  std::int64_t depth = 20;
  bool withDownstream = false;
};
BOOST_DESCRIBE_STRUCT(ColumnQuery, (), (nodeId, depth, withDownstream))
constexpr auto rules_of(const ColumnQuery&) {
  return std::array{Rule{.field = "nodeId", .min = 5, .max = 6'200},
                    Rule{.field = "depth", .min = 0, .max = 1'000, .may_miss = true},
                    Rule{.field = "withDownstream", .may_miss = true}};
}
struct EventsQuery {
  std::optional<Timestamp> after, before;
  std::int64_t limit = 100, offset = 0;
  std::string sortDirection = "desc";
};
BOOST_DESCRIBE_STRUCT(EventsQuery, (), (after, before, limit, offset, sortDirection))
constexpr auto rules_of(const EventsQuery&) {
  return std::array{Rule{.field = "limit", .min = 0, .max = 1'000, .may_miss = true},
                    Rule{.field = "offset", .min = 0, .may_miss = true},
                    Rule{.field = "sortDirection", .max = 4, .may_miss = true}};
}
struct UpstreamQuery {
  std::string runId;
  std::int64_t depth = 20;
};
BOOST_DESCRIBE_STRUCT(UpstreamQuery, (), (runId, depth))
constexpr auto rules_of(const UpstreamQuery&) {
  return std::array{Rule{.field = "runId", .min = 36, .max = 36},
                    Rule{.field = "depth", .min = 0, .max = 100, .may_miss = true}};
}
struct NamesQuery {
  std::string space;  // the namespace
  std::int64_t limit = 100, offset = 0;
};
BOOST_DESCRIBE_STRUCT(NamesQuery, (), (space, limit, offset))
constexpr auto rules_of(const NamesQuery&) {
  return std::array{Rule{.field = "space", .min = 1, .max = name_max},
                    Rule{.field = "limit", .min = 1, .max = 1'000, .may_miss = true},
                    Rule{.field = "offset", .min = 0, .may_miss = true}};
}

class Service {
 public:
  Service(sql::Database& db, catalog::Service& catalog, const Clock& clock)
      : db_(db), catalog_(catalog), clock_(clock) {}

  // At start: what this component says of the nodes that events made.
  void describe_nodes();

  // After an apply: datasets that events knew by the place of a source are that source.
  Result<void> sources_declared(const Call& call, const std::vector<std::string>& names);

  // Takes one event, in one transaction: the event, its facets, its run and the edges that follow.
  // The same event again changes nothing. Only what changes the graph is an audit event; a run that
  // does what its job did before is a row, and no more.
  Result<void> take(const Call& call, const json::value& event);
  // Takes a list. What cannot be read is named by its place; the rest is kept, in one transaction.
  Result<BatchAnswer> take_all(const Call& call, const json::value& events);

  // As Marquez answers them.
  Result<json::object> graph(const Call& call, const GraphQuery& query);
  Result<json::object> column_graph(const Call& call, const ColumnQuery& query);
  Result<json::object> events(const Call& call, const EventsQuery& query);
  Result<json::object> upstream_runs(const Call& call, const UpstreamQuery& query);
  Result<json::object> namespaces(const Call& call);
  Result<json::object> list(const Call& call, const std::string& kind, const NamesQuery& query);

 private:
  Result<void> keep(const Call& call, const std::vector<Event>& events);

  sql::Database& db_;
  catalog::Service& catalog_;
  const Clock& clock_;
};

// What events of others said of the run `urn`; empty where they never named it.
Result<json::object> describe_run(sql::Tx& tx, const Call& call, const Urn& urn);

}  // namespace penstock::lineage
