// What is SQLite's own: files, groups, full disks.
#include "adapters/sqlite/sqlite.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <latch>
#include <thread>

#include "tests/support/fixture.h"

namespace penstock {
namespace {

using sql::Tx;
using test::must;

class SqliteTest : public testing::Test {
 protected:
  test::TempDir dir_;
  Call call_ = test::call();
};

TEST_F(SqliteTest, SaysWhichFileItCannotOpenAndWhy) {
  std::ofstream(dir_ / "file")
      << "not a database, but longer than the header of one, which has 100 "
         "bytes and begins with its name.......................";
  struct Case {
    std::string path;
    Code code;
  };
  const Case cases[] = {
      {dir_ / "missing/test.db", Code::unavailable},
      {dir_ / "file/test.db", Code::unavailable},
      {dir_.path(), Code::unavailable},
      {"/proc/penstock.db", Code::unavailable},
      {dir_ / "file", Code::data_loss},
  };
  for (const Case& c : cases) {
    const auto opened = sqlite::open(c.path);
    ASSERT_FALSE(opened) << c.path;
    EXPECT_EQ(opened.error().code, c.code) << opened.error().message;
    EXPECT_NE(opened.error().message.find(c.path), std::string::npos) << opened.error().message;
  }
}

TEST_F(SqliteTest, KeepsWhatItCommittedWhenOpenedAgain) {
  const auto insert = [](Tx& tx) { return tx.run("INSERT INTO notes (id) VALUES (1)", {}); };
  {
    const auto db = must(sqlite::open(dir_ / "test.db"));
    must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (id BIGINT)", {}); }));
    must(db->write(call_, insert));
  }
  const auto db = must(sqlite::open(dir_ / "test.db"));
  EXPECT_EQ(test::count(*db, "notes"), 1);
}

TEST_F(SqliteTest, ReadsWhileAWriterIsInTheMiddle) {
  const auto db = must(sqlite::open(dir_ / "test.db"));
  must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (id BIGINT)", {}); }));
  must(db->write(call_, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("INSERT INTO notes (id) VALUES (1)", {}));
    std::jthread([&] { EXPECT_EQ(test::count(*db, "notes"), 0); }).join();
    return {};
  }));
  EXPECT_EQ(test::count(*db, "notes"), 1);
}

TEST_F(SqliteTest, ThrowsOnATransactionInsideATransaction) {
  const auto db = must(sqlite::open(dir_ / "test.db"));
  const auto nested = [&](Tx&) -> Result<void> {
    return db->write(call_, [](Tx&) -> Result<void> { return {}; });
  };
  EXPECT_THROW((void)db->write(call_, nested), std::logic_error);
  must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (id BIGINT)", {}); }));
}

TEST_F(SqliteTest, WaitsForAnotherProcessAndNoLongerThanTheDeadline) {
  const auto db = must(sqlite::open(dir_ / "test.db"));
  must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (id BIGINT)", {}); }));
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open((dir_ / "test.db").c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const auto insert = [](Tx& tx) { return tx.run("INSERT INTO notes (id) VALUES (1)", {}); };
  Call hurried = call_;
  hurried.deadline = SystemClock().now() + std::chrono::milliseconds(50);
  EXPECT_EQ(db->write(hurried, insert).error().code, Code::deadline_exceeded);
  std::jthread waiting([&] { must(db->write(call_, insert)); });
  EXPECT_EQ(sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  waiting.join();
  sqlite3_close(other);
  EXPECT_EQ(test::count(*db, "notes"), 1);
}

// Files of this process grow no further, which SQLite meets as it meets a full disk.
class FullDisk {
 public:
  explicit FullDisk(std::uint64_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    now.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }
  FullDisk(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
};

TEST_F(SqliteTest, AFullDiskFailsEveryMemberOfTheGroupAndPasses) {
  constexpr int threads = 16;
  const std::string path = dir_ / "test.db";
  const auto db = must(sqlite::open(path));
  must(db->write(call_, [](Tx& tx) {
    return tx.run("CREATE TABLE notes (writer BIGINT, half BIGINT, text TEXT)", {});
  }));
  const auto insert = [&](std::int64_t writer) {
    return db->write(call_, [&](Tx& tx) -> Result<void> {
      for (const std::int64_t half : {1, 2})
        TRY(tx.run("INSERT INTO notes (writer, half, text) VALUES ($1, $2, $3)",
                   {writer, half, std::string(20'000, 'x')}));
      return {};
    });
  };
  std::atomic<int> stored = 0, refused = 0;
  {
    const FullDisk full(std::filesystem::file_size(path + "-wal") + 150'000);
    std::vector<std::jthread> running;
    std::latch start(threads);
    for (std::int64_t writer = 0; writer < threads; ++writer)
      running.emplace_back([&, writer] {
        start.arrive_and_wait();
        const auto done = insert(writer);
        ++(done ? stored : refused);
        if (done) return;
        EXPECT_EQ(done.error().code, Code::unavailable);
        EXPECT_EQ(done.error().message, "the disk is full: " + path);
      });
    running.clear();
    EXPECT_GT(refused, 0);
    EXPECT_EQ(test::count(*db, "notes"), stored * 2);
  }
  must(insert(threads));
  EXPECT_EQ(test::count(*db, "notes"), stored * 2 + 2);
  EXPECT_EQ(
      test::count(*db, "(SELECT writer FROM notes GROUP BY writer HAVING count(*) <> 2) AS h"), 0);
  const auto check =
      must(db->read(call_, [](Tx& tx) { return tx.run("PRAGMA integrity_check", {}); }));
  EXPECT_EQ(check.at(0).at(0), Scalar(std::string("ok")));
}

TEST_F(SqliteTest, AQuotaOfPagesFailsClearlyToo) {
  const auto db = must(sqlite::open(dir_ / "test.db"));
  must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (text TEXT)", {}); }));
  must(db->write(call_, [](Tx& tx) { return tx.run("PRAGMA max_page_count = 20", {}); }));
  const auto insert = [&] {
    return db->write(call_, [](Tx& tx) {
      return tx.run("INSERT INTO notes (text) VALUES ($1)", {std::string(30'000, 'x')});
    });
  };
  must(insert());
  const auto full = [&] {
    while (true)
      if (const auto done = insert(); !done) return done.error();
  }();
  EXPECT_EQ(full.code, Code::unavailable);
  EXPECT_EQ(full.message, "the disk is full: " + (dir_ / "test.db"));
  must(db->write(call_, [](Tx& tx) { return tx.run("PRAGMA max_page_count = 2000", {}); }));
  must(insert());
}

TEST_F(SqliteTest, MovesTheLogIntoTheFile) {
  const auto db = must(sqlite::open(dir_ / "test.db"));
  must(db->write(call_, [](Tx& tx) { return tx.run("CREATE TABLE notes (text TEXT)", {}); }));
  for (int turn = 0; turn < 100; ++turn)
    must(db->write(call_, [](Tx& tx) {
      return tx.run("INSERT INTO notes (text) VALUES ($1)", {std::string(200'000, 'x')});
    }));
  // 20 MB went through it.
  EXPECT_LT(std::filesystem::file_size(dir_ / "test.db-wal"), 8'000'000u);
  EXPECT_GT(std::filesystem::file_size(dir_ / "test.db"), 10'000'000u);
}

}  // namespace
}  // namespace penstock
