#include "adapters/postgres/connection.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

namespace penstock::postgres {
namespace {

constexpr std::size_t statements_max = 256;

// Numbers that PostgreSQL gives the types of its catalog; they never change.
constexpr Oid any_oid = 0, bool_oid = 16, int8_oid = 20, int2_oid = 21, int4_oid = 23, oid_oid = 26;
constexpr Oid text_oid = 25, float4_oid = 700, float8_oid = 701, numeric_oid = 1700,
              void_oid = 2278;

Error too_late() {
  return {Code::deadline_exceeded, "the deadline passed before the database had answered"};
}

std::string text_of(double number) {
  if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number).ptr;
  return {buffer, end};
}

template <class Number>
Scalar number_of(std::string_view text) {
  Number number{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc{} || read.ptr != text.data() + text.size()) return std::string(text);
  return number;
}

Scalar value_of(const PGresult* answer, int row, int column) {
  if (PQgetisnull(answer, row, column)) return {};
  const std::string_view text(PQgetvalue(answer, row, column),
                              static_cast<std::size_t>(PQgetlength(answer, row, column)));
  switch (PQftype(answer, column)) {
    case bool_oid: return text == "t";
    case int8_oid:
    case int4_oid:
    case int2_oid:
    case oid_oid: return number_of<std::int64_t>(text);
    case float4_oid:
    case float8_oid: return number_of<double>(text);
    // What sum() makes of BIGINT, and avg(): SQLite gives an integer and a double.
    case numeric_oid:
      return text.find('.') == text.npos ? number_of<std::int64_t>(text) : number_of<double>(text);
    case void_oid: return {};
    default: return std::string(text);
  }
}

Code code_of(std::string_view state) {
  if (state == "08P01") return Code::internal;  // the wrong number of parameters
  if (state == "23505") return Code::already_exists;
  if (state == "57014" || state == "55P03") return Code::deadline_exceeded;
  if (state == "42501") return Code::permission_denied;
  if (state == "53200") return Code::resource_exhausted;
  if (state == "XX001" || state == "XX002") return Code::data_loss;
  const std::string_view family = state.substr(0, 2);
  if (family == "23") return Code::failed_precondition;
  if (family == "22") return Code::invalid_argument;
  for (const std::string_view passing : {"08", "40", "53", "57", "58"})
    if (family == passing) return Code::unavailable;
  return Code::internal;
}

// Statements that are worth a plan; the server prepares no others.
bool may_prepare(std::string_view text) {
  const std::string_view word = text.substr(0, text.find_first_of(" \n("));
  for (const std::string_view known : {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"})
    if (word == known) return true;
  return false;
}

// Where what begins at `at` ends: a text, a quoted name or a comment; `at` itself where none does.
std::size_t end_of_quoted(std::string_view text, std::size_t at) {
  const auto after = [&](std::string_view mark, std::size_t from) {
    const std::size_t found = text.find(mark, from);
    return found == text.npos ? text.size() : found + mark.size();
  };
  if (text[at] == '\'' || text[at] == '"') return after(text.substr(at, 1), at + 1);
  if (text.substr(at, 2) == "--") return after("\n", at);
  if (text.substr(at, 2) == "/*") return after("*/", at + 2);
  return at;
}

// For each of the caller's parameters whether the statement names it, up to the last that it does.
std::vector<bool> named_parameters(std::string_view text, std::size_t given) {
  std::vector<bool> named;
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t end = end_of_quoted(text, at); end != at) {
      at = end;
      continue;
    }
    if (text[at++] != '$') continue;
    std::size_t number = 0;
    std::from_chars(text.data() + at, text.data() + text.size(), number);
    if (number == 0 || number > given) continue;
    named.resize(std::max(named.size(), number));
    named[number - 1] = true;
  }
  return named;
}

}  // namespace

// Parameters as libpq wants them. Numbers and booleans say their type, so that $1 = 0 does not make
// an int4 of a time; texts and NULL take the type of what they meet. One that the statement does
// not name meets nothing, and is left out or a NULL text.
struct Connection::Arguments {
  std::vector<std::string> texts;
  std::vector<const char*> values;
  std::vector<Oid> types;

  Arguments(std::string_view statement, const sql::Row& parameters) {
    texts.reserve(parameters.size());  // `values` points into it
    const std::vector<bool> named = named_parameters(statement, parameters.size());
    for (std::size_t at = 0; at < named.size(); ++at)
      if (named[at])
        add(parameters[at]);
      else
        add_null(text_oid);
  }
  void add(const Scalar& parameter) {
    if (const auto* number = std::get_if<std::int64_t>(&parameter))
      add(int8_oid, std::to_string(*number));
    else if (const auto* yes = std::get_if<bool>(&parameter))
      add(bool_oid, *yes ? "t" : "f");
    else if (const auto* real = std::get_if<double>(&parameter))
      add(float8_oid, text_of(*real));
    else if (const auto* text = std::get_if<std::string>(&parameter))
      add(any_oid, *text);
    else
      add_null(any_oid);
  }
  void add_null(Oid type) {
    values.push_back(nullptr);
    types.push_back(type);
  }
  void add(Oid type, std::string text) {
    texts.push_back(std::move(text));
    values.push_back(texts.back().c_str());
    types.push_back(type);
  }
  int count() const { return static_cast<int>(values.size()); }
};

std::string Connection::without_password(std::string text) const {
  const char* known = connection_ ? PQpass(connection_.get()) : nullptr;
  const std::string password = known ? known : "";
  if (!password.empty())
    for (std::size_t at = 0; (at = text.find(password, at)) != text.npos;)
      text.replace(at, password.size(), "***");
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

Error Connection::fault(const PGresult* answer) const {
  const char* state = answer ? PQresultErrorField(answer, PG_DIAG_SQLSTATE) : nullptr;
  const char* said = answer ? PQresultErrorField(answer, PG_DIAG_MESSAGE_PRIMARY) : nullptr;
  if (!state || !said) {
    const std::string why = without_password(PQerrorMessage(connection_.get()));
    return {Code::unavailable, "the connection to PostgreSQL was lost: " + why};
  }
  const Code code = code_of(state);
  if (code == Code::deadline_exceeded) return too_late();
  const std::string why = without_password(said);
  if (std::string_view(state) == "53100") return {code, "the disk is full: PostgreSQL: " + why};
  return {code, code == Code::unavailable ? "PostgreSQL: " + why : why};
}

void Connection::disconnect() {
  connection_.reset();
  by_key_.clear();
  cache_.clear();
}

Connection::Answer Connection::execute(const std::string& script) {
  return Answer(PQexec(connection_.get(), script.c_str()));
}

Result<void> Connection::connect() {
  if (connection_ && PQstatus(connection_.get()) == CONNECTION_OK) return {};
  disconnect();
  // What the caller's own string says comes last and wins. A server that is gone without a word is
  // noticed within half a minute.
  const char* names[] = {"connect_timeout",
                         "keepalives_idle",
                         "keepalives_interval",
                         "keepalives_count",
                         "tcp_user_timeout",
                         "fallback_application_name",
                         "dbname",
                         nullptr};
  const char* values[] = {"5",    "10", "5", "4", "30000", "penstock", settings_.connection.c_str(),
                          nullptr};
  connection_.reset(PQconnectdbParams(names, values, 1));
  if (!connection_) return Error{Code::resource_exhausted, "no memory for a connection"};
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    const std::string why = without_password(PQerrorMessage(connection_.get()));
    disconnect();
    return Error{Code::unavailable, "cannot connect to PostgreSQL: " + why};
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  std::string script =
      "SET client_encoding TO 'UTF8'; SET timezone TO 'UTC'; "
      "SELECT set_config('synchronous_commit', 'on', false) "
      "WHERE current_setting('synchronous_commit') = 'off'";
  if (!settings_.schema.empty()) {
    char* quoted =
        PQescapeIdentifier(connection_.get(), settings_.schema.data(), settings_.schema.size());
    if (!quoted) return fault(nullptr);
    script += std::string("; SET search_path TO ") + quoted;
    PQfreemem(quoted);
  }
  const Answer set = execute(script);
  const ExecStatusType status = PQresultStatus(set.get());
  if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return {};
  const Error reason = fault(set.get());
  disconnect();
  return reason;
}

Result<void> Connection::begin(bool writes, Timestamp deadline) {
  deadline_ = deadline;
  // A connection that lay idle while the server restarted says so only when it is used; nothing has
  // happened yet, so a second one may try.
  for (const bool last : {false, true}) {
    timeout_ms_ = 0;
    TRY(connect());
    std::string script = writes ? "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
                                : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    if (deadline != Timestamp::max()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - SystemClock().now());
      if (left.count() <= 0) return too_late();
      timeout_ms_ = std::min<std::int64_t>(left.count(), 1'000'000'000);
      script += "; SET LOCAL statement_timeout = " + std::to_string(timeout_ms_);
    }
    if (writes)
      script +=
          "; SELECT pg_advisory_xact_lock(hashtextextended('penstock ' || current_schema(), 0))";
    const Answer begun = execute(script);
    const ExecStatusType status = PQresultStatus(begun.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) return {};
    const Error reason = fault(begun.get());
    rollback();
    if (connection_ || last) return reason;
  }
  return {};
}

Result<void> Connection::renew_timeout() {
  if (deadline_ == Timestamp::max()) return {};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - SystemClock().now());
  if (left.count() <= 0) return too_late();
  // The server counts for each statement anew. Telling it at every one would cost a round trip
  // each, so a statement may overrun by as long as was left for it.
  if (left.count() * 2 > timeout_ms_) return {};
  timeout_ms_ = left.count();
  const Answer set = execute("SET LOCAL statement_timeout = " + std::to_string(timeout_ms_));
  if (PQresultStatus(set.get()) != PGRES_COMMAND_OK) return fault(set.get());
  return {};
}

Result<std::string> Connection::prepared(std::string_view text, const Arguments& arguments) {
  std::string key;
  for (const Oid type : arguments.types) key += std::to_string(type) + ",";
  key += text;
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    cache_.splice(cache_.begin(), cache_, found->second);
    return cache_.front().name;
  }
  if (cache_.size() >= statements_max) {
    const Answer dropped = execute("DEALLOCATE " + cache_.back().name);
    if (PQresultStatus(dropped.get()) != PGRES_COMMAND_OK) return fault(dropped.get());
    by_key_.erase(cache_.back().key);
    cache_.pop_back();
  }
  const std::string name = "s" + std::to_string(++prepared_ever_);
  const Answer made(PQprepare(connection_.get(), name.c_str(), std::string(text).c_str(),
                              arguments.count(), arguments.types.data()));
  if (PQresultStatus(made.get()) != PGRES_COMMAND_OK) return fault(made.get());
  cache_.push_front({std::move(key), name});
  by_key_.emplace(cache_.front().key, cache_.begin());
  return name;
}

Result<std::vector<sql::Row>> Connection::run(std::string_view text, const sql::Row& parameters) {
  for (const Scalar& parameter : parameters) TRY(sql::check_parameter(parameter));
  TRY(renew_timeout());
  const Arguments arguments(text, parameters);
  Answer answer;
  if (may_prepare(text)) {
    const std::string name = TRY(prepared(text, arguments));
    answer.reset(PQexecPrepared(connection_.get(), name.c_str(), arguments.count(),
                                arguments.values.data(), nullptr, nullptr, 0));
  } else {
    answer.reset(PQexecParams(connection_.get(), std::string(text).c_str(), arguments.count(),
                              arguments.types.data(), arguments.values.data(), nullptr, nullptr,
                              0));
  }
  const ExecStatusType status = PQresultStatus(answer.get());
  if (status == PGRES_COMMAND_OK) return std::vector<sql::Row>{};
  if (status != PGRES_TUPLES_OK) return fault(answer.get());
  return rows_of(answer.get());
}

std::vector<sql::Row> Connection::rows_of(const PGresult* answer) {
  std::vector<sql::Row> rows(static_cast<std::size_t>(PQntuples(answer)));
  for (std::size_t at = 0; at < rows.size(); ++at)
    for (int column = 0; column < PQnfields(answer); ++column)
      rows[at].push_back(value_of(answer, static_cast<int>(at), column));
  return rows;
}

// In a savepoint that is always rolled back: with it go the limits that were set for this
// statement.
Result<sql::Answer> Connection::ask(std::string_view text, const sql::Row& parameters,
                                    Micros time_limit, bool& whole) {
  for (const Scalar& parameter : parameters) TRY(sql::check_parameter(parameter));
  const Timestamp until = SystemClock().now() + time_limit;
  const bool own_limit = until < deadline_;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::min(until, deadline_) -
                                                                 SystemClock().now());
  if (left.count() <= 0) return too_late();
  const Answer saved =
      execute("SAVEPOINT asked; SET LOCAL statement_timeout = " + std::to_string(left.count()) +
              "; SET LOCAL transaction_read_only = on");
  if (PQresultStatus(saved.get()) != PGRES_COMMAND_OK) {
    whole = false;
    return fault(saved.get());
  }
  const Arguments arguments(text, parameters);
  const Answer answer(PQexecParams(connection_.get(), std::string(text).c_str(), arguments.count(),
                                   arguments.types.data(), arguments.values.data(), nullptr,
                                   nullptr, 0));
  sql::Answer out;
  std::optional<Error> failed;
  if (PQresultStatus(answer.get()) == PGRES_TUPLES_OK) {
    out.rows = rows_of(answer.get());
    for (int column = 0; column < PQnfields(answer.get()); ++column)
      out.columns.emplace_back(PQfname(answer.get(), column));
  } else {
    failed = fault(answer.get());
    if (failed->code == Code::deadline_exceeded && own_limit)
      failed = sql::stopped_after(time_limit);
  }
  const Answer undone = execute("ROLLBACK TO SAVEPOINT asked; RELEASE SAVEPOINT asked");
  if (PQresultStatus(undone.get()) != PGRES_COMMAND_OK) {
    whole = false;
    if (!failed) failed = fault(undone.get());
  }
  if (failed) return *failed;
  return out;
}

Result<void> Connection::copy_out(const std::string& statement,
                                  const std::function<Result<void>(std::string_view)>& take) {
  TRY(renew_timeout());
  const Answer begun = execute(statement);
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) return fault(begun.get());
  for (;;) {
    char* piece = nullptr;
    const int length = PQgetCopyData(connection_.get(), &piece, 0);
    if (length < 0) break;  // -1: the end, -2: a fault; the result that follows says which
    const auto taken = take({piece, static_cast<std::size_t>(length)});
    PQfreemem(piece);
    if (!taken) {
      disconnect();
      return taken;
    }
  }
  Result<void> ended;
  for (;;) {
    const Answer last(PQgetResult(connection_.get()));
    if (!last) return ended;
    if (ended && PQresultStatus(last.get()) != PGRES_COMMAND_OK) ended = fault(last.get());
  }
}

Result<void> Connection::commit() {
  const Answer done = execute("COMMIT");
  if (PQresultStatus(done.get()) == PGRES_COMMAND_OK) {
    if (std::string_view(PQcmdStatus(done.get())) == "COMMIT") return {};
    return Error{Code::internal, "PostgreSQL rolled the transaction back"};
  }
  Error reason = fault(done.get());
  if (PQstatus(connection_.get()) != CONNECTION_OK)
    reason.message += "; whether the last change was stored is not known";
  rollback();
  return reason;
}

// A connection that does not answer to this is given up; the next use makes a new one.
void Connection::rollback() {
  if (!connection_ || PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) return;
  if (PQstatus(connection_.get()) == CONNECTION_OK) {
    const Answer done = execute("ROLLBACK");
    if (PQresultStatus(done.get()) == PGRES_COMMAND_OK) return;
  }
  disconnect();
}

}  // namespace penstock::postgres
