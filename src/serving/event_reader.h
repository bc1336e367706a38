// Inference events as the readers of the log take them. Each keeps a position of its own, but they
// are near each other: what one has decoded, the others get as it is.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <span>

#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct EventStretch {
  std::span<const InferenceEvent> events;
  std::int64_t next = 0;  // the offset to go on from; the one asked for where nothing is there
  bool more = false;
  std::shared_ptr<const void> kept;  // what `events` are of
};

// Safe from several threads.
class EventReader {
 public:
  // Of one stretch, whose readers hold a multiple of it in memory; a few are kept for others.
  static constexpr std::size_t stretch_max = 500, kept_max = 2'000;

  explicit EventReader(events::Log& log) : log_(log) {}

  // Events from `from` on; the last record may have some more than stretch_max. What cannot be
  // read is logged and passed.
  Result<EventStretch> read(std::int64_t from);
  events::Log& log() { return log_; }

 private:
  struct Stretch {
    std::int64_t from = 0, next = 0;
    std::vector<std::int64_t> offsets;  // of events
    std::vector<InferenceEvent> events;
  };
  Result<std::shared_ptr<const Stretch>> decode(std::int64_t from);
  static void append(Stretch& stretch, const events::Record& record);
  std::shared_ptr<const Stretch> known(std::int64_t from) const;

  events::Log& log_;
  std::mutex turn_;
  std::deque<std::shared_ptr<const Stretch>> kept_;  // the newest last
};

}  // namespace penstock::serving
