#include "adapters/sqlite/sqlite.h"

#include <optional>

#include "adapters/sqlite/group_commit.h"
#include "adapters/sqlite/read_pool.h"

namespace penstock::sqlite {
namespace {

constexpr std::size_t members_max = 512, readers_max = 8;

class WriteTx final : public sql::Tx {
 public:
  explicit WriteTx(GroupCommit& writer) : writer_(writer) {}
  ~WriteTx() override {
    if (open_) writer_.rollback();
  }
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    if (failed_) return *failed_;
    auto rows = writer_.run(text, parameters);
    if (!rows) failed_ = rows.error();
    return rows;
  }

 private:
  Result<void> commit() override {
    if (failed_) return *failed_;
    open_ = false;
    return writer_.commit();
  }
  GroupCommit& writer_;
  bool open_ = true;
  std::optional<Error> failed_;
};

// Reads from one snapshot. `End` gives back what it holds.
template <class End>
class ReadTx final : public sql::Tx {
 public:
  ReadTx(Connection& connection, End end) : connection_(connection), end_(std::move(end)) {}
  ~ReadTx() override { end_(); }
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    if (failed_) return *failed_;
    auto rows = connection_.run(text, parameters);
    if (!rows) failed_ = rows.error();
    return rows;
  }

 private:
  Result<void> commit() override {
    if (failed_) return *failed_;
    return {};
  }
  Connection& connection_;
  End end_;
  std::optional<Error> failed_;
};

class FileDatabase final : public sql::Database {
 public:
  FileDatabase(std::unique_ptr<Connection> connection, const std::string& path)
      : connection_(std::move(connection)),
        writer_(*connection_, members_max),
        readers_(path, readers_max) {}

 protected:
  Result<std::unique_ptr<sql::Tx>> begin(const Call& call, Access access) override {
    if (access == Access::write) {
      TRY(writer_.enter(call.deadline));
      return std::unique_ptr<sql::Tx>(std::make_unique<WriteTx>(writer_));
    }
    auto connection = TRY(readers_.take(call.deadline));
    connection->limit(call.deadline, false);
    if (const auto begun = connection->control("BEGIN"); !begun) {
      readers_.give_back(nullptr);
      return begun.error();
    }
    Connection& mine = *connection;
    auto end = [this, held = std::move(connection)]() mutable {
      if (held->in_transaction() && !held->control("ROLLBACK")) held.reset();
      readers_.give_back(std::move(held));
    };
    return std::unique_ptr<sql::Tx>(std::make_unique<ReadTx<decltype(end)>>(mine, std::move(end)));
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
  Result<std::unique_ptr<sql::Tx>> begin(const Call& call, Access access) override {
    if (access == Access::write) {
      TRY(writer_.enter(call.deadline));
      return std::unique_ptr<sql::Tx>(std::make_unique<WriteTx>(writer_));
    }
    TRY(writer_.turn().take(call.deadline));
    connection_->limit(call.deadline, false);
    connection_->refuse_writes(true);
    auto end = [this] { writer_.turn().release(); };
    return std::unique_ptr<sql::Tx>(
        std::make_unique<ReadTx<decltype(end)>>(*connection_, std::move(end)));
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
