#include "adapters/postgres/tables.h"

#include <fstream>

#include "adapters/postgres/connection.h"

namespace penstock::postgres {
namespace {

struct Mapping {
  std::string_view native;  // format_type's word without its modifier
  olap::Type type;
  std::string_view declared;
};

constexpr Mapping mappings[] = {
    {"boolean", olap::Type::boolean, "BOOLEAN"},
    {"smallint", olap::Type::bigint, "SMALLINT"},
    {"integer", olap::Type::bigint, "INTEGER"},
    {"bigint", olap::Type::bigint, "BIGINT"},
    {"real", olap::Type::real, "FLOAT"},
    {"double precision", olap::Type::real, "DOUBLE"},
    {"date", olap::Type::timestamp, "DATE"},
    {"timestamp without time zone", olap::Type::timestamp, "TIMESTAMP"},
    {"timestamp with time zone", olap::Type::timestamp, "TIMESTAMP"},
};

// "timestamp(3) with time zone" without "(3)".
std::string without_modifier(std::string native) {
  const std::size_t open = native.find('('), close = native.find(')');
  if (open != std::string::npos && close != std::string::npos && close > open)
    native.erase(open, close - open + 1);
  return native;
}

olap::Column column_of(std::string name, const std::string& native) {
  const std::string plain = without_modifier(native);
  for (const Mapping& mapping : mappings)
    if (mapping.native == plain)
      return {std::move(name), mapping.type, std::string(mapping.declared)};
  if (plain != "numeric") return {std::move(name), olap::Type::text, "VARCHAR"};
  int digits = 38, scale = 12;
  if (const std::size_t open = native.find('('); open != std::string::npos) {
    digits = std::atoi(native.c_str() + open + 1);
    const std::size_t comma = native.find(',', open);
    scale = comma == std::string::npos ? 0 : std::atoi(native.c_str() + comma + 1);
  }
  if (digits > 38 || scale < 0 || scale > digits)
    return {std::move(name), olap::Type::real, "DOUBLE"};
  return {std::move(name), olap::Type::decimal,
          "DECIMAL(" + std::to_string(digits) + "," + std::to_string(scale) + ")"};
}

const std::string& text_at(const sql::Row& row, std::size_t column) {
  static const std::string none;
  const auto* text = std::get_if<std::string>(&row.at(column));
  return text ? *text : none;
}

// What the table is called in SQL, quoted where it must be.
Result<std::string> name_of_table(Connection& connection, const std::string& table) {
  const auto found = connection.run(
      "SELECT CAST(to_regclass($1) AS text), (SELECT CAST(relkind AS text) FROM pg_class WHERE oid "
      "= to_regclass($1))",
      {table});
  // to_regclass refuses what is no name at all.
  if (!found && found.error().code != Code::internal &&
      found.error().code != Code::invalid_argument)
    return found.error();
  if (!found || text_at(found->at(0), 0).empty())
    return Error{Code::not_found,
                 "there is no table " + table + " that this user sees",
                 {{"postgres.table", "names no table that this user sees: " + table}}};
  if (std::string_view("rvmfp").find(text_at(found->at(0), 1)) == std::string_view::npos)
    return Error{Code::invalid_argument,
                 table + " is no table or view",
                 {{"postgres.table", "must name a table or view, and " + table + " is none"}}};
  return text_at(found->at(0), 0);
}

Result<void> read_columns(Connection& connection, const std::string& table, tables::Table& out) {
  const auto rows = TRY(connection.run(
      "SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(CASE WHEN t.typtype = "
      "'d' THEN t.typbasetype ELSE a.atttypid END, CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE "
      "a.atttypmod END), a.attnotnull OR t.typnotnull, coalesce(col_description(a.attrelid, "
      "a.attnum), '') FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid WHERE "
      "a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
      {table}));
  for (const sql::Row& row : rows)
    out.columns.push_back({.column = column_of(text_at(row, 0), text_at(row, 2)),
                           .native = text_at(row, 1),
                           .nullable = !std::get<bool>(row.at(3)),
                           .description = text_at(row, 4)});
  return {};
}

// Unique indexes of whole columns and all rows, the primary key's first.
Result<void> read_keys(Connection& connection, const std::string& table, tables::Table& out) {
  const auto rows = TRY(connection.run(
      "SELECT CAST(i.indexrelid AS bigint), i.indisprimary, a.attname FROM pg_index AS i CROSS "
      "JOIN LATERAL unnest(CAST(i.indkey AS smallint[])) WITH ORDINALITY AS k (attnum, place) JOIN "
      "pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE i.indrelid = "
      "to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS "
      "NULL AND k.place <= i.indnkeyatts ORDER BY NOT i.indisprimary, i.indexrelid, k.place",
      {table}));
  std::int64_t index = 0;
  for (const sql::Row& row : rows) {
    if (out.keys.empty() || index != std::get<std::int64_t>(row.at(0))) out.keys.emplace_back();
    index = std::get<std::int64_t>(row.at(0));
    out.has_primary_key = out.has_primary_key || std::get<bool>(row.at(1));
    out.keys.back().push_back(text_at(row, 2));
  }
  return {};
}

// Times with a zone are given in UTC and without it, as DuckDB's TIMESTAMP has none.
std::string copy_statement(const std::string& table, const std::vector<tables::Column>& columns) {
  std::string list;
  for (const tables::Column& column : columns) {
    const std::string name = olap::quoted_name(column.column.name);
    const bool zoned = without_modifier(column.native) == "timestamp with time zone";
    list += (list.empty() ? "" : ", ") +
            (zoned ? "(" + name + " AT TIME ZONE 'UTC') AS " + name : name);
  }
  return "COPY (SELECT " + list + " FROM " + table + ") TO STDOUT (FORMAT csv, HEADER)";
}

class Reader final : public tables::Reader {
 public:
  Result<void> check_connection(const std::string& connection, bool may_hold_password) override {
    char* why = nullptr;
    PQconninfoOption* options = PQconninfoParse(connection.c_str(), &why);
    PQfreemem(why);  // it may quote the password
    if (!options)
      return Error{Code::invalid_argument,
                   "must be \"host=... dbname=... user=...\", \"postgresql://user@host/name\", "
                   "${ENV:NAME} or file:PATH"};
    bool secret = false;
    for (const PQconninfoOption* option = options; option->keyword; ++option)
      secret = secret || (std::string_view(option->keyword).ends_with("password") && option->val &&
                          *option->val);
    PQconninfoFree(options);
    if (!secret || may_hold_password) return {};
    return Error{Code::invalid_argument,
                 "must not hold a password, which everybody who reads the declaration would see; "
                 "put the connection into a variable of the server and write ${ENV:NAME}"};
  }

  Result<tables::Table> describe(const std::string& connection, const std::string& table,
                                 Micros time_limit) override {
    Connection open({connection, ""});
    TRY(open.begin(false, SystemClock().now() + time_limit));
    TRY(name_of_table(open, table));
    tables::Table out;
    const auto comment =
        TRY(open.run("SELECT coalesce(obj_description(to_regclass($1), 'pg_class'), '')", {table}));
    out.description = text_at(comment.at(0), 0);
    TRY(read_columns(open, table, out));
    TRY(read_keys(open, table, out));
    return out;
  }

  Result<void> copy(const std::string& connection, const std::string& table,
                    const std::vector<tables::Column>& columns, const std::string& path,
                    std::int64_t bytes_max, Micros time_limit) override {
    Connection open({connection, ""});
    TRY(open.begin(false, SystemClock().now() + time_limit));
    const std::string name = TRY(name_of_table(open, table));
    std::ofstream out(path, std::ios::binary);
    std::int64_t written = 0;
    TRY(open.copy_out(copy_statement(name, columns), [&](std::string_view piece) -> Result<void> {
      written += static_cast<std::int64_t>(piece.size());
      if (written > bytes_max)
        return Error{Code::resource_exhausted,
                     "table " + table + " is more than " + std::to_string(bytes_max) +
                         " bytes; declare a view of the rows that are needed"};
      if (out.write(piece.data(), static_cast<std::streamsize>(piece.size()))) return {};
      return Error{Code::resource_exhausted, "cannot write " + path + "; is the disk full?"};
    }));
    out.close();
    if (!out)
      return Error{Code::resource_exhausted, "cannot write " + path + "; is the disk full?"};
    return {};
  }
};

}  // namespace

std::unique_ptr<tables::Reader> table_reader() { return std::make_unique<Reader>(); }

}  // namespace penstock::postgres
