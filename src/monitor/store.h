// The tables of monitors: one function is one statement.
#pragma once

#include "monitor/monitor.h"
#include "monitor/tally.h"
#include "ports/sql.h"

namespace penstock::monitor {

// A row of monitor_stats.
struct DayStats {
  std::string project, route, model;
  std::int64_t version = 0;
  serving::Arm arm = serving::Arm::live;
  std::string feature_schema;
  std::int64_t day = 0;
  Tally tally;
};
BOOST_DESCRIBE_STRUCT(DayStats, (),
                      (project, route, model, version, arm, feature_schema, day, tally))

// Where the values of a route's features are cut. `samples` counts the calls that are kept until
// there are enough to cut by. Edges that came from training data are there from the start.
struct Profile {
  std::string project, route, feature_schema;
  bool complete = false;
  std::int64_t samples = 0;
  std::vector<std::string> names;
  std::vector<std::optional<std::vector<double>>> feature_edges;  // none: not known yet
  std::vector<double> score_edges;
};
BOOST_DESCRIBE_STRUCT(Profile, (),
                      (project, route, feature_schema, complete, samples, names, feature_edges,
                       score_edges))

// A call that waits for its profile's edges.
struct Sample {
  std::string model;
  std::int64_t version = 0;
  serving::Arm arm = serving::Arm::live;
  std::int64_t day = 0;
  std::vector<std::optional<double>> features;
  std::optional<double> score;
};
BOOST_DESCRIBE_STRUCT(Sample, (), (model, version, arm, day, features, score))

// The training data of a version, in the bins of the route's profile.
struct TrainingReference {
  std::string project, route, feature_schema, model;
  std::int64_t version = 0;
  std::string dataset;  // URN
  std::string fault;    // why there are no counts
  std::vector<Counts>
      features;  // in the schema's order; empty where the dataset has no such column
};
BOOST_DESCRIBE_STRUCT(TrainingReference, (),
                      (project, route, feature_schema, model, version, dataset, fault, features))

// How far a route has come.
struct RouteState {
  std::string project, route;
  std::int64_t last_day = 0;                       // the latest day with a call
  std::int64_t calls_since = 0, labels_since = 0;  // since monitors were looked at
  Timestamp last_at;                               // when the last call was answered
  std::int64_t refused = 0;  // calls that were not counted: too many series, or from the future
};
BOOST_DESCRIBE_STRUCT(RouteState, (),
                      (project, route, last_day, calls_since, labels_since, last_at, refused))

namespace store {

// Every monitor that is declared in the project.
Result<std::vector<MonitorDeclaration>> monitors(sql::Tx& tx, const std::string& project);

// In the log of this server.
Result<std::int64_t> position(sql::Tx& tx, const std::string& server, std::string_view topic);
Result<void> set_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                          std::int64_t next_offset);
// Where there is no position yet: the one of the time before servers had their own, which cannot be
// behind `end`.
Result<void> begin_position(sql::Tx& tx, const std::string& server, std::string_view topic,
                            std::int64_t end);

// Days from `from` to `until`, both included, in their order.
Result<std::vector<DayStats>> stats(sql::Tx& tx, const std::string& project,
                                    const std::string& route, std::int64_t from,
                                    std::int64_t until);
// The row of the same key as `key`, if there is one.
Result<std::optional<DayStats>> find(sql::Tx& tx, const DayStats& key);
Result<std::int64_t> series_of_day(sql::Tx& tx, const DayStats& key);
Result<void> put(sql::Tx& tx, const DayStats& stats);
Result<void> forget_before(sql::Tx& tx, const std::string& project, const std::string& route,
                           std::int64_t day);

Result<std::optional<Profile>> profile(sql::Tx& tx, const std::string& project,
                                       const std::string& route, const std::string& schema);
Result<void> put(sql::Tx& tx, const Profile& profile);
Result<void> add_sample(sql::Tx& tx, const Profile& profile, const Sample& sample);
Result<std::vector<Sample>> samples(sql::Tx& tx, const Profile& profile);
Result<void> drop_samples(sql::Tx& tx, const Profile& profile);

// `key` names the version; the rest of it is not looked at.
Result<std::optional<TrainingReference>> reference(sql::Tx& tx, const TrainingReference& key);
Result<void> put(sql::Tx& tx, const TrainingReference& reference);

Result<std::optional<RouteState>> route(sql::Tx& tx, const std::string& project,
                                        const std::string& name);
Result<void> put(sql::Tx& tx, const RouteState& route);

// Newest day first.
Result<std::vector<MonitorResult>> results(sql::Tx& tx, const std::string& project,
                                           const std::string& monitor, std::int64_t limit);
// The newest of this version before `day`.
Result<std::optional<MonitorResult>> before(sql::Tx& tx, const MonitorResult& key);
Result<std::optional<MonitorResult>> same(sql::Tx& tx, const MonitorResult& key);
// Those of the same monitor that are older than `keep_days` go.
Result<void> put(sql::Tx& tx, const MonitorResult& result, std::int64_t keep_days);

}  // namespace store
}  // namespace penstock::monitor
