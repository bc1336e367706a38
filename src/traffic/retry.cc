#include "traffic/retry.h"

#include <algorithm>
#include <cmath>

namespace penstock::traffic {
namespace {

std::int64_t parts_of(double share, std::int64_t one) {
  return static_cast<std::int64_t>(std::clamp(share, 0.0, 100.0) * static_cast<double>(one));
}

}  // namespace

RetryBudget::RetryBudget(double share, std::int64_t first)
    : share_(parts_of(share, one)), left_(share > 0 ? first * one : 0) {}

void RetryBudget::set_share(double share) { share_ = parts_of(share, one); }

void RetryBudget::call() {
  const std::int64_t share = share_.load(std::memory_order_relaxed);
  if (share == 0 || left_.load(std::memory_order_relaxed) >= kept_max) return;
  left_.fetch_add(share, std::memory_order_relaxed);
}

bool RetryBudget::take() {
  std::int64_t left = left_.load(std::memory_order_relaxed);
  while (left >= one && share_.load(std::memory_order_relaxed) > 0)
    if (left_.compare_exchange_weak(left, left - one, std::memory_order_relaxed)) return true;
  return false;
}

void RetryBudget::give_back() { left_.fetch_add(one, std::memory_order_relaxed); }

Micros backoff(int retry, Micros pause, double random) {
  const double doubled =
      static_cast<double>(pause.count()) * std::exp2(std::clamp(retry - 1, 0, 30));
  const double most = std::min(doubled, static_cast<double>(backoff_max.count()));
  return Micros(static_cast<std::int64_t>(most * random));
}

}  // namespace penstock::traffic
