#include "features/windows/history.h"

#include <algorithm>

namespace penstock::features::windows {
namespace {

constexpr std::size_t events_max = 4'096;

}  // namespace

History::History(const Plan& plan) : plan_(plan), tiles_(plan) {
  for (const Series& series : plan.series)
    fold_cost_ += series.lengths.size() * series.states.size();
}

void History::clear() {
  if (folded_) tiles_ = Tiles(plan_);
  folded_ = false;
  newest_event_ = Timestamp::min();
  count_ = spent_ = 0;
  in_order_ = true;
}

Result<void> History::add(const Event& event) {
  if (!folded_ && count_ == events_max) TRY(fold());
  const Timestamp before = newest_event_;
  newest_event_ = std::max(newest_event_, event.event_time);
  if (folded_) return tiles_.add(event);
  in_order_ = in_order_ && event.event_time >= before;
  if (count_ == events_.size()) events_.emplace_back();
  events_[count_++] = event;
  return {};
}

Result<void> History::fold() {
  for (std::size_t i = 0; i < count_; ++i) TRY(tiles_.add(events_[i]));
  folded_ = true;
  return {};
}

void History::add_up(const WindowedFeature& feature, const Range& range, State& into) {
  const StateSpec& spec = plan_.series[feature.series].states[feature.state];
  auto begin = events_.begin(), end = begin + static_cast<std::ptrdiff_t>(count_);
  if (in_order_) {
    const auto first_from = [&](std::int64_t at) {
      return std::partition_point(
          begin, end, [&](const Event& event) { return bounded(event.event_time) < at; });
    };
    if (range.until) end = first_from(*range.until);
    begin = first_from(range.from);
  }
  spent_ += static_cast<std::size_t>(end - begin);
  for (; begin < end; ++begin)
    if (in_order_ || range.holds(begin->event_time)) windows::add(into, spec, *begin);
}

Result<std::vector<Scalar>> History::values(Timestamp at) {
  if (!folded_ && spent_ > fold_cost_ * count_) TRY(fold());
  std::vector<Scalar> out;
  out.reserve(plan_.features.size());
  for (const WindowedFeature& feature : plan_.features) {
    State state;
    if (folded_)
      TRY(tiles_.collect(feature, at, state));
    else
      add_up(feature, range_of(feature, plan_.series[feature.series], at), state);
    out.push_back(finish(feature, state));
  }
  return out;
}

}  // namespace penstock::features::windows
