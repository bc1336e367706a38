#include "app/background.h"

#include <algorithm>

#include "base/log.h"

namespace penstock::app {
namespace {

constexpr Micros pause_max = std::chrono::seconds(30);

}  // namespace

void Background::start(std::string name, Micros interval, std::function<Result<Turn>()> turn) {
  threads_.emplace_back([this, name = std::move(name), interval, turn = std::move(turn)] {
    run(name, interval, turn);
  });
}

void Background::stop() {
  {
    const std::lock_guard lock(turn_);
    stopping_ = true;
  }
  wake_.notify_all();
  threads_.clear();
}

void Background::run(const std::string& name, Micros interval,
                     const std::function<Result<Turn>()>& turn) {
  Micros span = interval;
  bool more = false;
  while (more || pause(span)) {
    {
      const std::lock_guard lock(turn_);
      if (stopping_) return;
    }
    Result<Turn> done = Error{Code::internal, "did not run"};
    try {
      done = turn();
    } catch (const std::exception& fault) {
      done = Error{Code::internal, fault.what()};
    }
    more = done && done->more;
    if (done) {
      span = interval;
    } else {
      span = std::min(std::max(span * 2, Micros(100'000)), pause_max);
      log::warn("background_failed", {{"work", name},
                                      {"error", done.error().message},
                                      {"next_try_in_ms", span.count() / 1000}});
    }
  }
}

bool Background::pause(Micros span) {
  std::unique_lock lock(turn_);
  return !wake_.wait_for(lock, span, [this] { return stopping_; });
}

}  // namespace penstock::app
