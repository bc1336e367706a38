// An entity's events, kept as tiles: what is needed of them to read every window of its view as of
// the newest of them, or later.
#pragma once

#include <deque>

#include "features/windows/aggregate.h"

namespace penstock::features::windows {

// For each series of the plan, and each length of its tiles, the tiles that hold an event. What
// they hold depends on the set of events alone, not on their order and not on what was merged from
// where, and so do the bytes of encode(). Tiles that begin before every window that can still be
// read are dropped: windows are read as of the newest arrival or later.
//
// A window is read from tiles of the least length at its edge and of ever longer ones behind it: of
// each length but the longest at most 15.
class Tiles {
 public:
  explicit Tiles(const Plan& plan);  // which must outlive it
  // Keeps views of `bytes`, which must outlive it and what it is merged into; tiles are read when
  // they are needed. data_loss
  // where the bytes are no tiles of this plan.
  static Result<Tiles> decode(const Plan& plan, std::string_view bytes);
  std::string encode();

  bool empty() const { return newest_arrival_ == Timestamp::min(); }  // no event was ever added
  Timestamp newest_event() const { return newest_event_; }
  Timestamp newest_arrival() const { return newest_arrival_; }

  Result<void> add(const Event& event);
  Result<void> merge(const Tiles& other);
  // Merges the state of a feature's window as of `at`, which is no earlier than newest_arrival().
  Result<void> collect(const WindowedFeature& feature, Timestamp at, State& into) const;

 private:
  struct Tile {
    std::int64_t number = 0;    // it begins at number * length
    std::string_view bytes;     // while it is not open
    std::vector<State> states;  // of an open one
  };
  using Level = std::deque<Tile>;  // by number

  Result<Tile*> open_at(Level& level, const Series& series, std::int64_t number);
  static Result<void> open(Tile& tile, const Series& series);
  static Result<void> merge_state(const Tile& tile, const Series& series, std::size_t state,
                                  State& into);
  static Result<void> merge_level(Level& into, const Level& from, const Series& series);
  void arrived(Timestamp event, Timestamp arrival);
  void drop_old();

  const Plan* plan_;
  Timestamp newest_event_ = Timestamp::min(), newest_arrival_ = Timestamp::min();
  std::vector<std::vector<Level>> levels_;  // of each series, of each of its lengths
};

Error damaged_tiles();

}  // namespace penstock::features::windows
