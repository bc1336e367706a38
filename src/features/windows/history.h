// An entity's events while a pass goes by its rows, in the order of their arrival.
#pragma once

#include "features/windows/tiles.h"

namespace penstock::features::windows {

// What it gives is what tiles give: a window is the same set of events either way. They are kept as
// they are while they cost less to add up for each row than to fold into tiles, and are tiles from
// then on.
class History {
 public:
  explicit History(const Plan& plan);  // which must outlive it
  void clear();                        // for the next entity
  Result<void> add(const Event& event);
  bool empty() const { return newest_event_ == Timestamp::min(); }
  Timestamp newest_event() const { return newest_event_; }
  // As of an instant that is not before the arrival of any event, nor before what was asked last.
  Result<std::vector<Scalar>> values(Timestamp at);

 private:
  Result<void> fold();
  void add_up(const WindowedFeature& feature, const Range& range, State& into);

  const Plan& plan_;
  std::size_t fold_cost_ = 0;  // of one event
  Timestamp newest_event_ = Timestamp::min();
  Tiles tiles_;
  bool folded_ = false;        // all events are in tiles_
  std::vector<Event> events_;  // the first count_ of them; what follows is room for more
  std::size_t count_ = 0, spent_ = 0;
  bool in_order_ = true;  // of event time
};

}  // namespace penstock::features::windows
