// The time as limits look at it.
#pragma once

#include <chrono>
#include <ctime>

namespace penstock::net {

// Never before the true time and some milliseconds past it, at a fraction of its price: several are
// asked for each request.
inline std::chrono::steady_clock::time_point about_now() {
  constexpr auto tick = std::chrono::milliseconds(4);
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::steady_clock::time_point(std::chrono::seconds(now.tv_sec) +
                                               std::chrono::nanoseconds(now.tv_nsec) + tick);
}

}  // namespace penstock::net
