// Pipelines as people declare them, and the runs that execute them.
#pragma once

#include <array>

#include "base/described.h"

namespace penstock::training {

// A step that makes an immutable dataset by a point-in-time join. `${name}` in its texts stands for
// a parameter of the run.
struct DatasetStep {
  std::string name;        // of the dataset
  std::string entity_sql;  // SELECT over sources: join keys, event_time, labels
  std::string feature_schema;
};
BOOST_DESCRIBE_STRUCT(DatasetStep, (), (name, entity_sql, feature_schema))
constexpr auto rules_of(const DatasetStep&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "entity_sql", .min = 1, .max = 100'000},
                    Rule{.field = "feature_schema", .min = 1, .max = 200}};
}

// How an evaluation's predictions (columns label, score, baseline, slices) are judged.
struct Gate {
  std::string predictions = "predictions";  // the output that holds them
  double threshold = 0.5;                   // decision = score >= threshold
  std::vector<std::string> slices;          // columns; each value is a slice
  double margin = 0;  // overall: brier must be shown better than the baseline's by more than this
  double slice_margin = 0;        // a slice shown worse than the baseline's by more than this fails
  std::int64_t slice_rows = 200;  // smaller slices are reported and not judged
  double confidence = 0.95;
};
BOOST_DESCRIBE_STRUCT(Gate, (),
                      (predictions, threshold, slices, margin, slice_margin, slice_rows,
                       confidence))
constexpr auto rules_of(const Gate&) {
  return std::array{Rule{.field = "predictions", .min = 1, .max = 100, .may_miss = true},
                    Rule{.field = "threshold", .may_miss = true},
                    Rule{.field = "slices", .max = 10},
                    Rule{.field = "margin", .may_miss = true},
                    Rule{.field = "slice_margin", .may_miss = true},
                    Rule{.field = "slice_rows", .min = 2, .may_miss = true},
                    Rule{.field = "confidence", .may_miss = true}};
}

// Either `dataset` or `command`. A command gets PENSTOCK_INPUT_<NAME>, PENSTOCK_OUTPUT_<NAME>,
// PENSTOCK_PARAMETERS (a JSON file) and PENSTOCK_SEED, and runs beside the pipeline's files.
struct PipelineStep {
  std::string name;
  std::optional<DatasetStep> dataset;
  std::vector<std::string> command;
  std::vector<std::string> inputs;  // outputs of steps before: "dataset", "model"
  std::vector<std::string>
      outputs;  // names, unique in the pipeline; a dataset step's is its step's name
  std::optional<Gate> gate;
  Micros time_limit = std::chrono::hours(1);
};
BOOST_DESCRIBE_STRUCT(PipelineStep, (), (name, dataset, command, inputs, outputs, gate, time_limit))
constexpr auto rules_of(const PipelineStep&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 100},
                    Rule{.field = "command", .max = 100}, Rule{.field = "inputs", .max = 100},
                    Rule{.field = "outputs", .max = 100},
                    Rule{.field = "time_limit", .may_miss = true}};
}

// kind: pipeline
struct Pipeline {
  std::string name, owner, description;
  json::object parameters;                   // with their defaults
  std::map<std::string, std::string> files;  // name to text: the code that its commands run
  std::vector<PipelineStep> steps;
};
BOOST_DESCRIBE_STRUCT(Pipeline, (), (name, owner, description, parameters, files, steps))
constexpr auto rules_of(const Pipeline&) {
  return std::array{Rule{.field = "owner", .min = 1, .max = 200},
                    Rule{.field = "description", .max = 10'000, .may_miss = true},
                    Rule{.field = "parameters", .may_miss = true},
                    Rule{.field = "steps", .min = 1, .max = 100}};
}

enum class RunStatus { queued, running, succeeded, failed };
BOOST_DESCRIBE_ENUM(RunStatus, queued, running, succeeded, failed)

struct Run {
  std::string project, id;  // ULID; its URN is run:<id>
  std::string pipeline;
  std::int64_t pipeline_version = 0;
  json::object parameters;  // as they were used, all of them
  std::int64_t seed = 0;
  bool use_cache = true;
  std::string reproduces;  // the run that this one repeats, empty if none
  RunStatus status = RunStatus::queued;
  std::string fault;  // why it failed
  std::string author, tenant;
  std::string git_commit;  // of the code's checkout as its caller said it, "-dirty" where it was
  Timestamp created_at;
  std::optional<Timestamp> started_at, finished_at;
};
BOOST_DESCRIBE_STRUCT(Run, (),
                      (project, id, pipeline, pipeline_version, parameters, seed, use_cache,
                       reproduces, status, fault, author, tenant, git_commit, created_at,
                       started_at, finished_at))

struct Output {
  std::string name;
  std::string digest;  // SHA-256 of its content
  std::string uri;     // "penstock://artifacts/<digest>", or of a dataset its file
  std::string urn;     // "dataset:NAME@N" of a dataset, else empty
};
BOOST_DESCRIBE_STRUCT(Output, (), (name, digest, uri, urn))

struct StepRun {
  std::string project, run, step;
  std::int64_t position = 0;
  std::string
      cache_key;  // covers command, files, inputs' digests, parameters, environment and seed
  std::string environment;  // digest of the interpreter's packages, empty if there is none
  bool cached = false;
  RunStatus status = RunStatus::queued;
  std::string log_tail;
  std::vector<Output> outputs;
  double cpu_seconds = 0;
  std::int64_t peak_memory = 0;  // bytes
  Timestamp started_at;
  std::optional<Timestamp> finished_at;
};
BOOST_DESCRIBE_STRUCT(StepRun, (),
                      (project, run, step, position, cache_key, environment, cached, status,
                       log_tail, outputs, cpu_seconds, peak_memory, started_at, finished_at))

// The mean loss of a group of rows beside the baseline's. Brier score: mean (score - label)^2.
struct SliceMetrics {
  std::string slice;  // "all" or "carrier=AA"
  std::int64_t rows = 0;
  double positive_rate = 0, brier = 0, baseline_brier = 0, log_loss = 0, accuracy = 0;
  double improvement = 0;       // baseline_brier - brier
  double lower = 0, upper = 0;  // its confidence interval
  bool judged = true, passed = true;
};
BOOST_DESCRIBE_STRUCT(SliceMetrics, (),
                      (slice, rows, positive_rate, brier, baseline_brier, log_loss, accuracy,
                       improvement, lower, upper, judged, passed))

struct Evaluation {
  std::string project, name;  // evaluation:<name>
  std::string run;
  bool passed = false;
  Gate gate;
  std::vector<SliceMetrics> slices;  // the first is "all"
  std::string predictions_uri;
  Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(Evaluation, (),
                      (project, name, run, passed, gate, slices, predictions_uri, created_at))

}  // namespace penstock::training
