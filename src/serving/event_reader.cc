#include "serving/event_reader.h"

#include <algorithm>
#include <limits>

#include "base/log.h"
#include "serving/event_codec.h"

namespace penstock::serving {

// Whole records, up to stretch_max events in all; false if the stretch has nothing from there on.
bool EventReader::take(const Shared& stretch, EventStretch& out) {
  if (out.next < stretch->from || stretch->next <= out.next) return false;
  const auto& offsets = stretch->offsets;
  const auto first = std::lower_bound(offsets.begin(), offsets.end(), out.next);
  auto at = static_cast<std::size_t>(first - offsets.begin());
  for (; at < offsets.size(); ++at) {
    const bool begins = at == 0 || offsets[at] != offsets[at - 1];
    if (begins && out.events.size() >= stretch_max) break;
    out.events.push_back(&stretch->events[at]);
  }
  out.next = at < offsets.size() ? offsets[at] : stretch->next;
  out.kept.push_back(stretch);
  return true;
}

bool EventReader::take_written(EventStretch& out) {
  const std::lock_guard lock(written_mutex_);
  return std::any_of(written_.begin(), written_.end(),
                     [&](const std::shared_ptr<Stretch>& one) { return take(one, out); });
}

// Where written events begin that come after `from`.
std::int64_t EventReader::written_after(std::int64_t from) {
  const std::lock_guard lock(written_mutex_);
  for (const auto& one : written_)
    if (one->from > from) return one->from;
  return std::numeric_limits<std::int64_t>::max();
}

EventReader::Stretch& EventReader::grown(std::int64_t offset) {
  if (!written_.empty()) {
    Stretch& last = *written_.back();
    if (last.offsets.back() == offset) return last;  // another row of the same record
    const bool has_room = last.events.size() < stretch_max && last.bytes < written_max / 4;
    if (last.next == offset && has_room) return last;
  }
  auto next = std::make_shared<Stretch>(Stretch{.from = offset, .next = offset});
  next->offsets.reserve(stretch_max + written_rows_max);
  next->events.reserve(stretch_max + written_rows_max);
  return *written_.emplace_back(std::move(next));
}

void EventReader::wrote(std::span<const Written> events) {
  const std::lock_guard lock(written_mutex_);
  for (const Written& one : events) {
    Stretch& stretch = grown(one.offset);
    stretch.offsets.push_back(one.offset);
    stretch.events.push_back(std::move(*one.event));
    stretch.next = one.offset + 1;
    stretch.bytes += one.bytes;
    written_bytes_ += one.bytes;
  }
  for (; written_bytes_ > written_max && written_.size() > 1; written_.pop_front())
    written_bytes_ -= written_.front()->bytes;
}

// By steps: a record has as many events as its call had rows, and what is read of the log beyond
// the last of them would be read again.
Result<EventReader::Shared> EventReader::decode(std::int64_t from, std::int64_t until) {
  constexpr std::size_t first_step = 32, longest_step = 1'024;
  auto out = std::make_shared<Stretch>(Stretch{.from = from, .next = from});
  for (std::size_t step = first_step; out->events.size() < stretch_max && out->next < until;) {
    step = static_cast<std::size_t>(std::min(static_cast<std::int64_t>(step), until - out->next));
    const auto records = TRY(log_.read(inference_topic, out->next, step));
    for (const events::Record& record : records) {
      if (out->events.size() >= stretch_max) break;
      // Where a reader's position is of a backup, say.
      if (record.offset > out->next)
        log::error("events_gone", {{"from", out->next}, {"until", record.offset}});
      append(*out, record);
    }
    if (records.size() < step) break;
    const auto read = static_cast<std::size_t>(out->next - from);
    const std::size_t events = std::max<std::size_t>(out->events.size(), 1);
    step = std::clamp<std::size_t>((stretch_max - std::min(events, stretch_max)) * read / events, 1,
                                   longest_step);
  }
  return Shared(std::move(out));
}

void EventReader::append(Stretch& stretch, const events::Record& record) {
  stretch.next = record.offset + 1;
  auto events = events_of(record.value);
  if (!events) {
    log::error("event_unreadable", {{"offset", record.offset}, {"error", events.error().message}});
    return;
  }
  for (InferenceEvent& event : *events) {
    stretch.offsets.push_back(record.offset);
    stretch.events.push_back(std::move(event));
  }
}

// Nothing at the end of the log.
Result<EventReader::Shared> EventReader::decoded(std::int64_t from) {
  for (const Shared& one : kept_)
    if (one->from <= from && from < one->next) return one;
  auto stretch = TRY(decode(from, written_after(from)));
  if (stretch->next == from) return Shared();
  kept_.push_back(stretch);
  std::size_t events = 0;
  for (const auto& one : kept_) events += one->events.size();
  for (; events > kept_max && kept_.size() > 1; kept_.pop_front())
    events -= kept_.front()->events.size();
  return stretch;
}

Result<EventStretch> EventReader::read(std::int64_t from) {
  const std::lock_guard lock(turn_);  // who comes second gets what the first one decodes
  EventStretch out{.next = from};
  out.events.reserve(stretch_max);
  const std::int64_t end = TRY(log_.end(inference_topic));
  while (out.events.size() < stretch_max) {
    if (take_written(out)) continue;
    if (out.next >= end) break;
    const Shared stretch = TRY(decoded(out.next));
    if (!stretch) break;
    take(stretch, out);
  }
  out.more = out.next < TRY(log_.end(inference_topic));
  return out;
}

}  // namespace penstock::serving
