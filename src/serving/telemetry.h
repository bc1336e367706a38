// What answered calls leave behind. Events wait in memory, within a bound, and one writer appends
// them to the log in groups, so that no call waits for a disk.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>

#include "base/metrics.h"
#include "ports/log.h"
#include "serving/event_codec.h"

namespace penstock::serving {

class EventReader;

struct TelemetryOptions {
  std::size_t waiting_max = 64 << 20;  // bytes of events that wait; what comes beyond is dropped
  std::size_t group_max = 4 << 20;     // bytes of one write, about
  // That the first event waits for others; where calls are rare up to five times that, as the
  // writer looks for them more seldom.
  Micros linger = std::chrono::milliseconds(2);
  Micros stuck = std::chrono::seconds(5);  // a write that takes longer is trouble
};

// That events wait for a log that cannot take them, or are lost; told once, and once it is over.
struct TelemetryTrouble {
  bool over = false;
  std::int64_t dropped = 0;  // since the trouble began
  std::string what;
};

// Any number of producers; safe from several threads.
class Telemetry {
 public:
  Telemetry(events::Log& log, Metrics& metrics, TelemetryOptions options = {});

  // Never fails: events that find no place are dropped and counted. What was put is in the log once
  // a flush() after it has succeeded. `from_loop`: of a thread that many calls wait for. It never
  // waits, not even a little for a log that is well, and may take a quarter of memory more instead.
  void put(std::vector<InferenceEvent> events, bool from_loop = false);
  // That put() may soon have to wait: who has another thread to run on should.
  bool is_crowded() const { return crowded_.load(std::memory_order_relaxed); }
  // In the log when it returns, findable by id: it survives kill -9.
  Result<void> put_now(const std::vector<InferenceEvent>& events);
  // Until all that was put before is in the log; deadline_exceeded where that takes longer than
  // `limit`, else the log's own fault.
  Result<void> flush(Micros limit);

  // The writer's turn: waits up to `limit` for events and writes what came, a group at most. True
  // if more waits. A group that the log refuses is kept and tried again with the next turn.
  Result<bool> write(Micros limit);
  // Tells of trouble, and of its end: on a thread of its own, since the writer may be what hangs.
  Result<void> watch();
  void on_trouble(std::function<Result<void>(const TelemetryTrouble&)> listener) {
    listener_ = std::move(listener);
  }
  // Readers get what is written without decoding it; before the first put().
  void hands_to(EventReader& readers) { readers_ = &readers; }

 private:
  using Instant = std::chrono::steady_clock::time_point;
  // Of one call. What is much is made into text at once: that takes less memory, and who makes
  // much work does it.
  struct Batch {
    std::vector<InferenceEvent> events;
    std::vector<EventRecord> records;
    std::size_t count = 0, bytes = 0;
  };

  bool nothing_waits() const;
  Result<void> write_group();  // with writing_ held
  Result<void> write_each(std::span<const EventRecord* const> group);
  void hand_over(std::span<Batch> batches, std::span<const std::int64_t> offsets);
  void failed(const std::string& what);
  bool is_healthy() const;    // with mutex_ held
  bool is_half_full() const;  // likewise

  events::Log& log_;
  const TelemetryOptions options_;
  Counter& written_;
  Counter& dropped_;
  Counter& failures_;
  Gauge& waiting_bytes_;
  std::function<Result<void>(const TelemetryTrouble&)> listener_;
  EventReader* readers_ = nullptr;

  mutable std::mutex mutex_;
  std::condition_variable came_;
  std::vector<Batch> waiting_;
  std::size_t bytes_ = 0;  // of all that waits, the writer's too
  std::atomic<bool> crowded_{false};
  std::int64_t put_ = 0;        // batches that were taken in
  std::int64_t done_ = 0;       // of them, those that are in the log
  std::int64_t lost_ = 0;       // events dropped since the trouble began
  std::int64_t lost_seen_ = 0;  // by the last watch()
  std::string fault_;           // of the last write; empty: it went well
  Instant writing_since_ = Instant::max();
  Instant wrote_at_{};   // the last turn that found events
  bool asleep_ = false;  // the writer waits to be woken

  std::condition_variable room_;  // there is more of it in the queue

  std::timed_mutex writing_;
  std::vector<Batch> pending_;  // taken from waiting_, not written yet
  std::size_t next_ = 0;        // of pending_

  std::mutex watching_;
  bool told_ = false;
};

}  // namespace penstock::serving
