#include "serving/retention.h"

#include <algorithm>

#include "base/log.h"

namespace penstock::serving {
namespace {

constexpr std::array topics{inference_topic, label_topic};
// Of one turn: a gigabyte or so.
constexpr std::int64_t records_at_once = 500'000;
constexpr Micros shortest_rhythm = std::chrono::milliseconds(200),
                 longest_rhythm = std::chrono::seconds(30);

Result<std::optional<Timestamp>> logged_at(events::Log& log, std::string_view topic,
                                           std::int64_t offset) {
  const auto records = TRY(log.read(topic, offset, 1));
  return records.empty() ? std::nullopt : std::optional(records.front().at);
}

// The first offset from `first` to before `end` for which `holds` does; `end` where it holds for
// none. What it holds for comes after all that it does not hold for.
Result<std::int64_t> first_that(std::int64_t first, std::int64_t end,
                                const std::function<Result<bool>(std::int64_t)>& holds) {
  while (first < end) {
    const std::int64_t middle = first + (end - first) / 2;
    if (TRY(holds(middle)))
      end = middle;
    else
      first = middle + 1;
  }
  return first;
}

}  // namespace

// What of a topic is too old or too much, and who has still to read of it.
struct Retention::Due {
  std::string topic;
  events::Extent held;
  std::int64_t until = 0;   // offset: what comes before it is due
  std::int64_t unread = 0;  // the first offset that a reader has still to read
  std::vector<ReaderView> readers;
};

Retention::Retention(events::Log& log, const Clock& clock, Metrics& metrics,
                     RetentionOptions options)
    : log_(log), clock_(clock), metrics_(metrics), options_(options) {}

Micros Retention::rhythm() const {
  return std::clamp(options_.time.value_or(longest_rhythm) / 10, shortest_rhythm, longest_rhythm);
}

Result<std::int64_t> Retention::due_by_time(std::string_view topic,
                                            const events::Extent& held) const {
  if (!options_.time) return held.start;
  const Timestamp oldest = clock_.now() - *options_.time;
  return first_that(held.start, held.end, [&](std::int64_t offset) -> Result<bool> {
    const auto at = TRY(logged_at(log_, topic, offset));
    return !at || *at >= oldest;
  });
}

Result<std::int64_t> Retention::due_by_bytes(std::string_view topic,
                                             const events::Extent& held) const {
  if (!options_.bytes || topic != inference_topic) return held.start;
  return first_that(held.start, held.end, [&](std::int64_t offset) -> Result<bool> {
    return TRY(log_.bytes(topic, offset, held.end)) <= *options_.bytes;
  });
}

Result<Retention::Due> Retention::due(std::string_view topic) const {
  const auto held = TRY(log_.extent(topic));
  Due out{.topic = std::string(topic), .held = held};
  const std::int64_t by_time = TRY(due_by_time(topic, out.held));
  out.until = std::max(by_time, TRY(due_by_bytes(topic, out.held)));
  out.unread = out.held.end;
  for (const LogReader& reader : readers_) {
    if (topic == label_topic && !reader.reads_labels) continue;
    const std::int64_t position =
        std::max(TRY(reader.position(topic)), out.held.start);  // the rest is gone
    out.readers.push_back({.name = reader.name,
                           .position = position,
                           .unread = std::max<std::int64_t>(out.held.end - position, 0),
                           .holds_up = position < out.until});
    out.unread = std::min(out.unread, position);
  }
  return out;
}

// A reader that only comes after a start or a burst is no news; one that does not come is.
Result<void> Retention::tell(const Due& due) {
  for (const ReaderView& reader : due.readers) {
    const auto key = std::pair(reader.name, due.topic);
    const auto known = waits_.find(key);
    if (!reader.holds_up) {
      if (known == waits_.end()) continue;
      if (known->second.told && listener_)
        TRY(listener_({.reader = reader.name, .topic = due.topic, .over = true}));
      waits_.erase(known);
      continue;
    }
    Wait& wait = known == waits_.end() ? waits_.emplace(key, Wait{clock_.now()}).first->second
                                       : known->second;
    if (wait.told || clock_.now() < wait.since + options_.patience) continue;
    const auto oldest = TRY(logged_at(log_, due.topic, reader.position));
    log::warn("retention_held_up", {{"reader", reader.name}, {"topic", due.topic}});
    if (listener_)
      TRY(listener_({.reader = reader.name,
                     .topic = due.topic,
                     .unread = due.until - reader.position,
                     .oldest = oldest.value_or(Timestamp{})}));
    wait.told = true;
  }
  return {};
}

Result<bool> Retention::shorten(std::string_view topic) {
  const Due found = TRY(due(topic));
  TRY(tell(found));
  const std::int64_t most = std::min(found.until, found.unread);
  const std::int64_t until = std::min(most, found.held.start + records_at_once);
  if (until > found.held.start) {
    TRY(log_.truncate(topic, until));
    metrics_
        .counter("penstock_log_removed_total", "Records that were older than the retention",
                 {{"topic", std::string(topic)}})
        .add(static_cast<std::uint64_t>(until - found.held.start));
  }
  const bool reclaiming = TRY(log_.reclaim(topic));
  return reclaiming || until < most;
}

Result<bool> Retention::run_once() {
  bool more = false;
  if (options_.time || options_.bytes)
    for (const std::string_view topic : topics) {
      const bool of_topic = TRY(shorten(topic));
      more = more || of_topic;
    }
  TRY(measure());
  return more;
}

Result<void> Retention::measure() const {
  const Timestamp now = clock_.now();
  for (const KeptTopic& one : TRY(view()).topics) {
    const auto show = [&](const char* name, const char* help, double value) {
      metrics_.gauge(name, help, {{"topic", one.topic}}).set(value);
    };
    show("penstock_log_bytes", "That the records of a topic take on disk, about",
         static_cast<double>(one.bytes));
    show("penstock_log_records", "Records of a topic", static_cast<double>(one.records));
    show("penstock_log_oldest_seconds", "Age of the oldest record of a topic",
         one.oldest ? static_cast<double>((now - *one.oldest).count()) * 1e-6 : 0);
    for (const ReaderView& reader : one.readers)
      metrics_
          .gauge("penstock_log_unread", "Records that a reader of a topic has still to read",
                 {{"topic", one.topic}, {"reader", reader.name}})
          .set(static_cast<double>(reader.unread));
  }
  return {};
}

Result<RetentionView> Retention::view() const {
  RetentionView out{.predictions = options_.time, .prediction_bytes = options_.bytes};
  for (const std::string_view topic : topics) {
    Due found = TRY(due(topic));
    const events::Extent& held = found.held;
    auto bytes = TRY(log_.bytes(topic, held.start, held.end));
    std::optional<Timestamp> oldest;
    if (held.start < held.end) oldest = TRY(logged_at(log_, topic, held.start));
    out.topics.push_back({.topic = std::string(topic),
                          .records = held.end - held.start,
                          .bytes = bytes,
                          .oldest = oldest,
                          .gone_until = held.gone_until,
                          .readers = std::move(found.readers)});
  }
  return out;
}

Result<std::string> gone_text(events::Log& log) {
  const auto held = TRY(log.extent(inference_topic));
  if (held.start == 0) return std::string();
  return "predictions that were logged until " +
         (held.gone_until ? to_rfc3339(*held.gone_until) : "then") +
         " were older than the retention and are kept no longer (retention in penstock.yaml)";
}

}  // namespace penstock::serving
