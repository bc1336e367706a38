#include "serving/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "base/log.h"
#include "serving/guarding.h"
#include "serving/route_checks.h"
#include "serving/store.h"

namespace penstock::serving {
namespace {

std::string urn_of(const Target& target) {
  return "model:" + target.model + "@v" + std::to_string(target.version);
}

Error faulty(std::string field, std::string problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

Result<void> check_targets(const RouteDeclaration& route, const std::vector<Target>& targets) {
  std::int64_t total = 0;
  std::set<std::string> seen;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Target& target = targets[i];
    const std::string field = "targets[" + std::to_string(i) + "]";
    if (target.model != route.model)
      return faulty(field + ".model", "must be " + route.model + ", the model of the route");
    if (target.weight < 0 || target.weight > weight_total)
      return faulty(field + ".weight", "must be from 0 to 10000");
    if (target.arm == Arm::shadow && target.weight != 0)
      return faulty(field + ".weight", "must be 0: a shadow answers nobody");
    if (!seen.insert(urn_of(target)).second)
      return faulty(field, "is " + urn_of(target) + " again; a version stands once on a route");
    total += target.weight;
  }
  if (!targets.empty() && total != weight_total)
    return faulty("targets",
                  "must have weights that add to 10000 over live and canary, and add to " +
                      std::to_string(total));
  return {};
}

Result<void> check_route(sql::Tx& tx, const Call& call, Timestamp now,
                         const RouteDeclaration& route) {
  if (!resources::get(tx, call.project, "model", route.model))
    return faulty("model", "is " + route.model + ", which is not declared");
  if (route.feature_schema.empty() != route.entity_keys.empty())
    return faulty("entity_keys", "and feature_schema go together: features are read by these keys");
  TRY(check_routing(tx, call, now, route));
  for (std::size_t i = 0; i < route.guardrails.size(); ++i) {
    const std::string field = "guardrails[" + std::to_string(i) + "]";
    const std::string& name = route.guardrails[i];
    if (!resources::get(tx, call.project, "guardrail", name))
      return faulty(field, "is " + name + ", which is not declared");
    if (route.feature_schema.empty()) continue;
    const auto guardrail = TRY(
        resources::declared<guardrails::GuardrailDeclaration>(tx, call.project, "guardrail", name));
    if (const auto fit = check_on_entities(guardrail, route.feature_schema); !fit)
      return faulty(field, "cannot be: " + fit.error().message);
  }
  for (const resources::Resource& one : TRY(resources::list(tx, call.project, "route"))) {
    const auto other = TRY(decode<RouteDeclaration>(one.declaration));
    if (!route.alias.empty() && other.name != route.name && other.model == route.model &&
        other.alias == route.alias)
      return faulty("alias", "is " + route.alias + " of " + route.model +
                                 ", which says what route " + other.name + " serves");
  }
  return {};
}

Result<void> check_stream(sql::Tx& tx, const Call& call, const StreamDeclaration& stream) {
  if (!resources::get(tx, call.project, "route", stream.route))
    return faulty("route", "is " + stream.route + ", which is not declared");
  if (stream.input == stream.output) return faulty("output", "must be another topic than input");
  return {};
}

}  // namespace

Service::Service(sql::Database& db, events::Log& log, infer::Runtime& runtime, const Clock& clock,
                 Metrics& metrics, ArtifactFinder artifacts, SchemaOpener schemas,
                 ServiceOptions options)
    : db_(db),
      log_(log),
      runtime_(runtime),
      clock_(clock),
      metrics_(metrics),
      artifacts_(std::move(artifacts)),
      schemas_(std::move(schemas)),
      options_(std::move(options)) {}

std::vector<resources::KindHandler> Service::kinds() const {
  const auto route_applied = [this](sql::Tx& tx, const Call& call,
                                    const resources::Resource& resource) -> Result<void> {
    const auto route = TRY(decode<RouteDeclaration>(resource.declaration));
    TRY(catalog::add_edge(tx, call, clock_.now(), "route:" + route.name, "model:" + route.model,
                          "serves"));
    return route_applied_ ? route_applied_(tx, call, route) : Result<void>();
  };
  const auto stream_applied = [this](sql::Tx& tx, const Call& call,
                                     const resources::Resource& resource) -> Result<void> {
    const auto stream = TRY(decode<StreamDeclaration>(resource.declaration));
    return catalog::add_edge(tx, call, clock_.now(), "stream:" + stream.name,
                             "route:" + stream.route, "decides_by");
  };
  const auto upstream_check = [this](sql::Tx& tx, const Call& call,
                                     const UpstreamDeclaration& upstream) {
    return check_upstream(tx, call, upstream);
  };
  const auto check = [this](sql::Tx& tx, const Call& call, const RouteDeclaration& route) {
    return check_route(tx, call, clock_.now(), route);
  };
  return {{"upstream", resources::checked_as<UpstreamDeclaration>(upstream_check), {}},
          {"route", resources::checked_as<RouteDeclaration>(check), route_applied},
          {"stream", resources::checked_as<StreamDeclaration>(check_stream), stream_applied}};
}

void Service::register_kinds(resources::Service& resources) {
  for (resources::KindHandler& handler : kinds()) resources.add(std::move(handler));
  resources.on_applied([this](const Call& call, const resources::ApplyOutput& applied) {
    static const std::set<std::string> read_by_tables = {
        "upstream", "guardrail", "route", "stream", "feature_view", "feature_schema", "entity"};
    for (const resources::Change& change : applied.changes) {
      if (change.action == resources::Action::unchanged || !read_by_tables.contains(change.kind))
        continue;
      if (const auto published = publish(call); !published)
        log::warn("serving.publish_failed", {{"error", published.error().message}});
      return;
    }
  });
}

Result<void> Service::check_upstream(sql::Tx& tx, const Call& call,
                                     const UpstreamDeclaration& upstream) const {
  TRY(endpoint_of(call.project, upstream, options_.upstreams));
  const auto before =
      resources::declared<UpstreamDeclaration>(tx, call.project, "upstream", upstream.name);
  if (!before || runtime_of(before->protocol) == runtime_of(upstream.protocol)) return {};
  for (const StoredTarget& target : TRY(store::all_targets(tx))) {
    if (target.project != call.project) continue;
    const auto artifact = artifacts_(tx, call, target.model, target.version);
    if (artifact && artifact->remote && artifact->remote->upstream == upstream.name)
      return faulty("protocol", "cannot become " + std::string(name_of(upstream.protocol)) +
                                    " while route " + target.route + " serves " +
                                    urn_of({target.model, target.version}) +
                                    " by it; declare another upstream");
  }
  return {};
}

Result<void> Service::set_targets(sql::Tx& tx, const Call& call, const std::string& route,
                                  const std::vector<Target>& targets, const std::string& release) {
  const auto declared =
      TRY(resources::declared<RouteDeclaration>(tx, call.project, "route", route));
  TRY(check_targets(declared, targets));
  for (const Target& target : targets) TRY(artifacts_(tx, call, target.model, target.version));

  const auto before = TRY(store::targets(tx, call.project, route));
  const Timestamp now = clock_.now();
  TRY(store::remove_targets(tx, call.project, route));
  for (const StoredTarget& old : before)
    if (std::none_of(targets.begin(), targets.end(), [&](const Target& target) {
          return target.model == old.model && target.version == old.version;
        }))
      TRY(catalog::end_edge(tx, call, now, "route:" + route,
                            urn_of(Target{.model = old.model, .version = old.version}), "serves"));
  for (const Target& target : targets) {
    TRY(sql::insert(tx, "route_targets",
                    StoredTarget{call.project, route, target.model, target.version, target.weight,
                                 target.arm, release, now}));
    TRY(catalog::add_edge(tx, call, now, "route:" + route, urn_of(target), "serves"));
  }
  return audit::record(
      tx, call, now,
      {"serving.route.targets_set",
       "route:" + route,
       {{"before", encode(before)}, {"targets", encode(targets)}, {"release", release}}});
}

Result<std::vector<StoredTarget>> Service::targets(sql::Tx& tx, const Call& call,
                                                   const std::string& route) {
  return store::targets(tx, call.project, route);
}

namespace {

RouteView view_of(const RouteDeclaration& route, const std::vector<StoredTarget>& targets,
                  const LiveRoute* live) {
  RouteView view{.name = route.name,
                 .owner = route.owner,
                 .description = route.description,
                 .model = route.model,
                 .feature_schema = route.feature_schema,
                 .unit = route.unit,
                 .entity_keys = route.entity_keys,
                 .threshold = route.threshold};
  for (const StoredTarget& stored : targets) {
    TargetView target{.model = stored.model,
                      .version = stored.version,
                      .weight = stored.weight,
                      .arm = stored.arm,
                      .release = stored.release};
    if (live)
      for (const LiveTarget& at : live->targets)
        if (at.deployment->model == stored.model && at.deployment->version == stored.version) {
          target.ready = at.arm == stored.arm && at.weight == stored.weight;
          target.answered = at.counters->answered;
          target.errors = at.counters->errors;
          target.mirrored = at.counters->mirrored;
          target.not_mirrored = at.counters->not_mirrored;
          target.repeated = at.counters->repeated;
        }
    view.targets.push_back(std::move(target));
  }
  return view;
}

const LiveRoute* live_in(const RoutingTable& table, const Call& call, const std::string& name) {
  const auto found = table.routes.find(route_key(call.project, name));
  return found == table.routes.end() ? nullptr : found->second.get();
}

}  // namespace

Result<RouteList> Service::list(const Call& call) {
  const auto table = table_.get();
  return db_.read(call, [&](sql::Tx& tx) -> Result<RouteList> {
    RouteList out;
    for (const resources::Resource& resource : TRY(resources::list(tx, call.project, "route")))
      out.routes.push_back(view_of(TRY(decode<RouteDeclaration>(resource.declaration)),
                                   TRY(store::targets(tx, call.project, resource.name)),
                                   live_in(*table, call, resource.name)));
    return out;
  });
}

Result<RouteView> Service::show(const Call& call, const RouteName& name) {
  const auto table = table_.get();
  return db_.read(call, [&](sql::Tx& tx) -> Result<RouteView> {
    return view_of(TRY(resources::declared<RouteDeclaration>(tx, call.project, "route", name.name)),
                   TRY(store::targets(tx, call.project, name.name)),
                   live_in(*table, call, name.name));
  });
}

}  // namespace penstock::serving
