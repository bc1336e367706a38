#include "serving/event_reader.h"

#include <algorithm>

#include "base/log.h"
#include "serving/event_codec.h"

namespace penstock::serving {

std::shared_ptr<const EventReader::Stretch> EventReader::known(std::int64_t from) const {
  for (const auto& one : kept_)
    if (one->from <= from && from < one->next) return one;
  return nullptr;
}

// By steps: a record has as many events as its call had rows, and what is read of the log beyond
// the last of them would be read again.
Result<std::shared_ptr<const EventReader::Stretch>> EventReader::decode(std::int64_t from) {
  constexpr std::size_t first_step = 32, longest_step = 1'024;
  auto out = std::make_shared<Stretch>(Stretch{.from = from, .next = from});
  for (std::size_t step = first_step; out->events.size() < stretch_max;) {
    const auto records = TRY(log_.read(inference_topic, out->next, step));
    for (const events::Record& record : records) {
      if (out->events.size() >= stretch_max) break;
      append(*out, record);
    }
    if (records.size() < step) break;
    const auto read = static_cast<std::size_t>(out->next - from);
    const std::size_t events = std::max<std::size_t>(out->events.size(), 1);
    step = std::clamp<std::size_t>((stretch_max - std::min(events, stretch_max)) * read / events, 1,
                                   longest_step);
  }
  return std::shared_ptr<const Stretch>(std::move(out));
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

Result<EventStretch> EventReader::read(std::int64_t from) {
  const std::lock_guard lock(turn_);  // who comes second gets what the first one decodes
  auto stretch = known(from);
  if (!stretch) {
    stretch = TRY(decode(from));
    if (stretch->next == from) return EventStretch{.next = from};
    kept_.push_back(stretch);
    std::size_t events = 0;
    for (const auto& one : kept_) events += one->events.size();
    for (; events > kept_max && kept_.size() > 1; kept_.pop_front())
      events -= kept_.front()->events.size();
  }
  const auto first = std::lower_bound(stretch->offsets.begin(), stretch->offsets.end(), from);
  const auto passed = static_cast<std::size_t>(first - stretch->offsets.begin());
  const std::int64_t end = TRY(log_.end(inference_topic));
  return EventStretch{.events = std::span(stretch->events).subspan(passed),
                      .next = stretch->next,
                      .more = stretch->next < end,
                      .kept = stretch};
}

}  // namespace penstock::serving
