// How much happened in the last 60 seconds, by slots of one second that were not empty.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/time.h"

namespace penstock::traffic {

inline std::int64_t second_of(Timestamp at) {
  return std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
}

// Counts a slot until all of it is over 60 seconds old, so no stretch of 60 seconds, wherever it
// begins, holds more than the limit.
class Window {
 public:
  static constexpr std::int64_t slots_kept = 61;

  // The slot that `second` counts for: time that runs back is taken for the latest that was seen.
  std::int64_t turn_to(std::int64_t second) {
    if (!slots_.empty()) second = std::max(second, slots_.back().second);
    while (first_ < slots_.size() && slots_[first_].second + slots_kept <= second)
      total_ -= slots_[first_++].amount;
    if (first_ == slots_.size()) {
      slots_.clear();
      first_ = 0;
    } else if (first_ > 64) {
      slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    return second;
  }

  // After turn_to().
  bool fits(std::int64_t amount, std::int64_t limit) const { return total_ <= limit - amount; }
  std::int64_t total() const { return total_; }
  void add(std::int64_t amount, std::int64_t second) {
    total_ += amount;
    if (first_ == slots_.size() || slots_.back().second != second) {
      slots_.push_back({second, amount});
      return;
    }
    slots_.back().amount += amount;
  }

  // Gives back what was added at `second`; nothing where that is over already.
  void give_back(std::int64_t amount, std::int64_t second) {
    for (std::size_t i = slots_.size(); i-- > first_;) {
      if (slots_[i].second != second) continue;
      const std::int64_t back = std::min(amount, slots_[i].amount);
      slots_[i].amount -= back;
      total_ -= back;
      return;
    }
  }

  // The first second at which `amount` fits, if nothing comes between. Only where amount <= limit.
  std::int64_t fits_at(std::int64_t amount, std::int64_t limit) const {
    std::int64_t left = total_, at = 0;
    for (std::size_t i = first_; i < slots_.size() && left > limit - amount; ++i) {
      left -= slots_[i].amount;
      at = slots_[i].second + slots_kept;
    }
    return at;
  }

 private:
  struct Slot {
    std::int64_t second = 0, amount = 0;
  };
  std::vector<Slot> slots_;  // by second; those before first_ are over
  std::size_t first_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace penstock::traffic
