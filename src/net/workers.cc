#include "net/workers.h"

#include <pthread.h>

#include <algorithm>

#include "base/log.h"

namespace penstock::net {

Workers::Workers(int threads, std::size_t queue_max)
    : threads_max_(static_cast<std::size_t>(std::max(threads, 1))), queue_max_(queue_max) {}

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
    if (stopped_) return;
    if (waiting_.empty()) return begin_thread();
    place = waiting_.back();
    waiting_.pop_back();
    place->is_wanted = true;
  }
  place->woken.notify_one();
}

// All that there are have work. With turn_ held.
void Workers::begin_thread() {
  if (closing_ || threads_.size() >= threads_max_) return;
  Place& place = *places_.emplace_back(std::make_unique<Place>());
  threads_.emplace_back([this, &place] {
    pthread_setname_np(pthread_self(), "worker");  // for top and perf
    tend(place);
  });
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
