#include <charconv>
#include <deque>
#include <features.pb.h>

#include "api/grpc/services.h"
#include "api/grpc/unary.h"

#include "features/batch.h"
#include "features/service.h"
#include "features/transform/plan.h"
#include "features/values.h"

namespace penstock::api::grpc {
namespace {

namespace v1 = penstock::features::v1;
using penstock::features::EntityColumns;
using penstock::features::Feature;
using penstock::features::FeatureColumns;
using penstock::features::FeatureType;
using penstock::features::Service;
using Columns = google::protobuf::RepeatedPtrField<v1::Column>;

constexpr int rows_max = 10'000, features_max = 2'000;

Error wrong(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

int size_of(const v1::Column& column) {
  switch (column.values_case()) {
    case v1::Column::kDoubles: return column.doubles().values_size();
    case v1::Column::kBigints: return column.bigints().values_size();
    case v1::Column::kBooleans: return column.booleans().values_size();
    case v1::Column::kTexts: return column.texts().values_size();
    case v1::Column::kTimes: return column.times().values_size();
    case v1::Column::VALUES_NOT_SET: break;
  }
  return 0;
}

// How many rows all columns of `field` have.
Result<int> rows_of(const Columns& columns, const std::string& field) {
  if (columns.empty()) return wrong(field, "is missing; it must be a list of columns");
  const int rows = size_of(columns[0]);
  if (rows == 0 || rows > rows_max) return wrong(field, "must have 1 to 10000 rows");
  for (const v1::Column& column : columns) {
    const std::string path = field + "." + column.name();
    if (size_of(column) != rows) return wrong(path, "must have as many values as the first column");
    for (const std::uint32_t null : column.nulls())
      if (null >= static_cast<std::uint32_t>(rows))
        return wrong(path, "has a null at " + std::to_string(null) + ", beyond its last row");
  }
  return rows;
}

json::value value_of(const v1::Column& column, int row) {
  switch (column.values_case()) {
    case v1::Column::kDoubles: return column.doubles().values(row);
    case v1::Column::kBigints: return column.bigints().values(row);
    case v1::Column::kBooleans: return column.booleans().values(row);
    case v1::Column::kTexts: return json::value(column.texts().values(row));
    case v1::Column::kTimes:
      return json::value(to_rfc3339(Timestamp(Micros(column.times().values(row)))));
    case v1::Column::VALUES_NOT_SET: break;
  }
  return nullptr;
}

// The entities' values as text; what is no text already is kept in `texts`.
Result<EntityColumns> entities_of(const Columns& columns, std::deque<std::string>& texts) {
  EntityColumns out;
  out.form = EntityColumns::Form::columns;
  const int rows = TRY(rows_of(columns, "entities"));
  out.rows = static_cast<std::size_t>(rows);
  out.cells.reserve(out.rows * static_cast<std::size_t>(columns.size()));
  for (const v1::Column& column : columns) {
    const std::size_t first = out.cells.size();
    out.names.emplace_back(column.name());
    for (int row = 0; row < rows; ++row) {
      if (column.has_texts()) {
        out.cells.emplace_back(column.texts().values(row));
      } else if (column.has_bigints()) {
        out.cells.emplace_back(texts.emplace_back(std::to_string(column.bigints().values(row))));
      } else if (column.has_doubles()) {
        char text[32];  // JSON has no text for an infinite number
        const auto end = std::to_chars(text, text + sizeof text, column.doubles().values(row)).ptr;
        out.cells.emplace_back(texts.emplace_back(text, end));
      } else {
        const json::value value = value_of(column, row);
        out.cells.emplace_back(texts.emplace_back(
            value.is_string() ? std::string(value.get_string()) : json::serialize(value)));
      }
    }
    for (const std::uint32_t null : column.nulls()) out.cells[first + null] = {};
  }
  return out;
}

template <class T>
void say(const FeatureColumns& found, std::size_t slot, auto* out) {
  out->Reserve(static_cast<int>(found.rows));
  for (std::size_t row = 0; row < found.rows; ++row) {
    const T* value = std::get_if<T>(&found.values[found.at(slot, row)]);
    if constexpr (std::same_as<T, std::string>)
      *out->Add() = value ? *value : "";
    else
      out->Add(value ? *value : T{});
  }
}

void say_vectors(const FeatureColumns& found, std::size_t slot, std::int64_t dimension,
                 v1::Vectors& out) {
  const auto size = static_cast<std::size_t>(dimension);
  out.set_dimension(static_cast<std::uint32_t>(dimension));
  for (std::size_t row = 0; row < found.rows; ++row) {
    const auto* bytes = std::get_if<std::string>(&found.values[found.at(slot, row)]);
    auto vector = bytes ? penstock::features::embedding_of(*bytes) : std::vector<float>(size, 0.0F);
    vector.resize(size);
    out.mutable_values()->Add(vector.begin(), vector.end());
  }
}

void say_values(const FeatureColumns& found, std::size_t slot, const Feature& feature,
                v1::FeatureColumn& out) {
  switch (feature.type) {
    case FeatureType::real:
      return say<double>(found, slot, out.mutable_doubles()->mutable_values());
    case FeatureType::bigint:
      return say<std::int64_t>(found, slot, out.mutable_bigints()->mutable_values());
    case FeatureType::boolean:
      return say<bool>(found, slot, out.mutable_booleans()->mutable_values());
    case FeatureType::timestamp:
      return say<std::int64_t>(found, slot, out.mutable_times()->mutable_values());
    case FeatureType::embedding:
      return say_vectors(found, slot, feature.dimension.value_or(0), *out.mutable_vectors());
    case FeatureType::text:
    case FeatureType::decimal:
    case FeatureType::list_double:
    case FeatureType::list_bigint:
    case FeatureType::list_text:
    case FeatureType::list_boolean:
      return say<std::string>(found, slot, out.mutable_texts()->mutable_values());
  }
}

v1::Status status_of(penstock::features::Status status) {
  using penstock::features::Status;
  switch (status) {
    case Status::PRESENT: return v1::PRESENT;
    case Status::NULL_VALUE: return v1::NULL_VALUE;
    case Status::NOT_FOUND: return v1::NOT_FOUND;
    case Status::OUTSIDE_MAX_AGE: return v1::OUTSIDE_MAX_AGE;
  }
  return v1::STATUS_UNSPECIFIED;
}

Result<void> read(Service& features, const Call& call, const v1::GetOnlineFeaturesRequest& in,
                  v1::GetOnlineFeaturesResponse& out) {
  if (!in.feature_schema().empty() && in.features_size() > 0)
    return wrong("features", "must be empty where a feature_schema is named");
  if (in.features_size() > features_max) return wrong("features", "must be at most 2000");
  const auto schema =
      in.feature_schema().empty()
          ? TRY(features.open_features(call, {in.features().begin(), in.features().end()}))
          : TRY(features.open_schema(call, in.feature_schema()));
  std::deque<std::string> texts;
  const auto entities = TRY(entities_of(in.entities(), texts));
  TRY(features.check_entities(call, *schema, entities, 0));
  const Timestamp at = in.has_event_time() ? Timestamp(Micros(in.event_time())) : features.now();
  const auto found = TRY(features.read_many(*schema, entities, at));
  if (schema->version > 0) out.set_feature_schema(schema->reference());
  out.set_event_time(at.time_since_epoch().count());
  for (std::size_t slot = 0; slot < schema->names.size(); ++slot) {
    v1::FeatureColumn& column = *out.add_columns();
    column.set_name(schema->names[slot]);
    const auto& from = schema->slots[slot];
    if (from.is_computed())
      say_values(found, slot, {.type = schema->types[slot]}, column);
    else
      say_values(found, slot, schema->views[from.view]->view.features[from.feature], column);
    for (std::size_t row = 0; row < found.rows; ++row) {
      column.add_statuses(status_of(found.statuses[found.at(slot, row)]));
      const auto time = penstock::features::transform::event_time_of(*schema, found.event_times,
                                                                     found.rows, row, slot);
      column.add_event_times(time ? time->time_since_epoch().count() : 0);
    }
  }
  return {};
}

Result<void> push(Service& features, const Call& call, const v1::PushRequest& in,
                  v1::PushResponse& out) {
  const int rows = TRY(rows_of(in.columns(), "columns"));
  penstock::features::PushInput input{.view = in.view(), .all_or_nothing = in.all_or_nothing()};
  if (!in.to().empty() && !Kind<penstock::features::PushTo>::hear(in.to(), input.to))
    return Error{Code::invalid_argument,
                 "to must be online, offline or online_and_offline, not " + in.to(),
                 {{"to", "must be online, offline or online_and_offline"}}};
  input.rows.resize(static_cast<std::size_t>(rows));
  for (const v1::Column& column : in.columns()) {
    for (int row = 0; row < rows; ++row)
      input.rows[static_cast<std::size_t>(row)][column.name()] = value_of(column, row);
    for (const std::uint32_t null : column.nulls()) input.rows[null][column.name()] = nullptr;
  }
  const auto done = TRY(features.push(call, input));
  out.set_written(done.written);
  out.set_ignored(done.ignored);
  out.set_late(done.late);
  out.set_kept(done.kept);
  out.set_rejected(done.rejected);
  for (const auto& fault : done.rejects) {
    v1::RejectedRow& said = *out.add_rejects();
    said.set_row(fault.row);
    said.set_field(fault.field);
    said.set_value(fault.value);
    said.set_reason(fault.reason);
  }
  return {};
}

}  // namespace

std::vector<Rpc> feature_rpcs(penstock::features::Service& features) {
  const std::string service = "/penstock.features.v1.FeatureService/";
  return {
      rpc<v1::GetOnlineFeaturesRequest, v1::GetOnlineFeaturesResponse>(
          service + "GetOnlineFeatures", Permission::read, Rpc::Place::worker,
          [&](const Asked& asked, v1::GetOnlineFeaturesRequest& in,
              v1::GetOnlineFeaturesResponse& out) { return read(features, asked.call, in, out); }),
      rpc<v1::PushRequest, v1::PushResponse>(
          service + "Push", Permission::write, Rpc::Place::worker,
          [&](const Asked& asked, v1::PushRequest& in, v1::PushResponse& out) {
            return push(features, asked.call, in, out);
          })};
}

}  // namespace penstock::api::grpc
