// One connection to SQLite and its prepared statements. Private to this adapter.
#pragma once

#include <sqlite3.h>

#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ports/sql.h"

namespace penstock::sqlite {

// Opened without SQLite's own mutex: any thread may use it, but only one at a time, and what orders
// them (Turn, ReadPool) also makes the memory of one visible to the next.
class Connection {
 public:
  enum class Use { write, read };
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Use use);

  // Until when statements may run from now on. A statement that overruns is stopped, but for one:
  // where a stopped write would roll back what others wrote in the same transaction (`shared`), it
  // gets ten seconds more.
  void limit(Timestamp deadline, bool shared);

  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters);
  // As sql::Tx::ask says. Not kept as a prepared statement.
  Result<sql::Answer> ask(std::string_view text, const sql::Row& parameters, Micros time_limit);
  // BEGIN, COMMIT and the like, which no deadline stops but that of a wait for another process.
  Result<void> control(std::string_view text);

  bool in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }
  // Whether a reference that is checked at the commit is still broken.
  bool owes_reference() const;
  void refuse_writes(bool refuse);
  // Moves the log into the database file once it is long. What fails here is tried again at the
  // next.
  void checkpoint_if_due();

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  struct Prepared {
    std::string text;
    std::unique_ptr<sqlite3_stmt, Close> statement;
    std::vector<std::size_t> slots;  // which of the caller's parameters each of SQLite's takes
    std::size_t parameters = 0;      // how many the caller must give
  };

  Connection(std::string path, sqlite3* db);
  Result<Prepared*> prepared(std::string_view text);
  Result<Prepared> prepare(std::string_view text, unsigned flags);
  Result<void> bind(const Prepared& prepared, const sql::Row& parameters);
  int step(sqlite3_stmt* statement);
  Error fault() const;
  static sql::Row row_of(sqlite3_stmt* statement);
  static int on_progress(void* self);
  static int on_busy(void* self, int times);
  static int on_commit(void* self, sqlite3*, const char*, int pages);

  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
  std::list<Prepared> cache_;  // the last used first
  std::unordered_map<std::string_view, std::list<Prepared>::iterator> by_text_;
  Timestamp deadline_ = Timestamp::max();
  Timestamp write_deadline_ = Timestamp::max();
  bool writing_ = false;  // the statement that runs now may change something
  bool refuses_writes_ = false;
  int log_pages_ = 0;
  int system_error_ =
      0;  // errno of the last step that failed, which SQLite does not keep for a statement
};

}  // namespace penstock::sqlite
