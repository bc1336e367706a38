#include "adapters/postgres/postgres.h"

#include <condition_variable>
#include <mutex>
#include <optional>

#include "adapters/postgres/connection.h"

namespace penstock::postgres {
namespace {

constexpr int connections_most = 1000;

// As many connections as may be open. Writers take at most half: they wait for each other in the
// server, and readers shall not have to wait with them.
class Pool {
 public:
  Pool(Settings settings, std::size_t connections_max)
      : settings_(std::move(settings)),
        connections_max_(connections_max),
        writers_max_(std::max<std::size_t>(1, connections_max / 2)) {}

  Result<std::unique_ptr<Connection>> take(bool writes, Timestamp deadline) {
    std::unique_lock lock(mutex_);
    const auto free = [&] {
      return in_use_ < connections_max_ && (!writes || writers_ < writers_max_);
    };
    if (deadline == Timestamp::max())
      returned_.wait(lock, free);
    else if (!returned_.wait_until(lock, deadline, free))
      return Error{Code::deadline_exceeded, "the deadline passed while other calls went first"};
    ++in_use_;
    if (writes) ++writers_;
    if (idle_.empty()) return std::make_unique<Connection>(settings_);
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    return connection;
  }
  void give_back(std::unique_ptr<Connection> connection, bool writes) {
    {
      const std::scoped_lock lock(mutex_);
      --in_use_;
      if (writes) --writers_;
      idle_.push_back(std::move(connection));
    }
    returned_.notify_all();  // readers and writers wait for different things
  }

 private:
  const Settings settings_;
  const std::size_t connections_max_, writers_max_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t in_use_ = 0, writers_ = 0;
};

class PostgresTx final : public sql::Tx {
 public:
  explicit PostgresTx(Connection& connection) : connection_(connection) {}
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    if (failed_) return *failed_;
    auto rows = connection_.run(text, parameters);
    if (!rows) failed_ = rows.error();
    return rows;
  }
  Result<sql::Answer> ask(std::string_view text, const sql::Row& parameters,
                          Micros time_limit) override {
    if (failed_) return *failed_;
    bool whole = true;
    auto answer = connection_.ask(text, parameters, time_limit, whole);
    if (!whole) failed_ = answer.error();
    return answer;
  }
  Result<void> commit() {
    if (failed_) return *failed_;
    return connection_.commit();
  }

 private:
  Connection& connection_;
  std::optional<Error> failed_;
};

// A connection out of the pool, which gets it back without a transaction in it.
class Borrowed {
 public:
  Borrowed(Pool& pool, std::unique_ptr<Connection> connection, bool writes)
      : pool_(pool), connection_(std::move(connection)), writes_(writes) {}
  ~Borrowed() {
    connection_->rollback();
    pool_.give_back(std::move(connection_), writes_);
  }
  Borrowed(const Borrowed&) = delete;
  Connection& operator*() { return *connection_; }

 private:
  Pool& pool_;
  std::unique_ptr<Connection> connection_;
  const bool writes_;
};

class PostgresDatabase final : public sql::Database {
 public:
  PostgresDatabase(Settings settings, std::size_t connections)
      : pool_(std::move(settings), connections) {}

 protected:
  Result<void> run(const Call& call, Access access, const Body& body) override {
    const bool writes = access == Access::write;
    Borrowed connection(pool_, TRY(pool_.take(writes, call.deadline)), writes);
    TRY((*connection).begin(writes, call.deadline));
    PostgresTx tx(*connection);
    TRY(body(tx));
    return tx.commit();
  }

 private:
  Pool pool_;
};

// libpq quotes a string that it cannot read, and what it quotes may be the password.
Result<void> check_connection(const std::string& connection) {
  char* why = nullptr;
  PQconninfoOption* options = PQconninfoParse(connection.c_str(), &why);
  PQconninfoFree(options);
  PQfreemem(why);
  if (options) return {};
  return Error{Code::invalid_argument,
               "the connection string is none that PostgreSQL reads: write \"host=... user=... "
               "dbname=...\" or "
               "\"postgresql://user@host/name\""};
}

// PostgreSQL folds names that are not quoted, and makes a new schema only once, so the name is
// asked for first.
Result<void> prepare_schema(Connection& connection, const std::string& schema) {
  TRY(connection.begin(true, Timestamp::max()));
  const auto rows =
      TRY(connection.run("SELECT current_setting('server_encoding'), EXISTS (SELECT 1 FROM "
                         "pg_namespace WHERE nspname = $1)",
                         {schema}));
  if (std::get<std::string>(rows.at(0).at(0)) != "UTF8") {
    connection.rollback();
    return Error{Code::failed_precondition, "the PostgreSQL database must be encoded in UTF8"};
  }
  if (!schema.empty() && !std::get<bool>(rows.at(0).at(1)))
    TRY(connection.run("CREATE SCHEMA \"" + schema + "\"", {}));
  return connection.commit();
}

}  // namespace

Result<std::unique_ptr<sql::Database>> open(const std::string& connection,
                                            const std::string& schema, int connections) {
  TRY(check_connection(connection));
  if (connections < 1 || connections > connections_most)
    return Error{Code::invalid_argument, "a pool has between 1 and 1000 connections"};
  if (schema.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != schema.npos)
    return Error{Code::invalid_argument,
                 "a schema's name is lower case letters, digits and underscores: " + schema};
  // Without the schema, whose lock would not be the one that others take who make it now.
  Connection first({connection, ""});
  TRY(prepare_schema(first, schema));
  return std::unique_ptr<sql::Database>(std::make_unique<PostgresDatabase>(
      Settings{connection, schema}, static_cast<std::size_t>(connections)));
}

}  // namespace penstock::postgres
