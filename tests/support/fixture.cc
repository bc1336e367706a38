#include "tests/support/fixture.h"

#include "adapters/sqlite/sqlite.h"
#include "migrations/migrations.h"
#include "tests/support/postgres.h"

namespace penstock::test {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "penstock-test-XXXXXX").string();
  if (!mkdtemp(name.data())) throw std::runtime_error("no temporary directory: " + name);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::unique_ptr<sql::Database> database() {
  auto db =
      std::getenv("PENSTOCK_TEST_POSTGRES") ? postgres_database(4) : must(sqlite::open(":memory:"));
  must(sql::migrate(*db, migrations(), SystemClock().now()));
  return db;
}

std::int64_t count(sql::Database& db, const std::string& from_where) {
  const auto rows = must(db.read(
      call("test"), [&](sql::Tx& tx) { return tx.run("SELECT count(*) FROM " + from_where, {}); }));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

std::string faults_of(const Error& error) {
  std::string text;
  for (const Violation& violation : error.violations)
    text += violation.field + " " + violation.problem + "\n";
  return text.empty() ? error.message : text;
}

}  // namespace penstock::test
