// Label schemas: the questions that people answer about traces, kept by experiment (MLflow 3).
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

struct LabelSchema {
  std::string project, id;  // "ls-" and 32 hex digits
  std::int64_t experiment = 0;
  std::string name;                        // also the key of the assessments that answer it
  std::string type;                        // feedback or expectation; never changes
  std::optional<std::string> instruction;  // shown to whoever answers
  bool enable_comment = false;
  std::string input;        // JSON: {"categorical": {"options": [...]}} and the like
  bool is_default = false;  // of its experiment: never changed, never deleted
  std::string created_by;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
};
BOOST_DESCRIBE_STRUCT(LabelSchema, (),
                      (project, id, experiment, name, type, instruction, enable_comment, input,
                       is_default, created_by, created_at, updated_at))

struct CreateLabelSchema {
  std::int64_t experiment = 0;
  std::string name, type;
  json::object input;
  std::optional<std::string> instruction;
  bool enable_comment = false;
};
struct ChangeLabelSchema {  // what is not said stays
  std::string id;
  std::optional<std::string> name, instruction;
  std::optional<bool> enable_comment;
  std::optional<json::object> input;  // of the same variant
};

class LabelSchemas {
 public:
  LabelSchemas(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<LabelSchema> create(const Call& call, const CreateLabelSchema& input);
  Result<LabelSchema> get(const Call& call, const std::string& id);
  Result<LabelSchema> by_name(const Call& call, std::int64_t experiment, const std::string& name);
  // The newest first. The first list of an experiment makes its default question, "Feedback".
  Result<Found<LabelSchema>> list(const Call& call, std::int64_t experiment, std::int64_t limit,
                                  const std::string& page_token);
  Result<LabelSchema> change(const Call& call, const ChangeLabelSchema& input);
  // Nothing happens where there is none; answers that were given stay.
  Result<void> remove(const Call& call, const std::string& id);

 private:
  Result<void> ensure_default(const Call& call, std::int64_t experiment);
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
