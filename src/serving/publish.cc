// From what is stored to what is served: load, warm, then swap.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/digest.h"
#include "base/log.h"
#include "base/memory.h"
#include "graphs/plan.h"
#include "guardrails/service.h"
#include "resources/service.h"
#include "serving/cache.h"
#include "serving/classes.h"
#include "serving/decide.h"
#include "serving/graph_loading.h"
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

// Of one route all versions must be called alike, and words read no features.
Result<void> check_sort(const LiveRoute& route) {
  if (takes_tensors(route)) return {};
  if (route.features.read)
    return Error{Code::failed_precondition, "feature_schema is for models that take tensors, and " +
                                                route.declaration.model + " is a language model"};
  for (const LiveTarget& target : route.targets)
    if (target.deployment->runtime)
      return Error{Code::failed_precondition,
                   "some versions of the route take tensors and some, as a language model, words; "
                   "declare a route for each"};
  return {};
}

// The model must fit what the route promises its callers, or every call would fail later.
Result<void> check_fit(const LiveRoute& route, const infer::Model& model) {
  const RouteDeclaration& declared = route.declaration;
  const auto has_output = [&](const infer::TensorInfo& info) {
    return info.name == declared.output;
  };
  // A server elsewhere may not say what it gives; its answers will.
  if (!model.outputs().empty() &&
      std::none_of(model.outputs().begin(), model.outputs().end(), has_output)) {
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
  const bool table = inputs.size() == 1 &&
                     (inputs[0].datatype == "FP32" || inputs[0].datatype == "FP64") &&
                     inputs[0].shape.size() == 2 && inputs[0].shape[0] == -1 &&
                     (inputs[0].shape[1] == width || inputs[0].shape[1] == -1);
  if (table || inputs.empty() || takes_columns(route.features, model)) return {};
  return Error{Code::failed_precondition,
               "a model for features " + route.features.reference +
                   " must have one input, FP32 or FP64 of shape [-1," + std::to_string(width) +
                   "], or an input of shape [-1] for each feature and of its name"};
}

// A route with what it names, and no targets yet.
Result<SavedRoute> declared_route(sql::Tx& tx, const std::string& project,
                                  const std::string& name) {
  SavedRoute out;
  out.project = project;
  out.declaration = TRY(resources::declared<RouteDeclaration>(tx, project, "route", name));
  out.guardrails = TRY(guardrails::declared(tx, project, out.declaration.guardrails));
  return out;
}

// Each version that a route needs, with its artifact; those that a graph asks before it.
void for_each_version(const SavedRoute& route, const auto& visit) {
  for (std::size_t i = 0; i < route.targets.size(); ++i) {
    for (const PartArtifact& part : route.artifacts.at(i).parts)
      visit(part_target(route.targets[i], part), part_artifact(part));
    visit(route.targets[i], route.artifacts.at(i));
  }
  for (const SavedClassifier& one : route.classifiers) visit(one.target, one.artifact);
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
          out.back().declaration.name != target.route) {
        out.push_back(TRY(declared_route(tx, target.project, target.route)));
        add_classifiers(tx, inside, out.back());
      }
      // One route's lost artifact must not stop the others; deploy() says it of the route that it
      // is of.
      const auto artifact = artifacts_(tx, inside, target.model, target.version);
      out.back().targets.push_back(target);
      out.back().artifacts.push_back(artifact ? *artifact : Artifact{});
      if (!artifact) log::warn("artifact_not_loaded", {{"error", artifact.error().message}});
    }
    return out;
  });
}

Result<Deployment> Service::load(const StoredTarget& target, const Artifact& artifact,
                                 const Tried& tried) {
  Deployment out{.model = target.model,
                 .version = target.version,
                 .digest = artifact.digest,
                 .runtime_name = artifact.runtime};
  if (artifact.remote) {
    out.gpus = artifact.remote->gpus;
    auto endpoint = TRY(endpoint_of(target.project, *artifact.upstream, options_.upstreams));
    out.remote = std::make_shared<const Remote>(
        Remote{.protocol = artifact.upstream->protocol,
               .model = *artifact.remote,
               .endpoint = std::make_shared<const http::Endpoint>(std::move(endpoint)),
               .health_path = artifact.upstream->health_path});
    if (artifact.graph) out.graph = TRY(graphs::Plan::make(*artifact.graph));
    if (artifact.runtime == "openai") return out;
    if (!options_.connect)
      return Error{Code::failed_precondition, "this server calls no upstreams of runtime kserve"};
    out.runtime = TRY(options_.connect(*out.remote));
    return out;
  }
  if (artifact.table) {
    out.runtime = TRY(load_graph(target, artifact, tried));
    for (const PartArtifact& part : artifact.parts)
      out.parts.push_back(
          *tried.at(deployment_key(part_target(target, part), part_artifact(part))));
    return out;
  }
  if (artifact.runtime == "python" && !options_.python)
    return Error{Code::failed_precondition, "this server runs no models of runtime python"};
  infer::Runtime& runtime = artifact.runtime == "python" ? *options_.python : runtime_;
  out.runtime = TRY(runtime.load(artifact.path));
  out.gpus = out.runtime->gpus();
  return out;
}

Result<std::shared_ptr<const Deployment>> Service::deploy(const StoredTarget& target,
                                                          const Artifact& artifact,
                                                          const Tried& tried) {
  if (artifact.digest.empty())
    return Error{Code::failed_precondition,
                 "the artifact of model:" + target.model + "@v" + std::to_string(target.version) +
                     " is not there, or its signature does not verify; penstock models verify "
                     "says which"};
  const std::string key = deployment_key(target, artifact);
  if (const auto known = tried.find(key); known != tried.end()) return known->second;
  if (auto loaded = loaded_[key].lock()) return loaded;
  return Error{Code::unavailable, "model:" + target.model + "@v" + std::to_string(target.version) +
                                      " is not loaded yet; publish again"};
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

bool Service::has_missing(const std::vector<SavedRoute>& routes, const Tried& tried) const {
  bool missing = false;
  for (const SavedRoute& route : routes)
    for_each_version(route, [&](const StoredTarget& target, const Artifact& artifact) {
      const std::string key = deployment_key(target, artifact);
      if (artifact.digest.empty() || tried.contains(key)) return;
      const auto known = loaded_.find(key);
      missing = missing || known == loaded_.end() || known->second.expired();
    });
  return missing;
}

void Service::load_missing(const std::vector<SavedRoute>& routes, Tried& tried) {
  const std::lock_guard turn(loading_);
  const auto load_one = [&](const StoredTarget& target, const Artifact& artifact) {
    const std::string key = deployment_key(target, artifact);
    if (artifact.digest.empty() || tried.contains(key)) return;
    {
      const std::lock_guard lock(publishing_);
      if (auto loaded = loaded_[key].lock()) {
        tried.emplace(key, std::move(loaded));
        return;
      }
    }
    auto made = load(target, artifact, tried);
    if (!made) {
      tried.emplace(key, made.error());
      return;
    }
    auto deployment = std::make_shared<const Deployment>(std::move(made).take());
    const std::lock_guard lock(publishing_);
    loaded_[key] = deployment;
    tried.emplace(key, std::move(deployment));
  };
  for (const SavedRoute& route : routes) for_each_version(route, load_one);
}

namespace {

std::string digest_of_guards(const SavedRoute& saved) {
  std::string text;
  for (const auto& declared : saved.guardrails) text += canonical(encode(declared));
  for (const auto& classifier : saved.classifiers) text += canonical(encode(classifier));
  return text.empty() ? text : sha256_hex(text);
}

}  // namespace

Result<std::shared_ptr<const LiveRoute>> Service::make_live(const SavedRoute& saved,
                                                            const Tried& tried) {
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
    auto deployment = TRY(deploy(target, saved.artifacts.at(i), tried));
    if (deployment->runtime) TRY(check_fit(*live, *deployment->runtime));
    auto& counters = counters_[key + "/" + target.model + "@" + std::to_string(target.version)];
    if (!counters) counters = std::make_shared<Counters>();
    live->targets.push_back({.arm = target.arm,
                             .weight = target.weight,
                             .release = target.release,
                             .seed = seed_of(key, target.release, target.model, target.version),
                             .deployment = std::move(deployment),
                             .counters = counters});
  }
  TRY(check_sort(*live));
  TRY(add_guards(saved, tried, *live));
  if (saved.declaration.cache) {
    // Kept over tables; one of another size begins anew, and so does one behind other guardrails,
    // which have not seen what was kept.
    const std::int64_t bytes = saved.declaration.cache->max_bytes;
    auto& cache = caches_[key + "#" + std::to_string(bytes) + "#" + digest_of_guards(saved)];
    if (!cache) cache = std::make_shared<AnswerCache>(bytes);
    live->cache = cache;
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

std::map<std::string, Error> Service::serve(const std::vector<SavedRoute>& routes,
                                            const Tried& tried) {
  const auto before = table_.get();
  auto next = std::make_shared<RoutingTable>();
  next->number = before->number + 1;
  std::map<std::string, SavedRoute> served;
  std::map<std::string, Error> faults;
  for (const SavedRoute& saved : routes) {
    const std::string key = route_key(saved.project, saved.declaration.name);
    const auto live = make_live(saved, tried);
    if (live) {
      next->routes[key] = *live;
      served[key] = saved;
      continue;
    }
    faults.emplace(
        key, Error{live.error().code, "route " + saved.declaration.name +
                                          " keeps what it served before: " + live.error().message});
    if (const auto old = before->routes.find(key); old != before->routes.end()) {
      next->routes[key] = old->second;
      served[key] = served_[key];
    }
  }
  table_.set(std::move(next));
  served_ = std::move(served);
  std::erase_if(caches_, [](const auto& entry) { return entry.second.use_count() == 1; });
  incomplete_ = !faults.empty();
  return faults;
}

Result<void> Service::save() const {
  SavedTable saved;
  for (const auto& [key, route] : served_) saved.routes.push_back(route);
  return replace_file(options_.table_path, json_text(saved));
}

Result<std::shared_ptr<const LiveRoute>> Service::pinned(const Call& call, const std::string& route,
                                                         std::int64_t version) {
  const auto saved = db_.read(call, [&](sql::Tx& tx) -> Result<SavedRoute> {
    SavedRoute out = TRY(declared_route(tx, call.project, route));
    StoredTarget only{.project = call.project, .route = route, .model = out.declaration.model};
    for (const StoredTarget& target : TRY(store::targets(tx, call.project, route))) {
      const bool asked = version == 0 ? target.weight > only.weight : target.version == version;
      if (asked) only = target;
    }
    if (only.version == 0) only.version = version;
    if (only.version == 0)
      return Error{Code::failed_precondition,
                   "route " + route + " has no version that answers; say which one to score with"};
    out.artifacts.push_back(TRY(artifacts_(tx, call, only.model, only.version)));
    only.arm = Arm::live;
    only.weight = weight_total;
    out.targets.push_back(only);
    add_classifiers(tx, call, out);
    return out;
  });
  if (!saved) return saved.error();
  Tried tried;
  load_missing({*saved}, tried);
  const std::lock_guard lock(publishing_);
  return make_live(*saved, tried);
}

Result<std::map<std::string, Error>> Service::swap_table(const Call& call) {
  constexpr int turns = 5;  // what is declared may change while we load
  Tried tried;
  for (int turn = 1;; ++turn) {
    std::unique_lock lock(publishing_);
    const auto routes = TRY(saved_routes(call));
    if (turn == turns || !has_missing(routes, tried)) {
      auto faults = serve(routes, tried);
      if (!options_.table_path.empty()) TRY(save());
      return faults;
    }
    lock.unlock();
    load_missing(routes, tried);
  }
}

Result<void> Service::publish(const Call& call, const std::string& route) {
  const auto faults = TRY(swap_table(call));
  const std::string key = route.empty() ? "" : route_key(call.project, route);
  for (const auto& [name, fault] : faults) {
    if (key.empty() || name == key) return fault;
    log::warn("serving.route_not_published", {{"error", fault.message}});
  }
  return {};
}

Result<bool> Service::heal(const Call& call) {
  constexpr Micros pause_min = std::chrono::seconds(2), pause_max = std::chrono::minutes(2);
  {
    const std::lock_guard lock(publishing_);
    // What no table refers to any more is gone; the allocator still holds its memory.
    if (std::erase_if(loaded_, [](const auto& entry) { return entry.second.expired(); }) > 0)
      give_back_free_memory();
    if (!incomplete_) heal_pause_ = Micros(0);
    if (!incomplete_ || clock_.now() < heal_at_) return false;
    heal_pause_ = std::clamp(heal_pause_ * 2, pause_min, pause_max);
    heal_at_ = clock_.now() + heal_pause_;
  }
  // What is wrong was said when it came up; here it matters only that it is gone.
  if (publish(call)) log::info("serving.healed");
  return true;
}

Result<void> Service::restore() {
  std::ifstream file(options_.table_path, std::ios::binary);
  if (!file) return {};
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto saved = TRY(read_json<SavedTable>(text));
  Tried tried;
  load_missing(saved.routes, tried);
  const std::lock_guard lock(publishing_);
  const auto faults = serve(saved.routes, tried);
  if (!faults.empty()) return faults.begin()->second;
  return {};
}

}  // namespace penstock::serving
