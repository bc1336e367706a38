#include "features/windows/tiles.h"

#include <algorithm>
#include <limits>

namespace penstock::features::windows {
namespace {

constexpr std::uint8_t tiles_format = 1;
constexpr std::uint32_t tiles_max = 1 << 20;  // of one length

// An open tile as bytes: each state behind its length, 0 for none.
void put_states(std::string& out, const std::vector<State>& states) {
  std::string one;
  for (const State& state : states) {
    one.clear();
    encode(one, state);
    put_text(out, one);
  }
}

std::int64_t count_of(Timestamp at) { return at.time_since_epoch().count(); }

}  // namespace

Error damaged_tiles() { return {Code::data_loss, "the tiles of an entity are damaged"}; }

Tiles::Tiles(const Plan& plan) : plan_(&plan) {
  for (const Series& series : plan.series) levels_.emplace_back(series.lengths.size());
}

Result<void> Tiles::open(Tile& tile, const Series& series) {
  if (!tile.states.empty()) return {};
  tile.states.resize(series.states.size());
  if (tile.bytes.empty()) return {};
  Reader bytes(tile.bytes);
  for (std::size_t i = 0; i < series.states.size(); ++i) {
    std::string_view one;
    if (!bytes.text(one)) return damaged_tiles();
    if (one.empty()) continue;
    Reader inner(one);
    if (!windows::decode(inner, series.states[i].fold, tile.states[i]) || !inner.empty())
      return damaged_tiles();
  }
  if (!bytes.empty()) return damaged_tiles();
  tile.bytes = {};
  return {};
}

Result<Tiles::Tile*> Tiles::open_at(Level& level, const Series& series, std::int64_t number) {
  auto place = level.end();
  if (!level.empty() && level.back().number >= number)
    place = std::lower_bound(level.begin(), level.end(), number,
                             [](const Tile& tile, auto at) { return tile.number < at; });
  if (place == level.end() || place->number != number)
    place = level.insert(place, Tile{.number = number});
  TRY(open(*place, series));
  return &*place;
}

void Tiles::arrived(Timestamp event, Timestamp arrival) {
  newest_event_ = std::max(newest_event_, event);
  newest_arrival_ = std::max(newest_arrival_, arrival);
}

void Tiles::drop_old() {
  if (empty()) return;
  for (std::size_t s = 0; s < plan_->series.size(); ++s) {
    const Series& series = plan_->series[s];
    const std::int64_t oldest = oldest_read(series, newest_arrival_);
    for (std::size_t l = 0; l < series.lengths.size(); ++l)
      while (!levels_[s][l].empty() && levels_[s][l].front().number * series.lengths[l] < oldest)
        levels_[s][l].pop_front();
  }
}

Result<void> Tiles::add(const Event& event) {
  const bool newer = event.arrived_at > newest_arrival_;
  arrived(event.event_time, event.arrived_at);
  if (newer) drop_old();
  const std::int64_t at = bounded(event.event_time);
  for (std::size_t s = 0; s < plan_->series.size(); ++s) {
    const Series& series = plan_->series[s];
    const std::int64_t oldest = oldest_read(series, newest_arrival_);
    for (std::size_t l = 0; l < series.lengths.size(); ++l) {
      const std::int64_t begin = floor_to(at, series.lengths[l]);
      if (begin < oldest) continue;
      Tile* tile = TRY(open_at(levels_[s][l], series, begin / series.lengths[l]));
      for (std::size_t i = 0; i < series.states.size(); ++i)
        windows::add(tile->states[i], series.states[i], event);
    }
  }
  return {};
}

Result<void> Tiles::merge_level(Level& into, const Level& from, const Series& series) {
  Level out;
  auto a = into.begin();
  auto b = from.begin();
  while (a != into.end() || b != from.end()) {
    if (b == from.end() || (a != into.end() && a->number < b->number)) {
      out.push_back(std::move(*a++));
    } else if (a == into.end() || b->number < a->number) {
      out.push_back(*b++);
    } else {
      Tile tile = std::move(*a++), other = *b++;
      TRY(open(tile, series));
      TRY(open(other, series));
      for (std::size_t i = 0; i < series.states.size(); ++i)
        windows::merge(tile.states[i], other.states[i], series.states[i].fold);
      out.push_back(std::move(tile));
    }
  }
  into = std::move(out);
  return {};
}

Result<void> Tiles::merge(const Tiles& other) {
  if (other.empty()) return {};
  arrived(other.newest_event_, other.newest_arrival_);
  for (std::size_t s = 0; s < plan_->series.size(); ++s)
    for (std::size_t l = 0; l < levels_[s].size(); ++l)
      TRY(merge_level(levels_[s][l], other.levels_[s][l], plan_->series[s]));
  drop_old();
  return {};
}

Result<void> Tiles::merge_state(const Tile& tile, const Series& series, std::size_t state,
                                State& into) {
  const Fold fold = series.states[state].fold;
  if (!tile.states.empty()) {
    windows::merge(into, tile.states[state], fold);
    return {};
  }
  Reader bytes(tile.bytes);
  std::string_view one;
  for (std::size_t i = 0; i <= state; ++i)
    if (!bytes.text(one)) return damaged_tiles();
  if (one.empty()) return {};
  Reader inner(one);
  State found;
  if (!windows::decode(inner, fold, found) || !inner.empty()) return damaged_tiles();
  windows::merge(into, found, fold);
  return {};
}

Result<void> Tiles::collect(const WindowedFeature& feature, Timestamp at, State& into) const {
  const Series& series = plan_->series[feature.series];
  const Range range = range_of(feature, series, at);
  std::int64_t from = range.from;
  for (std::size_t l = 0; l < series.lengths.size(); ++l) {
    const std::int64_t length = series.lengths[l];
    std::int64_t until = std::numeric_limits<std::int64_t>::max();
    if (range.until)
      until = *range.until;
    else if (l + 1 < series.lengths.size())
      until = floor_to(from + series.lengths[l + 1] - 1, series.lengths[l + 1]);
    const Level& level = levels_[feature.series][l];
    auto tile = std::lower_bound(level.begin(), level.end(), from / length,
                                 [](const Tile& one, auto number) { return one.number < number; });
    for (; tile != level.end() && tile->number * length < until; ++tile)
      TRY(merge_state(*tile, series, feature.state, into));
    if (range.until) break;
    from = until;
  }
  return {};
}

std::string Tiles::encode() {
  drop_old();
  std::string out(1, static_cast<char>(tiles_format));
  put_fixed(out, count_of(newest_event_));
  put_fixed(out, count_of(newest_arrival_));
  for (std::size_t s = 0; s < plan_->series.size(); ++s) {
    for (const Level& level : levels_[s]) {
      put_fixed(out, static_cast<std::uint32_t>(level.size()));
      if (level.empty()) continue;
      const std::int64_t first = level.front().number;
      put_fixed(out, first);
      const std::size_t index = out.size();
      out.resize(index + 8 * level.size());
      const std::size_t begin = out.size();
      for (std::size_t i = 0; i < level.size(); ++i) {
        if (level[i].states.empty())
          out += level[i].bytes;
        else
          put_states(out, level[i].states);
        const std::uint32_t entry[] = {static_cast<std::uint32_t>(level[i].number - first),
                                       static_cast<std::uint32_t>(out.size() - begin)};
        std::memcpy(out.data() + index + 8 * i, entry, sizeof entry);
      }
    }
  }
  return out;
}

Result<Tiles> Tiles::decode(const Plan& plan, std::string_view stored) {
  Tiles out(plan);
  Reader bytes(stored);
  std::uint8_t format = 0;
  std::int64_t event = 0, arrival = 0;
  if (!bytes.fixed(format) || format != tiles_format || !bytes.fixed(event) ||
      !bytes.fixed(arrival))
    return damaged_tiles();
  out.newest_event_ = Timestamp(Micros(event));
  out.newest_arrival_ = Timestamp(Micros(arrival));
  for (std::size_t s = 0; s < plan.series.size(); ++s) {
    for (std::size_t l = 0; l < plan.series[s].lengths.size(); ++l) {
      std::uint32_t count = 0;
      std::int64_t first = 0;
      if (!bytes.fixed(count) || count > tiles_max) return damaged_tiles();
      if (count == 0) continue;
      std::string_view index, payload;
      const std::int64_t most = time_max / plan.series[s].lengths[l] + 1;
      if (!bytes.fixed(first) || first > most || first < -most ||
          !bytes.take(std::size_t{8} * count, index))
        return damaged_tiles();
      std::uint32_t entry[2] = {}, before[2] = {};
      std::memcpy(entry, index.data() + index.size() - 8, sizeof entry);
      if (!bytes.take(entry[1], payload)) return damaged_tiles();
      for (std::uint32_t i = 0; i < count; ++i) {
        std::memcpy(entry, index.data() + std::size_t{8} * i, sizeof entry);
        if (entry[1] <= before[1] || entry[1] > payload.size() ||
            (i > 0 && entry[0] <= before[0]) || first + entry[0] > most)
          return damaged_tiles();
        out.levels_[s][l].push_back(
            {.number = first + entry[0], .bytes = payload.substr(before[1], entry[1] - before[1])});
        std::copy_n(entry, 2, before);
      }
    }
  }
  if (!bytes.empty()) return damaged_tiles();
  return out;
}

}  // namespace penstock::features::windows
