// Whether an upstream may be called: its breaker, and whether it sits out as the outlier of a
// group.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "traffic/ask.h"
#include "traffic/outliers.h"

namespace penstock::traffic {

enum class Outcome {
  answered,   // also what the caller did wrong: the upstream works
  failed,     // 5xx, refused, broke, garbage
  timed_out,  // no answer in time
  abandoned,  // the caller left, or another try was faster: says nothing
};
BOOST_DESCRIBE_ENUM(Outcome, answered, failed, timed_out, abandoned)

enum class BreakerState { closed, open, half_open };
BOOST_DESCRIBE_ENUM(BreakerState, closed, open, half_open)

struct HealthOptions {
  std::int64_t failures_in_a_row = 5;
  std::int64_t calls_min = 20;                 // in the window, before its error rate counts
  double error_share = 0.5;                    // of the last 10 seconds
  Micros open_time = std::chrono::seconds(5);  // doubles each time that a probe fails
  Micros open_time_max = std::chrono::minutes(5);
  Micros probe_time =
      std::chrono::seconds(60);    // a probe that says nothing for so long is given up
  std::int64_t checks_failed = 3;  // in a row: the breaker opens
  Micros eject_time = std::chrono::seconds(30);  // times how often it was ejected
  Micros eject_time_max = std::chrono::minutes(10);
  Micros judge_interval = std::chrono::seconds(1);
  OutlierOptions outliers;
};

struct UpstreamHealth {
  std::string upstream;
  BreakerState breaker = BreakerState::closed;
  std::int64_t failures_in_a_row = 0;
  std::int64_t calls = 0, failures = 0;  // of the last 10 seconds
  std::int64_t mean_micros = 0;          // of those that were answered
  std::int64_t opened = 0;               // times, since the process started
  std::optional<Timestamp> open_until;
  std::string check = "none";             // of the last active check: passed, failed
  std::vector<std::string> ejected_from;  // groups in which it sits out
};
BOOST_DESCRIBE_STRUCT(UpstreamHealth, (),
                      (upstream, breaker, failures_in_a_row, calls, failures, mean_micros, opened,
                       open_until, check, ejected_from))

class Health {
 public:
  Health();
  explicit Health(const HealthOptions& options);
  ~Health();

  // Upstreams that stand in for each other (of one route). Replaces all groups; what is known of an
  // upstream stays. Those of no group are forgotten once nothing was told of them for an hour.
  void set_groups(const std::map<std::string, std::vector<std::string>>& groups);

  // True: call it, and tell how it went, whatever happens. With a group: it does not sit out there
  // either. A half-open breaker lets one call at a time through.
  bool may_try(std::string_view upstream, Timestamp now, std::string_view group = {});
  // Until may_try could be true; 0 where it could be now.
  Micros wait(std::string_view upstream, Timestamp now, std::string_view group = {}) const;
  void tell(std::string_view upstream, Outcome outcome, Micros took, Timestamp now);
  // An active check. While a breaker is open, one that passes lets a probe through at once.
  void tell_check(std::string_view upstream, bool passed, Timestamp now);

  std::vector<UpstreamHealth> list(Timestamp now) const;  // by name

 private:
  struct Upstream;
  struct Group;
  struct State;
  std::shared_ptr<Upstream> find(std::string_view upstream) const;
  std::shared_ptr<Upstream> find_or_make(std::string_view upstream, Timestamp now);
  std::shared_ptr<Group> group_of(std::string_view group) const;
  bool sits_out(const Group& group, const Upstream& upstream, Timestamp now) const;
  void judge(Group& group, Timestamp now);

  HealthOptions options_;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::traffic
