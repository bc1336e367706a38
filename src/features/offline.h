// Offline rows: a view's SQL evaluated once for each state of its sources, and joins over them.
#pragma once

#include <mutex>

#include "features/definitions.h"
#include "features/entity_rows.h"
#include "features/erasure.h"
#include "features/join.h"
#include "features/service.h"

namespace penstock::features {

class Staged;
struct PushedCounts;

class Offline {
 public:
  Offline(sql::Database& db, olap::Engine& olap, blob::Store& blobs, catalog::Service& catalog,
          const Clock& clock, Options options);

  // The table of a view over its sources as they are now; made where there is none yet. Blocks
  // those who ask at the same time.
  Result<OfflineTable> table(const Call& call, const BoundView& view);
  // One that was made before, by its digest; nothing where it is gone.
  Result<std::optional<OfflineTable>> kept_table(const Call& call, const ViewHandle& view,
                                                 const std::string& digest);
  // Says which table the online rows were moved from: it stays. Before the first call.
  using MovedFrom = std::function<Result<std::optional<std::string>>(const ViewHandle& view)>;
  void keep_moved(MovedFrom moved_from) { moved_from_ = std::move(moved_from); }
  // What to select its rows from: "read_parquet('...')".
  std::string scan(const OfflineTable& table) const;
  // The same of the rows that gates rejected; for views that have such gates.
  std::string scan_rejected(const OfflineTable& table) const;

  // Takes the tables of these views away: what was erased is still in them.
  Result<void> forget(const std::string& project,
                      const std::vector<std::shared_ptr<const ViewHandle>>& views);
  blob::Store& blobs() { return blobs_; }
  // A file of the local disk that nobody else has; whoever makes it takes it away.
  std::string scratch_file() { return blobs_.uri(staged_path()); }

  // What gives entity rows.
  struct Rows {
    std::string statement;
    std::string field;          // of the input that it came from
    std::string file = {};      // the Parquet file that it is, if it is one
    bool reads_sources = true;  // the statement names them
    bool closed = true;         // names of other tables are faults
  };
  struct Joined {
    std::string statement;
    std::vector<JoinedView> views;                   // what it joins, of the schema
    std::vector<olap::Column> columns;               // of the entity rows
    std::vector<std::string> urns;                   // of the views and sources that it reads
    std::vector<catalog::VersionedSource> of_views;  // the sources that the views read,
    std::vector<catalog::SourceSnapshot> snapshots;  // their state, and that of the views' tables
    std::vector<catalog::VersionedSource> of_rows;   // the sources that the rows name
  };
  // Binds the sources that the rows name, and makes the statement.
  Result<Joined> join(const Call& call, olap::Session& session, const SchemaHandle& schema,
                      const Rows& rows, const JoinOptions& options);

  // A join in the blob store, and what a dataset says of it.
  struct Written {
    HistoricalOutput output;
    std::vector<catalog::SourceSnapshot> snapshots;  // these three only where a dataset is wanted
    std::string inputs_digest;
    std::vector<catalog::ColumnProfile> profile;
  };
  Result<Written> write(const Call& call, const SchemaHandle& schema, const HistoricalInput& input);
  // A result of write() by its digest, to be read by whoever may read what it was made from.
  Result<std::unique_ptr<blob::Reader>> open_result(const Call& call, const std::string& digest);
  EntityUploads& uploads() { return uploads_; }

 private:
  Result<std::vector<catalog::SourceSnapshot>> snapshots_of(
      const std::vector<catalog::VersionedSource>& sources);
  Result<void> check_unchanged(const std::vector<catalog::VersionedSource>& sources,
                               const std::vector<std::optional<std::string>>& read,
                               const std::vector<catalog::SourceSnapshot>& before);
  Result<OfflineTable> table_of(const Call& call, const BoundView& view,
                                const std::vector<catalog::SourceSnapshot>& snapshots);
  Result<OfflineTable> make(const Call& call, const BoundView& view, const std::string& digest,
                            const std::vector<catalog::SourceSnapshot>& snapshots,
                            const Erasures& erasures, const PushedCounts& pushed);
  // Writes the rows to `file`, and says of the table how many they are and whether there are ties.
  Result<void> evaluate(olap::Session& session, const ViewHandle& handle, const std::string& file,
                        OfflineTable& table);
  // What is known of a view's rows before they are evaluated; likely to be so, and looked at after.
  OfflineRows& likely(olap::Session& session, const ViewHandle& handle);
  void drop_old_tables(const ViewHandle& view, const OfflineTable& newest);
  Result<void> keep_table(const Call& call, const BoundView& view, const OfflineTable& table,
                          const Erasures& erasures);
  // `statement` gives the entity rows and the features of views: with the schema's transforms.
  Result<std::string> with_transforms(olap::Session& session, const SchemaHandle& schema,
                                      const Joined& joined, const std::string& statement,
                                      const JoinOptions& options);
  Result<void> bind_rows(const Call& call, olap::Session& session, const Rows& rows, Joined& out);
  Result<Rows> rows_of(const Call& call, olap::Session& session, const SchemaHandle& schema,
                       const HistoricalInput& input, std::string& taken);
  Result<Rows> csv_rows(olap::Session& session, const SchemaHandle& schema,
                        const std::string& path);
  Result<NumberedRows> numbered_rows(olap::Session& session, const Rows& rows);
  Result<void> copy(olap::Session& session, const SchemaHandle& schema, const Rows& rows,
                    const Joined& joined, const JoinOptions& options, const std::string& to);
  Result<void> describe(const Call& call, olap::Session& session, const SchemaHandle& schema,
                        const HistoricalInput& input, const Rows& rows, const Joined& joined,
                        const std::string& file, Written& out);
  Result<void> keep(const Call& call, const HistoricalInput& input, const Staged& staged,
                    HistoricalOutput& out);
  void remove_old(const Call& call);
  // A path of the blob store for a file on its way, which nobody else has.
  std::string staged_path();

  sql::Database& db_;
  olap::Engine& olap_;
  blob::Store& blobs_;
  catalog::Service& catalog_;
  const Clock& clock_;
  const Options options_;
  std::mutex making_;  // one evaluation at a time: it takes what memory there is
  std::map<std::string, OfflineRows> seen_;  // by prefix, of what was evaluated; under making_
  std::mutex tables_turn_;
  std::map<std::string, OfflineTable> tables_;  // by digest
  MovedFrom moved_from_;
  EntityUploads uploads_;
};

}  // namespace penstock::features
