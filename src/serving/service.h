// The control plane of routes: which versions answer, and what was answered.
#pragma once

#include <mutex>

#include "catalog/lineage.h"
#include "guardrails/guardrail.h"
#include "ports/log.h"
#include "resources/service.h"
#include "serving/classes.h"
#include "serving/table.h"
#include "serving/telemetry.h"

namespace penstock::serving {

struct RouteName {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(RouteName, (), (name))

struct TargetView {
  std::string model;
  std::int64_t version = 0, weight = 0;
  Arm arm = Arm::live;
  std::string release;
  bool ready = false;  // loaded in the table that serves now
  std::int64_t answered = 0, errors = 0, mirrored = 0, not_mirrored = 0, repeated = 0;
};
BOOST_DESCRIBE_STRUCT(TargetView, (),
                      (model, version, weight, arm, release, ready, answered, errors, mirrored,
                       not_mirrored, repeated))
struct RouteView {
  std::string name, owner, description, model, feature_schema, unit;
  std::vector<std::string> entity_keys;
  double threshold = 0;
  std::vector<TargetView> targets;
};
BOOST_DESCRIBE_STRUCT(RouteView, (),
                      (name, owner, description, model, feature_schema, unit, entity_keys,
                       threshold, targets))
struct RouteList {
  std::vector<RouteView> routes;
};
BOOST_DESCRIBE_STRUCT(RouteList, (), (routes))

struct PredictionName {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(PredictionName, (), (id))

struct LabelInput {
  std::string prediction;
  double value = 0;
  std::optional<Timestamp> at;  // none: now
};
BOOST_DESCRIBE_STRUCT(LabelInput, (), (prediction, value, at))
constexpr auto rules_of(const LabelInput&) {
  return std::array{Rule{.field = "prediction", .min = 1, .max = 200}};
}
struct LabelsInput {
  std::vector<LabelInput> labels;
};
BOOST_DESCRIBE_STRUCT(LabelsInput, (), (labels))
constexpr auto rules_of(const LabelsInput&) {
  return std::array{Rule{.field = "labels", .min = 1, .max = 10'000}};
}
struct LabelsOutput {
  std::int64_t added = 0;
  std::int64_t repeated = 0;  // the same value for the same prediction was there already
  std::int64_t unknown = 0;   // of those added: no prediction of that id is known (yet)
};
BOOST_DESCRIBE_STRUCT(LabelsOutput, (), (added, repeated, unknown))

// The version that a guardrail of rule classifier asks, as it was found.
struct SavedClassifier {
  std::string guardrail;
  StoredTarget target;
  Artifact artifact;
  std::string fault;  // why there is none
};
BOOST_DESCRIBE_STRUCT(SavedClassifier, (), (guardrail, target, artifact, fault))

// A route as it was published: what the table's file keeps, one of these for each route.
struct SavedRoute {
  std::string project;
  RouteDeclaration declaration;
  std::vector<StoredTarget> targets;
  std::vector<Artifact> artifacts;  // of each target; the path of one that was not there is empty
  std::vector<guardrails::GuardrailDeclaration> guardrails;  // that it names, in its order
  std::vector<SavedClassifier> classifiers;                  // of those
};
BOOST_DESCRIBE_STRUCT(SavedRoute, (),
                      (project, declaration, targets, artifacts, guardrails, classifiers))
struct SavedTable {
  std::vector<SavedRoute> routes;
};
BOOST_DESCRIBE_STRUCT(SavedTable, (), (routes))

struct ServiceOptions {
  std::string table_path;  // the copy of the last good table, read where the database cannot be
  UpstreamOptions upstreams = {};
  infer::Runtime* python =
      nullptr;  // loads the folder of an MLmodel; none: such models are refused
  // The version that an alias of a model names; not_found where it names none.
  std::function<Result<std::int64_t>(sql::Tx&, const Call&, const std::string& model,
                                     const std::string& alias)>
      alias = {};
  // Of graphs: the tree of an expression.
  std::function<Result<json::value>(const std::string& expression)> parse = {};
  // Of kserve: what the upstream says of the model, and calls of it.
  std::function<Result<std::shared_ptr<infer::Model>>(const Remote&)> connect = {};
};

class Service {
 public:
  Service(sql::Database& db, events::Log& log, infer::Runtime& runtime, const Clock& clock,
          Metrics& metrics, ArtifactFinder artifacts, SchemaOpener schemas, ServiceOptions options);

  // Kinds `upstream`, `route` and `stream`; routes are published again after an apply that changed
  // one.
  void register_kinds(resources::Service& resources);
  // In the transaction that declared a route.
  void on_route_applied(
      std::function<Result<void>(sql::Tx&, const Call&, const RouteDeclaration&)> listener) {
    route_applied_ = std::move(listener);
  }
  // Before the first publish: what shadows and payloads may hold.
  void classes_by(ClassFinder classes) { classes_ = std::move(classes); }
  std::vector<resources::KindHandler> kinds() const;
  // Where events wait before they are in the log: reads of predictions write those first.
  void reads_after(Telemetry& telemetry) { telemetry_ = &telemetry; }

  // Inside the transaction of a release. invalid_argument where weights of live and canary do not
  // add to 10,000, a shadow has weight or a version stands twice; not_found for an unknown route or
  // version; failed_precondition where an artifact is not there. An empty list takes the route out
  // of service.
  Result<void> set_targets(sql::Tx& tx, const Call& call, const std::string& route,
                           const std::vector<Target>& targets, const std::string& release);
  Result<std::vector<StoredTarget>> targets(sql::Tx& tx, const Call& call,
                                            const std::string& route);

  // After the commit: loads what is not loaded yet, then swaps the table. A route whose versions
  // cannot all be loaded keeps what it served before, and the error says which. Every project's
  // routes are published.
  // Where `route` is given, the error is only of that one or of all together: what ails another
  // route must not stop this one's release.
  Result<void> publish(const Call& call, const std::string& route = {});
  // The same, and what ails single routes is no error but is told by their route_key; heal() tries
  // those again.
  Result<std::map<std::string, Error>> swap_table(const Call& call);
  // A background turn: publishes again where a class changed since; true where one did.
  Result<bool> refresh_classes(const Call& call);
  // The same where an alias that a guardrail asks by names another version since.
  Result<bool> follow_aliases(const Call& call);
  // Of a guardrail that is declared: not_found where its version is not there.
  Result<void> check_classifier(sql::Tx& tx, const Call& call,
                                const guardrails::GuardrailDeclaration& declared) const;
  // At start: the table as it was last published, from its file. Absent is fine.
  Result<void> restore();
  // Publishes again where the last time some route could not be served as it should: an upstream
  // that was away may be back. True where it did. Gives back the memory of what was unloaded.
  Result<bool> heal(const Call& call);
  const TableHolder& table() const { return table_; }
  // A route as if `version` (0: the one with the greatest weight) answered every call of it: for
  // batch.
  Result<std::shared_ptr<const LiveRoute>> pinned(const Call& call, const std::string& route,
                                                  std::int64_t version);

  Result<RouteList> list(const Call& call);
  Result<RouteView> show(const Call& call, const RouteName& name);

  // not_found where no answered prediction of the call's project has this id.
  Result<InferenceEvent> prediction(const Call& call, const PredictionName& name);
  Result<LabelsOutput> add_labels(const Call& call, const LabelsInput& input);

 private:
  // What one publish loaded, or could not; by deployment_key.
  using Tried = std::map<std::string, Result<std::shared_ptr<const Deployment>>>;

  Result<std::vector<SavedRoute>> saved_routes(const Call& call);
  // Loads what is not loaded and was not tried. Slow, so without the lock that a rollback needs.
  void load_missing(const std::vector<SavedRoute>& routes, Tried& tried);
  bool has_missing(const std::vector<SavedRoute>& routes, const Tried& tried) const;
  // These two under publishing_.
  std::map<std::string, Error> serve(const std::vector<SavedRoute>& routes, const Tried& tried);
  Result<std::shared_ptr<const LiveRoute>> make_live(const SavedRoute& saved, const Tried& tried);
  // classifiers.cc
  Result<StoredTarget> classifier_version(sql::Tx& tx, const Call& call,
                                          const guardrails::GuardrailDeclaration& declared) const;
  void add_classifiers(sql::Tx& tx, const Call& call, SavedRoute& route) const;
  Result<void> add_guards(const SavedRoute& saved, const Tried& tried, LiveRoute& live);
  std::shared_ptr<const Classes> classes_for(const std::string& project,
                                             const RouteDeclaration& route,
                                             const OpenSchema& features) const;
  Result<std::shared_ptr<const Deployment>> deploy(const StoredTarget& target,
                                                   const Artifact& artifact, const Tried& tried);
  Result<Deployment> load(const StoredTarget& target, const Artifact& artifact, const Tried& tried);
  // Of runtime graph, whose parts are in `tried`: graph_loading.cc.
  Result<std::shared_ptr<infer::Model>> load_graph(const StoredTarget& target,
                                                   const Artifact& artifact, const Tried& tried);
  Result<void> check_upstream(sql::Tx& tx, const Call& call,
                              const UpstreamDeclaration& upstream) const;
  Result<void> save() const;

  sql::Database& db_;
  events::Log& log_;
  infer::Runtime& runtime_;
  const Clock& clock_;
  Metrics& metrics_;
  ArtifactFinder artifacts_;
  SchemaOpener schemas_;
  ClassFinder classes_;
  ServiceOptions options_;
  TableHolder table_;

  std::function<Result<void>(sql::Tx&, const Call&, const RouteDeclaration&)> route_applied_;

  Telemetry* telemetry_ = nullptr;

  std::mutex labelling_;   // looks for a label, then adds it
  std::mutex loading_;     // one load at a time; taken before publishing_
  std::mutex publishing_;  // one swap at a time; readers of the table do not take it
  std::map<std::string, SavedRoute> served_;  // by route_key
  // By deployment_key.
  std::map<std::string, std::weak_ptr<const Deployment>> loaded_;
  bool incomplete_ = false;  // the last publish left a route behind
  Timestamp heal_at_{};      // not before
  Micros heal_pause_{};      // grows while it does not help
  std::map<std::string, std::shared_ptr<Counters>> counters_;
  std::map<std::string, std::shared_ptr<std::atomic<std::int64_t>>> mirrors_;
  std::map<std::string, std::shared_ptr<AnswerCache>> caches_;  // by route_key and size
};

// What a prediction was made by and from, as edges of the lineage graph; derived, never stored.
std::vector<catalog::Edge> prediction_edges(const InferenceEvent& event);

}  // namespace penstock::serving
