// Places to run in, and calls that wait for one: the most urgent first, fair between tenants.
#pragma once

#include <functional>
#include <memory>
#include <variant>

#include "traffic/ask.h"

namespace penstock::traffic {

struct QueueLimits {
  std::int64_t max_concurrency = 256, max_waiting = 256;
  Micros max_wait = std::chrono::seconds(1);
};

struct QueueState;
struct Waiter;

// A call that runs. Destroyed, its place is free; leave() also tells how long it took.
class Place {
 public:
  Place() = default;
  Place(Place&& other) noexcept { *this = std::move(other); }
  Place& operator=(Place&& other) noexcept;
  ~Place() { leave({}); }
  void leave(std::optional<Timestamp> now);

 private:
  friend class Queue;
  friend struct QueueState;
  Place(std::shared_ptr<QueueState> queue, Timestamp since)
      : queue_(std::move(queue)), since_(since) {}
  std::shared_ptr<QueueState> queue_;
  Timestamp since_{};
};

// Hears once, on the thread of whoever made room or of who asked: short, hands the place to where
// the call goes on, and neither drops it nor calls the queue.
using Told = std::function<void(std::variant<Place, Refusal>)>;

// A call that waits. Destroying it changes nothing.
class Waiting {
 public:
  // True: it waits no longer and is told nothing. False: it has been told, or is being told.
  bool cancel();
  Timestamp until() const { return until_; }  // it waits no longer than that
  // What is said to one that has waited in vain.
  Refusal expired() const;

 private:
  friend class Queue;
  std::shared_ptr<QueueState> queue_;
  std::weak_ptr<Waiter> waiter_;
  Timestamp until_{};
};

class Queue {
 public:
  explicit Queue(const QueueLimits& limits);

  void set_limits(const QueueLimits& limits);  // of calls from now on

  // A place, or why there will be none, or a wait whose end `told` hears. It never waits beyond
  // `deadline` or max_wait, as far as somebody leaves or calls expire(): waiters without a timer of
  // their own need the latter.
  std::variant<Place, Refusal, Waiting> enter(const Ask& ask, Timestamp deadline, Timestamp now,
                                              Told told);
  // The same on a thread that may block. Waits in real time.
  std::variant<Place, Refusal> enter(const Ask& ask, Timestamp deadline, Timestamp now);

  // Tells those whose time is over. Returns when the next one's will be.
  std::optional<Timestamp> expire(Timestamp now);

  struct Counts {
    std::int64_t running = 0, waiting = 0;
    Micros expected_wait{};  // of a call that came now, of the default priority
  };
  Counts counts() const;

 private:
  std::shared_ptr<QueueState> state_;
};

}  // namespace penstock::traffic
