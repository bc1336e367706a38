#include "features/definitions.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/digest.h"
#include "features/changes.h"
#include "features/codec.h"
#include "features/gates.h"
#include "features/transform/plan.h"
#include "features/values.h"
#include "features/windows/plan.h"

namespace penstock::features {
namespace {

constexpr std::array reserved_names = {"event_time", "created_time", "arrived_at", "penstock_best",
                                       "oldest_event_time"};

class Faults {
 public:
  void add(std::string field, std::string problem) {
    all_.push_back({std::move(field), std::move(problem)});
  }
  void add(const std::vector<Violation>& more) {
    all_.insert(all_.end(), more.begin(), more.end());
  }
  bool any() const { return !all_.empty(); }
  Error error() const {
    return {Code::invalid_argument, all_.front().field + " " + all_.front().problem, all_};
  }

 private:
  std::vector<Violation> all_;
};

void check_names(const FeatureView& view, const std::vector<catalog::JoinKey>& keys,
                 Faults& faults) {
  std::set<std::string> seen;
  for (const catalog::JoinKey& key : keys) {
    seen.insert(key.name);
    for (const char* name : reserved_names)
      if (key.name == name) faults.add("entity", "has a join key called " + key.name);
  }
  for (std::size_t i = 0; i < view.features.size(); ++i) {
    const std::string& name = view.features[i].name;
    const std::string feature = "features[" + std::to_string(i) + "]", field = feature + ".name";
    if ((view.features[i].type == FeatureType::embedding) != view.features[i].dimension.has_value())
      faults.add(feature + ".dimension", view.features[i].dimension
                                             ? "is only for features of type embedding"
                                             : "must be given for an embedding");
    if (std::find(reserved_names.begin(), reserved_names.end(), name) != reserved_names.end())
      faults.add(field, "must not be " + name + ", which every view has");
    else if (!seen.insert(name).second)
      faults.add(field, name + " is a join key, or stands there twice");
  }
}

void check_columns(const FeatureView& view, const std::vector<catalog::JoinKey>& keys,
                   const std::vector<olap::Column>& columns, Faults& faults) {
  const auto find = [&](const std::string& name) -> const olap::Column* {
    for (const olap::Column& column : columns)
      if (column.name == name) return &column;
    return nullptr;
  };
  const auto time = [&](const std::string& field, const std::string& name) {
    const olap::Column* column = find(name);
    if (!column)
      faults.add(field, name + " is not a column of the SQL");
    else if (column->type != olap::Type::timestamp)
      faults.add(field, name + " is " + column->declared + ", not a timestamp");
  };
  for (const catalog::JoinKey& key : keys)
    if (!find(key.name))
      faults.add("sql", "must give " + key.name + ", a join key of entity " + view.entity);
  time("event_time", view.event_time);
  if (view.created_time) time("created_time", *view.created_time);
  if (windows::windowed(view)) return faults.add(windows::check_columns(view, columns));
  for (std::size_t i = 0; i < view.features.size(); ++i) {
    const Feature& feature = view.features[i];
    const std::string field = "features[" + std::to_string(i) + "]";
    const olap::Column* column = find(feature.name);
    if (!column)
      faults.add(field + ".name", feature.name + " is not a column of the SQL");
    else if (auto problem = misfit(feature, *column))
      faults.add(field + ".type", std::move(*problem));
  }
}

void check_work(const FeatureView& view, Faults& faults) {
  constexpr Micros longest = std::chrono::hours(24 * 366);
  const auto check = [&](const char* field, const std::optional<Micros>& span, Micros least) {
    if (span && (*span < least || *span > longest))
      faults.add(field,
                 "must be from " + std::get<std::string>(Kind<Micros>::say(least)) + " to 366d");
    if (span && !view.online) faults.add(field, "is of online rows, and the view has none");
  };
  check("schedule", view.schedule, std::chrono::seconds(1));
  check("freshness", view.freshness, std::chrono::seconds(1));
  check("verify_every", view.verify_every, std::chrono::minutes(1));
  check("source_delay", view.source_delay, std::chrono::seconds(1));
  if (view.source_delay && !windows::windowed(view))
    faults.add("source_delay", "is for windows: without them a push counts whenever it comes");
  if (view.source_delay && view.freshness && *view.freshness <= *view.source_delay)
    faults.add("freshness", "must be longer than source_delay: rows are that old at best");
  for (Violation& fault : gate_faults(view))
    faults.add(std::move(fault.field), std::move(fault.problem));
}

// The columns that the SQL gives, over the sources alone. Nothing where there were faults.
Result<std::optional<std::vector<olap::Column>>> columns_of(
    catalog::Service& catalog, olap::Engine& olap, const FeatureView& view,
    const std::vector<catalog::Source>& sources, Faults& faults) {
  const auto none = std::optional<std::vector<olap::Column>>();
  const auto select = catalog::check_select(view.sql, "sql");
  if (!select) {
    faults.add("sql", select.error().violations.front().problem);
    return none;
  }
  const auto session = TRY(olap.session());
  const auto tables = session->tables_of(view.sql);
  if (!tables) {
    faults.add("sql", tables.error().message);
    return none;
  }
  for (const std::string& table : *tables)
    if (std::find(view.sources.begin(), view.sources.end(), table) == view.sources.end())
      faults.add("sql", "reads " + table + ", which is not among the view's sources");
  if (faults.any()) return none;
  const auto bound = catalog.bind(*session, sources);
  if (!bound) {
    if (bound.error().code == Code::unavailable || bound.error().code == Code::internal)
      return bound.error();
    faults.add("sources", "cannot be read: " + bound.error().message);
    return none;
  }
  auto columns = session->describe(view.sql);
  if (!columns) {
    faults.add("sql", "does not bind: " + columns.error().message);
    return none;
  }
  return std::optional(std::move(columns).take());
}

// With the transforms' slots; what they compute is not compiled yet.
Result<std::shared_ptr<SchemaHandle>> make_handle(sql::Tx& tx, const std::string& project,
                                                  const FeatureSchema& schema,
                                                  std::int64_t version) {
  auto handle = std::make_shared<SchemaHandle>();
  handle->project = project;
  handle->name = schema.name;
  handle->version = version;
  handle->inputs = schema.inputs;
  std::map<std::string, std::size_t> places;
  std::size_t computed = 0;
  for (const FeatureReference& reference : schema.features) {
    if (reference.expression) {
      handle->names.push_back(reference.name.value_or(""));
      handle->types.push_back(reference.type.value_or(FeatureType::real));
      handle->slots.push_back({Slot::computed, computed++});
      continue;
    }
    const auto [place, fresh] = places.emplace(reference.view, handle->views.size());
    if (fresh) {
      const auto pin = schema.views.find(reference.view);
      handle->views.push_back(
          TRY(open_view(tx, project, reference.view, pin == schema.views.end() ? 0 : pin->second)));
      for (const catalog::JoinKey& key : handle->views.back()->keys)
        if (std::none_of(handle->keys.begin(), handle->keys.end(),
                         [&](const catalog::JoinKey& k) { return k.name == key.name; }))
          handle->keys.push_back(key);
    }
    const auto& features = handle->views[place->second]->view.features;
    const auto feature = std::find_if(features.begin(), features.end(), [&](const Feature& f) {
      return f.name == reference.feature;
    });
    if (feature == features.end())
      return Error{Code::not_found, "feature view " + handle->views[place->second]->reference() +
                                        " has no feature " + reference.feature};
    handle->wanted.resize(handle->views.size());
    handle->wanted[place->second].push_back(
        {static_cast<std::size_t>(feature - features.begin()), handle->slots.size()});
    handle->names.push_back(reference.name.value_or(reference.feature));
    handle->types.push_back(feature->type);
    handle->slots.push_back({place->second, static_cast<std::size_t>(feature - features.begin())});
  }
  for (auto& wanted : handle->wanted)
    std::stable_sort(wanted.begin(), wanted.end(),
                     [](const Wanted& a, const Wanted& b) { return a.feature < b.feature; });
  return handle;
}

bool has_transforms(const FeatureSchema& schema) {
  return std::any_of(
      schema.features.begin(), schema.features.end(),
      [](const FeatureReference& reference) { return reference.expression.has_value(); });
}

Result<std::shared_ptr<const transform::Plan>> plan_of(olap::Engine& olap, SchemaHandle& handle,
                                                       FeatureSchema& schema) {
  if (!has_transforms(schema)) return std::shared_ptr<const transform::Plan>();
  std::vector<std::optional<FeatureType>> types;
  for (std::size_t i = 0; i < handle.slots.size(); ++i)
    types.push_back(handle.slots[i].is_computed() ? std::nullopt : std::optional(handle.types[i]));
  const auto session = TRY(olap.session());
  auto plan = TRY(transform::plan_of(*session, schema, types));
  for (transform::Plan::Output& output : plan->outputs) {
    std::set<std::size_t> views;
    for (const std::size_t argument : output.arguments)
      if (plan->arguments[argument].from == transform::Plan::From::feature)
        views.insert(handle.slots[plan->arguments[argument].number].view);
    output.views.assign(views.begin(), views.end());
  }
  return std::shared_ptr<const transform::Plan>(std::move(plan));
}

void check_inputs(const FeatureSchema& schema,
                  const std::map<std::string, catalog::ColumnType>& keys,
                  std::set<std::string>& names, Faults& faults) {
  for (std::size_t i = 0; i < schema.inputs.size(); ++i) {
    const FeatureInput& input = schema.inputs[i];
    const std::string field = "inputs[" + std::to_string(i) + "].name";
    if (std::find(reserved_names.begin(), reserved_names.end(), input.name) != reserved_names.end())
      faults.add(field, "must not be " + input.name + ", which every row has");
    else if (!names.insert(input.name).second)
      faults.add(field, input.name + " is a feature too, or stands there twice");
    if (!transform::type_of(input.type))
      faults.add("inputs[" + std::to_string(i) + "].type",
                 "must be double, bigint, boolean, text or timestamp, not " +
                     std::string(name_of(input.type)));
    const auto key = keys.find(input.name);
    if (key != keys.end() && name_of(key->second) != name_of(input.type))
      faults.add(field, input.name + " is a join key too, of type " +
                            std::string(name_of(key->second)) + ": give it that type");
  }
}

// What may be said of a transform before its expression is read.
void check_transform(const FeatureReference& reference, const std::string& field, Faults& faults) {
  if (!reference.view.empty() || !reference.feature.empty())
    faults.add(field, "must have either view and feature, or an expression");
  if (!reference.name)
    faults.add(field + ".name", "is missing: an expression needs a name");
  else if (std::find(reserved_names.begin(), reserved_names.end(), *reference.name) !=
           reserved_names.end())
    faults.add(field + ".name", "must not be " + *reference.name + ", which every row has");
}

}  // namespace

Result<Reference> reference_from(std::string_view text) {
  if (text.starts_with("feature_schema:")) text.remove_prefix(15);
  const std::size_t at = text.find('@');
  Reference out{std::string(text.substr(0, at))};
  if (at == std::string_view::npos && !out.name.empty()) return out;
  if (at != std::string_view::npos && !out.name.empty()) {
    const std::string_view digits = text.substr(at + 1);
    const auto [end, fault] =
        std::from_chars(digits.data(), digits.data() + digits.size(), out.version);
    if (fault == std::errc{} && end == digits.data() + digits.size() && out.version > 0) return out;
  }
  return Error{Code::invalid_argument,
               "\"" + std::string(text) + "\" is no feature schema; write NAME or NAME@1",
               {{"feature_schema", "must be NAME or NAME@VERSION"}}};
}

Result<std::shared_ptr<const ViewHandle>> open_view(sql::Tx& tx, const std::string& project,
                                                    const std::string& name, std::int64_t version) {
  const auto resource = TRY(resources::get(tx, project, "feature_view", name, version));
  auto handle = std::make_shared<ViewHandle>();
  handle->view = TRY(decode<FeatureView>(resource.declaration));
  handle->version = resource.version;
  handle->windows = windows::plan_of(handle->view);
  handle->keys =
      TRY(resources::declared<catalog::Entity>(tx, project, "entity", handle->view.entity))
          .join_keys;
  handle->prefix = view_prefix(project, name, resource.version);
  return std::shared_ptr<const ViewHandle>(std::move(handle));
}

Result<BoundView> bind_view(sql::Tx& tx, const std::string& project,
                            std::shared_ptr<const ViewHandle> handle) {
  auto sources = TRY(catalog::sources_named(tx, project, handle->view.sources));
  json::array declared;
  for (const catalog::VersionedSource& source : sources)
    declared.push_back({{"name", source.source.name}, {"digest", source.digest}});
  const std::string digest =
      sha256_hex(canonical(json::object{{"format", 2},
                                        {"prefix", sha256_hex(handle->prefix)},
                                        {"view", encode(handle->view)},
                                        {"keys", encode(handle->keys)},
                                        {"sources", std::move(declared)}}));
  return BoundView{std::move(handle), std::move(sources), digest};
}

Result<std::shared_ptr<const SchemaHandle>> open_schema_version(sql::Tx& tx, olap::Engine& olap,
                                                                const std::string& project,
                                                                const std::string& name,
                                                                std::int64_t version) {
  const auto resource = TRY(resources::get(tx, project, "feature_schema", name, version));
  auto schema = TRY(decode<FeatureSchema>(resource.declaration));
  auto handle = TRY(make_handle(tx, project, schema, resource.version));
  handle->plan = TRY(plan_of(olap, *handle, schema));
  return std::shared_ptr<const SchemaHandle>(std::move(handle));
}

Result<std::shared_ptr<const SchemaHandle>> open_unnamed(sql::Tx& tx, const std::string& project,
                                                         const std::vector<std::string>& features) {
  FeatureSchema schema;
  for (const std::string& feature : features) {
    const std::size_t colon = feature.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == feature.size())
      return Error{Code::invalid_argument,
                   "\"" + feature + "\" is no feature; write view:feature",
                   {{"features", "must be view:feature each"}}};
    schema.features.push_back({feature.substr(0, colon), feature.substr(colon + 1), {}});
  }
  if (schema.features.empty())
    return Error{Code::invalid_argument,
                 "name a feature_schema, or features as view:feature",
                 {{"features", "must not be empty where no feature_schema is named"}}};
  return std::shared_ptr<const SchemaHandle>(TRY(make_handle(tx, project, schema, 0)));
}

Result<void> check_view(sql::Tx& tx, const Call& call, catalog::Service& catalog,
                        olap::Engine& olap, const FeatureView& view) {
  Faults faults;
  std::vector<catalog::Source> sources;
  for (std::size_t i = 0; i < view.sources.size(); ++i) {
    auto source = resources::declared<catalog::Source>(tx, call.project, "source", view.sources[i]);
    if (source)
      sources.push_back(std::move(source).take());
    else
      faults.add("sources[" + std::to_string(i) + "]", source.error().message);
  }
  const auto entity = resources::declared<catalog::Entity>(tx, call.project, "entity", view.entity);
  if (!entity) faults.add("entity", entity.error().message);
  if (view.ttl && view.ttl->count() < 0) faults.add("ttl", "must not be negative");
  check_work(view, faults);
  for (Violation& fault : TRY(forbidden_changes(tx, call, view)))
    faults.add(std::move(fault.field), std::move(fault.problem));
  faults.add(windows::check_declared(view));
  if (faults.any()) return faults.error();
  check_names(view, entity->join_keys, faults);
  const auto columns = TRY(columns_of(catalog, olap, view, sources, faults));
  if (columns) check_columns(view, entity->join_keys, *columns, faults);
  if (faults.any()) return faults.error();
  return {};
}

Result<FeatureSchema> resolve_schema(sql::Tx& tx, const Call& call, olap::Engine& olap,
                                     FeatureSchema schema) {
  Faults faults;
  std::map<std::string, std::shared_ptr<const ViewHandle>> views;
  std::set<std::string> names;
  for (std::size_t i = 0; i < schema.features.size(); ++i) {
    FeatureReference& reference = schema.features[i];
    const std::string field = "features[" + std::to_string(i) + "]";
    if (reference.expression) {
      check_transform(reference, field, faults);
      if (reference.name && !names.insert(*reference.name).second)
        faults.add(field + ".name", *reference.name + " stands there twice; say another `name`");
      continue;
    }
    if (reference.view.empty() || reference.feature.empty() || reference.type) {
      faults.add(field, "must have either view and feature, or an expression");
      continue;
    }
    if (!views.contains(reference.view)) {
      const auto pin = schema.views.find(reference.view);
      auto view =
          open_view(tx, call.project, reference.view, pin == schema.views.end() ? 0 : pin->second);
      if (!view) {
        faults.add(field + ".view", view.error().message);
        continue;
      }
      views[reference.view] = std::move(view).take();
    }
    const ViewHandle& view = *views[reference.view];
    if (std::none_of(view.view.features.begin(), view.view.features.end(),
                     [&](const Feature& f) { return f.name == reference.feature; }))
      faults.add(field + ".feature",
                 reference.feature + " is not a feature of " + view.reference());
    if (!reference.name) reference.name = reference.feature;
    if (!names.insert(*reference.name).second)
      faults.add(field + ".name", *reference.name + " stands there twice; say another `name`");
  }
  for (const auto& [name, version] : schema.views)
    if (!views.contains(name) && !faults.any())
      faults.add("views." + name, "is pinned, and none of its features are read");
  std::map<std::string, catalog::ColumnType> keys;
  for (const auto& [name, view] : views) {
    schema.views[name] = view->version;
    for (const catalog::JoinKey& key : view->keys)
      if (!keys.emplace(key.name, key.type).second && keys[key.name] != key.type)
        faults.add("features", "join key " + key.name + " has two types in these views");
  }
  check_inputs(schema, keys, names, faults);
  if (faults.any()) return faults.error();
  if (!has_transforms(schema)) return schema;
  auto handle = TRY(make_handle(tx, call.project, schema, 0));
  TRY(plan_of(olap, *handle, schema));
  return schema;
}

}  // namespace penstock::features
