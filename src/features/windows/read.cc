#include "features/windows/read.h"

#include "features/codec.h"

namespace penstock::features::windows {

Result<Found> find(const ViewHandle& view, const std::optional<std::string>& value,
                   const std::optional<std::string>& watermark, Timestamp as_of) {
  Found out;
  if (!value) return out;
  const Timestamp moved = watermark ? TRY(decode_watermark(*watermark)).at : Timestamp::min();
  Entity entity = TRY(Entity::open(*view.windows, *value, moved));
  const auto newest = entity.newest();
  if (!newest) return out;
  out.event_time = newest->event;
  if (newest->arrival > as_of) {
    out.from_future = true;
    return out;
  }
  const Micros ttl = view.view.ttl.value_or(Micros(0));
  const bool old = ttl.count() > 0 && as_of - newest->event > ttl;
  out.status = old ? Status::OUTSIDE_MAX_AGE : Status::PRESENT;
  if (!old) out.entity = std::move(entity);
  return out;
}

Result<std::optional<Scalar>> value_at(const ViewHandle& view, std::string_view value,
                                       Timestamp watermark, Timestamp at, std::size_t feature) {
  Parts parts = TRY(parts_of(*view.windows, value));
  std::erase_if(parts.pushed, [&](const Pushed& one) { return one.event.arrived_at > at; });
  const std::string until = joined(parts);
  const Entity entity = TRY(Entity::open(*view.windows, until, watermark));
  const auto newest = entity.newest();
  if (!newest || newest->arrival > at) return std::optional<Scalar>();
  return std::optional(TRY(entity.value(feature, at)));
}

Result<std::optional<Timestamp>> newest_event(const ViewHandle& view, std::string_view value) {
  const Entity entity = TRY(Entity::open(*view.windows, value, Timestamp::min()));
  const auto newest = entity.newest();
  return newest ? std::optional(newest->event) : std::nullopt;
}

std::vector<Field> pushed_fields(const ViewHandle& view) {
  std::vector<Field> out;
  if (view.windows)
    for (const Input& input : view.windows->inputs) out.push_back({input.column, input.type});
  else
    for (const Feature& feature : view.view.features) out.push_back({feature.name, feature.type});
  return out;
}

std::optional<Scalar> input_of(const std::optional<FeatureType>& type, const Scalar& given) {
  if (given.index() == 0 || !type) return given;
  const auto* truth = std::get_if<bool>(&given);
  const auto* whole = std::get_if<std::int64_t>(&given);
  switch (*type) {
    case FeatureType::real:
      if (truth) return Scalar(*truth ? 1.0 : 0.0);
      if (whole) return Scalar(static_cast<double>(*whole));
      return std::holds_alternative<double>(given) ? std::optional(given) : std::nullopt;
    case FeatureType::bigint:
      if (truth) return Scalar(std::int64_t{*truth});
      return whole ? std::optional(given) : std::nullopt;
    case FeatureType::boolean: return truth ? std::optional(given) : std::nullopt;
    default:
      return std::holds_alternative<std::string>(given) ? std::optional(given) : std::nullopt;
  }
}

}  // namespace penstock::features::windows
