#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "base/metrics.h"
#include "catalog/service.h"
#include "features/logged.h"
#include "features/schema.h"
#include "features/view_work.h"
#include "ports/blob.h"
#include "ports/kv.h"
#include "ports/lookup.h"
#include "ports/olap.h"

namespace penstock::features {

class Nearest;
class Offline;
class Online;
class EntityUploads;
class ErasedMarks;
class OpenHandles;
class Operations;
struct BoundView;
struct EntityColumns;   // batch.h
struct FeatureColumns;  // batch.h
struct EraseInput;      // features/erasure.h
struct EraseOutput;
struct NearestInput;
struct NearestOutput;

struct ViewStatus {
  FeatureView view;
  std::int64_t version = 0;
  std::optional<Timestamp>
      watermark;  // online rows are complete up to here; none: never materialized
  std::optional<double> staleness_seconds;     // now minus watermark
  std::optional<double> newest_event_seconds;  // now minus the newest event time online
  std::optional<bool> fresh;                   // none: the view has no objective
  std::optional<ViewWork> work;                // none: nothing was done for it yet
};
BOOST_DESCRIBE_STRUCT(ViewStatus, (),
                      (view, version, watermark, staleness_seconds, newest_event_seconds, fresh,
                       work))
struct ViewList {
  std::vector<ViewStatus> views;
};
BOOST_DESCRIBE_STRUCT(ViewList, (), (views))

struct MaterializeInput {
  std::vector<std::string> views;  // names, all their versions in use; empty: every online view
  Timestamp until;
};
BOOST_DESCRIBE_STRUCT(MaterializeInput, (), (views, until))
struct Materialized {
  std::string view;       // "carrier_delay@1"
  std::int64_t rows = 0;  // moved by this call
  Timestamp watermark;    // after it
  // rows = written + ignored + rejected.
  std::int64_t written = 0;
  std::int64_t ignored = 0;        // a newer row of the entity came with them, or is there
  std::int64_t rejected = 0;       // by gates
  std::vector<GateResult> checks;  // that did not hold, or kept rows out
};
BOOST_DESCRIBE_STRUCT(Materialized, (), (view, rows, watermark, written, ignored, rejected, checks))
struct RepairInput {
  std::vector<std::string> views;  // names, all their versions in use; empty: every online view
};
BOOST_DESCRIBE_STRUCT(RepairInput, (), (views))
struct MaterializeOutput {
  std::int64_t rows = 0;
  std::vector<Materialized> views;
};
BOOST_DESCRIBE_STRUCT(MaterializeOutput, (), (rows, views))

// A view's offline rows as one Parquet file: join keys, event_time, created_time, arrived_at,
// features. A row of feature_tables.
struct OfflineTable {
  std::string project, view;
  std::int64_t version = 0;
  std::string digest;  // of what it was made from: the view and its sources' snapshots
  std::string path;    // in the blob store
  std::int64_t row_count = 0;
  bool ties = false;                 // two rows of an entity have one event time
  std::vector<std::string> sources;  // URNs
  Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(OfflineTable, (),
                      (project, view, version, digest, path, row_count, ties, sources, created_at))
struct ViewName {
  std::string view;
  std::int64_t version = 0;  // 0: the newest
};
BOOST_DESCRIBE_STRUCT(ViewName, (), (view, version))
constexpr auto rules_of(const ViewName&) {
  return std::array{Rule{.field = "version", .min = 0, .may_miss = true}};
}

// Features for each row of a query or a file: all its rows, in its order, with their columns first.
struct HistoricalInput {
  std::string entity_sql;      // SELECT over sources; must give event_time and the join keys; or
  std::string entity_path;     // a Parquet file, absolute or below the data folder
  std::string feature_schema;  // "features_v1" or "features_v1@1"; or
  std::vector<std::string> features;     // "view:feature"
  std::optional<Timestamp> known_as_of;  // rows created later are not seen
  std::string
      output;  // historical/<project>/named/<output> in the blob store; empty: .../<digest>.parquet
  std::string dataset;        // a name: the result becomes a dataset of the catalog
  std::string entity_upload;  // instead of SQL and path: rows that the caller sent, used once
  bool temporary = false;     // the result is for download, and kept for a day
};
BOOST_DESCRIBE_STRUCT(HistoricalInput, (),
                      (entity_sql, entity_path, feature_schema, features, known_as_of, output,
                       dataset, entity_upload, temporary))
constexpr auto rules_of(const HistoricalInput&) {
  return std::array{Rule{.field = "entity_sql", .max = 100'000, .may_miss = true},
                    Rule{.field = "entity_path", .max = 2000, .may_miss = true},
                    Rule{.field = "feature_schema", .max = 200, .may_miss = true},
                    Rule{.field = "features", .max = 2000},
                    Rule{.field = "output", .max = 500, .may_miss = true},
                    Rule{.field = "dataset", .max = 200, .may_miss = true},
                    Rule{.field = "entity_upload", .max = 100, .may_miss = true},
                    Rule{.field = "temporary", .may_miss = true}};
}
struct HistoricalOutput {
  std::string path;  // in the blob store
  std::string uri;   // where it can be read
  std::int64_t row_count = 0;
  std::string
      digest;  // SHA-256 of the file; the same input over the same sources gives the same bytes
  std::vector<catalog::DatasetColumn> columns;
  std::string feature_schema;        // "features_v1@1", empty for a list of features
  std::vector<std::string> sources;  // URNs of sources and feature views
  std::string dataset;               // "dataset:NAME@N", empty if none was asked for
  std::int64_t bytes = 0;            // of the file
};
BOOST_DESCRIBE_STRUCT(HistoricalOutput, (),
                      (path, uri, row_count, digest, columns, feature_schema, sources, dataset,
                       bytes))

struct OnlineInput {
  std::string feature_schema;         // "features_v1" or "features_v1@1"; or
  std::vector<std::string> features;  // "view:feature"
  std::vector<std::map<std::string, std::string>> entities;
  std::optional<Timestamp> event_time;  // none: now
};
BOOST_DESCRIBE_STRUCT(OnlineInput, (), (feature_schema, features, entities, event_time))
constexpr auto rules_of(const OnlineInput&) {
  return std::array{Rule{.field = "feature_schema", .max = 200, .may_miss = true},
                    Rule{.field = "features", .max = 2000},
                    Rule{.field = "entities", .min = 1, .max = 10'000}};
}
struct OnlineRow {
  std::vector<json::value> values;
  std::vector<Status> statuses;
  std::vector<std::optional<Timestamp>> event_times;  // of each value
  std::vector<std::optional<double>>
      ages;  // of each value, in seconds before the instant asked for
};
BOOST_DESCRIBE_STRUCT(OnlineRow, (), (values, statuses, event_times, ages))
struct OnlineOutput {
  std::string feature_schema;
  std::vector<std::string> names;
  std::vector<OnlineRow> rows;  // in the order of `entities`
};
BOOST_DESCRIBE_STRUCT(OnlineOutput, (), (feature_schema, names, rows))

// Where pushed rows go. offline: the view's offline table is made of them too, and what is
// materialized; online: to its readers at once.
enum class PushTo { online, offline, online_and_offline };
BOOST_DESCRIBE_ENUM(PushTo, online, offline, online_and_offline)

struct PushInput {
  std::string view;                // its newest version and those in use all get the rows
  std::vector<json::object> rows;  // join keys, the view's event_time (and created_time), features
  bool all_or_nothing = false;     // one bad row: none is written
  std::vector<json::object> deletes;  // join keys and the view's event_time
  PushTo to = PushTo::online;
};
BOOST_DESCRIBE_STRUCT(PushInput, (), (view, rows, all_or_nothing, deletes, to))
constexpr auto rules_of(const PushInput&) {
  return std::array{
      Rule{.field = "rows", .max = 10'000, .may_miss = true},
      Rule{.field = "deletes",
           .doc = "Entities that have no row any more from an event time on, until a later one "
                  "comes. One that is bad refuses the call.",
           .max = 10'000,
           .may_miss = true},
      Rule{.field = "all_or_nothing",
           .doc = "Write none of the rows where one is bad. Else good rows are written, and those "
                  "that are not come back in `rejects`; where all are bad, that is an error.",
           .may_miss = true},
      Rule{.field = "to",
           .doc = "online: readers see the rows at once, and offline does not know of them until "
                  "the sources do. offline: they are kept beside the sources, for joins and the "
                  "next materialize. online_and_offline: both. A row that is kept counts from then "
                  "on, on both sides.",
           .may_miss = true}};
}
struct RejectedRow {
  std::int64_t row = 0;  // of PushInput::rows, from 0
  std::string field;
  std::string value;   // as JSON, its first 100 bytes; empty where there is none
  std::string reason;  // completes "<field> ..."
};
BOOST_DESCRIBE_STRUCT(RejectedRow, (), (row, field, value, reason))
// written + ignored + rejected are the rows and deletes that came: of the online store, where they
// go there.
struct PushOutput {
  std::int64_t written = 0;
  std::int64_t ignored = 0;  // older than what is there, or there already
  // Of the ignored those of a windowed view that arrived up to `watermark`: they count once the
  // sources hold them, if these do not already. Say source_delay where they come that late often.
  std::int64_t late = 0;
  std::optional<Timestamp> watermark;  // where any are late
  std::int64_t rejected = 0;
  std::vector<RejectedRow> rejects;  // at most 1,000 faults, in the order of the rows
  std::int64_t kept = 0;             // new to the offline side
};
BOOST_DESCRIBE_STRUCT(PushOutput, (), (written, ignored, late, watermark, rejected, rejects, kept))

struct VerifyInput {
  std::string name;            // a feature view or a feature schema
  std::int64_t sample = 1000;  // entities of each view
};
BOOST_DESCRIBE_STRUCT(VerifyInput, (), (name, sample))
constexpr auto rules_of(const VerifyInput&) {
  return std::array{Rule{.field = "name", .min = 1, .max = 200},
                    Rule{.field = "sample", .min = 1, .max = 100'000, .may_miss = true}};
}
// `cause` begins with one of: late data, TTL, transform, code version, pushed only, sources
// changed, lost.
struct VerifyDifference {
  std::string view, entity, feature, online, offline, cause;
};
BOOST_DESCRIBE_STRUCT(VerifyDifference, (), (view, entity, feature, online, offline, cause))
struct VerifyOutput {
  std::int64_t entities = 0, values = 0, differing = 0;
  std::vector<VerifyDifference> differences;   // at most 1,000
  std::map<std::string, std::int64_t> causes;  // of all differences
  // Of a schema with transforms: the newest that were logged, whose transforms were computed anew.
  std::int64_t predictions = 0;
};
BOOST_DESCRIBE_STRUCT(VerifyOutput, (),
                      (entities, values, differing, differences, causes, predictions))

struct Options {
  std::string scratch;  // a folder of the local disk for files that are being made
  // What an offline join may keep in memory of views beside what the engine has, and by what SQL
  // gets at it; none: the engine joins all by itself.
  olap::Lookup* lookup = nullptr;
  std::int64_t kept_bytes = std::int64_t{256} << 20;
  std::int64_t rows_bytes_max = std::int64_t{16} << 30;  // of one upload of entity rows
  std::string holder;                   // this server, by a name that it keeps when it starts again
  std::string program;                  // the version of Penstock
  std::int64_t vector_bytes = 1 << 30;  // of memory, for nearest neighbours
  // Where other servers write the online store too: after it, vectors are read from there anew.
  Micros vector_age{0};
};

class Service {
 public:
  Service(sql::Database& db, olap::Engine& olap, blob::Store& blobs, kv::Store& kv,
          catalog::Service& catalog, const Clock& clock, Metrics& metrics, Options options);
  ~Service();

  // Kinds feature_view and feature_schema; after the catalog's.
  void register_kinds(resources::Service& resources);

  Result<ViewList> list(const Call& call);

  // The view's SQL, evaluated once for each state of its sources.
  Result<OfflineTable> materialize_offline(const Call& call, const ViewName& name);
  Result<HistoricalOutput> historical(const Call& call, const HistoricalInput& input);
  // The file of a result, by its digest.
  Result<std::unique_ptr<blob::Reader>> historical_result(const Call& call,
                                                          const std::string& digest);
  // Entity rows that callers send, in pieces: see features/entity_rows.h.
  EntityUploads& entity_uploads();
  // For whoever writes rows of its own (batch): a statement over `session` that gives every column
  // of `rows` (a SELECT with event_time and the join keys; sources that it names are bound), then
  // each feature of `schema` under its name as of the row's event_time (numbers and booleans as
  // DOUBLE), then oldest_event_time; all rows in their order.
  Result<std::string> historical_statement(const Call& call, olap::Session& session,
                                           const std::string& schema, const std::string& rows);

  // Moves what arrived offline up to `until` into the online store. Idempotent, and resumable at
  // any point.
  Result<MaterializeOutput> materialize(const Call& call, const MaterializeInput& input);
  // `naive_times`: a time without an offset is UTC, as Feast reads it; else it is a fault.
  Result<PushOutput> push(const Call& call, const PushInput& input, bool naive_times = false);
  // Writes rows behind the watermarks anew that the store lost. Idempotent.
  Result<MaterializeOutput> repair(const Call& call, const RepairInput& input);
  Result<VerifyOutput> verify(const Call& call, const VerifyInput& input);
  // Who knows what models read; before the first call.
  void on_logged(LoggedReads logged);
  // Online rows go, offline rows are left out from now on; what holds them still is told. What
  // comes of later events counts again. Idempotent.
  Result<EraseOutput> erase(const Call& call, const EraseInput& input);

  // What goes on by itself: schedules, freshness, profiles.
  Operations& operations() { return *operations_; }
  Result<ViewProfileOutput> profile(const Call& call, const ViewProfileQuery& query);

  // "features_v1" (the newest) or "features_v1@1". Handles are kept; ask once and hold on to it.
  Result<std::shared_ptr<const SchemaHandle>> open_schema(const Call& call,
                                                          const std::string& reference);
  // For "view:feature" names, of the views' newest versions. Kept until something is applied.
  Result<std::shared_ptr<const SchemaHandle>> open_features(
      const Call& call, const std::vector<std::string>& features);
  Result<OnlineOutput> online(const Call& call, const OnlineInput& input);

  // The entities whose embedding is nearest, among the latest online rows (nearest/neighbours.h).
  Result<NearestOutput> nearest(const Call& call, const NearestInput& input);
  // Lets approximate indexes grow for some milliseconds; true where there is more to do.
  bool grow_indexes();

  // One entity's features as of `event_time`: no SQL, no lock. A join key that is missing or no
  // value of its type is invalid_argument. Microseconds.
  Result<FeatureRow> read(const SchemaHandle& schema,
                          const std::map<std::string, std::string>& entities,
                          Timestamp event_time) const;
  // The same for many at once: the store is asked once.
  Result<FeatureColumns> read_many(const SchemaHandle& schema, const EntityColumns& entities,
                                   Timestamp event_time) const;
  Timestamp now() const { return clock_.now(); }
  // invalid_argument names the first of `entities` that is no join key of the project; `row` is
  // where it stands.
  Result<void> check_entities(const Call& call, const SchemaHandle& schema,
                              const EntityColumns& entities, std::size_t row) const;

 private:
  struct InUse;
  // The views that are written online: the newest versions, and those that schemas in use pin. Kept
  // until something is applied.
  Result<std::shared_ptr<const InUse>> in_use(const Call& call);
  void forget_in_use(const std::string& project);
  Result<void> verify_view(const Call& call, const BoundView& view, std::int64_t sample,
                           VerifyOutput& out);
  Result<VerifyOutput> verify_one(const Call& call, const BoundView& view, std::int64_t sample);
  // Each logged transform that differs from what its expression gives offline of what was read with
  // it.
  Result<void> verify_transforms(const Call& call, const SchemaHandle& schema, std::int64_t sample,
                                 VerifyOutput& out);
  Result<std::string> logged_statement(const Call& call, olap::Session& session,
                                       const SchemaHandle& schema, const std::string& row_columns);
  Result<std::vector<std::shared_ptr<const ViewHandle>>> pushed_views(const Call& call,
                                                                      const PushInput& input);
  Result<std::vector<BoundView>> chosen(const Call& call, const std::vector<std::string>& names);
  Result<MaterializeOutput> for_each(
      const Call& call, const std::vector<std::string>& names,
      const std::function<Result<Materialized>(const BoundView& view)>& work);
  Result<std::shared_ptr<const SchemaHandle>> schema_of(const Call& call, const std::string& schema,
                                                        const std::vector<std::string>& features);

  sql::Database& db_;
  olap::Engine& olap_;
  std::unique_ptr<Nearest> nearest_;
  std::unique_ptr<kv::Store> watched_;
  kv::Store& kv_;  // watched_: indexes of vectors hear of every write
  catalog::Service& catalog_;
  const Clock& clock_;
  const std::string program_;
  Counter& from_future_;
  LoggedReads logged_;
  std::unique_ptr<Offline> offline_;
  std::unique_ptr<ErasedMarks> erased_;
  std::unique_ptr<Online> online_;
  std::unique_ptr<OpenHandles> handles_;
  std::unique_ptr<Operations> operations_;
  std::mutex in_use_turn_;
  std::map<std::string, std::shared_ptr<const InUse>> in_use_;  // by project
  std::int64_t forgotten_ = 0;  // counts what made in_use_ old, for those who are reading it anew
  std::mutex schemas_turn_;
  std::map<std::string, std::shared_ptr<const SchemaHandle>>
      schemas_;  // by project/reference with version
};

}  // namespace penstock::features
