#include "adapters/sqlite/sqlite.h"

#include <sqlite3.h>

#include <filesystem>
#include <mutex>

namespace penstock::sqlite {
namespace {

struct Close {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Handle = std::unique_ptr<sqlite3, Close>;
using Statement = std::unique_ptr<sqlite3_stmt, Close>;

Error fault(sqlite3* db) {
  const int code = sqlite3_extended_errcode(db);
  const bool duplicate = code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY;
  return {duplicate ? Code::already_exists : Code::internal, sqlite3_errmsg(db)};
}

void bind(sqlite3_stmt* statement, int index, const Scalar& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value))
    sqlite3_bind_int64(statement, index, *number);
  else if (const auto* yes = std::get_if<bool>(&value))
    sqlite3_bind_int(statement, index, *yes);
  else if (const auto* real = std::get_if<double>(&value))
    sqlite3_bind_double(statement, index, *real);
  else if (const auto* text = std::get_if<std::string>(&value))
    sqlite3_bind_text(statement, index, text->data(), static_cast<int>(text->size()), SQLITE_TRANSIENT);
  else
    sqlite3_bind_null(statement, index);
}

Scalar column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER: {
      const char* declared = sqlite3_column_decltype(statement, index);
      const std::int64_t number = sqlite3_column_int64(statement, index);
      if (declared && std::string_view(declared) == "BOOLEAN") return number != 0;
      return number;
    }
    case SQLITE_FLOAT: return sqlite3_column_double(statement, index);
    case SQLITE_NULL: return {};
    default: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
      return std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, index)));
    }
  }
}

class SqliteTx final : public sql::Tx {
 public:
  SqliteTx(sqlite3* db, std::unique_lock<std::mutex> turn) : db_(db), turn_(std::move(turn)) {}
  ~SqliteTx() override {
    if (open_) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    sqlite3_stmt* raw = nullptr;
    if (sqlite3_prepare_v2(db_, text.data(), static_cast<int>(text.size()), &raw, nullptr) != SQLITE_OK)
      return fault(db_);
    const Statement statement(raw);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const std::string name = "$" + std::to_string(i + 1);
      const int index = sqlite3_bind_parameter_index(raw, name.c_str());
      if (index) bind(raw, index, parameters[i]);
    }
    std::vector<sql::Row> rows;
    int step = SQLITE_DONE;
    while ((step = sqlite3_step(raw)) == SQLITE_ROW) {
      sql::Row& row = rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(raw); ++i) row.push_back(column(raw, i));
    }
    if (step != SQLITE_DONE) return fault(db_);
    return rows;
  }

 private:
  Result<void> commit() override {
    TRY(run("COMMIT", {}));
    open_ = false;
    return {};
  }
  sqlite3* db_;
  bool open_ = true;
  std::unique_lock<std::mutex> turn_;
};

class SqliteDatabase final : public sql::Database {
 public:
  explicit SqliteDatabase(Handle db) : db_(std::move(db)) {}

 protected:
  Result<std::unique_ptr<sql::Tx>> begin(const Call&, Access access) override {
    auto tx = std::make_unique<SqliteTx>(db_.get(), std::unique_lock(turn_));
    TRY(tx->run(access == Access::write ? "BEGIN IMMEDIATE" : "BEGIN", {}));
    return std::unique_ptr<sql::Tx>(std::move(tx));
  }

 private:
  Handle db_;
  std::mutex turn_;
};

}  // namespace

Result<std::unique_ptr<sql::Database>> open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open(path.c_str(), &raw);
  Handle db(raw);
  if (opened != SQLITE_OK) return Error{Code::unavailable, path + ": " + sqlite3_errmsg(raw)};
  if (sqlite3_exec(raw, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;", nullptr, nullptr, nullptr) != SQLITE_OK)
    return fault(raw);
  return std::unique_ptr<sql::Database>(std::make_unique<SqliteDatabase>(std::move(db)));
}

}  // namespace penstock::sqlite
