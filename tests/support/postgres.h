// A private PostgreSQL for tests.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "ports/sql.h"
#include "tests/support/fixture.h"

namespace penstock::test {

// A server of its own in a temporary directory, on a Unix socket there and on no network. It ends
// with its owner, and with the process that started it however that ends. It does not sync: no test
// cuts its power.
class Postgres {
 public:
  Postgres();
  ~Postgres();
  Postgres(const Postgres&) = delete;

  // As libpq takes it, for a superuser.
  std::string connection() const;
  std::string socket() const { return directory_.path(); }
  // Ends the server, and every connection to it, at once.
  void stop();
  void start();

 private:
  pid_t spawn(const std::string& program, const std::vector<std::string>& arguments);

  TempDir directory_;
  std::string programs_;
  pid_t server_ = 0;
};

// The server that PENSTOCK_TEST_POSTGRES names; else one that is started now, for this whole
// process.
std::string postgres_connection();
// A new, empty schema of that server.
std::unique_ptr<sql::Database> postgres_database(int connections = 8);

}  // namespace penstock::test
