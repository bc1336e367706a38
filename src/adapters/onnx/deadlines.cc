#include "adapters/onnx/deadlines.h"

namespace penstock::onnx {

Deadlines::Watch::Watch(Deadlines& all, Timestamp deadline, OrtRunOptions* options)
    : all_(all), deadline_(deadline), options_(options) {
  const std::lock_guard lock(all_.mutex_);
  all_.watched_.insert(this);
  if (!all_.thread_.joinable()) all_.thread_ = Thread([&all] { all.run(); });
  if (deadline_ >= all_.next_look_) return;
  all_.next_look_ = deadline_;
  all_.wake_.notify_one();
}

Deadlines::Watch::~Watch() {
  const std::lock_guard lock(all_.mutex_);
  all_.watched_.erase(this);
}

bool Deadlines::Watch::was_ended() const {
  const std::lock_guard lock(all_.mutex_);
  return ended_;
}

Deadlines::~Deadlines() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Deadlines::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    while (!watched_.empty() && (*watched_.begin())->deadline_ <= SystemClock().now()) {
      Watch* const late = *watched_.begin();
      watched_.erase(watched_.begin());
      late->ended_ = true;
      if (OrtStatus* fault = api_.RunOptionsSetTerminate(late->options_)) api_.ReleaseStatus(fault);
    }
    next_look_ = watched_.empty() ? Timestamp::max() : (*watched_.begin())->deadline_;
    if (next_look_ == Timestamp::max())
      wake_.wait(lock);
    else
      wake_.wait_until(lock, std::chrono::system_clock::time_point(next_look_));
  }
}

}  // namespace penstock::onnx
