#include "features/service.h"

#include <algorithm>
#include <set>

#include "features/columns.h"
#include "features/handles.h"
#include "features/nearest/nearest.h"
#include "features/operations.h"
#include "features/transform/plan.h"
#include "features/values.h"
#include "policies/service.h"

namespace penstock::features {
namespace {

// A view that reads as it did binds as it did: an apply that changes nothing opens no file.
bool unchanged(sql::Tx& tx, const Call& call, std::string_view kind, const std::string& name,
               const json::object& declaration) {
  const auto before = resources::get(tx, call.project, kind, name);
  return before && before->declaration == declaration;
}

std::string urn_of(const resources::Resource& resource) {
  return resource.kind + ":" + resource.name + "@" + std::to_string(resource.version);
}

Result<void> view_applied(sql::Tx& tx, const Call& call, const resources::Resource& resource,
                          olap::Engine& olap) {
  const auto view = TRY(decode<FeatureView>(resource.declaration));
  TRY(states::put_plan(tx, call.project, view));
  const auto sources = TRY(catalog::sources_named(tx, call.project, view.sources));
  for (const auto& source : sources)
    TRY(catalog::add_edge(tx, call, resource.applied_at, urn_of(resource), source.urn(), "reads"));
  const auto session = TRY(olap.session());
  TRY(catalog::add_edges(
      tx, call, TRY(column_edges(*session, view, urn_of(resource), sources, resource.applied_at))));
  const auto entity = TRY(resources::get(tx, call.project, "entity", view.entity));
  return catalog::add_edge(tx, call, resource.applied_at, urn_of(resource), urn_of(entity),
                           "describes");
}

// A transform derives from the inputs and the features of views that its expression is made of.
Result<void> add_transform_edges(sql::Tx& tx, const Call& call, olap::Engine& olap,
                                 const resources::Resource& resource,
                                 std::vector<catalog::Edge>& edges) {
  const auto schema =
      TRY(open_schema_version(tx, olap, call.project, resource.name, resource.version));
  if (!schema->plan) return {};
  const std::string urn = urn_of(resource);
  for (const transform::Plan::Output& output : schema->plan->outputs)
    for (const std::size_t argument : output.arguments) {
      const auto [from, number] = schema->plan->arguments[argument];
      if (from == transform::Plan::From::instant) continue;
      std::string to;
      if (from == transform::Plan::From::input) {
        to = catalog::column_urn(urn, schema->inputs[number].name);
      } else {
        const Slot& slot = schema->slots[number];
        const ViewHandle& view = *schema->views[slot.view];
        to = catalog::column_urn(view.urn(), view.view.features[slot.feature].name);
      }
      edges.push_back({.from_urn = catalog::column_urn(urn, schema->names[output.feature]),
                       .to_urn = std::move(to),
                       .relation = "derived_from",
                       .created_at = resource.applied_at});
    }
  return {};
}

Result<void> schema_applied(sql::Tx& tx, const Call& call, const resources::Resource& resource,
                            olap::Engine& olap) {
  const auto schema = TRY(decode<FeatureSchema>(resource.declaration));
  for (const auto& [view, version] : schema.views)
    TRY(catalog::add_edge(tx, call, resource.applied_at, urn_of(resource),
                          "feature_view:" + view + "@" + std::to_string(version), "reads"));
  std::vector<catalog::Edge> columns;
  for (const FeatureReference& feature : schema.features) {
    const auto view = schema.views.find(feature.view);
    if (view == schema.views.end()) continue;
    columns.push_back(
        {.from_urn = catalog::column_urn(urn_of(resource), feature.name.value_or(feature.feature)),
         .to_urn = catalog::column_urn(
             "feature_view:" + feature.view + "@" + std::to_string(view->second), feature.feature),
         .relation = "derived_from",
         .created_at = resource.applied_at});
  }
  TRY(add_transform_edges(tx, call, olap, resource, columns));
  return catalog::add_edges(tx, call, std::move(columns));
}

// Without a schema that says which feature a column is.
std::vector<catalog::Edge> feature_edges(const SchemaHandle& schema,
                                         const catalog::Dataset& dataset) {
  std::vector<catalog::Edge> out;
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    const ViewHandle& view = *schema.views[schema.slots[i].view];
    out.push_back({.from_urn = catalog::column_urn(dataset.urn(), schema.names[i]),
                   .to_urn = catalog::column_urn(view.urn(),
                                                 view.view.features[schema.slots[i].feature].name),
                   .relation = "derived_from",
                   .created_at = dataset.created_at});
  }
  return out;
}

}  // namespace

struct Service::InUse {
  std::vector<BoundView> views;  // by name and version, of online views
};

Service::Service(sql::Database& db, olap::Engine& olap, blob::Store& blobs, kv::Store& kv,
                 catalog::Service& catalog, const Clock& clock, Metrics& metrics, Options options)
    : db_(db),
      olap_(olap),
      nearest_(std::make_unique<Nearest>(
          kv, NearestOptions{.bytes_max = static_cast<std::size_t>(options.vector_bytes),
                             .age_max = options.vector_age})),
      watched_(std::make_unique<WatchedStore>(kv, *nearest_)),
      kv_(*watched_),
      catalog_(catalog),
      clock_(clock),
      program_(options.program),
      from_future_(metrics.counter("penstock_features_from_future_total",
                                   "Reads that found only a row from after their instant")),
      offline_(std::make_unique<Offline>(db, olap, blobs, catalog, clock, options)),
      erased_(std::make_unique<ErasedMarks>(kv_, db)),
      online_(std::make_unique<Online>(kv_, olap, *offline_, *erased_, options.lookup)),
      handles_(std::make_unique<OpenHandles>()),
      operations_(std::make_unique<Operations>(Operations::Parts{
          .db = db,
          .olap = olap,
          .kv = kv_,
          .clock = clock,
          .metrics = metrics,
          .offline = *offline_,
          .online = *online_,
          .options = std::move(options),
          .in_use = [this](const Call& call) { return chosen(call, {}); },
          .verify = [this](const Call& call, const BoundView& view,
                           std::int64_t sample) { return verify_one(call, view, sample); }})) {
  offline_->keep_moved([this](const ViewHandle& view) -> Result<std::optional<std::string>> {
    const auto watermark = TRY(online_->watermark(view));
    return watermark ? std::optional(watermark->digest) : std::nullopt;
  });
}

Service::~Service() = default;

void Service::register_kinds(resources::Service& resources) {
  resources.add(
      {.kind = "feature_view",
       .check = resources::checked_as<FeatureView>(
           [this](sql::Tx& tx, const Call& call, const FeatureView& view) -> Result<void> {
             if (unchanged(tx, call, "feature_view", view.name, encode(view).as_object()))
               return {};
             return check_view(tx, call, catalog_, olap_, view);
           }),
       .applied = [this](sql::Tx& tx, const Call& call, const resources::Resource& resource) {
         return view_applied(tx, call, resource, olap_);
       }});
  resources.add(
      {.kind = "feature_schema",
       .check = [this](sql::Tx& tx, const Call& call,
                       const json::object& declaration) -> Result<json::object> {
         auto schema = TRY(decode<FeatureSchema>(declaration));
         return encode(TRY(resolve_schema(tx, call, olap_, std::move(schema)))).as_object();
       },
       .applied =
           [this](sql::Tx& tx, const Call& call, const resources::Resource& resource) {
             return schema_applied(tx, call, resource, olap_);
           }});
  resources.on_applied([this](const Call& call, const resources::ApplyOutput&) {
    forget_in_use(call.project);
    handles_->forget(call.project);
  });
}

void Service::forget_in_use(const std::string& project) {
  const std::lock_guard hold(in_use_turn_);
  in_use_.erase(project);
  ++forgotten_;
}

Result<std::shared_ptr<const Service::InUse>> Service::in_use(const Call& call) {
  std::int64_t before = 0;
  {
    const std::lock_guard hold(in_use_turn_);
    if (const auto found = in_use_.find(call.project); found != in_use_.end()) return found->second;
    before = forgotten_;
  }
  std::set<std::pair<std::string, std::int64_t>> wanted;
  {
    const std::lock_guard hold(schemas_turn_);
    for (const auto& [name, schema] : schemas_)
      if (schema->project == call.project)
        for (const auto& view : schema->views) wanted.emplace(view->view.name, view->version);
  }
  auto made = std::make_shared<InUse>();
  const auto read = db_.read(call, [&](sql::Tx& tx) -> Result<void> {
    for (const auto& resource : TRY(resources::list(tx, call.project, "feature_view")))
      wanted.emplace(resource.name, resource.version);
    for (const auto& resource : TRY(resources::list(tx, call.project, "feature_schema"))) {
      const auto schema = TRY(decode<FeatureSchema>(resource.declaration));
      wanted.insert(schema.views.begin(), schema.views.end());
    }
    for (const std::string& urn :
         TRY(catalog::targets_of_kind(tx, call.project, "feature_schema"))) {
      const auto reference = reference_from(urn);
      if (!reference) continue;
      const auto schema = resources::declared<FeatureSchema>(tx, call.project, "feature_schema",
                                                             reference->name, reference->version);
      if (!schema) continue;
      wanted.insert(schema->views.begin(), schema->views.end());
    }
    for (const auto& [name, version] : wanted) {
      auto view = TRY(open_view(tx, call.project, name, version));
      if (view->view.online)
        made->views.push_back(TRY(bind_view(tx, call.project, std::move(view))));
    }
    return {};
  });
  if (!read) return read.error();
  const std::lock_guard hold(in_use_turn_);
  if (before == forgotten_) in_use_[call.project] = made;
  return std::shared_ptr<const InUse>(std::move(made));
}

Result<std::vector<BoundView>> Service::chosen(const Call& call,
                                               const std::vector<std::string>& names) {
  const auto used = TRY(in_use(call));
  if (names.empty()) return used->views;
  std::vector<BoundView> out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t before = out.size();
    for (const BoundView& view : used->views)
      if (view.handle->view.name == names[i]) out.push_back(view);
    if (out.size() == before)
      return Error{Code::not_found,
                   "there is no online feature view " + names[i] + " in project " + call.project,
                   {{"views[" + std::to_string(i) + "]", "is no online feature view"}}};
  }
  return out;
}

// The newest version of each view, and older ones that somebody pinned.
Result<ViewList> Service::list(const Call& call) {
  const auto resources = db_.read(
      call, [&](sql::Tx& tx) { return resources::list(tx, call.project, "feature_view"); });
  if (!resources) return resources.error();
  std::map<std::pair<std::string, std::int64_t>, FeatureView> views;
  for (const auto& resource : *resources)
    views[{resource.name, resource.version}] = TRY(decode<FeatureView>(resource.declaration));
  const auto used = TRY(in_use(call));
  for (const BoundView& view : used->views)
    views.emplace(std::pair(view.handle->view.name, view.handle->version), view.handle->view);
  const auto works = TRY(operations_->works(call));
  const auto plans = TRY(operations_->plans_of(call));
  const Timestamp now = clock_.now();
  const auto age = [&](Timestamp at) { return static_cast<double>((now - at).count()) * 1e-6; };
  ViewList list;
  for (const auto& [name, view] : views) {
    ViewStatus status{.view = view, .version = name.second};
    const ViewHandle handle{.view = view,
                            .version = name.second,
                            .prefix = view_prefix(call.project, name.first, name.second)};
    const auto watermark = TRY(online_->watermark(handle));
    if (watermark) {
      status.watermark = watermark->at;
      status.staleness_seconds = age(watermark->at);
    }
    if (const auto work = works.find(name); work != works.end()) {
      status.work = work->second;
      if (status.work->newest_event) status.newest_event_seconds = age(*status.work->newest_event);
    }
    if (const auto plan = plans.find(name.first);
        plan != plans.end() && plan->second.freshness && view.online)
      status.fresh = operations_->is_fresh(*plan->second.freshness, watermark, status.work);
    list.views.push_back(std::move(status));
  }
  return list;
}

Result<OfflineTable> Service::materialize_offline(const Call& call, const ViewName& name) {
  const auto bound = db_.read(call, [&](sql::Tx& tx) -> Result<BoundView> {
    return bind_view(tx, call.project, TRY(open_view(tx, call.project, name.view, name.version)));
  });
  if (!bound) return bound.error();
  return offline_->table(call, *bound);
}

Result<MaterializeOutput> Service::materialize(const Call& call, const MaterializeInput& input) {
  return for_each(call, input.views, [&](const BoundView& view) {
    return operations_->materialize(call, view, input.until);
  });
}

Result<MaterializeOutput> Service::repair(const Call& call, const RepairInput& input) {
  return for_each(call, input.views,
                  [&](const BoundView& view) { return operations_->repair(call, view); });
}

// A view that fails holds up none of the others; what failed is said once all had their turn.
Result<MaterializeOutput> Service::for_each(
    const Call& call, const std::vector<std::string>& names,
    const std::function<Result<Materialized>(const BoundView& view)>& work) {
  MaterializeOutput out;
  std::optional<Error> first;
  std::size_t failed = 0;
  for (const BoundView& view : TRY(chosen(call, names))) {
    auto moved = work(view);
    if (!moved) {
      ++failed;
      if (!first) first = moved.error();
      continue;
    }
    out.rows += moved->rows;
    out.views.push_back(std::move(moved).take());
  }
  if (!first) return out;
  if (failed > 1) first->message += " (and " + std::to_string(failed - 1) + " more views failed)";
  return *first;
}

Result<ViewProfileOutput> Service::profile(const Call& call, const ViewProfileQuery& query) {
  const auto bound = db_.read(call, [&](sql::Tx& tx) -> Result<BoundView> {
    return bind_view(tx, call.project, TRY(open_view(tx, call.project, query.view, query.version)));
  });
  if (!bound) return bound.error();
  return operations_->profile(call, *bound, query.day);
}

Result<NearestOutput> Service::nearest(const Call& call, const NearestInput& input) {
  const auto reference = reference_from(input.view);
  if (!reference)
    return Error{Code::invalid_argument,
                 "view must be NAME or NAME@VERSION",
                 {{"view", "must be NAME or NAME@VERSION"}}};
  auto view = TRY(db_.read(call, [&](sql::Tx& tx) {
    return open_view(tx, call.project, reference->name, reference->version);
  }));
  return nearest_->ask(std::move(view), input, clock_.now());
}

bool Service::grow_indexes() { return nearest_->grow(); }

Result<HistoricalOutput> Service::historical(const Call& call, const HistoricalInput& input) {
  const auto schema = TRY(schema_of(call, input.feature_schema, input.features));
  const Offline::Written written = TRY(offline_->write(call, *schema, input));
  HistoricalOutput out = written.output;
  if (input.dataset.empty()) return out;
  Call late = call;
  late.deadline = Timestamp::max();  // joining may have taken long, and all of it was worth it
  const catalog::NewDataset dataset{.name = input.dataset,
                                    .digest = out.digest,
                                    .uri = out.uri,
                                    .row_count = out.row_count,
                                    .columns = out.columns,
                                    .query = input.entity_sql,
                                    .feature_schema = out.feature_schema,
                                    .sources = out.sources,
                                    .known_as_of = input.known_as_of,
                                    .snapshots = written.snapshots,
                                    .inputs_digest = written.inputs_digest,
                                    .profile = written.profile};
  const auto added = db_.write(late, [&](sql::Tx& tx) -> Result<std::string> {
    const auto made = TRY(catalog_.add_dataset(tx, late, dataset));
    if (schema->version == 0) TRY(catalog::add_edges(tx, late, feature_edges(*schema, made)));
    return made.urn();
  });
  if (!added) return added.error();
  out.dataset = *added;
  return out;
}

Result<std::unique_ptr<blob::Reader>> Service::historical_result(const Call& call,
                                                                 const std::string& digest) {
  return offline_->open_result(call, digest);
}

EntityUploads& Service::entity_uploads() { return offline_->uploads(); }

Result<std::string> Service::historical_statement(const Call& call, olap::Session& session,
                                                  const std::string& schema,
                                                  const std::string& rows) {
  const auto handle = TRY(open_schema(call, schema));
  TRY(check_numbers(*handle));
  auto joined = TRY(offline_->join(call, session, *handle,
                                   {.statement = rows, .field = "rows", .closed = false},
                                   {.numbers = true, .oldest = true}));
  TRY(policies::enforce_reads(db_, call, clock_.now(), joined.urns, "batch"));
  return std::move(joined.statement);
}

Result<std::shared_ptr<const SchemaHandle>> Service::open_schema(const Call& call,
                                                                 const std::string& reference) {
  const Reference parsed = TRY(reference_from(reference));
  const std::string newest = "schema " + parsed.name;
  const std::int64_t before = handles_->forgotten();
  if (parsed.version == 0)
    if (auto found = handles_->find(call.project, newest)) return found;
  const auto key = [&](std::int64_t version) {
    return call.project + "/" + parsed.name + "@" + std::to_string(version);
  };
  if (parsed.version > 0) {
    const std::lock_guard hold(schemas_turn_);
    const auto found = schemas_.find(key(parsed.version));
    if (found != schemas_.end()) return found->second;
  }
  auto opened = TRY(db_.read(call, [&](sql::Tx& tx) {
    return open_schema_version(tx, olap_, call.project, parsed.name, parsed.version);
  }));
  {
    const std::lock_guard hold(schemas_turn_);
    const auto [place, fresh] = schemas_.emplace(key(opened->version), opened);
    opened = place->second;
    if (parsed.version == 0) handles_->keep(before, newest, opened);
    if (!fresh) return opened;
  }
  forget_in_use(call.project);
  return opened;
}

Result<std::shared_ptr<const SchemaHandle>> Service::open_features(
    const Call& call, const std::vector<std::string>& features) {
  std::string name = "features";
  for (const std::string& feature : features) name.append(1, '\0').append(feature);
  if (auto found = handles_->find(call.project, name)) return found;
  const std::int64_t before = handles_->forgotten();
  auto opened =
      TRY(db_.read(call, [&](sql::Tx& tx) { return open_unnamed(tx, call.project, features); }));
  handles_->keep(before, name, opened);
  return opened;
}

Result<std::shared_ptr<const SchemaHandle>> Service::schema_of(
    const Call& call, const std::string& schema, const std::vector<std::string>& features) {
  if (!schema.empty() && !features.empty())
    return Error{Code::invalid_argument,
                 "name a feature_schema or features, not both",
                 {{"features", "must be empty where a feature_schema is named"}}};
  return schema.empty() ? open_features(call, features) : open_schema(call, schema);
}

}  // namespace penstock::features
