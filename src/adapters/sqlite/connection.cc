#include "adapters/sqlite/connection.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <re2/re2.h>

namespace penstock::sqlite {
namespace {

constexpr std::size_t statements_max = 256;
constexpr int checkpoint_pages = 1000;
constexpr int steps_between_checks = 1000;
constexpr Micros grace = std::chrono::seconds(10);
constexpr int busy_sleep_ms = 5, busy_times_max = 2000;  // ten seconds in all

constexpr const char* settings =
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
    "PRAGMA case_sensitive_like=ON; PRAGMA wal_autocheckpoint=0; PRAGMA temp_store=MEMORY; "
    "PRAGMA journal_size_limit=67108864";

// Where many rows are read, a search of 10,000 runs takes half as long again without them in the
// cache. Of the one that writes, the ledger's appends would fill it with leaves that nobody asks
// for again: its inner pages have a place in less, and calls take the same processor time.
constexpr const char *reader_cache = "PRAGMA cache_size=-16384",
                     *writer_cache = "PRAGMA cache_size=-2000";

Error too_late() {
  return {Code::deadline_exceeded, "the deadline passed before the database had answered"};
}

bool is_full(int code, int reason) {
  return (code & 0xff) == SQLITE_FULL ||
         ((code & 0xff) == SQLITE_IOERR &&
          (reason == ENOSPC || reason == EDQUOT || reason == EFBIG));
}

Code code_of(int code) {
  switch (code) {
    case SQLITE_CONSTRAINT_UNIQUE:
    case SQLITE_CONSTRAINT_PRIMARYKEY:
    case SQLITE_CONSTRAINT_ROWID: return Code::already_exists;
    default: break;
  }
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT: return Code::failed_precondition;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::data_loss;
    case SQLITE_TOOBIG: return Code::invalid_argument;
    case SQLITE_NOMEM: return Code::resource_exhausted;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN: return Code::unavailable;
    case SQLITE_READONLY:
      return code == SQLITE_READONLY ? Code::internal : Code::unavailable;  // a write in a read
    default: return Code::internal;
  }
}

bool is_blank(const char* tail) {
  return !tail || std::string_view(tail).find_first_not_of(" \t\r\n;") == std::string_view::npos;
}

int bind_value(sqlite3_stmt* statement, int index, const Scalar& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value))
    return sqlite3_bind_int64(statement, index, *number);
  if (const auto* yes = std::get_if<bool>(&value)) return sqlite3_bind_int(statement, index, *yes);
  if (const auto* real = std::get_if<double>(&value))
    return sqlite3_bind_double(statement, index, *real);
  if (const auto* text = std::get_if<std::string>(&value))
    // Not copied: whoever runs the statement holds the parameters until it is reset.
    return sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  return sqlite3_bind_null(statement, index);
}

Scalar column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER: {
      const char* declared = sqlite3_column_decltype(statement, index);
      const std::int64_t number = sqlite3_column_int64(statement, index);
      if (declared && sqlite3_stricmp(declared, "BOOLEAN") == 0) return number != 0;
      return number;
    }
    case SQLITE_FLOAT: return sqlite3_column_double(statement, index);
    case SQLITE_NULL: return {};
    default: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
      const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, index));
      return text ? std::string(text, size) : std::string();
    }
  }
}

std::string_view text_of(sqlite3_value* value) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return text ? std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(value))) : "";
}

// regexp_like(text, regex): the regex is read once a statement.
void regexp_like(sqlite3_context* context, int, sqlite3_value** values) {
  if (sqlite3_value_type(values[0]) == SQLITE_NULL) return;
  auto* regex = static_cast<RE2*>(sqlite3_get_auxdata(context, 1));
  if (!regex) {
    const std::string_view text = text_of(values[1]);
    regex = new RE2(re2::StringPiece(text.data(), text.size()), RE2::Quiet);
    sqlite3_set_auxdata(context, 1, regex, [](void* made) { delete static_cast<RE2*>(made); });
    regex = static_cast<RE2*>(sqlite3_get_auxdata(context, 1));  // where there was memory for it
  }
  if (!regex || !regex->ok())
    return sqlite3_result_error(context, "the regular expression cannot be read", -1);
  const std::string_view text = text_of(values[0]);
  sqlite3_result_int(context,
                     RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), *regex));
}

}  // namespace

Connection::Connection(std::string path, sqlite3* db) : path_(std::move(path)), db_(db) {}

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Use use) {
  // Nobody asks SQLite how much memory it has, and counting it is a lock around each allocation.
  [[maybe_unused]] static const int uncounted = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
  sqlite3* raw = nullptr;
  constexpr int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  std::unique_ptr<Connection> out(new Connection(path, raw));
  const auto refused = [&](int code) {
    const int reason = raw ? sqlite3_system_errno(raw) : 0;
    std::string why = raw ? sqlite3_errmsg(raw) : sqlite3_errstr(code);
    if (reason != 0) why += std::string(" (") + std::strerror(reason) + ")";
    Code kind = code_of(code);
    if (kind == Code::internal) kind = Code::unavailable;
    return Error{kind, "cannot open the database " + path + ": " + why};
  };
  if (opened != SQLITE_OK) return refused(opened);
  if (sqlite3_db_readonly(raw, "main") == 1)
    return Error{Code::unavailable, "cannot open the database " + path + ": it is read-only"};
  sqlite3_busy_handler(raw, &on_busy, out.get());
  for (const char* text : {settings, use == Use::write ? writer_cache : reader_cache})
    if (const int set = sqlite3_exec(raw, text, nullptr, nullptr, nullptr); set != SQLITE_OK)
      return refused(set);
  // As PostgreSQL reads it: "x" is a name, never a text.
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(raw, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  // PostgreSQL has a function of this name and meaning of its own.
  sqlite3_create_function_v2(raw, "regexp_like", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, nullptr,
                             &regexp_like, nullptr, nullptr, nullptr);
  sqlite3_progress_handler(raw, steps_between_checks, &on_progress, out.get());
  sqlite3_wal_hook(raw, &on_commit, out.get());
  out->refuse_writes(use == Use::read);
  return out;
}

void Connection::limit(Timestamp deadline, bool shared) {
  deadline_ = deadline;
  const bool apart = shared && deadline < Timestamp::max() - grace;
  write_deadline_ = apart ? deadline + grace : deadline;
}

int Connection::on_progress(void* self) {
  const auto& here = *static_cast<Connection*>(self);
  const Timestamp until = here.writing_ ? here.write_deadline_ : here.deadline_;
  return until != Timestamp::max() && SystemClock().now() > until;
}

int Connection::on_busy(void* self, int times) {
  const auto& here = *static_cast<Connection*>(self);
  if (times >= busy_times_max) return 0;
  if (here.deadline_ != Timestamp::max() && SystemClock().now() > here.deadline_) return 0;
  sqlite3_sleep(busy_sleep_ms);
  return 1;
}

int Connection::on_commit(void* self, sqlite3*, const char*, int pages) {
  static_cast<Connection*>(self)->log_pages_ = pages;
  return SQLITE_OK;
}

void Connection::checkpoint_if_due() {
  if (log_pages_ < checkpoint_pages) return;
  log_pages_ = 0;
  sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

Error Connection::fault() const {
  sqlite3* db = db_.get();
  const int code = sqlite3_extended_errcode(db);
  if ((code & 0xff) == SQLITE_INTERRUPT) return too_late();
  const std::string why = sqlite3_errmsg(db);
  if (is_full(code, system_error_)) return {Code::unavailable, "the disk is full: " + path_};
  if ((code & 0xff) == SQLITE_BUSY) {
    if (deadline_ != Timestamp::max() && SystemClock().now() > deadline_) return too_late();
    return {Code::unavailable, "another process keeps the database locked: " + path_};
  }
  const Code kind = code_of(code);
  if (kind == Code::unavailable || kind == Code::data_loss) {
    const std::string more =
        system_error_ != 0 ? std::string(" (") + std::strerror(system_error_) + ")" : "";
    return {kind, path_ + ": " + why + more};
  }
  return {kind, why};
}

Result<Connection::Prepared*> Connection::prepared(std::string_view text) {
  if (const auto found = by_text_.find(text); found != by_text_.end()) {
    cache_.splice(cache_.begin(), cache_, found->second);
    return &cache_.front();
  }
  Prepared made = TRY(prepare(text, SQLITE_PREPARE_PERSISTENT));
  if (cache_.size() >= statements_max) {
    by_text_.erase(cache_.back().text);
    cache_.pop_back();
  }
  cache_.push_front(std::move(made));
  by_text_.emplace(cache_.front().text, cache_.begin());
  return &cache_.front();
}

Result<Connection::Prepared> Connection::prepare(std::string_view text, unsigned flags) {
  Prepared made{.text = std::string(text)};
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  const int size = static_cast<int>(made.text.size());
  if (sqlite3_prepare_v3(db_.get(), made.text.c_str(), size + 1, flags, &raw, &tail) != SQLITE_OK)
    return fault();
  made.statement.reset(raw);
  if (!raw || !is_blank(tail)) return Error{Code::internal, "not one statement: " + made.text};
  for (int index = 1; index <= sqlite3_bind_parameter_count(raw); ++index) {
    const char* name = sqlite3_bind_parameter_name(raw, index);
    const std::string_view said = name ? name : "";
    std::size_t number = 0;
    if (said.starts_with('$')) std::from_chars(said.data() + 1, said.data() + said.size(), number);
    if (number == 0)
      return Error{Code::internal, "parameters are written $1, $2, ...: " + made.text};
    made.slots.push_back(number - 1);
    made.parameters = std::max(made.parameters, number);
  }
  return made;
}

Result<void> Connection::bind(const Prepared& prepared, const sql::Row& parameters) {
  if (parameters.size() < prepared.parameters)
    return Error{Code::internal, "the statement takes " + std::to_string(prepared.parameters) +
                                     " parameters but got " + std::to_string(parameters.size()) +
                                     ": " + prepared.text};
  for (const Scalar& parameter : parameters) TRY(sql::check_parameter(parameter));
  for (std::size_t slot = 0; slot < prepared.slots.size(); ++slot)
    if (bind_value(prepared.statement.get(), static_cast<int>(slot) + 1,
                   parameters[prepared.slots[slot]]) != SQLITE_OK)
      return fault();
  return {};
}

int Connection::step(sqlite3_stmt* statement) {
  errno = 0;
  const int done = sqlite3_step(statement);
  system_error_ = done == SQLITE_ROW || done == SQLITE_DONE ? 0 : errno;
  return done;
}

Result<std::vector<sql::Row>> Connection::run(std::string_view text, const sql::Row& parameters) {
  if (deadline_ != Timestamp::max() && SystemClock().now() >= deadline_) return too_late();
  const Prepared& prepared = *TRY(this->prepared(text));
  sqlite3_stmt* statement = prepared.statement.get();
  struct Reset {  // lets go of the rows' locks and of the texts that were bound
    sqlite3_stmt* statement;
    ~Reset() {
      sqlite3_reset(statement);
      sqlite3_clear_bindings(statement);
    }
  } const reset{statement};
  TRY(bind(prepared, parameters));
  writing_ = !sqlite3_stmt_readonly(statement);
  std::vector<sql::Row> rows;
  int done = SQLITE_DONE;
  while ((done = step(statement)) == SQLITE_ROW) rows.push_back(row_of(statement));
  if (done != SQLITE_DONE) return fault();
  return rows;
}

sql::Row Connection::row_of(sqlite3_stmt* statement) {
  sql::Row row;
  const int columns = sqlite3_column_count(statement);
  row.reserve(static_cast<std::size_t>(columns));
  for (int index = 0; index < columns; ++index) row.push_back(column(statement, index));
  return row;
}

Result<sql::Answer> Connection::ask(std::string_view text, const sql::Row& parameters,
                                    Micros time_limit) {
  const Timestamp until = SystemClock().now() + time_limit;
  const bool own_limit = until < deadline_;
  if (!own_limit && SystemClock().now() >= deadline_) return too_late();
  struct Restored {  // whatever happens
    Timestamp& value;
    Timestamp before;
    ~Restored() { value = before; }
  } const restored{deadline_, deadline_};
  deadline_ = std::min(deadline_, until);
  const Prepared made = TRY(prepare(text, 0));
  sqlite3_stmt* statement = made.statement.get();
  // An ATTACH or a COMMIT counts as reading, but gives no columns.
  if (!sqlite3_stmt_readonly(statement) || sqlite3_column_count(statement) == 0)
    return Error{Code::invalid_argument, "it must only read: one SELECT"};
  TRY(bind(made, parameters));
  writing_ = false;
  sql::Answer answer;
  for (int index = 0; index < sqlite3_column_count(statement); ++index)
    answer.columns.emplace_back(sqlite3_column_name(statement, index));
  int done = SQLITE_DONE;
  while ((done = step(statement)) == SQLITE_ROW) answer.rows.push_back(row_of(statement));
  if (done == SQLITE_DONE) return answer;
  Error error = fault();
  if (error.code == Code::deadline_exceeded && own_limit) error = sql::stopped_after(time_limit);
  return error;
}

Result<void> Connection::control(std::string_view text) {
  sqlite3_stmt* statement = TRY(prepared(text))->statement.get();
  writing_ = true;
  const Timestamp until = std::exchange(write_deadline_, Timestamp::max());
  Result<void> done;
  if (step(statement) != SQLITE_DONE) done = fault();
  write_deadline_ = until;
  sqlite3_reset(statement);
  return done;
}

bool Connection::owes_reference() const {
  int owed = 0, unused = 0;
  sqlite3_db_status(db_.get(), SQLITE_DBSTATUS_DEFERRED_FKS, &owed, &unused, 0);
  return owed != 0;
}

void Connection::refuse_writes(bool refuse) {
  if (refuse == refuses_writes_) return;
  refuses_writes_ = refuse;
  sqlite3_exec(db_.get(), refuse ? "PRAGMA query_only=ON" : "PRAGMA query_only=OFF", nullptr,
               nullptr, nullptr);
}

}  // namespace penstock::sqlite
