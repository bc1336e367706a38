// One turn of the observer, inside its transaction.
#pragma once

#include <map>
#include <tuple>

#include "base/call.h"
#include "monitor/observer.h"
#include "monitor/store.h"

namespace penstock::monitor {

// Where a label belongs: the prediction that it is of.
struct JoinedLabel {
  serving::InferenceEvent event;
  double value = 0;
};

class Turn {
 public:
  Turn(sql::Tx& tx, Timestamp now, const ObserverOptions& options)
      : tx_(tx), now_(now), options_(options) {}

  Result<void> add(const serving::InferenceEvent& event);
  Result<void> add(const JoinedLabel& label);
  // Writes what was counted; call it once, at the end.
  Result<void> finish();

 private:
  using RouteKey = std::pair<std::string, std::string>;                  // project, route
  using ProfileKey = std::tuple<std::string, std::string, std::string>;  // and schema
  using SeriesKey = std::tuple<std::string, std::string, std::int64_t, std::string, std::int64_t,
                               serving::Arm, std::string>;

  Result<RouteState*> route(const serving::InferenceEvent& event);
  Result<Profile*> profile(const DayStats& stats, std::size_t features);
  // Nothing where the route has too many already.
  Result<DayStats*> series(DayStats key);
  Result<void> cut(const DayStats& of, const serving::InferenceEvent& event);
  Result<void> complete(Profile& profile);
  Result<void> look(const RouteState& route, std::int64_t day, bool labels_only);
  Result<void> flush();

  sql::Tx& tx_;
  Timestamp now_;
  const ObserverOptions& options_;
  std::map<RouteKey, RouteState> routes_;
  std::map<ProfileKey, Profile> profiles_;
  std::map<SeriesKey, DayStats> series_;
  std::map<std::tuple<std::string, std::string, std::int64_t>, std::int64_t> series_counts_;
};

}  // namespace penstock::monitor
