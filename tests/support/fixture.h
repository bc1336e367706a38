// What tests and benchmarks share. A failure here is a broken test, so it throws.
#pragma once

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "ports/sql.h"

namespace penstock::test {

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::string text = result.error().message;
    for (const Violation& violation : result.error().violations)
      text += "\n  " + violation.field + " " + violation.problem;
    throw std::runtime_error(text);
  }
  return std::move(result).take();
}

inline Call call(std::string actor = "user:ana") {
  return {.actor = std::move(actor), .tenant = "t1", .project = "p1", .request_id = "r1"};
}

// A private directory, gone with its owner.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// The real database with the real schema: SQLite in memory or, where PENSTOCK_TEST_POSTGRES names a
// server (a libpq connection string), a fresh schema of it.
std::unique_ptr<sql::Database> database();

template <Struct T>
void insert(sql::Database& db, const std::string& table, const T& value) {
  must(db.write(call("test"), [&](sql::Tx& tx) { return sql::insert(tx, table, value); }));
}

std::int64_t count(sql::Database& db, const std::string& from_where);

// "field problem" lines of an error's violations, or its message where it has none.
std::string faults_of(const Error& error);

}  // namespace penstock::test
