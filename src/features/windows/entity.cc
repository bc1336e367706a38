#include "features/windows/entity.h"

#include <algorithm>
#include <xxhash.h>

namespace penstock::features::windows {
namespace {

constexpr std::uint8_t value_format = 2;  // 1 is a plain row's

void put_event(std::string& out, const Event& event) {
  put_fixed(out, event.event_time.time_since_epoch().count());
  put_fixed(out, event.created_time.time_since_epoch().count());
  for (const Scalar& value : event.values) put_scalar(out, value);
}

bool take_event(const Plan& plan, Reader& bytes, Event& event) {
  std::int64_t at = 0, created = 0;
  if (!bytes.fixed(at) || !bytes.fixed(created)) return false;
  event.event_time = Timestamp(Micros(at));
  event.created_time = Timestamp(Micros(created));
  event.arrived_at = std::max(event.event_time, event.created_time);
  event.values.resize(plan.inputs.size());
  return std::all_of(event.values.begin(), event.values.end(),
                     [&](Scalar& value) { return bytes.scalar(value); });
}

}  // namespace

std::array<std::uint64_t, 2> id_of(const Event& event, const std::optional<std::string>& event_id) {
  std::string bytes(1, event_id ? 'i' : 'e');
  if (event_id)
    bytes += *event_id;
  else
    put_event(bytes, event);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

Result<Parts> parts_of(const Plan& plan, std::string_view value) {
  Parts out;
  if (value.empty()) return out;
  Reader bytes(value);
  std::uint8_t format = 0;
  std::int64_t moved = 0;
  std::uint32_t tiles = 0, pushed = 0;
  if (!bytes.fixed(format) || format != value_format || !bytes.fixed(moved) ||
      !bytes.fixed(tiles) || !bytes.take(tiles, out.tiles) || !bytes.fixed(pushed) ||
      pushed > pushed_max)
    return damaged_tiles();
  out.moved = Timestamp(Micros(moved));
  for (std::uint32_t i = 0; i < pushed; ++i) {
    Pushed& one = out.pushed.emplace_back();
    if (!bytes.fixed(one.id) || !take_event(plan, bytes, one.event)) return damaged_tiles();
  }
  if (!bytes.empty()) return damaged_tiles();
  return out;
}

std::string joined(const Parts& parts) {
  std::string out(1, static_cast<char>(value_format));
  put_fixed(out, parts.moved.time_since_epoch().count());
  put_fixed(out, static_cast<std::uint32_t>(parts.tiles.size()));
  out += parts.tiles;
  put_fixed(out, static_cast<std::uint32_t>(parts.pushed.size()));
  for (const Pushed& one : parts.pushed) {
    put_fixed(out, one.id);
    put_event(out, one.event);
  }
  return out;
}

void drop_moved(Parts& parts, Timestamp moved) {
  std::erase_if(parts.pushed, [&](const Pushed& one) { return one.event.arrived_at <= moved; });
}

Result<Entity> Entity::open(const Plan& plan, std::string_view value, Timestamp watermark) {
  Parts parts = TRY(parts_of(plan, value));
  Entity out(plan);
  if (!parts.tiles.empty()) out.tiles_ = TRY(Tiles::decode(plan, parts.tiles));
  drop_moved(parts, std::max(parts.moved, watermark));
  out.pushed_ = std::move(parts.pushed);
  return out;
}

std::optional<Entity::Newest> Entity::newest() const {
  Newest out{tiles_.newest_event(), tiles_.newest_arrival()};
  for (const Pushed& one : pushed_) {
    out.event = std::max(out.event, one.event.event_time);
    out.arrival = std::max(out.arrival, one.event.arrived_at);
  }
  if (out.arrival == Timestamp::min()) return {};
  return out;
}

Result<Scalar> Entity::value(std::size_t feature, Timestamp at) const {
  const WindowedFeature& asked = plan_->features[feature];
  const Series& series = plan_->series[asked.series];
  State state;
  TRY(tiles_.collect(asked, at, state));
  const Range range = range_of(asked, series, at);
  for (const Pushed& one : pushed_)
    if (range.holds(one.event.event_time)) add(state, series.states[asked.state], one.event);
  return finish(asked, state);
}

}  // namespace penstock::features::windows
