// What the log says of shadows and experiments, added up by a background turn and kept beside the
// log: counts that stay small, never a single call.
#pragma once

#include "base/call.h"
#include "serving/arms.h"
#include "serving/event_reader.h"
#include "serving/mirror.h"
#include "serving/spread.h"

namespace penstock::serving {

inline constexpr std::size_t versions_kept =
    50;  // of one route's shadows, of one experiment's arms

// One version as the shadow of one route, since it first was one.
struct ShadowTally {
  std::string model;
  std::int64_t version = 0;
  std::int64_t calls = 0, errors = 0;
  Timestamp first, last;
  std::map<std::string, Spread> differences;  // by what is compared
};
BOOST_DESCRIBE_STRUCT(ShadowTally, (), (model, version, calls, errors, first, last, differences))
struct RouteShadows {
  std::vector<ShadowTally> versions;
  std::int64_t day = 0;  // of the Unix epoch: of what was spent
  Money spent;           // on that day
};
BOOST_DESCRIBE_STRUCT(RouteShadows, (), (versions, day, spent))

struct ExperimentTally {
  std::string route;
  std::vector<ArmTally> arms;
};
BOOST_DESCRIBE_STRUCT(ExperimentTally, (), (route, arms))

struct Difference {
  std::string what;
  std::int64_t count = 0;
  std::optional<double> mean, p05, p50, p95;
};
BOOST_DESCRIBE_STRUCT(Difference, (), (what, count, mean, p05, p50, p95))
struct ShadowView {
  std::string model;
  std::int64_t version = 0;
  bool running = false;  // gets calls now
  std::int64_t calls = 0, errors = 0;
  std::optional<double> agreement;      // share of calls that were decided as the live answer was
  std::vector<Difference> differences;  // the shadow's minus the live answer's
  Timestamp first, last;
  // Since this server started.
  std::int64_t mirrored = 0, not_mirrored = 0, capped = 0, withheld = 0;
};
BOOST_DESCRIBE_STRUCT(ShadowView, (),
                      (model, version, running, calls, errors, agreement, differences, first, last,
                       mirrored, not_mirrored, capped, withheld))
struct ShadowReport {
  std::string route;
  Money spent_today;
  std::optional<Money> max_cost_per_day;
  std::vector<ShadowView> shadows;
};
BOOST_DESCRIBE_STRUCT(ShadowReport, (), (route, spent_today, max_cost_per_day, shadows))

class Reports {
 public:
  Reports(EventReader& events, const TableHolder& table, Mirrors& mirrors)
      : events_(events), log_(events.log()), table_(table), mirrors_(mirrors) {}

  // Adds what came since the last turn, calls first, then labels; of how many, 0 if nothing came.
  Result<std::size_t> run_once();
  // What it reads next.
  Result<std::int64_t> position(std::string_view topic) const;

  // not_found where the route is not in service.
  Result<ShadowReport> shadows(const Call& call, const std::string& route);
  // Nothing where no call was drawn for it yet.
  Result<std::optional<ExperimentTally>> experiment(const std::string& project,
                                                    const std::string& id);
  // What a route's shadows cost on `day`, as far as this was read; for Mirrors.
  Money spent(const std::string& key, std::int64_t day);
  std::int64_t lost() const { return lost_; }  // records that could not be read

 private:
  struct Turn;
  Result<std::size_t> read_calls();
  Result<std::size_t> read_labels();
  Result<void> add_call(Turn& turn, const InferenceEvent& event);
  Result<void> add_label(Turn& turn, const Label& label, std::int64_t offset);

  EventReader& events_;
  events::Log& log_;
  const TableHolder& table_;
  Mirrors& mirrors_;
  std::atomic<std::int64_t> lost_{0};
};

}  // namespace penstock::serving
