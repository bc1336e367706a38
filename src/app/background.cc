#include "app/background.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/log.h"

namespace penstock::app {
namespace {

constexpr Micros pause_max = std::chrono::seconds(30);
constexpr int nice = 5;

}  // namespace

void Background::start(std::string name, Rhythm rhythm, std::function<Result<Turn>()> turn) {
  threads_.emplace_back(
      [this, name = std::move(name), rhythm, turn = std::move(turn)] { run(name, rhythm, turn); });
}

void Background::stop() {
  {
    const std::lock_guard lock(turn_);
    stopping_ = true;
  }
  wake_.notify_all();
  threads_.clear();
}

void Background::run(const std::string& name, Rhythm rhythm,
                     const std::function<Result<Turn>()>& turn) {
  constexpr std::size_t name_max = 15;                                          // of Linux
  pthread_setname_np(pthread_self(), name.substr(0, name_max).c_str());         // for top and perf
  if (rhythm.gives_way) static_cast<void>(setpriority(PRIO_PROCESS, 0, nice));  // of this thread
  Micros span = rhythm.interval;
  while (pause(span)) {
    Result<Turn> done = Error{Code::internal, "did not run"};
    try {
      done = turn();
    } catch (const std::exception& fault) {
      done = Error{Code::internal, fault.what()};
    }
    if (done) {
      span = done->more ? rhythm.rest : rhythm.interval;
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
