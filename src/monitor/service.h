#pragma once

#include "base/call.h"
#include "monitor/monitor.h"
#include "ports/sql.h"
#include "resources/service.h"
#include "serving/inference_event.h"

namespace penstock::monitor {

enum class StatsBy { version, day };
BOOST_DESCRIBE_ENUM(StatsBy, version, day)

struct StatsInput {
  std::string name;  // of the route
  StatsBy by = StatsBy::version;
};
BOOST_DESCRIBE_STRUCT(StatsInput, (), (name, by))
constexpr auto rules_of(const StatsInput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "by", .doc = "version or day.", .may_miss = true}};
}
struct FeatureStats {
  std::string name;  // "[3]" where the schema is not declared
  std::int64_t count = 0, nulls = 0;
  std::optional<double> mean;
};
BOOST_DESCRIBE_STRUCT(FeatureStats, (), (name, count, nulls, mean))
// Of one version on one arm; rates are shares, and absent where there is nothing to divide by.
struct RouteStats {
  std::optional<std::string> day;  // "2013-07-01", by day alone
  std::string model;
  std::int64_t version = 0;
  serving::Arm arm = serving::Arm::live;
  std::int64_t calls = 0, errors = 0;
  std::optional<double> error_rate, p50_ms, p99_ms;  // of answered calls; off by 2% at most
  std::optional<double> mean_score, score_deviation, decision_rate;
  std::int64_t labels = 0;
  std::optional<double> wrong_rate, positive_rate, brier;
  std::optional<double> p50_age_seconds, p99_age_seconds;  // of the oldest feature of each call
  std::vector<FeatureStats> features;                      // by version alone
};
BOOST_DESCRIBE_STRUCT(RouteStats, (),
                      (day, model, version, arm, calls, errors, error_rate, p50_ms, p99_ms,
                       mean_score, score_deviation, decision_rate, labels, wrong_rate,
                       positive_rate, brier, p50_age_seconds, p99_age_seconds, features))
struct StatsOutput {
  std::string route;
  std::vector<RouteStats> stats;
  std::int64_t refused = 0;  // calls that were not counted
};
BOOST_DESCRIBE_STRUCT(StatsOutput, (), (route, stats, refused))

struct VersionVerdict {
  std::string model;
  std::int64_t version = 0;
  std::string day;  // the last of its window
  Verdict verdict = Verdict::no_data;
  std::optional<double> value;
  std::int64_t calls = 0;
  std::string reason;
  Timestamp evaluated_at;
};
BOOST_DESCRIBE_STRUCT(VersionVerdict, (),
                      (model, version, day, verdict, value, calls, reason, evaluated_at))
// The verdict is the worst of the versions that were judged last: breach, no_data, undecided, ok.
struct MonitorView {
  MonitorDeclaration monitor;
  Verdict verdict = Verdict::no_data;
  std::optional<double> value;
  std::string day, reason;
  std::vector<VersionVerdict> results;  // newest first; in a list only those judged last
};
BOOST_DESCRIBE_STRUCT(MonitorView, (), (monitor, verdict, value, day, reason, results))
struct MonitorList {
  std::vector<MonitorView> monitors;
};
BOOST_DESCRIBE_STRUCT(MonitorList, (), (monitors))
struct MonitorName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(MonitorName, (), (name))

// Kind monitor; after route.
std::vector<resources::KindHandler> kinds();

class Service {
 public:
  Service(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  std::vector<resources::KindHandler> kinds() const { return monitor::kinds(); }

  // not_found for a route that is not declared and had no call.
  Result<StatsOutput> stats(const Call& call, const StatsInput& input);
  Result<MonitorList> list(const Call& call);
  Result<MonitorView> show(const Call& call, const MonitorName& name);

 private:
  Result<MonitorView> view(sql::Tx& tx, const Call& call, const MonitorDeclaration& monitor,
                           bool whole);
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::monitor
