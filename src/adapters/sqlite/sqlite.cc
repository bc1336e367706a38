#include "adapters/sqlite/sqlite.h"

#include <optional>

#include "adapters/sqlite/group_commit.h"
#include "adapters/sqlite/read_pool.h"

namespace penstock::sqlite {
namespace {

constexpr std::size_t members_max = 512, readers_max = 8;

// Reads from one snapshot.
class ReadTx final : public sql::Tx {
 public:
  explicit ReadTx(Connection& connection) : connection_(connection) {}
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    if (failed) return *failed;
    auto rows = connection_.run(text, parameters);
    if (!rows) failed = rows.error();
    return rows;
  }
  Result<sql::Answer> ask(std::string_view text, const sql::Row& parameters,
                          Micros time_limit) override {
    if (failed) return *failed;
    return connection_.ask(text, parameters, time_limit);
  }
  std::optional<Error> failed;

 private:
  Connection& connection_;
};

// A connection out of the pool; gone for good where its transaction cannot be ended.
class Borrowed {
 public:
  Borrowed(ReadPool& pool, std::unique_ptr<Connection> connection)
      : pool_(pool), connection_(std::move(connection)) {}
  ~Borrowed() {
    if (connection_->in_transaction() && !connection_->control("ROLLBACK")) connection_.reset();
    pool_.give_back(std::move(connection_));
  }
  Borrowed(const Borrowed&) = delete;
  Connection& operator*() { return *connection_; }

 private:
  ReadPool& pool_;
  std::unique_ptr<Connection> connection_;
};

class FileDatabase final : public sql::Database {
 public:
  FileDatabase(std::unique_ptr<Connection> connection, const std::string& path)
      : connection_(std::move(connection)),
        writer_(*connection_, members_max),
        readers_(path, readers_max) {}

 protected:
  Result<void> run(const Call& call, Access access, const Body& body) override {
    if (access == Access::write) return writer_.write(call.deadline, body);
    Borrowed borrowed(readers_, TRY(readers_.take(call.deadline)));
    (*borrowed).limit(call.deadline, false);
    TRY((*borrowed).control("BEGIN"));
    ReadTx tx(*borrowed);
    TRY(body(tx));
    if (tx.failed) return *tx.failed;
    return {};
  }

 private:
  std::unique_ptr<Connection> connection_;
  GroupCommit writer_;
  ReadPool readers_;
};

// A database in memory is seen by its one connection only, so readers take turns with writers.
class MemoryDatabase final : public sql::Database {
 public:
  explicit MemoryDatabase(std::unique_ptr<Connection> connection)
      : connection_(std::move(connection)), writer_(*connection_, 1) {}

 protected:
  Result<void> run(const Call& call, Access access, const Body& body) override {
    return access == Access::write ? writer_.write(call.deadline, body)
                                   : writer_.read(call.deadline, body);
  }

 private:
  std::unique_ptr<Connection> connection_;
  GroupCommit writer_;
};

}  // namespace

Result<std::unique_ptr<sql::Database>> open(const std::string& path) {
  auto connection = TRY(Connection::open(path, Connection::Use::write));
  if (path == ":memory:")
    return std::unique_ptr<sql::Database>(std::make_unique<MemoryDatabase>(std::move(connection)));
  return std::unique_ptr<sql::Database>(
      std::make_unique<FileDatabase>(std::move(connection), path));
}

}  // namespace penstock::sqlite
