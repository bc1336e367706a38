#include "adapters/sqlite/turn.h"

#include <algorithm>
#include <stdexcept>

namespace penstock::sqlite {

Result<void> Turn::take(Timestamp deadline) {
  std::unique_lock lock(mutex_);
  if (taken_ && holder_ == std::this_thread::get_id())
    throw std::logic_error("a transaction was opened inside a transaction");
  if (taken_) {
    Waiter waiter;
    waiting_.push_back(&waiter);
    const auto mine = [&] { return waiter.its_turn; };
    if (deadline == Timestamp::max())
      waiter.changed.wait(lock, mine);
    else if (!waiter.changed.wait_until(lock, deadline, mine)) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &waiter));
      return Error{Code::deadline_exceeded, "the deadline passed while other writes went first"};
    }
  }
  taken_ = true;
  holder_ = std::this_thread::get_id();
  return {};
}

bool Turn::hand_over_locked() {
  if (waiting_.empty()) return false;
  Waiter& next = *waiting_.front();
  waiting_.pop_front();
  next.its_turn = true;
  holder_ = {};
  // Under the lock: as soon as it is let go, the waiter may be gone.
  next.changed.notify_one();
  return true;
}

bool Turn::hand_over() {
  const std::scoped_lock lock(mutex_);
  return hand_over_locked();
}

void Turn::release() {
  const std::scoped_lock lock(mutex_);
  if (hand_over_locked()) return;
  taken_ = false;
  holder_ = {};
}

}  // namespace penstock::sqlite
