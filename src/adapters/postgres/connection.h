// One connection to PostgreSQL and its prepared statements. Private to this adapter.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ports/sql.h"

namespace penstock::postgres {

struct Settings {
  std::string connection;  // as libpq takes it; may hold a password
  std::string schema;
};

// For one thread at a time. Connects when it is first used, and again after the server was lost.
class Connection {
 public:
  explicit Connection(Settings settings) : settings_(std::move(settings)) {}

  Result<void> connect();
  Result<void> begin(bool writes, Timestamp deadline);
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters);
  // As sql::Tx::ask says; `whole` becomes false where the transaction did not outlive it.
  Result<sql::Answer> ask(std::string_view text, const sql::Row& parameters, Micros time_limit,
                          bool& whole);
  // Runs COPY ... TO STDOUT and gives what comes, piece by piece. An error of `take` ends it; the
  // connection is then of no more use.
  Result<void> copy_out(const std::string& statement,
                        const std::function<Result<void>(std::string_view)>& take);
  Result<void> commit();
  void rollback();

 private:
  struct Close {
    void operator()(PGconn* connection) const { PQfinish(connection); }
    void operator()(PGresult* result) const { PQclear(result); }
  };
  using Answer = std::unique_ptr<PGresult, Close>;
  struct Prepared {
    std::string key;  // the types of its parameters, and its text
    std::string name;
  };
  struct Arguments;

  void disconnect();
  Answer execute(const std::string& script);
  static std::vector<sql::Row> rows_of(const PGresult* answer);
  Result<std::string> prepared(std::string_view text, const Arguments& arguments);
  Result<void> renew_timeout();
  Error fault(const PGresult* answer) const;
  std::string without_password(std::string text) const;

  const Settings settings_;
  std::unique_ptr<PGconn, Close> connection_;
  std::list<Prepared> cache_;  // the last used first
  std::unordered_map<std::string_view, std::list<Prepared>::iterator> by_key_;
  std::int64_t prepared_ever_ = 0;
  Timestamp deadline_ = Timestamp::max();
  std::int64_t timeout_ms_ = 0;  // what the server was told last
};

}  // namespace penstock::postgres
