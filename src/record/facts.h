// Everything that is known of one model version, in one answer.
#pragma once

#include "approvals/approval.h"
#include "catalog/service.h"
#include "costs/ledger.h"
#include "features/feature_view.h"
#include "incidents/incident.h"
#include "registry/service.h"
#include "registry/signatures.h"
#include "release/release.h"
#include "serving/route.h"
#include "tracking/tracking.h"
#include "training/pipeline.h"

namespace penstock::record {

// A route that sends calls to the version now.
struct Deployed {
  std::string route, owner;
  serving::Arm arm = serving::Arm::live;
  std::int64_t weight = 0;  // parts of 10,000
  std::string release;
  Timestamp since;
};
BOOST_DESCRIBE_STRUCT(Deployed, (), (route, owner, arm, weight, release, since))

// Something upstream of the version: a source, a dataset, a feature view.
struct Upstream {
  std::string urn, kind, owner, summary;
  std::optional<catalog::Classification> classification;
};
BOOST_DESCRIBE_STRUCT(Upstream, (), (urn, kind, owner, summary, classification))

// A feature in the order in which the model reads it.
struct FeatureFact {
  std::string name, view, entity, owner;  // view "carrier_delay@1"; the owner is the view's
  features::FeatureType type = features::FeatureType::real;
  std::optional<std::string> unit, description;
  std::optional<catalog::Classification> classification;  // the strictest of its view's sources
};
BOOST_DESCRIBE_STRUCT(FeatureFact, (),
                      (name, view, entity, owner, type, unit, description, classification))

// A feature view as the schema pins it: what the features of a version were computed by.
struct ViewFact {
  std::string name, owner;
  std::int64_t version = 0;
  std::vector<std::string> sources;
  std::string sql;
};
BOOST_DESCRIBE_STRUCT(ViewFact, (), (name, owner, version, sources, sql))

struct CodeFact {
  std::string pipeline;  // "flight-delay@1"; of a run that was tracked: its entry point
  std::string git_commit, git_repository;
  std::map<std::string, std::vector<std::string>> commands;  // by step
  std::map<std::string, std::string> files;                  // name to SHA-256
};
BOOST_DESCRIBE_STRUCT(CodeFact, (), (pipeline, git_commit, git_repository, commands, files))

struct Package {
  std::string name, version;  // as its index knows it; no version where none was pinned
  auto operator<=>(const Package&) const = default;
};
BOOST_DESCRIBE_STRUCT(Package, (), (name, version))

struct EnvironmentFact {
  std::string source;  // "run:<id>", or the file of the artifact that lists them
  std::string python;  // "3.11.2"; empty where it is not known
  std::vector<Package> packages;
};
BOOST_DESCRIBE_STRUCT(EnvironmentFact, (), (source, python, packages))

enum class CostBasis { ledger, priced_run, unpriced_run, not_recorded };
BOOST_DESCRIBE_ENUM(CostBasis, ledger, priced_run, unpriced_run, not_recorded)

// What it took to train: the ledger's lines of the run (source "training", id the run's), else the
// run's own seconds at the price that was in force when they were used.
struct TrainingCost {
  CostBasis basis = CostBasis::not_recorded;
  std::optional<Money> amount;
  std::string currency;
  double compute_seconds = 0, gpu_seconds = 0;
  std::optional<double> elapsed_seconds;
  std::int64_t cached_steps = 0;  // came from an earlier run and cost nothing in this one
  std::vector<costs::LedgerLine> lines;
};
BOOST_DESCRIBE_STRUCT(TrainingCost, (),
                      (basis, amount, currency, compute_seconds, gpu_seconds, elapsed_seconds,
                       cached_steps, lines))

struct FileFact {
  std::string path, digest;  // SHA-256
  std::int64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(FileFact, (), (path, digest, size))

struct Facts {
  registry::ModelVersion version;
  registry::ModelDeclaration model;  // as `kind: model` declares it; no name where nobody did
  std::vector<approvals::Approval> approvals;  // that did not end, also the expired
  std::vector<std::string> approved_for;       // the scopes in which enough of them count
  std::vector<std::string> blockers;           // why it cannot be released; empty: it can
  std::optional<catalog::Classification> classification;  // the strictest of all upstream of it
  std::vector<std::string> aliases;
  std::map<std::string, std::string> tags;
  std::vector<Deployed> deployments;
  std::optional<catalog::Dataset> training_data;
  std::string feature_schema;  // URN
  std::vector<FeatureFact> features;
  std::vector<ViewFact> views;
  std::optional<training::Evaluation> evaluation;
  std::map<std::string, double> metrics;  // of the record, else of its tracked run
  std::optional<json::object> signature;  // inputs and outputs: of the record, else of MLmodel
  json::object parameters;                // of its run, as they were used
  std::optional<std::int64_t> seed;
  std::vector<tracking::DatasetInput> logged_datasets;  // of a tracked run
  std::optional<CodeFact> code;
  std::optional<EnvironmentFact> environment;
  TrainingCost training_cost;
  std::vector<release::Release> releases;
  std::vector<incidents::Incident> incidents;
  std::vector<Upstream> upstream;
  std::vector<catalog::SourceChange> source_changes;  // of the sources upstream, newest first
  std::vector<catalog::TraceEdge> lineage;
  std::vector<FileFact> files;  // of its artifact, where it is stored here
  std::vector<registry::CheckedSignature> signatures;
  std::string tracked_folder;  // where tracking keeps its files; empty where it does not
};
BOOST_DESCRIBE_STRUCT(Facts, (),
                      (version, model, approvals, approved_for, blockers, classification, aliases,
                       tags, deployments, training_data, feature_schema, features, views,
                       evaluation, metrics, signature, parameters, seed, logged_datasets, code,
                       environment, training_cost, releases, incidents, upstream, source_changes,
                       lineage, files, signatures, tracked_folder))

}  // namespace penstock::record
