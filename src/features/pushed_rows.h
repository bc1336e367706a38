// Rows that were pushed to the offline side: kept in the database, a log for each view, beside what
// its sources hold.
#pragma once

#include "features/definitions.h"
#include "features/erasure.h"
#include "features/online.h"

namespace penstock::features {

inline constexpr std::int64_t pushed_rows_max = 5'000'000;  // of one view

// A row of feature_pushed_rows.
struct PushedRow {
  std::string project, view;
  std::int64_t number = 0;
  std::optional<std::string> id;
  std::map<std::string, std::string> keys;  // by name, spelt
  Timestamp event_time, pushed_at;
  std::string row_text;
};
BOOST_DESCRIBE_STRUCT(PushedRow, (),
                      (project, view, number, id, keys, event_time, pushed_at, row_text))

// A row of feature_pushed_counts.
struct PushedCounts {
  std::string project, view;
  std::int64_t row_count = 0, last_number = 0;
  Timestamp last_at;
  std::int64_t changes = 0;

  // Another one whenever the rows are others; empty where there are none.
  std::string state() const;
};
BOOST_DESCRIBE_STRUCT(PushedCounts, (), (project, view, row_count, last_number, last_at, changes))

Result<PushedCounts> pushed_counts(sql::Tx& tx, const std::string& project,
                                   const std::string& view);

// Keeps rows of the newest version of a view. Each counts from the instant at which it is kept,
// whatever its times say: who asks for an earlier one must not see it. An event of a windowed view
// that is there already keeps its first instant.
struct KeptRows {
  std::vector<std::optional<Timestamp>> at;  // of each row; none: of an entity that was erased
  std::int64_t kept = 0;                     // that were not there
};
// `given` are the rows as they came; resource_exhausted beyond pushed_rows_max.
Result<KeptRows> keep_pushed_rows(sql::Database& db, const Clock& clock, const Call& call,
                                  const ViewHandle& view, const std::vector<Online::Row>& rows,
                                  const std::vector<const json::object*>& given);

// The view with SQL that gives its pushed rows, too: those of `counts`, which `session` holds from
// then on. Rows that this version of the view cannot take are left out.
Result<ViewHandle> with_pushed_rows(sql::Database& db, olap::Session& session, const Call& call,
                                    const ViewHandle& view, const PushedCounts& counts);

// Takes the rows of entities away: those whose keys `until` gives an instant for, of events up to
// it.
Result<void> forget_pushed_rows(
    sql::Tx& tx, const std::string& project, const std::string& view,
    const std::function<std::optional<Timestamp>(const std::map<std::string, std::string>& keys)>&
        until);

}  // namespace penstock::features
