// The hot path: one entity's features, without SQL.
#include "features/codec.h"
#include "features/service.h"
#include "features/values.h"

namespace penstock::features {
namespace {

Error bad_key(const catalog::JoinKey& key, const std::string& problem) {
  return {Code::invalid_argument,
          "entity key " + key.name + " " + problem,
          {{"entities." + key.name, problem}}};
}

Result<std::vector<std::string>> store_keys(const SchemaHandle& schema,
                                            const std::map<std::string, std::string>& entities) {
  std::vector<std::string> out;
  out.reserve(schema.views.size());
  std::vector<std::string> keys;
  for (const auto& view : schema.views) {
    keys.clear();
    for (const catalog::JoinKey& key : view->keys) {
      const auto given = entities.find(key.name);
      if (given == entities.end()) return bad_key(key, "is missing");
      auto text = spelt(key, given->second);
      if (!text) return bad_key(key, "must be of type " + std::string(name_of(key.type)));
      keys.push_back(std::move(*text));
    }
    out.push_back(row_key(*view, keys));
  }
  return out;
}

}  // namespace

Result<FeatureRow> Service::read(const SchemaHandle& schema,
                                 const std::map<std::string, std::string>& entities,
                                 Timestamp event_time) const {
  const auto stored = TRY(kv_.multi_get(TRY(store_keys(schema, entities))));
  FeatureRow out;
  out.event_times.resize(schema.views.size());
  std::vector<StoredRow> rows(schema.views.size());
  std::vector<Status> found(schema.views.size(), Status::NOT_FOUND);
  for (std::size_t v = 0; v < schema.views.size(); ++v) {
    if (!stored[v]) continue;
    const ViewHandle& view = *schema.views[v];
    StoredRow row = TRY(decode_row(view, *stored[v]));
    const auto ttl = view.view.ttl.value_or(Micros(0));
    if (row.event_time > event_time) {
      ++out.from_future;
    } else if (ttl.count() > 0 && event_time - row.event_time > ttl) {
      found[v] = Status::OUTSIDE_MAX_AGE;
    } else {
      found[v] = Status::PRESENT;
      out.event_times[v] = row.event_time;
      if (!out.oldest || row.event_time < *out.oldest) out.oldest = row.event_time;
      rows[v] = std::move(row);
    }
  }
  out.values.resize(schema.slots.size());
  out.statuses.reserve(schema.slots.size());
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    const Slot& slot = schema.slots[i];
    Status status = found[slot.view];
    if (status == Status::PRESENT) {
      out.values[i] = rows[slot.view].values[slot.feature];
      if (out.values[i].index() == 0) status = Status::NULL_VALUE;
    }
    out.statuses.push_back(status);
  }
  if (out.from_future > 0) from_future_.add(static_cast<std::uint64_t>(out.from_future));
  return out;
}

Result<OnlineOutput> Service::online(const Call& call, const OnlineInput& input) {
  const auto schema = TRY(schema_of(call, input.feature_schema, input.features));
  const Timestamp at = input.event_time.value_or(clock_.now());
  OnlineOutput out{.names = schema->names};
  if (schema->version > 0) out.feature_schema = schema->reference();
  for (std::size_t i = 0; i < input.entities.size(); ++i) {
    auto found = read(*schema, input.entities[i], at);
    if (!found) {
      Error error = found.error();
      for (Violation& violation : error.violations)
        if (violation.field.starts_with("entities."))
          violation.field.insert(8, "[" + std::to_string(i) + "]");
      return error;
    }
    OnlineRow& row = out.rows.emplace_back();
    row.statuses = std::move(found->statuses);
    for (std::size_t f = 0; f < found->values.size(); ++f) {
      row.values.push_back(value_json(schema->types[f], found->values[f]));
      row.event_times.push_back(found->event_times[schema->slots[f].view]);
    }
  }
  return out;
}

}  // namespace penstock::features
