// Models as MLflow 3 logs them: things of their own, that runs write and read.
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

// MLflow's words.
enum class ModelStatus {
  LOGGED_MODEL_STATUS_UNSPECIFIED,
  LOGGED_MODEL_PENDING,
  LOGGED_MODEL_READY,
  LOGGED_MODEL_UPLOAD_FAILED,
};
BOOST_DESCRIBE_ENUM(ModelStatus, LOGGED_MODEL_STATUS_UNSPECIFIED, LOGGED_MODEL_PENDING,
                    LOGGED_MODEL_READY, LOGGED_MODEL_UPLOAD_FAILED)

struct LoggedModel {
  std::int64_t number = 0;
  std::string project, id;  // "m-" and 32 hex digits
  std::int64_t experiment = 0;
  std::string name, model_type, source_run, artifact_uri;
  ModelStatus status = ModelStatus::LOGGED_MODEL_PENDING;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(LoggedModel, (),
                      (number, project, id, experiment, name, model_type, source_run, artifact_uri,
                       status, created_at, updated_at))
struct LoggedModelDetail {
  LoggedModel model;
  std::vector<Pair> params, tags;
  std::vector<ModelMetric> metrics;  // by key, time and step; the newest 10,000
};

struct CreateLoggedModel {
  std::int64_t experiment = 0;
  std::string name, model_type, source_run;
  std::vector<Pair> params, tags;
};

class LoggedModels {
 public:
  LoggedModels(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // Pending until it is finished: its files come after it.
  Result<LoggedModelDetail> create(const Call& call, const CreateLoggedModel& input);
  Result<LoggedModelDetail> get(const Call& call, const std::string& id);
  Result<LoggedModelDetail> finish(const Call& call, const std::string& id, ModelStatus status);
  Result<void> remove(const Call& call, const std::string& id);
  Result<void> add_params(const Call& call, const std::string& id, const std::vector<Pair>& params);
  Result<LoggedModelDetail> set_tags(const Call& call, const std::string& id,
                                     const std::vector<Pair>& tags);
  Result<void> remove_tag(const Call& call, const std::string& id, const std::string& key);
  Result<Found<LoggedModelDetail>> search(const Call& call, const Search& search);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
