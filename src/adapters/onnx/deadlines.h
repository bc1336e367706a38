// Ends runs whose deadline has come. ONNX Runtime looks between two operators whether it is to end.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <onnxruntime_c_api.h>

#include "base/time.h"

namespace penstock::onnx {

// One for all runs of the process; safe from several threads.
class Deadlines {
 public:
  explicit Deadlines(const OrtApi& api) : api_(api) {}
  ~Deadlines();
  Deadlines(const Deadlines&) = delete;

  // From its making until its end the run of these options is watched.
  class Watch {
   public:
    Watch(Deadlines& all, Timestamp deadline, OrtRunOptions* options);
    ~Watch();
    Watch(const Watch&) = delete;
    bool was_ended() const;

   private:
    friend class Deadlines;
    Deadlines& all_;
    const Timestamp deadline_;
    OrtRunOptions* const options_;
    bool ended_ = false;  // under all_.mutex_
  };

 private:
  struct Earlier {
    bool operator()(const Watch* a, const Watch* b) const {
      return a->deadline_ != b->deadline_ ? a->deadline_ < b->deadline_ : a < b;
    }
  };
  void run();

  const OrtApi& api_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::set<Watch*, Earlier> watched_;
  // When the thread looks again by itself. What ends later needs not wake it, so that it costs most
  // runs nothing.
  Timestamp next_look_ = Timestamp::max();
  bool stopping_ = false;
  using Thread = std::thread;  // layers: allow a run is ended beside those who wait for it
  Thread thread_;              // from the first run on
};

}  // namespace penstock::onnx
