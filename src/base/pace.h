// How long a handler takes of late, and so whether the thread that moves bytes may run it.
#pragma once

#include <atomic>
#include <cstdint>

namespace penstock {

// The way to a worker and back costs two wake-ups, more than a small model does. But who holds up
// the loop holds up its other connections, so a handler runs there only while its mean stays below
// `mean_max`, and after one slow answer the next `sentence` go to the workers.
class Pace {
 public:
  static constexpr std::int64_t mean_max = 300, slow = 3'000;  // microseconds
  static constexpr int sentence = 200;

  bool is_brief() {
    if (away_.load(std::memory_order_relaxed) <= 0)
      return mean_.load(std::memory_order_relaxed) < mean_max * scale;
    away_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  // Threads may overwrite each other's sample: it is a guide, not a record.
  void took(std::int64_t microseconds) {
    const std::int64_t mean = mean_.load(std::memory_order_relaxed);
    mean_.store(mean + microseconds - mean / scale, std::memory_order_relaxed);
    if (microseconds > slow) away_.store(sentence, std::memory_order_relaxed);
  }

 private:
  static constexpr std::int64_t scale = 16;  // `mean_` holds the mean so many times
  std::atomic<std::int64_t> mean_{0};
  std::atomic<int> away_{sentence / 10};  // nothing is known at first
};

}  // namespace penstock
