// From what is stored to what is served: load, warm, then swap.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "resources/service.h"
#include "serving/classes.h"
#include "serving/rule.h"
#include "serving/service.h"
#include "serving/store.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

Call in_project(const Call& call, const std::string& project) {
  Call other = call;
  other.project = project;
  return other;
}

// The model must fit what the route promises its callers, or every call would fail later.
Result<void> check_fit(const LiveRoute& route, const infer::Model& model) {
  const RouteDeclaration& declared = route.declaration;
  const auto has_output = [&](const infer::TensorInfo& info) {
    return info.name == declared.output;
  };
  if (std::none_of(model.outputs().begin(), model.outputs().end(), has_output)) {
    std::string names;
    for (const infer::TensorInfo& info : model.outputs())
      names += (names.empty() ? "" : ", ") + info.name;
    return Error{Code::failed_precondition, "the route's output is " + declared.output +
                                                ", and the model's outputs are " + names};
  }
  if (!route.features.read) return {};
  for (const std::string& input : route.features.inputs)
    if (std::find(declared.entity_keys.begin(), declared.entity_keys.end(), input) ==
        declared.entity_keys.end())
      return Error{Code::failed_precondition, "entity_keys lacks " + input + ", an input of " +
                                                  route.features.reference +
                                                  ": callers must be able to give it"};
  const auto width = static_cast<std::int64_t>(route.features.names.size());
  const auto& inputs = model.inputs();
  const bool fits = inputs.size() == 1 && inputs[0].datatype == "FP32" &&
                    inputs[0].shape.size() == 2 && inputs[0].shape[0] == -1 &&
                    (inputs[0].shape[1] == width || inputs[0].shape[1] == -1);
  if (fits) return {};
  return Error{Code::failed_precondition, "a model for features " + route.features.reference +
                                              " must have one input, FP32 of shape [-1," +
                                              std::to_string(width) + "]"};
}

// Whole or not at all: a crash leaves the old file.
Result<void> replace_file(const std::string& path, const std::string& text) {
  const std::string next = path + ".next";
  std::ofstream file(next, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  std::error_code fault;
  if (file) std::filesystem::rename(next, path, fault);
  if (file && !fault) return {};
  return Error{Code::unavailable, "cannot write " + path};
}

}  // namespace

Result<std::vector<SavedRoute>> Service::saved_routes(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<SavedRoute>> {
    std::vector<SavedRoute> out;
    for (const StoredTarget& target : TRY(store::all_targets(tx))) {
      const Call inside = in_project(call, target.project);
      if (out.empty() || out.back().project != target.project ||
          out.back().declaration.name != target.route)
        out.push_back({target.project, TRY(resources::declared<RouteDeclaration>(
                                           tx, target.project, "route", target.route))});
      // One route's lost artifact must not stop the others; deploy() says it of the route that it
      // is of.
      const auto artifact = artifacts_(tx, inside, target.model, target.version);
      out.back().targets.push_back(target);
      out.back().paths.push_back(artifact ? artifact->path : "");
      out.back().digests.push_back(artifact ? artifact->digest : "");
      if (!artifact) log::warn("artifact_not_loaded", {{"error", artifact.error().message}});
    }
    return out;
  });
}

Result<std::shared_ptr<const Deployment>> Service::deploy(const StoredTarget& target,
                                                          const std::string& path,
                                                          const std::string& digest) {
  if (path.empty())
    return Error{Code::failed_precondition,
                 "the artifact of model:" + target.model + "@v" + std::to_string(target.version) +
                     " is not there, or its signature does not verify; penstock models verify "
                     "says which"};
  auto& known = loaded_[target.model + "@" + std::to_string(target.version) + "#" + digest];
  if (auto loaded = known.lock()) return loaded;
  auto session = TRY(runtime_.load(path));
  auto deployment = std::make_shared<const Deployment>(Deployment{.model = target.model,
                                                                  .version = target.version,
                                                                  .digest = digest,
                                                                  .runtime = std::move(session)});
  known = deployment;
  return deployment;
}

std::shared_ptr<const Classes> Service::classes_for(const std::string& project,
                                                    const RouteDeclaration& route,
                                                    const OpenSchema& features) const {
  if (!route.shadow.max_class && !route.payloads) return nullptr;
  Classes classes;
  if (classes_ && features.read) {
    const Call call{.actor = "service:serving", .tenant = "penstock", .project = project};
    auto found = classes_(call, route, features);
    if (found)
      classes = std::move(*found);
    else  // nothing is known, so all of it is restricted
      log::warn("classes_not_read", {{"route", route.name}, {"error", found.error().message}});
  }
  classes.input = route.input_class;
  for (const std::string& input : features.inputs) classes.entities[input] = route.input_class;
  return std::make_shared<const Classes>(std::move(classes));
}

Result<bool> Service::refresh_classes(const Call& call) {
  const auto table = table_.get();
  for (const auto& [key, route] : table->routes) {
    if (!route->classes) continue;
    const auto now = classes_for(route->project, route->declaration, route->features);
    if (*now == *route->classes) continue;
    TRY(publish(call));
    return true;
  }
  return false;
}

Result<std::shared_ptr<const LiveRoute>> Service::make_live(const SavedRoute& saved) {
  auto live = std::make_shared<LiveRoute>();
  live->project = saved.project;
  live->declaration = saved.declaration;
  live->rules = TRY(Rules::compile(saved.declaration.rules, saved.declaration.entity_keys));
  const std::string key = route_key(saved.project, saved.declaration.name);
  if (!saved.declaration.feature_schema.empty()) {
    const Call call{.actor = "service:serving", .tenant = "penstock", .project = saved.project};
    live->features = TRY(schemas_(call, saved.declaration.feature_schema));
  }
  live->classes = classes_for(saved.project, saved.declaration, live->features);
  for (std::size_t i = 0; i < saved.targets.size(); ++i) {
    const StoredTarget& target = saved.targets[i];
    auto deployment = TRY(deploy(target, saved.paths.at(i), saved.digests.at(i)));
    TRY(check_fit(*live, *deployment->runtime));
    auto& counters = counters_[key + "/" + target.model + "@" + std::to_string(target.version)];
    if (!counters) counters = std::make_shared<Counters>();
    live->targets.push_back({.arm = target.arm,
                             .weight = target.weight,
                             .release = target.release,
                             .seed = seed_of(key, target.release, target.model, target.version),
                             .deployment = std::move(deployment),
                             .counters = counters});
  }
  std::stable_sort(live->targets.begin(), live->targets.end(),
                   [](const LiveTarget& a, const LiveTarget& b) { return a.arm < b.arm; });
  auto& mirrors = mirrors_[key];
  if (!mirrors) mirrors = std::make_shared<std::atomic<std::int64_t>>(0);
  live->mirrors_running = mirrors;
  live->seconds =
      &metrics_.histogram("penstock_infer_seconds", "Seconds of a call on a route.",
                          {{"project", saved.project}, {"route", saved.declaration.name}});
  return std::shared_ptr<const LiveRoute>(std::move(live));
}

Result<void> Service::serve(const std::vector<SavedRoute>& routes) {
  const auto before = table_.get();
  auto next = std::make_shared<RoutingTable>();
  next->number = before->number + 1;
  std::map<std::string, SavedRoute> served;
  std::optional<Error> fault;
  for (const SavedRoute& saved : routes) {
    const std::string key = route_key(saved.project, saved.declaration.name);
    const auto live = make_live(saved);
    if (live) {
      next->routes[key] = *live;
      served[key] = saved;
      continue;
    }
    fault = Error{live.error().code, "route " + saved.declaration.name +
                                         " keeps what it served before: " + live.error().message};
    if (const auto old = before->routes.find(key); old != before->routes.end()) {
      next->routes[key] = old->second;
      served[key] = served_[key];
    }
  }
  table_.set(std::move(next));
  served_ = std::move(served);
  std::erase_if(loaded_, [](const auto& entry) { return entry.second.expired(); });
  if (fault) return *fault;
  return {};
}

Result<void> Service::save() const {
  SavedTable saved;
  for (const auto& [key, route] : served_) saved.routes.push_back(route);
  return replace_file(options_.table_path, json_text(saved));
}

Result<std::shared_ptr<const LiveRoute>> Service::pinned(const Call& call, const std::string& route,
                                                         std::int64_t version) {
  const auto saved = db_.read(call, [&](sql::Tx& tx) -> Result<SavedRoute> {
    auto declared = TRY(resources::declared<RouteDeclaration>(tx, call.project, "route", route));
    SavedRoute out{call.project, std::move(declared)};
    StoredTarget only{.project = call.project, .route = route, .model = out.declaration.model};
    for (const StoredTarget& target : TRY(store::targets(tx, call.project, route))) {
      const bool asked = version == 0 ? target.weight > only.weight : target.version == version;
      if (asked) only = target;
    }
    if (only.version == 0) only.version = version;
    if (only.version == 0)
      return Error{Code::failed_precondition,
                   "route " + route + " has no version that answers; say which one to score with"};
    const Artifact artifact = TRY(artifacts_(tx, call, only.model, only.version));
    only.arm = Arm::live;
    only.weight = weight_total;
    out.targets.push_back(only);
    out.paths.push_back(artifact.path);
    out.digests.push_back(artifact.digest);
    return out;
  });
  if (!saved) return saved.error();
  const std::lock_guard lock(publishing_);
  return make_live(*saved);
}

Result<void> Service::publish(const Call& call) {
  const std::lock_guard lock(publishing_);
  const auto routes = TRY(saved_routes(call));
  const auto served = serve(routes);
  if (!options_.table_path.empty()) TRY(save());
  return served;
}

Result<void> Service::restore() {
  const std::lock_guard lock(publishing_);
  std::ifstream file(options_.table_path, std::ios::binary);
  if (!file) return {};
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  return serve(TRY(read_json<SavedTable>(text)).routes);
}

}  // namespace penstock::serving
