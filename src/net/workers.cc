#include "net/workers.h"

#include <pthread.h>

#include "base/log.h"

namespace penstock::net {

Workers::Workers(int threads, std::size_t queue_max) : queue_max_(queue_max) {
  for (int at = 0; at < threads; ++at) {
    Place& place = *places_.emplace_back(std::make_unique<Place>());
    threads_.emplace_back([this, &place] {
      pthread_setname_np(pthread_self(), "worker");  // for top and perf
      tend(place);
    });
  }
}

Workers::~Workers() {
  stop();
  join();
}

bool Workers::post(std::function<void()> work) {
  if (!enter()) return false;
  submit([this, work = std::move(work)] {
    leave();
    try {
      work();
    } catch (const std::exception& fault) {
      log::error("after_answer_threw", {{"error", fault.what()}});
    }
  });
  return true;
}

void Workers::submit(std::unique_ptr<Job> job) {
  Place* place = nullptr;
  {
    const std::lock_guard lock(turn_);
    jobs_.push_back(std::move(job));
    if (waiting_.empty() || stopped_) return;
    place = waiting_.back();
    waiting_.pop_back();
    place->is_wanted = true;
  }
  place->woken.notify_one();
}

void Workers::tend(Place& place) {
  std::unique_lock lock(turn_);
  while (!stopped_) {
    if (jobs_.empty()) {
      if (closing_) return;
      place.is_wanted = false;
      waiting_.push_back(&place);
      place.woken.wait(lock, [&] { return place.is_wanted; });
      continue;
    }
    std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job->run();
    job.reset();
    lock.lock();
  }
}

void Workers::wake_all() {
  for (Place* place : std::exchange(waiting_, {})) {
    place->is_wanted = true;
    place->woken.notify_one();
  }
}

void Workers::stop() {
  const std::lock_guard lock(turn_);
  stopped_ = true;
  wake_all();
}

void Workers::join() {
  {
    const std::lock_guard lock(turn_);
    closing_ = true;
    wake_all();
  }
  threads_.clear();
}

}  // namespace penstock::net
