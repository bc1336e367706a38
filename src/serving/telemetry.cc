#include "serving/telemetry.h"

#include <algorithm>
#include <deque>

#include "serving/event_reader.h"
#include "serving/gateway.h"

namespace penstock::serving {
namespace {

// From so many rows on a call's events are made into text by the caller.
constexpr std::size_t rows_few = 8;
static_assert(rows_few <= EventReader::written_rows_max);

// How long after the last events the writer looks for others by itself, and how much more seldom
// than at first in the end.
constexpr Micros watchful_time = std::chrono::seconds(1);
constexpr int linger_growth = 5;

// That a call waits for a full queue at most, and a write of a log that is well.
constexpr Micros room_time = std::chrono::milliseconds(100),
                 slow_write = std::chrono::milliseconds(250);

// What an event takes in memory, about; never less than it says itself.
std::size_t bytes_of(const InferenceEvent& event) {
  std::size_t bytes = sizeof event + event.features.size() * sizeof event.features[0] +
                      event.feature_times.size() * sizeof(std::optional<Timestamp>);
  for (const std::string* text : {&event.unit, &event.error, &event.user, &event.payload})
    bytes += text->size();
  for (const auto& [key, value] : event.entities) bytes += 100 + key.size() + value.size();
  for (const auto& [key, value] : event.comparison) bytes += 80 + key.size();
  for (const std::string& hit : event.guardrails) bytes += sizeof hit + hit.size();
  return bytes;
}

}  // namespace

Telemetry::Telemetry(events::Log& log, Metrics& metrics, TelemetryOptions options)
    : log_(log),
      options_(options),
      written_(metrics.counter("penstock_telemetry_events_total",
                               "Inference events that the log has taken")),
      dropped_(metrics.counter("penstock_telemetry_dropped_total",
                               "Inference events that were lost, for want of a place or a disk")),
      failures_(metrics.counter("penstock_telemetry_failures_total",
                                "Writes of inference events that the log refused")),
      waiting_bytes_(metrics.gauge("penstock_telemetry_waiting_bytes",
                                   "Memory of inference events that wait for the log")) {}

bool Telemetry::is_half_full() const { return bytes_ >= options_.waiting_max / 2; }

bool Telemetry::is_healthy() const {
  return fault_.empty() && writing_since_ >= std::chrono::steady_clock::now() - slow_write;
}

void Telemetry::put(std::vector<InferenceEvent> events, bool from_loop) {
  if (events.empty()) return;
  Batch batch{.count = events.size()};
  if (events.size() < rows_few) {
    batch.events = std::move(events);
    for (const InferenceEvent& event : batch.events) batch.bytes += bytes_of(event);
  } else {
    batch.records = records_of(events);
    for (const EventRecord& one : batch.records)
      batch.bytes += sizeof one + one.key.size() + one.text.size() + one.found_by.size();
  }
  bool wake = false;
  {
    std::unique_lock lock(mutex_);
    // Who brings more than a healthy log takes waits a little for it; a disk that is away slows
    // nobody for longer than it takes to be known.
    const std::size_t most = options_.waiting_max + (from_loop ? options_.waiting_max / 4 : 0);
    const auto has_room = [&] { return bytes_ + batch.bytes <= most; };
    if (!from_loop && !has_room() && is_healthy()) room_.wait_for(lock, room_time, has_room);
    if (!has_room()) {
      lost_ += static_cast<std::int64_t>(batch.count);
      dropped_.add(batch.count);
      return;
    }
    const bool was_half_full = is_half_full();
    wake = asleep_ && waiting_.empty();
    bytes_ += batch.bytes;
    wake = wake || (!was_half_full && is_half_full());
    crowded_.store(bytes_ >= options_.waiting_max / 4 * 3, std::memory_order_relaxed);
    ++put_;
    waiting_.push_back(std::move(batch));
  }
  if (wake) came_.notify_one();
}

Result<void> Telemetry::put_now(const std::vector<InferenceEvent>& events) {
  TRY(record(log_, records_of(events)));
  written_.add(events.size());
  return {};
}

bool Telemetry::nothing_waits() const {
  const std::lock_guard lock(mutex_);
  return done_ == put_;
}

Result<void> Telemetry::flush(Micros limit) {
  if (nothing_waits()) return {};
  const Instant end = std::chrono::steady_clock::now() + limit;
  std::int64_t until = 0;
  {
    const std::lock_guard lock(mutex_);
    until = put_;
  }
  const Error late{Code::deadline_exceeded,
                   "the telemetry log has not taken what was predicted within " +
                       std::to_string(limit.count() / 1000) + " ms; try again in a moment"};
  while (true) {
    const std::unique_lock writing(writing_, end);
    if (!writing) return late;
    {
      const std::lock_guard lock(mutex_);
      if (done_ >= until) return {};
    }
    TRY(write_group());
    if (std::chrono::steady_clock::now() > end) return late;
  }
}

// While calls come it looks by itself now and then: to wake it would cost each call that comes
// alone more than all the rest of put().
Result<bool> Telemetry::write(Micros limit) {
  {
    std::unique_lock lock(mutex_);
    const auto came = [&] { return done_ != put_; };
    const auto half_full = [&] { return is_half_full(); };
    const auto quiet = std::chrono::steady_clock::now() - wrote_at_;
    if (!came() && quiet < watchful_time) {
      const auto pause = std::clamp<std::chrono::steady_clock::duration>(
          quiet / 2, options_.linger, options_.linger * linger_growth);
      came_.wait_for(lock, std::min<Instant::duration>(pause, limit), half_full);
      if (!came()) return false;
    } else {
      asleep_ = true;
      came_.wait_for(lock, limit, came);
      asleep_ = false;
      if (!came()) return false;
      // Few large writes cost less than many small ones; but not where memory runs out.
      came_.wait_for(lock, options_.linger, half_full);
    }
    wrote_at_ = std::chrono::steady_clock::now();
  }
  const std::lock_guard writing(writing_);
  TRY(write_group());
  return !nothing_waits();
}

Result<void> Telemetry::write_group() {
  {
    const std::lock_guard lock(mutex_);
    if (next_ == pending_.size()) {
      pending_.clear();
      next_ = 0;
      std::swap(pending_, waiting_);
    }
    if (pending_.empty()) return {};
    writing_since_ = std::chrono::steady_clock::now();
  }
  std::vector<const EventRecord*> group;
  std::size_t end = next_, bytes = 0, events = 0;
  for (; end < pending_.size() && (bytes == 0 || bytes < options_.group_max); ++end) {
    Batch& batch = pending_[end];
    bytes += batch.bytes;
    events += batch.count;
    if (batch.records.empty()) batch.records = records_of(batch.events);
    for (const EventRecord& one : batch.records) group.push_back(&one);
  }
  Result<void> done;
  if (const auto offsets = record(log_, group))
    hand_over(std::span(pending_).subspan(next_, end - next_), *offsets);
  else
    done = offsets.error().code == Code::invalid_argument ? write_each(group) : offsets.error();
  if (!done) {
    failures_.add();
    failed(done.error().message);
    return done;
  }
  written_.add(events);
  for (std::size_t at = next_; at < end; ++at) pending_[at] = {};
  const std::lock_guard lock(mutex_);
  done_ += static_cast<std::int64_t>(end - next_);
  next_ = end;
  bytes_ -= bytes;
  crowded_.store(bytes_ >= options_.waiting_max / 4 * 3, std::memory_order_relaxed);
  waiting_bytes_.set(static_cast<double>(bytes_));
  fault_.clear();
  writing_since_ = Instant::max();
  room_.notify_all();
  return {};
}

// Calls of few rows alone: what is much takes readers' memory. Records that say something else than
// the event did (rows as one, texts made readable) are decoded, so that readers get the same
// whether from memory or from the log.
void Telemetry::hand_over(std::span<Batch> batches, std::span<const std::int64_t> offsets) {
  if (!readers_) return;
  std::vector<EventReader::Written> written;
  written.reserve(offsets.size());
  std::deque<std::vector<InferenceEvent>> decoded;
  std::size_t place = 0;
  for (Batch& batch : batches) {
    const auto of_batch = offsets.subspan(place, batch.records.size());
    place += batch.records.size();
    if (batch.events.empty()) continue;
    const std::size_t bytes = batch.bytes / batch.count;
    for (std::size_t at = 0; at < of_batch.size(); ++at) {
      const EventRecord& record = batch.records[at];
      if (record.is_exact && !record.is_group) {
        written.push_back({of_batch[at], &batch.events[at], bytes});
      } else if (auto events = events_of(record.text)) {
        for (InferenceEvent& event : decoded.emplace_back(std::move(*events)))
          written.push_back({of_batch[at], &event, bytes});
      }
    }
  }
  readers_->wrote(written);
}

// One event that no log can take must not hold up all that comes after it.
Result<void> Telemetry::write_each(std::span<const EventRecord* const> group) {
  for (const EventRecord* one : group) {
    const auto done = record(log_, {&one, 1});
    if (done) continue;
    if (done.error().code != Code::invalid_argument) return done.error();
    dropped_.add();
    const std::lock_guard lock(mutex_);
    ++lost_;
  }
  return {};
}

void Telemetry::failed(const std::string& what) {
  const std::lock_guard lock(mutex_);
  fault_ = what;
  writing_since_ = Instant::max();
}

Result<void> Telemetry::watch() {
  const std::lock_guard watching(watching_);
  TelemetryTrouble trouble;
  {
    const std::lock_guard lock(mutex_);
    const Instant now = std::chrono::steady_clock::now();
    if (!fault_.empty())
      trouble.what = "the log refuses them: " + fault_;
    else if (writing_since_ < now - options_.stuck)
      trouble.what = "a write to the log hangs";
    else if (lost_ != lost_seen_)
      trouble.what = "more come than the log takes";
    trouble.dropped = lost_;
    lost_seen_ = lost_;
  }
  trouble.over = trouble.what.empty();
  if (trouble.over != told_) return {};  // nothing new
  if (listener_) TRY(listener_(trouble));
  told_ = !trouble.over;
  if (!trouble.over) return {};
  const std::lock_guard lock(mutex_);
  lost_ -= trouble.dropped;
  lost_seen_ -= trouble.dropped;
  return {};
}

}  // namespace penstock::serving
