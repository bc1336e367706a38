#include "features/join.h"

#include <algorithm>

#include "features/gates.h"
#include "features/values.h"
#include "features/windows/events.h"
#include "ports/olap.h"

namespace penstock::features {
namespace {

using olap::quoted_name;
using olap::quoted_text;

std::string_view engine_type(catalog::ColumnType type) {
  if (type == catalog::ColumnType::bigint) return "BIGINT";
  return type == catalog::ColumnType::boolean ? "BOOLEAN" : "VARCHAR";
}

void append(std::string& list, const std::string& item, std::string_view between = ", ") {
  if (!list.empty()) list += between;
  list += item;
}

std::string keys_of(const ViewHandle& view) {
  std::string list;
  for (const catalog::JoinKey& key : view.keys) append(list, quoted_name(key.name));
  return list;
}

std::string features_of(const ViewHandle& view, const std::string& suffix = "") {
  std::string list;
  for (const Feature& feature : view.view.features)
    append(list, quoted_name(feature.name) + suffix);
  return list;
}

// Of the rows with the same `partition` the one that counts, as FeatureView says: offline_statement
// puts it last, so every order here is that one turned round.
std::string winner(const ViewHandle& view, const std::string& partition) {
  return " QUALIFY row_number() OVER (PARTITION BY " + partition +
         " ORDER BY event_time DESC, created_time DESC, " + features_of(view, " DESC NULLS LAST") +
         ") = 1";
}

// Of a row that an entity row found. To the engine's ASOF no instant is later than all others: who
// asks for none must not get the newest row.
std::string ttl_holds(const ViewHandle& view, const std::string& alias) {
  const auto ttl = view.view.ttl.value_or(Micros(0)).count();
  if (ttl == 0) return " AND e.penstock_at IS NOT NULL";
  return " AND epoch_us(e.penstock_at) - epoch_us(" + alias +
         ".event_time) <= " + std::to_string(ttl);
}

// The rows of which the last before an instant is the one that counts then: by arrived_at, or by
// event_time where known_as_of says what had arrived.
std::string joined_rows(const JoinedView& joined, const JoinOptions& options,
                        const std::string& columns = "*") {
  std::string text = "SELECT " + columns + " FROM " + joined.table;
  if (!options.known_as_of) return text + " WHERE penstock_best";
  text += " WHERE created_time <= " + timestamp_literal(*options.known_as_of);
  if (joined.ties) text += winner(*joined.view, keys_of(*joined.view) + ", event_time");
  return text;
}

// Of an ASOF join of entity rows `e` with a view under this alias.
std::string join_condition(const SchemaHandle& schema, const ViewHandle& view,
                           const std::string& alias, const JoinOptions& options) {
  std::string text;
  for (const catalog::JoinKey& key : view.keys)
    for (std::size_t i = 0; i < schema.keys.size(); ++i)
      if (schema.keys[i].name == key.name)
        text += "e.penstock_key_" + std::to_string(i) + " = " + alias + "." +
                quoted_name(key.name) + " AND ";
  return text + "e.penstock_at >= " + alias + (options.known_as_of ? ".event_time" : ".arrived_at");
}

// The table with its column file_row_number.
JoinedView numbered(JoinedView view) {
  view.table.insert(view.table.size() - 1, ", file_row_number = true");
  return view;
}

}  // namespace

std::string timestamp_literal(Timestamp at) {
  // make_timestamp reads microseconds, so no text of a year beyond four digits can be misread.
  return "make_timestamp(CAST(" + std::to_string(at.time_since_epoch().count()) + " AS BIGINT))";
}

// The cast of one with a time zone asks a calendar,
// which takes as long as sorting the rows; only what is no instant (infinity) needs it.
std::string as_timestamp(const std::string& time) {
  return "CASE WHEN isfinite(" + time + ") THEN make_timestamp(epoch_us(" + time + ")) ELSE CAST(" +
         time + " AS TIMESTAMP) END";
}

std::string_view key_type(catalog::ColumnType type) { return engine_type(type); }

std::string offline_statement(const ViewHandle& handle, OfflineRows rows, bool rejected) {
  if (handle.windows) return windows::offline_statement(handle);
  const FeatureView& view = handle.view;
  std::string inner, present, checked, entity = quoted_text(view.entity);
  std::string gates = rejecting_condition(view);
  if (!gates.empty()) gates = (rejected ? " AND (" : " AND NOT (") + gates + ")";
  for (const catalog::JoinKey& key : handle.keys) {
    const std::string name = quoted_name(key.name);
    append(inner, "CAST(" + name + " AS " + std::string(engine_type(key.type)) + ") AS " + name);
    append(present, name + " IS NOT NULL", " AND ");
    entity += " || " + quoted_text(" " + key.name + "=") + " || CAST(" + name + " AS VARCHAR)";
  }
  const std::string event = quoted_name(view.event_time);
  append(inner, as_timestamp(event) + " AS event_time");
  const std::string created = view.created_time
                                  ? "coalesce(" + as_timestamp(quoted_name(*view.created_time)) +
                                        ", " + as_timestamp(event) + ")"
                                  : as_timestamp(event);
  append(inner, created + " AS created_time");
  for (const Feature& feature : view.features) {
    const std::string name = quoted_name(feature.name);
    append(inner, cast_sql(feature, name) + " AS " + name);
    append(checked, checked_sql(view.name, feature, name, entity));
  }
  const std::string within = "event_time, created_time",
                    values = rows.tied ? ", " + features_of(handle, " NULLS FIRST") : "";
  const std::string order = "arrived_at, " + within;
  // The only row of its entity counts.
  const std::string best = rows.repeated
                               ? "lead(arrived_at) OVER arrival IS DISTINCT FROM "
                                 "arrived_at AND event_time = max(event_time) OVER arrival"
                               : "true";
  const std::string window =
      rows.repeated ? " WINDOW arrival AS (PARTITION BY " + keys_of(handle) + " ORDER BY " + order +
                          values + " ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
                    : "";
  return "SELECT " + keys_of(handle) + ", event_time, created_time, arrived_at, " + checked + ", " +
         best +
         " AS penstock_best FROM (SELECT *, greatest(event_time, created_time) AS arrived_at "
         "FROM (SELECT " +
         inner + " FROM (\n" + view.sql + "\n)) WHERE event_time IS NOT NULL AND " + present +
         gates + ")" + window + " ORDER BY " + order + ", " + keys_of(handle) + values;
}

std::string join_statement(const SchemaHandle& schema, const std::vector<JoinedView>& views,
                           const std::string& rows, const JoinOptions& options) {
  std::string hidden = "penstock_row, penstock_at", entities, joins, features;
  for (std::size_t i = 0; i < schema.keys.size(); ++i) {
    const std::string name = "penstock_key_" + std::to_string(i);
    hidden += ", " + name;
    entities += ", CAST(" + quoted_name(schema.keys[i].name) + " AS " +
                std::string(engine_type(schema.keys[i].type)) + ") AS " + name;
  }
  std::string oldest;
  for (std::size_t v = 0; v < views.size(); ++v) {
    const ViewHandle& view = *views[v].view;
    const std::string alias = "v" + std::to_string(v);
    append(oldest, "CASE WHEN " + alias + ".event_time IS NOT NULL" + ttl_holds(view, alias) +
                       " THEN " + alias + ".event_time END");
    if (views[v].by_row) {
      joins += "\nLEFT JOIN " + views[v].table + " AS " + alias + " ON e.penstock_row = " + alias +
               ".penstock_row";
      continue;
    }
    joins += "\nASOF LEFT JOIN (" + joined_rows(views[v], options) + ") AS " + alias + " ON ";
    joins += join_condition(schema, view, alias, options);
  }
  for (std::size_t i = 0; i < schema.slots.size(); ++i) {
    if (schema.slots[i].is_computed()) continue;
    const ViewHandle& view = *views[schema.slots[i].view].view;
    const std::string alias = "v" + std::to_string(schema.slots[i].view);
    const Feature& feature = view.view.features[schema.slots[i].feature];
    const std::string value = "CASE WHEN true" + ttl_holds(view, alias) + " THEN " + alias + "." +
                              quoted_name(feature.name) + " END";
    features +=
        ", " + output_sql(feature, value, options.numbers) + " AS " + quoted_name(schema.names[i]);
  }
  if (options.oldest)
    features += ", least(" + (oldest.empty() ? "CAST(NULL AS TIMESTAMP)" : oldest) +
                ") AS oldest_event_time";
  return "SELECT e.* EXCLUDE (" + hidden + ")" + features +
         "\nFROM (SELECT *, row_number() OVER () AS penstock_row, CAST(event_time AS TIMESTAMP) "
         "AS penstock_at" +
         entities + " FROM (\n" + rows + "\n)) AS e" + joins + "\nORDER BY e.penstock_row";
}

std::string places_statement(const SchemaHandle& schema, const JoinedView& view,
                             const NumberedRows& rows, const JoinOptions& options) {
  std::string keys;
  for (std::size_t i = 0; i < schema.keys.size(); ++i)
    if (std::ranges::find(view.view->keys, schema.keys[i].name, &catalog::JoinKey::name) !=
        view.view->keys.end())
      keys += ", CAST(" + quoted_name(schema.keys[i].name) + " AS " +
              std::string(engine_type(schema.keys[i].type)) + ") AS penstock_key_" +
              std::to_string(i);
  const std::string columns =
      keys_of(*view.view) +
      ", event_time, arrived_at, CAST(file_row_number AS BIGINT) AS penstock_place";
  return "SELECT e.penstock_row, v.penstock_place\nFROM (SELECT CAST(" + rows.number +
         " AS BIGINT) AS penstock_row, CAST(event_time AS TIMESTAMP) AS penstock_at" + keys +
         " FROM " + rows.from + ") AS e\nASOF JOIN (" +
         joined_rows(numbered(view), options, columns) + ") AS v ON " +
         join_condition(schema, *view.view, "v", options) + "\nWHERE true" +
         ttl_holds(*view.view, "v");
}

std::string moments_statement(const SchemaHandle& schema, const NumberedRows& rows) {
  std::string keys;
  for (const catalog::JoinKey& key : schema.keys)
    keys += ", CAST(" + quoted_name(key.name) + " AS " + std::string(engine_type(key.type)) + ")";
  return "SELECT CAST(" + rows.number + " AS BIGINT), CAST(event_time AS TIMESTAMP)" + keys +
         " FROM " + rows.from;
}

std::string best_rows(const JoinedView& view) {
  const bool ttl = view.view->view.ttl.value_or(Micros(0)).count() != 0;
  return joined_rows(numbered(view), {},
                     keys_of(*view.view) + ", arrived_at, CAST(file_row_number AS BIGINT)" +
                         (ttl ? ", event_time" : ""));
}

std::string numbered_features(const JoinedView& view, const std::vector<std::size_t>& features) {
  std::string text = "SELECT CAST(file_row_number AS BIGINT) AS penstock_place";
  for (const std::size_t feature : features)
    text += ", " + quoted_name(view.view->view.features[feature].name);
  return text + " FROM " + numbered(view).table;
}

std::string row_columns(const ViewHandle& view) {
  return keys_of(view) + ", event_time, created_time, " + features_of(view);
}

std::string latest_statement(const JoinedView& joined, Timestamp as_of) {
  const ViewHandle& view = *joined.view;
  return "SELECT " + row_columns(view) + " FROM " + joined.table +
         " WHERE arrived_at <= " + timestamp_literal(as_of) + winner(view, keys_of(view));
}

}  // namespace penstock::features
