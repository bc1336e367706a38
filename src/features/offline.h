// Offline rows: a view's SQL evaluated once for each state of its sources, and joins over them.
#pragma once

#include <mutex>

#include "features/definitions.h"
#include "features/erasure.h"
#include "features/join.h"
#include "features/service.h"

namespace penstock::features {

class Offline {
 public:
  Offline(sql::Database& db, olap::Engine& olap, blob::Store& blobs, catalog::Service& catalog,
          const Clock& clock, Options options);

  // The table of a view over its sources as they are now; made where there is none yet. Blocks
  // those who ask at the same time.
  Result<OfflineTable> table(const Call& call, const BoundView& view);
  // What to select its rows from: "read_parquet('...')".
  std::string scan(const OfflineTable& table) const;
  // The same of the rows that gates rejected; for views that have such gates.
  std::string scan_rejected(const OfflineTable& table) const;

  // Takes the tables of these views away: what was erased is still in them.
  Result<void> forget(const std::string& project,
                      const std::vector<std::shared_ptr<const ViewHandle>>& views);
  blob::Store& blobs() { return blobs_; }

  struct Joined {
    std::string statement;
    std::vector<JoinedView> views;      // what it joins, of the schema
    std::vector<olap::Column> columns;  // of the entity rows
    std::vector<std::string> sources;   // URNs of views and sources that it reads
  };
  // Binds the sources that `rows` names, and makes the statement. `closed`: names of other tables
  // are faults.
  Result<Joined> join(const Call& call, olap::Session& session, const SchemaHandle& schema,
                      const std::string& rows, const std::string& field, bool closed,
                      const JoinOptions& options);
  Result<HistoricalOutput> write(const Call& call, const SchemaHandle& schema,
                                 const HistoricalInput& input);

 private:
  struct Source {
    std::string rows;   // the statement that gives the entity rows
    std::string field;  // of the input that it came from
    std::string file;   // the Parquet file that it is, if it is one
  };
  Result<std::string> digest_of(const BoundView& view);
  Result<std::string> digest_with(const BoundView& view, const Erasures& erasures);
  Result<OfflineTable> make(const Call& call, const BoundView& view, const std::string& digest,
                            const Erasures& erasures);
  Result<void> keep(const Call& call, const BoundView& view, const OfflineTable& table,
                    const Erasures& erasures);
  Result<void> bind_rows(const Call& call, olap::Session& session, const std::string& rows,
                         const std::string& field, bool closed, std::vector<std::string>& urns);
  // `statement` gives the entity rows and the features of views: with the schema's transforms.
  Result<std::string> with_transforms(olap::Session& session, const SchemaHandle& schema,
                                      const Joined& joined, const std::string& statement,
                                      const JoinOptions& options);
  Result<Source> rows_of(const HistoricalInput& input);
  Result<NumberedRows> numbered_rows(olap::Session& session, const Source& source);
  Result<void> copy(olap::Session& session, const SchemaHandle& schema, const Source& source,
                    const Joined& joined, const JoinOptions& options, const std::string& to);
  std::string staged_path();

  sql::Database& db_;
  olap::Engine& olap_;
  blob::Store& blobs_;
  catalog::Service& catalog_;
  const Clock& clock_;
  const Options options_;
  std::mutex making_;  // one evaluation at a time: it takes what memory there is
  std::mutex tables_turn_;
  std::map<std::string, OfflineTable> tables_;  // by digest
};

}  // namespace penstock::features
