// Whose turn it is on the one connection that writes. Private to this adapter.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "base/result.h"
#include "base/time.h"

namespace penstock::sqlite {

// A lock that goes to those who wait in the order in which they came, and that one holder may hand
// straight to the next.
class Turn {
 public:
  // deadline_exceeded where it is not ours in time. Throws where this thread has it already: a
  // transaction inside a transaction.
  Result<void> take(Timestamp deadline);
  // Gives the turn to the one that waits longest; false, and the turn stays here, where nobody
  // waits.
  // Waits for `patience` at most, if none is there yet.
  bool hand_over(std::chrono::microseconds patience);
  void release();

 private:
  struct Waiter {
    std::condition_variable changed;
    bool its_turn = false;
  };
  std::shared_ptr<Waiter> choose_next();

  std::mutex mutex_;
  std::deque<std::shared_ptr<Waiter>> waiting_;
  std::condition_variable arrived_;
  bool expects_someone_ = false;
  bool taken_ = false;
  std::thread::id holder_;
};

}  // namespace penstock::sqlite
