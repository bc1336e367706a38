// What the online store says of one entity as of an instant.
#pragma once

#include "features/windows/entity.h"

namespace penstock::features::windows {

struct Found {
  Status status = Status::NOT_FOUND;
  bool from_future = false;      // something is known, and arrived after the instant
  Timestamp event_time;          // of the newest event
  std::optional<Entity> entity;  // where the status is PRESENT
};

// `value` and `watermark` are what is stored under row_key and watermark_key, none where nothing
// is. `value` must outlive what is found.
Result<Found> find(const ViewHandle& view, const std::optional<std::string>& value,
                   const std::optional<std::string>& watermark, Timestamp as_of);

// A feature as of `at`, by what had arrived then, whatever is known of later; nothing where nothing
// had.
Result<std::optional<Scalar>> value_at(const ViewHandle& view, std::string_view value,
                                       Timestamp watermark, Timestamp at, std::size_t feature);

// The event time of the newest event; nothing where none is known.
Result<std::optional<Timestamp>> newest_event(const ViewHandle& view, std::string_view value);

// A field of a row that is pushed. No type: any plain value.
struct Field {
  std::string name;
  std::optional<FeatureType> type;
};
std::vector<Field> pushed_fields(const ViewHandle& view);
// A plain JSON value as an input of an event: whole numbers and booleans are doubles where those
// are asked for. Nothing where it does not fit.
std::optional<Scalar> input_of(const std::optional<FeatureType>& type, const Scalar& given);
constexpr std::string_view event_id_field = "event_id";

}  // namespace penstock::features::windows
