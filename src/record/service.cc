#include "record/service.h"

#include <algorithm>

#include "approvals/service.h"
#include "base/digest.h"
#include "base/yaml.h"
#include "incidents/about.h"
#include "record/bom.h"
#include "record/card.h"
#include "record/packages.h"
#include "record/training_cost.h"
#include "release/history.h"
#include "serving/targets.h"
#include "training/facts.h"

namespace penstock::record {
namespace {

constexpr std::int64_t incidents_max = 100;
constexpr std::int64_t trace_depth = 32;

Result<std::string> owner_of(sql::Tx& tx, const Call& call, const std::string& kind,
                             const std::string& name) {
  const auto resource = resources::get(tx, call.project, kind, name);
  if (resource) return resource->owner;
  if (resource.error().code == Code::not_found) return std::string();
  return resource.error();
}

const registry::Reference* reference_of(const registry::ModelVersion& version,
                                        std::string_view field) {
  for (const registry::Reference& reference : version.record_references)
    if (reference.field == field && !reference.urn.empty()) return &reference;
  return nullptr;
}

// The features of the schema that the record names, each with the view that makes it.
Result<void> add_features(sql::Tx& tx, const Call& call, Facts& facts) {
  const registry::Reference* reference = reference_of(facts.version, "feature_schema");
  if (!reference) return {};
  facts.feature_schema = reference->urn;
  const auto urn = Urn::parse(reference->urn);
  if (!urn) return {};
  const auto schema = resources::declared<features::FeatureSchema>(
      tx, call.project, "feature_schema", urn->name, std::atoll(urn->version.c_str()));
  if (!schema) return {};  // a schema of another kind of reference: what is declared stays
  std::map<std::string, features::FeatureView> views;
  for (const features::FeatureReference& one : schema->features) {
    if (one.expression) {
      facts.features.push_back({.name = one.name.value_or(""),
                                .owner = schema->owner,
                                .type = one.type.value_or(features::FeatureType::real),
                                .description = one.expression});
      continue;
    }
    const auto pin = schema->views.find(one.view);
    const std::int64_t version = pin == schema->views.end() ? 0 : pin->second;
    if (!views.contains(one.view)) {
      const auto& view = views[one.view] = TRY(resources::declared<features::FeatureView>(
          tx, call.project, "feature_view", one.view, version));
      facts.views.push_back({view.name, view.owner, version, view.sources, view.sql});
    }
    const features::FeatureView& view = views.at(one.view);
    FeatureFact fact{.name = one.name.value_or(one.feature),
                     .view = one.view + "@" + std::to_string(version),
                     .entity = view.entity,
                     .owner = view.owner};
    for (const features::Feature& feature : view.features)
      if (feature.name == one.feature) {
        fact.type = feature.type;
        fact.unit = feature.unit;
        fact.description = feature.description;
      }
    facts.features.push_back(std::move(fact));
  }
  return {};
}

// "3.11.2 (main, ...) [GCC 12.2.0]", then one package a line.
EnvironmentFact environment_of(const std::string& run, const std::string& packages) {
  const std::string first = packages.substr(0, packages.find('\n'));
  return {.source = "run:" + run,
          .python = first.substr(0, first.find(' ')),
          .packages = packages_in(packages)};
}

void add_run(Facts& facts, const training::RunFacts& run) {
  facts.parameters = run.run.parameters;
  facts.seed = run.run.seed;
  CodeFact code{
      .pipeline = run.run.pipeline + "@" + std::to_string(run.run.pipeline_version),
      .git_commit = run.run.git_commit,
  };
  for (const training::PipelineStep& step : run.pipeline.steps)
    code.commands[step.name] =
        step.dataset ? std::vector<std::string>{step.dataset->entity_sql} : step.command;
  for (const auto& [name, text] : run.pipeline.files) code.files[name] = sha256_hex(text);
  facts.code = std::move(code);
  if (!run.packages.empty()) facts.environment = environment_of(run.run.id, run.packages);
}

Result<void> add_deployments(sql::Tx& tx, const Call& call, Facts& facts) {
  const registry::ModelVersion& version = facts.version;
  for (const serving::StoredTarget& target :
       TRY(serving::targets_of(tx, call.project, version.model, version.version))) {
    auto owner = TRY(owner_of(tx, call, "route", target.route));
    facts.deployments.push_back({.route = target.route,
                                 .owner = std::move(owner),
                                 .arm = target.arm,
                                 .weight = target.weight,
                                 .release = target.release,
                                 .since = target.updated_at});
  }
  facts.releases = TRY(release::releases_of(tx, call.project, version.model, version.version));
  std::vector<std::string> subjects{version.urn(), "model:" + version.model};
  for (release::Release& release : facts.releases) {
    release.live_micros.clear();  // thousands of timings: a working state of the shadow stage
    subjects.push_back("release:" + release.id);
  }
  for (const Deployed& deployed : facts.deployments) subjects.push_back("route:" + deployed.route);
  facts.incidents = TRY(incidents::about(tx, call, subjects, incidents_max));
  return {};
}

Result<Facts> stored_facts(sql::Tx& tx, const Call& call, const registry::VersionInput& input,
                           Timestamp now) {
  Facts facts;
  facts.version = TRY(registry::version(tx, call.project, input.model,
                                        TRY(registry::version_number(input.version))));
  const registry::Record& record = facts.version.record;
  const auto model =
      resources::declared<registry::ModelDeclaration>(tx, call.project, "model", input.model);
  if (model) facts.model = *model;
  facts.approvals = TRY(approvals::approvals_of(tx, call.project, facts.version.urn()));
  facts.approved_for = TRY(
      approvals::scopes_granted(tx, call.project, registry::subject_of(facts.version, ""), now));
  facts.blockers = TRY(registry::blockers(tx, facts.version));
  if (record.training_data)
    facts.training_data = TRY(catalog::find_dataset(tx, call.project, *record.training_data));
  TRY(add_features(tx, call, facts));
  if (record.eval_report)
    facts.evaluation = TRY(training::find_evaluation(tx, call, *record.eval_report));
  facts.metrics = record.metrics;
  const auto run = TRY(training::run_facts(tx, call, record.run.value_or("")));
  if (run) add_run(facts, *run);
  facts.training_cost = TRY(training_cost(tx, call, record.run.value_or(""), run));
  TRY(add_deployments(tx, call, facts));
  facts.signature = record.signature;
  facts.source_changes =
      TRY(catalog::changes_upstream(tx, call, facts.version.urn(), Timestamp(Micros(0))));
  return facts;
}

}  // namespace

Result<void> Service::add_lineage(const Call& call, Facts& facts) {
  const auto trace = parts_.catalog.trace(call, {.urn = facts.version.urn(), .depth = trace_depth});
  if (!trace) return trace.error();
  facts.lineage = trace->edges;
  std::map<std::string, std::optional<catalog::Classification>> classes;
  for (const catalog::TraceNode& node : trace->nodes) {
    classes[node.urn] = node.classification;
    if (node.depth == 0)
      facts.classification = node.classification;
    else
      facts.upstream.push_back(
          {node.urn, node.kind, node.owner, node.summary, node.classification});
  }
  for (FeatureFact& feature : facts.features)
    feature.classification = classes["feature_view:" + feature.view];
  return {};
}

// A run and a model that MLflow's client logged.
Result<void> Service::add_tracked(const Call& call, Facts& facts) {
  const registry::ModelVersion& version = facts.version;
  if (const auto view = parts_.models.version(call, version.model, version.version)) {
    facts.aliases = view->aliases;
    for (const tracking::Pair& tag : view->tags) facts.tags[tag.key] = tag.value;
  }
  if (facts.code || !version.record.run) return {};
  const auto found = parts_.tracking.run(call, *version.record.run);
  if (!found) return found.error().code == Code::not_found ? Result<void>() : found.error();
  for (const tracking::Pair& param : found->params) facts.parameters[param.key] = param.value;
  if (facts.metrics.empty())
    for (const tracking::Metric& metric : found->metrics)
      if (!metric.is_nan) facts.metrics[metric.key] = metric.value;
  facts.logged_datasets = found->datasets;
  CodeFact code;
  for (const tracking::Pair& tag : found->tags) {
    if (tag.key == "mlflow.source.git.commit") code.git_commit = tag.value;
    if (tag.key == "mlflow.source.git.repoURL") code.git_repository = tag.value;
    if (tag.key == "mlflow.source.name") code.pipeline = tag.value;
  }
  facts.code = std::move(code);
  if (found->run.end_time)
    facts.training_cost.elapsed_seconds =
        static_cast<double>(*found->run.end_time - found->run.start_time) * 1e-3;
  return {};
}

Result<std::string> Service::text_file(const Facts& facts, const std::string& name) {
  for (const FileFact& file : facts.files) {
    if (file.path != name || file.size > (1 << 20)) continue;
    return parts_.files.get(file.digest);
  }
  return std::string();
}

// The files of its artifact, and what those that MLflow writes say of packages and shapes.
Result<void> Service::add_files(const Call& call, Facts& facts) {
  const std::string& uri = facts.version.record.artifact_uri;
  if (uri.starts_with(registry::artifact_scheme)) {
    if (!TRY(parts_.artifacts.exists(uri))) return {};
    for (const registry::ArtifactFile& file : TRY(parts_.artifacts.contents(uri)))
      facts.files.push_back({file.path, file.digest, file.size});
    facts.signatures = TRY(parts_.db.read(call, [&](sql::Tx& tx) {
      return parts_.signatures.check(tx, call, facts.version.model, uri);
    }));
  } else {
    const auto where = parts_.models.download_uri(call, facts.version.model, facts.version.version);
    constexpr std::string_view scheme = "mlflow-artifacts:/";
    if (!where || !where->starts_with(scheme)) return {};
    facts.tracked_folder = where->substr(scheme.size());
    for (const tracking::ArtifactFile& file : TRY(parts_.tracked.files(call, facts.tracked_folder)))
      facts.files.push_back(
          {file.path.substr(facts.tracked_folder.size() + 1), file.digest, file.size});
  }
  if (!facts.environment)
    if (const std::string text = TRY(text_file(facts, "requirements.txt")); !text.empty())
      facts.environment =
          EnvironmentFact{.source = "requirements.txt", .packages = packages_in(text)};
  if (facts.signature) return {};
  const auto said = yaml::parse(TRY(text_file(facts, "MLmodel")));
  if (!said || said->empty() || !said->front().value.is_object()) return {};
  if (const json::value* signature = said->front().value.get_object().if_contains("signature"))
    if (signature->is_object()) facts.signature = signature->get_object();
  return {};
}

Result<Facts> Service::facts(const Call& call, const registry::VersionInput& input) {
  Facts facts = TRY(parts_.db.read(
      call, [&](sql::Tx& tx) { return stored_facts(tx, call, input, parts_.clock.now()); }));
  TRY(add_lineage(call, facts));
  TRY(add_tracked(call, facts));
  TRY(add_files(call, facts));
  return facts;
}

Result<std::string> Service::card(const Call& call, const CardInput& input) {
  if (input.format != "md" && input.format != "html")
    return Error{Code::invalid_argument,
                 "a card has no format \"" + input.format + "\"; write md or html",
                 {{"format", "must be md or html"}}};
  const Facts facts = TRY(this->facts(call, {input.model, input.version}));
  return input.format == "md" ? markdown_card(facts) : html_card(facts);
}

Result<json::object> Service::bom(const Call& call, const registry::VersionInput& input) {
  return bom_of(TRY(facts(call, input)));
}

Result<Diff> Service::diff(const Call& call, const DiffInput& input) {
  registry::VersionInput other{input.model, input.other};
  if (!registry::version_number(input.other)) {
    const auto name = TRY(registry::version_name(input.other));
    if (name.version == 0)
      return Error{Code::invalid_argument,
                   "\"" + input.other + "\" names no version; write " + input.other + "@v1",
                   {{"other", "must be NAME@v4 or v4"}}};
    other = {name.model, std::to_string(name.version)};
  }
  return diff_of(TRY(facts(call, {input.model, input.version})), TRY(facts(call, other)));
}

}  // namespace penstock::record
