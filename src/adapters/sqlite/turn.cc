#include "adapters/sqlite/turn.h"

#include <algorithm>
#include <stdexcept>

namespace penstock::sqlite {

Result<void> Turn::take(Timestamp deadline) {
  std::unique_lock lock(mutex_);
  if (taken_ && holder_ == std::this_thread::get_id())
    throw std::logic_error("a transaction was opened inside a transaction");
  if (taken_) {
    const auto waiter = std::make_shared<Waiter>();
    waiting_.push_back(waiter);
    if (expects_someone_) arrived_.notify_one();
    const auto mine = [&] { return waiter->its_turn; };
    if (deadline == Timestamp::max())
      waiter->changed.wait(lock, mine);
    else if (!waiter->changed.wait_until(lock, deadline, mine)) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), waiter));
      return Error{Code::deadline_exceeded, "the deadline passed while other writes went first"};
    }
  }
  taken_ = true;
  holder_ = std::this_thread::get_id();
  return {};
}

std::shared_ptr<Turn::Waiter> Turn::choose_next() {
  holder_ = {};
  if (waiting_.empty()) return nullptr;
  auto next = std::move(waiting_.front());
  waiting_.pop_front();
  next->its_turn = true;
  return next;
}

// The next is woken without the lock, which it would only have to wait for.
bool Turn::hand_over(std::chrono::microseconds patience) {
  std::shared_ptr<Waiter> next;
  {
    std::unique_lock lock(mutex_);
    if (waiting_.empty() && patience.count() > 0) {
      expects_someone_ = true;
      arrived_.wait_for(lock, patience, [&] { return !waiting_.empty(); });
      expects_someone_ = false;
    }
    if (waiting_.empty()) return false;
    next = choose_next();
  }
  next->changed.notify_one();
  return true;
}

void Turn::release() {
  std::shared_ptr<Waiter> next;
  {
    const std::scoped_lock lock(mutex_);
    next = choose_next();
    if (!next) taken_ = false;
  }
  if (next) next->changed.notify_one();
}

}  // namespace penstock::sqlite
