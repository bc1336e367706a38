// How often a route may try again, and when.
#pragma once

#include <atomic>

#include "base/time.h"

namespace penstock::traffic {

// Retries (or hedges) as a share of calls: taken <= first + share x calls, whatever happens at
// once.
class RetryBudget {
 public:
  explicit RetryBudget(double share, std::int64_t first = 10);

  void set_share(double share);
  void call();       // one call came in
  bool take();       // one retry may go out
  void give_back();  // it was not sent after all

 private:
  static constexpr std::int64_t one = 10'000;
  static constexpr std::int64_t kept_max = 1'000 * one;  // what quiet hours may save up
  std::atomic<std::int64_t> share_, left_;               // in parts of `one`
};

// Before retry 1, 2, ...: anywhere between nothing and `pause` doubled each time, so that callers
// who failed together do not come again together. `random` is from 0 to below 1.
Micros backoff(int retry, Micros pause, double random);
inline constexpr Micros backoff_max = std::chrono::seconds(30);

}  // namespace penstock::traffic
