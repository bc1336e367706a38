// Experiments and their runs, as people log them from their own code with MLflow's client.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"

namespace penstock::tracking {

enum class Lifecycle { active, deleted };
BOOST_DESCRIBE_ENUM(Lifecycle, active, deleted)

// MLflow's words: they stand in filters and answers as they are.
enum class Status { RUNNING, SCHEDULED, FINISHED, FAILED, KILLED };
BOOST_DESCRIBE_ENUM(Status, RUNNING, SCHEDULED, FINISHED, FAILED, KILLED)

// A tag or a parameter.
struct Pair {
  std::string key, value;
};
BOOST_DESCRIBE_STRUCT(Pair, (), (key, value))

struct Experiment {
  std::string project;
  std::int64_t id = 0;  // counts from 0, "Default", in each project
  std::string name, artifact_location;
  Lifecycle lifecycle = Lifecycle::active;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(Experiment, (),
                      (project, id, name, artifact_location, lifecycle, created_at, updated_at))
struct ExperimentDetail {
  Experiment experiment;
  std::vector<Pair> tags;
};

struct Run {
  std::int64_t number = 0;  // in this database; rows of the run are kept by it
  std::string project, id;  // 32 hex digits
  std::int64_t experiment = 0;
  std::string name, user_id;
  Status status = Status::RUNNING;
  std::int64_t start_time = 0;           // milliseconds since 1970
  std::optional<std::int64_t> end_time;  // the same
  std::string artifact_uri;
  Lifecycle lifecycle = Lifecycle::active;
};
BOOST_DESCRIBE_STRUCT(Run, (),
                      (number, project, id, experiment, name, user_id, status, start_time, end_time,
                       artifact_uri, lifecycle))

// One point. Infinite values are kept as the largest double of their sign, as MLflow does.
struct Metric {
  std::string key;
  std::int64_t step = 0, at = 0;  // milliseconds since 1970
  double value = 0;               // 0 where is_nan
  bool is_nan = false;
};
BOOST_DESCRIBE_STRUCT(Metric, (), (key, step, at, value, is_nan))

// Which dataset a metric was measured on; empty: it is not said, or, in a search, any.
struct OnDataset {
  std::string name, digest;
};
BOOST_DESCRIBE_STRUCT(OnDataset, (), (name, digest))

// A point of a run that was measured on a logged model.
struct ModelMetric {
  std::string model, run;  // their ids
  Metric point;
  OnDataset dataset;
};

// A dataset that a run read. `tags` is JSON: [{"key": ..., "value": ...}].
struct DatasetInput {
  std::string name, digest, source_type, source, schema_text, profile;
  std::string context;  // the tag mlflow.data.context, which filters ask for
  std::string tags;
};
BOOST_DESCRIBE_STRUCT(DatasetInput, (),
                      (name, digest, source_type, source, schema_text, profile, context, tags))

// A dataset that runs of an experiment read.
struct DatasetSummary {
  std::int64_t experiment = 0;
  std::string name, digest, context;
};
BOOST_DESCRIBE_STRUCT(DatasetSummary, (), (experiment, name, digest, context))

// A logged model that a run read or wrote.
struct ModelUse {
  std::string model;  // its id
  bool is_output = false;
  std::int64_t step = 0;
};
BOOST_DESCRIBE_STRUCT(ModelUse, (), (model, is_output, step))

struct RunDetail {
  Run run;
  std::vector<Metric> metrics;  // the latest of each key
  std::vector<Pair> params, tags;
  std::vector<DatasetInput> datasets;
  std::vector<ModelUse> models;
};

struct Batch {
  std::vector<Metric> metrics;
  std::vector<Pair> params, tags;
  std::vector<ModelMetric> model_metrics;  // those of `metrics` that name a model
};

// Refuse what MLflow's documented limits do not allow: invalid_argument naming the field, the value
// and the limit.
Result<void> check(const Batch& batch);
Result<void> check_tag(const Pair& tag, const std::string& field);
Result<void> check_experiment_name(const std::string& name);
Result<void> check_experiment_tag(const Pair& tag);
Result<void> check_model_name(const std::string& name, const std::string& field);
Result<void> check_model_tag(const Pair& tag);
Result<void> check_alias(const std::string& alias);

}  // namespace penstock::tracking
