// Evaluation datasets: inputs with what is expected of an application's answers, as MLflow 3 has
// them.
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

struct EvaluationDataset {
  std::int64_t number = 0;
  std::string project, id;  // "d-" and 32 hex digits
  std::string name;
  std::string schema_text, profile;             // JSON, or empty before the first record
  std::string digest;                           // of its name and last change
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
  std::string created_by, updated_by;
};
BOOST_DESCRIBE_STRUCT(EvaluationDataset, (),
                      (number, project, id, name, schema_text, profile, digest, created_at,
                       updated_at, created_by, updated_by))
struct EvaluationDatasetDetail {
  EvaluationDataset dataset;
  std::vector<Pair> tags;
  std::vector<std::int64_t> experiments;
};

struct EvaluationRecord {
  std::int64_t dataset = 0, position = 0;
  std::string id;          // "dr-" and 32 hex digits
  std::string input_hash;  // SHA-256 of the inputs: the same inputs are the same record
  std::string inputs;      // JSON, as the four below
  std::optional<std::string> outputs, expectations, tags, source;
  std::string source_type, source_id;
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
  std::string created_by, updated_by;
};
BOOST_DESCRIBE_STRUCT(EvaluationRecord, (),
                      (dataset, position, id, input_hash, inputs, outputs, expectations, tags,
                       source, source_type, source_id, created_at, updated_at, created_by,
                       updated_by))

struct Upserted {
  std::int64_t inserted = 0, updated = 0;
};

// Every function is one transaction. What becomes of a dataset as a whole is in the audit log.
class EvaluationDatasets {
 public:
  EvaluationDatasets(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  Result<EvaluationDatasetDetail> create(const Call& call, const std::string& name,
                                         const std::vector<Pair>& tags,
                                         const std::vector<std::int64_t>& experiments);
  Result<EvaluationDatasetDetail> get(const Call& call, const std::string& id);
  // Absent is fine.
  Result<void> remove(const Call& call, const std::string& id);
  // No experiments: of all. Filters: name, created_by, last_updated_by, created_time,
  // last_update_time and tags.K.
  Result<Found<EvaluationDatasetDetail>> search(const Call& call, const Search& search);
  Result<void> set_tags(const Call& call, const std::string& id, const std::vector<Pair>& tags);
  // Absent is fine.
  Result<void> remove_tag(const Call& call, const std::string& id, const std::string& key);
  Result<EvaluationDatasetDetail> link(const Call& call, const std::string& id,
                                       const std::vector<std::int64_t>& experiments);
  Result<EvaluationDatasetDetail> unlink(const Call& call, const std::string& id,
                                         const std::vector<std::int64_t>& experiments);

  // All or none, at most 10,000 of 1 MB each. What is known by its inputs gets the new outputs, and
  // its expectations and tags are merged.
  Result<Upserted> upsert(const Call& call, const std::string& id, const json::array& records);
  // In the order in which they came.
  Result<Found<EvaluationRecord>> records(const Call& call, const std::string& id,
                                          std::int64_t limit, const std::string& page_token);
  // How many went.
  Result<std::int64_t> remove_records(const Call& call, const std::string& id,
                                      const std::vector<std::string>& records);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  Result<void> changed(sql::Tx& tx, EvaluationDataset& dataset) const;
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
