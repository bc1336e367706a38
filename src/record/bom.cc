#include "record/bom.h"

#include <algorithm>

#include "base/digest.h"
#include "record/card.h"
#include "record/packages.h"

namespace penstock::record {
namespace {

// Licences that are SPDX's by these ids; any other text is a name.
constexpr std::array spdx_ids = {"0BSD",         "AGPL-3.0-only", "Apache-2.0",    "BSD-2-Clause",
                                 "BSD-3-Clause", "BSL-1.0",       "CC-BY-4.0",     "CC-BY-NC-4.0",
                                 "CC-BY-SA-4.0", "CC0-1.0",       "EUPL-1.2",      "GPL-2.0-only",
                                 "GPL-3.0-only", "ISC",           "LGPL-3.0-only", "MIT",
                                 "MPL-2.0",      "Unlicense"};

json::object property(std::string_view name, const std::string& value) {
  return {{"name", "penstock:" + std::string(name)}, {"value", value}};
}

json::array hashes(const std::string& sha256) {
  return json::array{json::object{{"alg", "SHA-256"}, {"content", sha256}}};
}

// An owner as people write one here: "user:ana" is a person, any other name a group.
json::object owners(const std::string& owner) {
  if (owner.empty()) return {};
  const json::object who = owner.starts_with("user:")
                               ? json::object{{"contact", {{"name", owner.substr(5)}}}}
                               : json::object{{"organization", {{"name", owner}}}};
  return {{"owners", json::array{who}}};
}

std::string class_text(catalog::Classification classification) {
  return std::get<std::string>(Kind<catalog::Classification>::say(classification));
}

const Upstream* upstream_of(const Facts& facts, const std::string& urn) {
  for (const Upstream& upstream : facts.upstream)
    if (upstream.urn == urn) return &upstream;
  return nullptr;
}

json::object data_component(const std::string& urn, const std::string& name,
                            const std::string& version, json::object data) {
  return {{"type", "data"},
          {"bom-ref", urn},
          {"name", name},
          {"version", version},
          {"data", json::array{std::move(data)}}};
}

json::object described_data(std::string_view type, const std::string& name, const Upstream* known) {
  json::object data{{"type", type}, {"name", name}};
  if (!known) return data;
  if (known->classification) data["classification"] = class_text(*known->classification);
  if (!known->summary.empty()) data["description"] = known->summary;
  if (json::object governance = owners(known->owner); !governance.empty())
    data["governance"] = std::move(governance);
  return data;
}

json::array dataset_components(const Facts& facts) {
  json::array out;
  for (const Upstream& upstream : facts.upstream) {
    if (upstream.kind != "dataset" && upstream.kind != "source") continue;
    const auto urn = Urn::parse(upstream.urn);
    if (!urn) continue;
    json::object component = data_component(upstream.urn, urn->name, urn->version,
                                            described_data("dataset", upstream.urn, &upstream));
    if (facts.training_data && facts.training_data->urn() == upstream.urn) {
      const catalog::Dataset& data = *facts.training_data;
      component["hashes"] = hashes(data.digest);
      json::array properties{property("rows", std::to_string(data.row_count))};
      for (const catalog::DatasetColumn& column : data.columns)
        properties.push_back(property("column:" + column.name, column.type));
      component["data"].as_array()[0].as_object()["contents"] = {{"properties", properties}};
    }
    out.push_back(std::move(component));
  }
  for (const tracking::DatasetInput& input : facts.logged_datasets)
    out.push_back(data_component("mlflow_dataset:" + input.name + "@" + input.digest, input.name,
                                 input.digest, {{"type", "dataset"}, {"name", input.name}}));
  return out;
}

json::array feature_components(const Facts& facts) {
  json::array out;
  for (const ViewFact& view : facts.views) {
    const std::string reference = view.name + "@" + std::to_string(view.version);
    const std::string urn = "feature_view:" + reference;
    json::object data = described_data("definition", reference, upstream_of(facts, urn));
    data["governance"] = owners(view.owner);
    json::array properties;
    for (const FeatureFact& feature : facts.features)
      if (feature.view == reference)
        properties.push_back(
            property("feature:" + feature.name,
                     std::get<std::string>(Kind<features::FeatureType>::say(feature.type)) +
                         (feature.unit ? " in " + *feature.unit : "")));
    properties.push_back(property("sql:sha256", sha256_hex(view.sql)));
    data["contents"] = {{"properties", properties}};
    out.push_back(data_component(urn, view.name, std::to_string(view.version), std::move(data)));
  }
  return out;
}

json::array package_components(const Facts& facts) {
  json::array out;
  const std::string runtime = facts.version.record.runtime.value_or("");
  if (!runtime.empty())
    out.push_back(json::object{{"type", "framework"},
                               {"bom-ref", "runtime:" + runtime},
                               {"name", runtime},
                               {"description", "What executes it."}});
  if (!facts.environment) return out;
  if (!facts.environment->python.empty())
    out.push_back(json::object{{"type", "platform"},
                               {"bom-ref", "pkg:generic/python@" + facts.environment->python},
                               {"name", "python"},
                               {"version", facts.environment->python},
                               {"purl", "pkg:generic/python@" + facts.environment->python}});
  for (const Package& package : facts.environment->packages) {
    json::object component{{"type", "library"},
                           {"bom-ref", purl_of(package)},
                           {"name", package.name},
                           {"purl", purl_of(package)}};
    if (!package.version.empty()) component["version"] = package.version;
    out.push_back(std::move(component));
  }
  return out;
}

json::object metric(const std::string& type, double value, const std::string& slice) {
  json::object out{{"type", type}, {"value", number(value)}};
  if (!slice.empty()) out["slice"] = slice;
  return out;
}

json::object quantitative_analysis(const Facts& facts) {
  json::array metrics;
  for (const auto& [name, value] : facts.metrics) metrics.push_back(metric(name, value, ""));
  if (facts.evaluation)
    for (const training::SliceMetrics& slice : facts.evaluation->slices) {
      for (const auto& [name, value] : {std::pair{"brier", slice.brier},
                                        {"baseline_brier", slice.baseline_brier},
                                        {"log_loss", slice.log_loss},
                                        {"accuracy", slice.accuracy}})
        metrics.push_back(metric(name, value, slice.slice));
      json::object improvement =
          metric("brier_improvement_over_baseline", slice.improvement, slice.slice);
      improvement["confidenceInterval"] = {{"lowerBound", number(slice.lower)},
                                           {"upperBound", number(slice.upper)}};
      metrics.push_back(std::move(improvement));
    }
  return {{"performanceMetrics", metrics}};
}

// What MLflow writes as text of JSON, or a list as it stands: one entry for each column.
json::array shapes(const Facts& facts, std::string_view side) {
  json::array out;
  if (!facts.signature) return out;
  const json::value* said = facts.signature->if_contains(side);
  json::value columns;
  if (said && said->is_string()) {
    boost::system::error_code fault;
    columns = json::parse(said->get_string(), fault);
  } else if (said) {
    columns = *said;
  }
  if (!columns.is_array()) return out;
  for (const json::value& column : columns.get_array())
    out.push_back(json::object{{"format", canonical(column)}});
  return out;
}

json::object model_card(const Facts& facts) {
  const registry::Record& record = facts.version.record;
  json::object parameters;
  if (facts.model.task) parameters["task"] = *facts.model.task;
  json::array datasets;
  if (facts.training_data) datasets.push_back(json::object{{"ref", facts.training_data->urn()}});
  if (!datasets.empty()) parameters["datasets"] = datasets;
  json::array inputs = shapes(facts, "inputs");
  if (inputs.empty())
    for (const FeatureFact& feature : facts.features)
      inputs.push_back(json::object{
          {"format", feature.name + ": " +
                         std::get<std::string>(Kind<features::FeatureType>::say(feature.type))}});
  if (!inputs.empty()) parameters["inputs"] = inputs;
  if (json::array outputs = shapes(facts, "outputs"); !outputs.empty())
    parameters["outputs"] = outputs;

  json::object considerations;
  if (record.intended_use)
    considerations["useCases"] = json::array{json::value(*record.intended_use)};
  if (record.limitations)
    considerations["technicalLimitations"] = json::array{json::value(*record.limitations)};
  json::array ethical;
  if (record.risk_class)
    ethical.push_back(json::object{{"name", "risk class: " + *record.risk_class}});
  if (facts.classification)
    ethical.push_back(
        json::object{{"name", "data classification: " + class_text(*facts.classification)}});
  if (!ethical.empty()) considerations["ethicalConsiderations"] = ethical;

  json::array properties;
  for (const auto& parameter : facts.parameters)
    properties.push_back(property("parameter:" + std::string(parameter.key()),
                                  parameter.value().is_string()
                                      ? std::string(parameter.value().get_string())
                                      : canonical(parameter.value())));
  if (facts.seed) properties.push_back(property("seed", std::to_string(*facts.seed)));
  json::object card{{"modelParameters", parameters},
                    {"quantitativeAnalysis", quantitative_analysis(facts)},
                    {"considerations", considerations}};
  if (!properties.empty()) card["properties"] = properties;
  return card;
}

json::object model_component(const Facts& facts) {
  const registry::ModelVersion& version = facts.version;
  const registry::Record& record = version.record;
  json::object out{{"type", "machine-learning-model"},
                   {"bom-ref", version.urn()},
                   {"name", version.model},
                   {"version", "v" + std::to_string(version.version)}};
  const std::string description = record.description.value_or(facts.model.description);
  if (!description.empty()) out["description"] = description;
  if (record.owner) out["manufacturer"] = {{"name", *record.owner}};
  if (record.artifact_digest) out["hashes"] = hashes(*record.artifact_digest);
  if (record.licence) {
    const bool known =
        std::find(spdx_ids.begin(), spdx_ids.end(), *record.licence) != spdx_ids.end();
    out["licenses"] =
        json::array{json::object{{"license", {{known ? "id" : "name", *record.licence}}}}};
  }
  if (facts.code && !facts.code->git_commit.empty()) {
    json::object commit{{"uid", facts.code->git_commit}};
    if (facts.code->git_repository.starts_with("https://"))
      commit["url"] = facts.code->git_repository;
    out["pedigree"] = {{"commits", json::array{commit}}};
  }
  json::array files;
  for (const FileFact& file : facts.files)
    if (file.digest.size() == 64)
      files.push_back(json::object{{"type", "file"},
                                   {"bom-ref", version.urn() + "#" + file.path},
                                   {"name", file.path},
                                   {"hashes", hashes(file.digest)}});
  if (!files.empty()) out["components"] = files;
  json::array properties{property("record:sha256", version.digest),
                         property("artifact_uri", record.artifact_uri),
                         property("registered_by", version.created_by)};
  if (record.run) properties.push_back(property("run", *record.run));
  if (record.rollback_to) properties.push_back(property("rollback_to", *record.rollback_to));
  if (!facts.feature_schema.empty())
    properties.push_back(property("feature_schema", facts.feature_schema));
  out["properties"] = properties;
  out["modelCard"] = model_card(facts);
  return out;
}

// The model hangs on everything listed; datasets and views on what the lineage says they were made
// of.
json::array dependencies(const Facts& facts, const json::array& components) {
  std::set<std::string> known;
  for (const json::value& component : components)
    known.emplace(component.at("bom-ref").as_string());
  std::map<std::string, std::set<std::string>> of;
  for (const std::string& ref : known) {
    of[ref];
    const bool direct = ref != facts.version.urn() && !ref.starts_with("source:");
    if (direct) of[facts.version.urn()].insert(ref);
  }
  for (const catalog::TraceEdge& edge : facts.lineage)
    if (known.contains(edge.from_urn) && known.contains(edge.to_urn) &&
        edge.from_urn != edge.to_urn)
      of[edge.from_urn].insert(edge.to_urn);
  for (const ViewFact& view : facts.views)
    for (const std::string& ref : known)
      for (const std::string& source : view.sources)
        if (ref.starts_with("source:" + source + "@"))
          of["feature_view:" + view.name + "@" + std::to_string(view.version)].insert(ref);
  json::array out;
  for (const auto& [ref, targets] : of) {
    json::array on;
    for (const std::string& target : targets) on.push_back(json::value(target));
    out.push_back(json::object{{"ref", ref}, {"dependsOn", on}});
  }
  return out;
}

std::string serial_of(const json::object& document) {
  std::string hex = sha256_hex(canonical(document)).substr(0, 32);
  hex[12] = '8';  // RFC 9562, version 8: of our own making
  hex[16] = "89ab"[static_cast<std::size_t>(hex[16]) % 4];  // its variant
  return "urn:uuid:" + hex.substr(0, 8) + "-" + hex.substr(8, 4) + "-" + hex.substr(12, 4) + "-" +
         hex.substr(16, 4) + "-" + hex.substr(20);
}

}  // namespace

json::object bom_of(const Facts& facts) {
  json::array components{model_component(facts)};
  std::set<std::string> seen;
  for (const json::array& more :
       {dataset_components(facts), feature_components(facts), package_components(facts)})
    for (const json::value& component : more)
      if (seen.emplace(component.at("bom-ref").as_string()).second) components.push_back(component);
  json::object out{{"bomFormat", "CycloneDX"},
                   {"specVersion", "1.6"},
                   {"version", 1},
                   {"metadata",
                    {{"timestamp", to_rfc3339(facts.version.created_at)},
                     {"lifecycles", json::array{json::object{{"phase", "build"}}}},
                     {"tools",
                      {{"components",
                        json::array{json::object{{"type", "application"}, {"name", "penstock"}}}}}},
                     {"component",
                      {{"type", "machine-learning-model"},
                       {"bom-ref", facts.version.urn() + "#subject"},
                       {"name", facts.version.model},
                       {"version", "v" + std::to_string(facts.version.version)}}}}},
                   {"components", components}};
  json::array hanging = dependencies(facts, components);
  hanging.push_back(json::object{{"ref", facts.version.urn() + "#subject"},
                                 {"dependsOn", json::array{json::value(facts.version.urn())}}});
  out["dependencies"] = hanging;
  out["serialNumber"] = serial_of(out);
  return out;
}

}  // namespace penstock::record
