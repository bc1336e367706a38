// Work that goes on beside requests: readers of the telemetry log, streams, releases.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::app {

class Background {
 public:
  // What one turn did. `more` asks for the next turn at once.
  struct Turn {
    bool more = false;
  };

  ~Background() { stop(); }

  // When turns come: every `interval`, but `rest` after one that left more. A reader of the log
  // with no rest would wake for each request and slow the next.
  struct Rhythm {
    Micros interval, rest{0};
    bool gives_way = false;  // to calls, where the processor is short: it catches up later
  };

  // Runs `turn` on a thread of its own until stop(). A turn that fails is logged and tried again
  // after a pause that doubles from the interval up to 30 s.
  void start(std::string name, Rhythm rhythm, std::function<Result<Turn>()> turn);
  // Waits for turns that are under way.
  void stop();

 private:
  void run(const std::string& name, Rhythm rhythm, const std::function<Result<Turn>()>& turn);
  bool pause(Micros span);  // false when stopping

  std::mutex turn_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace penstock::app
