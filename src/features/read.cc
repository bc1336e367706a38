// The hot path: features of entities, without SQL. In four steps: the keys of the store, what it
// holds of them, of each view's row its status and values, and the answer.
#include <algorithm>

#include "features/batch.h"
#include "features/codec.h"
#include "features/service.h"
#include "features/transform/plan.h"
#include "features/values.h"
#include "features/windows/read.h"

namespace penstock::features {
namespace {

Result<std::string> store_key(const ViewHandle& view, const EntityColumns& entities,
                              const std::vector<std::size_t>& columns, std::size_t row) {
  std::string out;
  out.reserve(view.prefix.size() + 1 + 16 * columns.size());
  out += view.prefix;
  out += 'r';
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const catalog::JoinKey& key = view.keys[i];
    const std::string_view given = entities.cell(columns[i], row);
    if (!given.data()) return entities.fault(key.name, row, "is missing");
    const auto text = spelt(key, given);
    if (!text)
      return entities.fault(key.name, row, "must be of type " + std::string(name_of(key.type)));
    append_key(out, *text);
  }
  return out;
}

// View by view, entity by entity.
Result<std::vector<std::string>> store_keys(const SchemaHandle& schema,
                                            const EntityColumns& entities) {
  std::vector<std::string> out;
  out.reserve(schema.views.size() * entities.rows);
  std::vector<std::size_t> columns;
  for (const auto& view : schema.views) {
    columns.clear();
    for (const catalog::JoinKey& key : view->keys) {
      columns.push_back(entities.find(key.name));
      if (columns.back() == entities.names.size()) return entities.fault(key.name, 0, "is missing");
    }
    for (std::size_t row = 0; row < entities.rows; ++row)
      out.push_back(TRY(store_key(*view, entities, columns, row)));
  }
  // Behind the rows, for each windowed view, up to where pushed events do not count any more.
  for (const auto& view : schema.views)
    if (view->windows) out.push_back(watermark_key(*view));
  return out;
}

struct Found {
  Status status = Status::NOT_FOUND;
  bool from_future = false;
  Timestamp event_time;
};

Result<Found> judge(const ViewHandle& view, const std::optional<std::string>& stored,
                    Timestamp as_of) {
  if (!stored || is_erased(*stored)) return Found{};
  const Timestamp event_time = TRY(times_of(*stored)).event_time;
  if (event_time > as_of) return Found{Status::NOT_FOUND, true, event_time};
  const auto ttl = view.view.ttl.value_or(Micros(0));
  const bool old = ttl.count() > 0 && as_of - event_time > ttl;
  return Found{old ? Status::OUTSIDE_MAX_AGE : Status::PRESENT, false, event_time};
}

// `stored` are the rows of one view, one an entity.
Result<void> read_view(const SchemaHandle& schema, std::size_t at,
                       const std::optional<std::string>* stored, Timestamp as_of,
                       FeatureColumns& out) {
  const ViewHandle& view = *schema.views[at];
  const std::vector<Wanted>& wanted = schema.wanted[at];
  for (std::size_t row = 0; row < out.rows; ++row) {
    const Found found = TRY(judge(view, stored[row], as_of));
    out.from_future += found.from_future ? 1 : 0;
    if (found.status == Status::PRESENT) {
      out.event_times[out.at(at, row)] = found.event_time;
      TRY(decode_wanted(view, *stored[row], wanted, out.values.data() + row, out.rows));
    }
    for (const Wanted& one : wanted) {
      const std::size_t place = out.at(one.slot, row);
      const bool null = found.status == Status::PRESENT && out.values[place].index() == 0;
      out.statuses[place] = null ? Status::NULL_VALUE : found.status;
    }
  }
  return {};
}

// The same of a windowed view; `watermark` is what is stored as its.
Result<void> read_windows(const SchemaHandle& schema, std::size_t at,
                          const std::optional<std::string>* stored,
                          const std::optional<std::string>& watermark, Timestamp as_of,
                          FeatureColumns& out) {
  for (std::size_t row = 0; row < out.rows; ++row) {
    auto found = TRY(windows::find(*schema.views[at], stored[row], watermark, as_of));
    out.from_future += found.from_future ? 1 : 0;
    if (found.status == Status::PRESENT) out.event_times[out.at(at, row)] = found.event_time;
    for (const Wanted& one : schema.wanted[at]) {
      const std::size_t place = out.at(one.slot, row);
      if (found.status == Status::PRESENT)
        out.values[place] = TRY(found.entity->value(one.feature, as_of));
      const bool null = found.status == Status::PRESENT && out.values[place].index() == 0;
      out.statuses[place] = null ? Status::NULL_VALUE : found.status;
    }
  }
  return {};
}

Result<void> compute(const SchemaHandle& schema, const EntityColumns& entities,
                     Timestamp event_time, FeatureColumns& out) {
  std::vector<std::size_t> columns;
  for (const FeatureInput& input : schema.inputs) columns.push_back(entities.find(input.name));
  const transform::Request request{
      .value =
          [&](const FeatureInput& input, std::size_t row) {
            const std::size_t column =
                columns[static_cast<std::size_t>(&input - schema.inputs.data())];
            return column == entities.names.size() ? std::string_view()
                                                   : entities.cell(column, row);
          },
      .fault =
          [&](const FeatureInput& input, std::size_t row, const std::string& problem) {
            Error error = entities.fault(input.name, row, problem);
            error.message = "input " + input.name + " " + problem;
            return error;
          }};
  return transform::compute(schema, request, event_time, out.rows, out.values.data(),
                            out.statuses.data());
}

// The entities of a request's rows under the names of the schema's keys and inputs.
EntityColumns columns_of(const SchemaHandle& schema,
                         const std::vector<std::map<std::string, std::string>>& entities) {
  EntityColumns out{.form = EntityColumns::Form::rows, .rows = entities.size()};
  const auto add = [&](const std::string& name) {
    if (out.find(name) < out.names.size()) return;
    out.names.emplace_back(name);
    for (const auto& entity : entities) {
      const auto given = entity.find(name);
      out.cells.push_back(given == entity.end() ? std::string_view() : given->second);
    }
  };
  for (const catalog::JoinKey& key : schema.keys) add(key.name);
  for (const FeatureInput& input : schema.inputs) add(input.name);
  return out;
}

}  // namespace

std::size_t EntityColumns::find(std::string_view name) const {
  return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

Error EntityColumns::fault(std::string_view name, std::size_t row,
                           const std::string& problem) const {
  const std::string key(name), number = "[" + std::to_string(row) + "]";
  std::string field = "entities";
  if (form == Form::rows) field += number;
  field += "." + key;
  if (form == Form::columns && find(name) < names.size()) field += number;
  return {Code::invalid_argument, "entity key " + key + " " + problem, {{field, problem}}};
}

Result<FeatureColumns> Service::read_many(const SchemaHandle& schema, const EntityColumns& entities,
                                          Timestamp event_time) const {
  const auto stored = TRY(kv_.multi_get(TRY(store_keys(schema, entities))));
  FeatureColumns out{.rows = entities.rows};
  out.values.resize(schema.slots.size() * out.rows);
  out.statuses.resize(out.values.size(), Status::NOT_FOUND);
  out.event_times.resize(schema.views.size() * out.rows);
  std::size_t watermark = schema.views.size() * out.rows;
  for (std::size_t v = 0; v < schema.views.size(); ++v) {
    const auto* rows = stored.data() + v * out.rows;
    if (schema.views[v]->windows)
      TRY(read_windows(schema, v, rows, stored[watermark++], event_time, out));
    else
      TRY(read_view(schema, v, rows, event_time, out));
  }
  if (schema.plan) TRY(compute(schema, entities, event_time, out));
  if (out.from_future > 0) from_future_.add(static_cast<std::uint64_t>(out.from_future));
  return out;
}

Result<FeatureRow> Service::read(const SchemaHandle& schema,
                                 const std::map<std::string, std::string>& entities,
                                 Timestamp event_time) const {
  EntityColumns one{.form = EntityColumns::Form::one, .rows = 1};
  for (const auto& [name, value] : entities) {
    one.names.emplace_back(name);
    one.cells.emplace_back(value);
  }
  FeatureColumns found = TRY(read_many(schema, one, event_time));
  FeatureRow out{.values = std::move(found.values),
                 .statuses = std::move(found.statuses),
                 .event_times = std::move(found.event_times),
                 .from_future = found.from_future};
  for (const auto& time : out.event_times)
    if (time && (!out.oldest || *time < *out.oldest)) out.oldest = time;
  return out;
}

Result<void> Service::check_entities(const Call& call, const SchemaHandle& schema,
                                     const EntityColumns& entities, std::size_t row) const {
  std::vector<std::string_view> others;
  for (const std::string_view name : entities.names)
    if (std::none_of(schema.keys.begin(), schema.keys.end(),
                     [&](const catalog::JoinKey& key) { return key.name == name; }))
      others.push_back(name);
  for (const FeatureInput& input : schema.inputs) std::erase(others, input.name);
  if (others.empty()) return {};
  // Callers that ask several schemas in turn give the keys of all of them each time.
  const auto declared =
      db_.read(call, [&](sql::Tx& tx) { return resources::list(tx, call.project, "entity"); });
  if (!declared) return declared.error();
  for (const auto& resource : *declared)
    for (const auto& key : TRY(decode<catalog::Entity>(resource.declaration)).join_keys)
      std::erase(others, key.name);
  if (others.empty()) return {};
  std::string wanted;
  for (const catalog::JoinKey& key : schema.keys) wanted += (wanted.empty() ? "" : ", ") + key.name;
  return entities.fault(others.front(), row,
                        "is no join key of any entity in project " + call.project +
                            (schema.inputs.empty() ? "" : ", and no input of " + schema.name) +
                            "; these features are asked for by " + wanted);
}

Result<OnlineOutput> Service::online(const Call& call, const OnlineInput& input) {
  const auto schema = TRY(schema_of(call, input.feature_schema, input.features));
  const Timestamp at = input.event_time.value_or(clock_.now());
  for (std::size_t i = 0; i < input.entities.size(); ++i) {
    EntityColumns named;
    for (const auto& [name, value] : input.entities[i]) named.names.emplace_back(name);
    TRY(check_entities(call, *schema, named, i));
  }
  FeatureColumns found = TRY(read_many(*schema, columns_of(*schema, input.entities), at));
  OnlineOutput out{.names = schema->names};
  if (schema->version > 0) out.feature_schema = schema->reference();
  out.rows.resize(found.rows);
  for (std::size_t row = 0; row < found.rows; ++row)
    for (std::size_t slot = 0; slot < schema->slots.size(); ++slot) {
      OnlineRow& to = out.rows[row];
      const auto time = transform::event_time_of(*schema, found.event_times, found.rows, row, slot);
      to.values.push_back(value_json(schema->types[slot], found.values[found.at(slot, row)]));
      to.statuses.push_back(found.statuses[found.at(slot, row)]);
      to.event_times.push_back(time);
      to.ages.push_back(time ? std::optional(static_cast<double>((at - *time).count()) * 1e-6)
                             : std::nullopt);
    }
  return out;
}

}  // namespace penstock::features
