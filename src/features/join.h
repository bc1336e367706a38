// The SQL of offline features, as text for DuckDB.
#pragma once

#include "features/schema.h"

namespace penstock::features {

// A view's rows, each once, in the order in which they arrived; of rows that one read may choose
// between the one that counts stands last. `penstock_best` says of a row that it was the one that
// counts when it had arrived; of what arrived before, no row ever counts again. `rows` is the
// view's SQL over its sources.
// Rows that a gate rejects are left out; `rejected` gives those instead. What `rows` says more than
// there is, is only work; what it says less makes other rows of them.
struct OfflineRows {
  bool tied = true;      // some have one key and the same times: those are in the order of values
  bool repeated = true;  // some have one key
};
std::string offline_statement(const ViewHandle& view, OfflineRows rows, bool rejected = false);

struct JoinedView {
  const ViewHandle* view = nullptr;
  std::string table;  // what to select its offline rows from
  bool ties = false;
  std::int64_t rows = 0;
  bool by_row = false;  // the table has the values of each row, by penstock_row
};

struct JoinOptions {
  // None: a row is seen by those who ask for an instant at which it had arrived. Given: it is seen
  // where it was created until then, by whoever asks for its event time or later.
  std::optional<Timestamp> known_as_of;
  bool numbers = false;  // numbers, decimals and booleans as DOUBLE
  bool oldest = false;   // a last column oldest_event_time
};

// Every column and row of `rows` in its order, and the features of `schema` that are of views as of
// each row's event_time. `views` are schema.views.
std::string join_statement(const SchemaHandle& schema, const std::vector<JoinedView>& views,
                           const std::string& rows, const JoinOptions& options);

// Entity rows that are there already, and the number of each, from 0 in their order.
struct NumberedRows {
  std::string from;     // what to select them from
  std::string number;   // the column that numbers them
  std::string columns;  // what to select for all the others
  std::int64_t count = 0;
};

// For each entity row that a row of the view counts for: its number, and that of the view's row in
// the file of its table.
std::string places_statement(const SchemaHandle& schema, const JoinedView& view,
                             const NumberedRows& rows, const JoinOptions& options);

// The number of each entity row, its instant, and the schema's keys.
std::string moments_statement(const SchemaHandle& schema, const NumberedRows& rows);
// Of a view's rows that count when they have arrived, in the order of their file: keys, arrived_at,
// the row's number, and event_time where the view has a TTL.
std::string best_rows(const JoinedView& view);

// The number of each row in the file of a table, and then these features.
std::string numbered_features(const JoinedView& view, const std::vector<std::size_t>& features);

// The columns of an offline row as the online store takes it: keys, event_time, created_time,
// features.
std::string row_columns(const ViewHandle& view);

// The row of each entity that counts at an instant, as row_columns. Nothing that arrived later is
// seen, and no TTL is applied.
std::string latest_statement(const JoinedView& joined, Timestamp as_of);

std::string timestamp_literal(Timestamp at);
// Any date or timestamp as TIMESTAMP in UTC.
std::string as_timestamp(const std::string& time);
// How the engine calls the type of a join key.
std::string_view key_type(catalog::ColumnType type);

}  // namespace penstock::features
