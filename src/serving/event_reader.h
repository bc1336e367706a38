// Inference events as the readers of the log take them. Each keeps a position of its own, but they
// are near each other and near the log's end: what this program has just written they get from
// memory, and what one has decoded, the others get as it is.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct EventStretch {
  std::vector<const InferenceEvent*> events;
  std::int64_t next = 0;  // the offset to go on from; the one asked for where nothing is there
  bool more = false;
  std::vector<std::shared_ptr<const void>> kept;  // what `events` are of
};

// Safe from several threads.
class EventReader {
 public:
  // Of one stretch, whose readers hold a multiple of it in memory; a few are kept for others.
  static constexpr std::size_t stretch_max = 1'000, kept_max = 2'000;
  static constexpr std::size_t written_max = 4 << 20;  // bytes of what was written and not decoded
  static constexpr std::size_t written_rows_max = 8;   // events of one record that is handed over

  explicit EventReader(events::Log& log) : log_(log) {}

  // Events from `from` on; the last record may have some more than stretch_max. What cannot be
  // read is logged and passed.
  Result<EventStretch> read(std::int64_t from);
  events::Log& log() { return log_; }

  // What a writer has just appended, as it would be decoded, in the order of its offsets; the
  // events are moved from. Readers that are further behind decode the log.
  struct Written {
    std::int64_t offset = 0;
    InferenceEvent* event = nullptr;
    std::size_t bytes = 0;  // that it takes, about
  };
  void wrote(std::span<const Written> events);

 private:
  // A stretch of written events grows within its capacity, so that those that are there stay where
  // they are; it holds whole records.
  struct Stretch {
    std::int64_t from = 0, next = 0;
    std::vector<std::int64_t> offsets;  // of events
    std::vector<InferenceEvent> events;
    std::size_t bytes = 0;
  };
  using Shared = std::shared_ptr<const Stretch>;
  static bool take(const Shared& stretch, EventStretch& out);
  bool take_written(EventStretch& out);
  Result<Shared> decoded(std::int64_t from);
  Result<Shared> decode(std::int64_t from, std::int64_t until);
  static void append(Stretch& stretch, const events::Record& record);
  std::int64_t written_after(std::int64_t from);
  Stretch& grown(std::int64_t offset);  // with written_mutex_ held

  events::Log& log_;
  std::mutex turn_;
  std::deque<Shared> kept_;  // the newest last

  std::mutex written_mutex_;
  std::deque<std::shared_ptr<Stretch>> written_;  // by offset
  std::size_t written_bytes_ = 0;
};

}  // namespace penstock::serving
