// Training sets from what models really read: the features that were logged with each prediction.
#pragma once

#include "catalog/service.h"
#include "features/service.h"
#include "ports/blob.h"
#include "ports/log.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct FromPredictions {
  std::string route;
  Timestamp from, to;          // when it answered; `to` itself is not in it
  std::string labels;          // a source with the columns prediction and label, or a SELECT of
                               // these over sources; empty: what was told to labels:add
  std::string feature_schema;  // "features_v1@2"; empty: the one that the predictions read
  std::string dataset;
};
BOOST_DESCRIBE_STRUCT(FromPredictions, (), (route, from, to, labels, feature_schema, dataset))
constexpr auto rules_of(const FromPredictions&) {
  return std::array{
      Rule{.field = "route", .min = 1, .max = 200},
      Rule{.field = "labels",
           .doc =
               "A source with prediction and label, or a SELECT of both over sources; empty: the "
               "labels that were told.",
           .max = 100'000,
           .may_miss = true},
      Rule{.field = "feature_schema", .max = 200, .may_miss = true},
      Rule{.field = "dataset", .min = 1, .max = 200}};
}
struct PredictionDataset {
  std::string dataset;  // "dataset:NAME@1"
  std::string uri, digest;
  std::int64_t row_count = 0, labelled = 0;
  std::string feature_schema;
  std::vector<catalog::DatasetColumn> columns;
  std::vector<catalog::SourceSnapshot> snapshots;
};
BOOST_DESCRIBE_STRUCT(PredictionDataset, (),
                      (dataset, uri, digest, row_count, labelled, feature_schema, columns,
                       snapshots))

class FeatureLog {
 public:
  FeatureLog(sql::Database& db, events::Log& log, olap::Engine& olap, blob::Store& blobs,
             catalog::Service& catalog, features::Service& features, const Clock& clock,
             std::string scratch)
      : db_(db),
        log_(log),
        olap_(olap),
        blobs_(blobs),
        catalog_(catalog),
        features_(features),
        clock_(clock),
        scratch_(std::move(scratch)) {}

  // One row for each answered prediction of the route that read its features by the schema, online
  // or on a stream: prediction, event_time, model, join keys, features, feature_statuses, score,
  // label. Sorted, so that the same predictions and labels give the same dataset.
  // failed_precondition where some of that time were older than the retention.
  Result<PredictionDataset> dataset(const Call& call, const FromPredictions& input);
  // What predictions of the project read by a version of a schema, newest first; of the last
  // 1,000,000 records of the log.
  Result<std::vector<features::LoggedRead>> newest_reads(const Call& call,
                                                         const std::string& schema,
                                                         std::size_t most);

 private:
  struct Logged;
  struct Labels;
  Result<void> check_kept(const FromPredictions& input) const;
  Result<Logged> logged(const Call& call, const FromPredictions& input, const std::string& path);
  Result<Labels> labels_of(const Call& call, const FromPredictions& input, olap::Session& session,
                           const std::string& path);
  Result<Labels> told_labels(const Call& call, const std::string& path);
  Result<PredictionDataset> keep(const Call& call, const FromPredictions& input,
                                 olap::Session& session, const Logged& logged, const Labels& labels,
                                 const std::string& staged);

  sql::Database& db_;
  events::Log& log_;
  olap::Engine& olap_;
  blob::Store& blobs_;
  catalog::Service& catalog_;
  features::Service& features_;
  const Clock& clock_;
  const std::string scratch_;
};

}  // namespace penstock::serving
