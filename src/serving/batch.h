// Offline scoring: the same runtime as online, features as of each row's time, one publish a
// partition.
#pragma once

#include "ports/blob.h"
#include "serving/gateway.h"
#include "serving/service.h"

namespace penstock::serving {

struct BatchInput {
  std::string route;  // its declaration; the version too, where `version` is 0 (its live one)
  std::int64_t version = 0;
  std::string rows;    // SELECT that gives id, the route's entity keys and event_time
  std::string output;  // name of the output
};
BOOST_DESCRIBE_STRUCT(BatchInput, (), (route, version, rows, output))
constexpr auto rules_of(const BatchInput&) {
  return std::array{Rule{.field = "route", .min = 1, .max = 100},
                    Rule{.field = "version", .min = 0, .may_miss = true},
                    Rule{.field = "rows",
                         .doc = "SELECT of id, the entity keys and event_time.",
                         .min = 1,
                         .max = 100'000},
                    Rule{.field = "output", .min = 1, .max = 100}};
}

// One published partition; a row of batch_outputs. `made_at` is when it was published first.
struct BatchOutput {
  std::string project, output;
  std::string day;  // "2013-09-01", UTC day of event_time
  std::string route, model;
  std::int64_t version = 0;
  std::string feature_schema, input_digest, digest;  // digest: of the Parquet file's bytes
  std::string path;                                  // in the blob store
  std::int64_t rows = 0;
  std::optional<Timestamp> features_as_of;  // the oldest event time of a feature that went in
  Timestamp rows_until;                     // the latest event_time of its rows
  Timestamp made_at;
};
BOOST_DESCRIBE_STRUCT(BatchOutput, (),
                      (project, output, day, route, model, version, feature_schema, input_digest,
                       digest, path, rows, features_as_of, rows_until, made_at))

struct BatchResult {
  std::int64_t rows = 0;
  std::int64_t published = 0;  // partitions that this call published; the rest stood already
  std::vector<BatchOutput> partitions;
};
BOOST_DESCRIBE_STRUCT(BatchResult, (), (rows, published, partitions))

class BatchScorer {
 public:
  // `scratch` is a directory of the local disk; what a killed run left there may be removed at any
  // time.
  BatchScorer(Service& service, sql::Database& db, olap::Engine& olap, blob::Store& blobs,
              events::Log& log, const Clock& clock, HistoricalJoin historical, std::string scratch,
              HistoricalReader reader = {});

  // Blocks for as long as it takes. The same (model version, input, partition) gives the same
  // bytes, and is published once, whoever runs it and however often it is killed. One summary event
  // a partition goes to the log, with id batch.<output>.<day>.<input digest>, and its rows counted
  // in entities["rows"].
  Result<BatchResult> score(const Call& call, const BatchInput& input);
  // What stands published, by day.
  Result<BatchResult> outputs(const Call& call, const std::string& output);

 private:
  class Run;

  Service& service_;
  sql::Database& db_;
  olap::Engine& olap_;
  blob::Store& blobs_;
  events::Log& log_;
  const Clock& clock_;
  HistoricalJoin historical_;
  std::string scratch_;
  HistoricalReader reader_;  // of graphs; none: they read as calls do
  std::mutex recording_;     // looks for a partition's event, then adds it
};

}  // namespace penstock::serving
