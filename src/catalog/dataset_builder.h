// Datasets made from a query: the same query over the same bytes gives the same dataset.
#pragma once

#include "catalog/service.h"
#include "ports/blob.h"

namespace penstock::catalog {

struct DatasetRequest {
  std::string name;  // "dataset_2026_05_01"
  std::string sql;   // SELECT over sources and datasets ("flights", "dataset_2026_04_01@1")
};
BOOST_DESCRIBE_STRUCT(DatasetRequest, (), (name, sql))
constexpr auto rules_of(const DatasetRequest&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "sql", .min = 1, .max = 100'000}};
}
struct DatasetPair {
  std::string before, after;  // "NAME@2", or "NAME" for the newest
};
BOOST_DESCRIBE_STRUCT(DatasetPair, (), (before, after))
struct DatasetDifference {
  std::string before, after;  // URNs
  bool same = false;          // the same bytes
  std::int64_t rows_before = 0, rows_after = 0;
  // Rows that only one of them has, counted with repeats; none where columns differ or there are
  // more than 20 million rows.
  std::optional<std::int64_t> only_before, only_after;
  std::vector<std::string> changes;
};
BOOST_DESCRIBE_STRUCT(DatasetDifference, (),
                      (before, after, same, rows_before, rows_after, only_before, only_after,
                       changes))

class DatasetBuilder {
 public:
  // `olap` should have one thread: sums of doubles hang on their order, and that on how threads
  // share the rows.
  DatasetBuilder(sql::Database& db, olap::Engine& olap, blob::Store& blobs, Service& catalog,
                 const Clock& clock, std::string scratch)
      : db_(db),
        olap_(olap),
        blobs_(blobs),
        catalog_(catalog),
        clock_(clock),
        scratch_(std::move(scratch)) {}

  // Rows are sorted by all their columns, so that their order hangs on nothing else. Queries that
  // give other rows each time (random, now) are refused.
  Result<Dataset> create(const Call& call, const DatasetRequest& request);
  Result<DatasetDifference> diff(const Call& call, const DatasetPair& pair);

 private:
  struct Inputs;
  Result<Inputs> inputs_of(const Call& call, olap::Session& session, const std::string& sql);
  Result<void> take_snapshots(Inputs& inputs);
  Result<void> check_read(const Inputs& inputs,
                          const std::vector<std::optional<std::string>>& read);
  Result<Dataset> make(const Call& call, olap::Session& session, const DatasetRequest& request,
                       Inputs inputs);

  sql::Database& db_;
  olap::Engine& olap_;
  blob::Store& blobs_;
  Service& catalog_;
  const Clock& clock_;
  const std::string scratch_;
};

}  // namespace penstock::catalog
