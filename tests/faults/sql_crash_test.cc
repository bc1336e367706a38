// A server that is killed at any moment has every write that it acknowledged, and none by half
// (goal G1).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "adapters/sqlite/sqlite.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;

constexpr int saying = 100;  // the child's end of the pipe
constexpr const char* path_variable = "PENSTOCK_CRASH_TEST_DATABASE";
constexpr std::int64_t writers = 8, parts = 3;
constexpr int rounds_max = 60;
constexpr auto rounds_length = std::chrono::seconds(15);

struct Acknowledged {
  std::int64_t writer = 0, number = 0;
};

std::int64_t last_number(sql::Database& db, std::int64_t writer) {
  const auto rows = must(db.read(test::call(), [&](sql::Tx& tx) {
    return tx.run("SELECT COALESCE(max(number), 0) FROM rows_written WHERE writer = $1", {writer});
  }));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

// Writes transactions of three rows, of every fourth only two, and then thinks better of it.
void write_for_ever(sql::Database& db, std::int64_t writer) {
  std::mt19937 random(std::random_device{}());
  for (std::int64_t number = last_number(db, writer) + 1;; ++number) {
    const bool fails = number % 4 == 0;
    const auto done = db.write(test::call(), [&](sql::Tx& tx) -> Result<void> {
      for (std::int64_t part = 1; part <= (fails ? parts - 1 : parts); ++part)
        TRY(tx.run("INSERT INTO rows_written (writer, number, part, text) VALUES ($1, $2, $3, $4)",
                   {writer, number, part, std::string(random() % 1'000, 'x')}));
      if (fails) return Error{Code::failed_precondition, "no"};
      return {};
    });
    if (fails) continue;
    must(done);
    const Acknowledged now{writer, number};
    if (write(saying, &now, sizeof now) != static_cast<ssize_t>(sizeof now)) return;
  }
}

// The child. It never ends by itself.
TEST(SqlCrashTest, DISABLED_Server) {
  const char* path = std::getenv(path_variable);
  ASSERT_TRUE(path);
  const auto db = must(sqlite::open(path));
  std::vector<std::jthread> threads;
  for (std::int64_t writer = 0; writer < writers; ++writer)
    threads.emplace_back([&db, writer] { write_for_ever(*db, writer); });
}

pid_t start_server(const std::string& path, int pipe_end) {
  setenv(path_variable, path.c_str(), 1);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_end, saying);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string words[] = {"server", "--gtest_filter=SqlCrashTest.DISABLED_Server",
                         "--gtest_also_run_disabled_tests", "--gtest_output="};
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawn(&child, "/proc/self/exe", &actions, nullptr, list.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw std::runtime_error("cannot start the server");
  return child;
}

// Lets the server acknowledge `count` writes, kills it a moment later, and gives all that it
// acknowledged.
std::vector<Acknowledged> kill_after(const std::string& path, std::size_t count,
                                     std::chrono::microseconds moment) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const pid_t child = start_server(path, ends[1]);
  close(ends[1]);
  std::vector<Acknowledged> all;
  Acknowledged now;
  while (read(ends[0], &now, sizeof now) == static_cast<ssize_t>(sizeof now)) {
    all.push_back(now);
    if (all.size() != count) continue;
    std::this_thread::sleep_for(moment);
    kill(child, SIGKILL);
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the server ended by itself";
  return all;
}

// What a cut of the power may leave behind the last sync: part of a frame, noise, or a whole frame
// that was not finished. Nobody outside SQLite can tell where in its log the last sync ended, so
// nothing is cut off; it is added, which SQLite has to recognise and to leave out.
void spoil_the_end(const std::string& log, std::mt19937& random) {
  if (!std::filesystem::exists(log)) return;
  const std::uint64_t size = std::filesystem::file_size(log);
  constexpr std::uint64_t header = 32, frame = 24 + 4096;
  std::string tail(random() % (3 * frame), '\0');
  for (char& byte : tail) byte = static_cast<char>(random());
  if (size >= header + frame && random() % 2 == 0) {
    // The last frame again, with one byte changed.
    std::string last(frame, '\0');
    std::ifstream in(log, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(size - frame));
    in.read(last.data(), static_cast<std::streamsize>(frame));
    last[random() % frame] ^= 1;
    tail = last + tail;
  }
  std::ofstream(log, std::ios::binary | std::ios::app) << tail;
}

using Key = std::pair<std::int64_t, std::int64_t>;  // writer, number

std::map<Key, std::int64_t> parts_stored(sql::Database& db) {
  const auto rows = must(db.read(test::call(), [](sql::Tx& tx) {
    return tx.run("SELECT writer, number, count(*) FROM rows_written GROUP BY writer, number", {});
  }));
  std::map<Key, std::int64_t> out;
  for (const sql::Row& row : rows)
    out[{std::get<std::int64_t>(row[0]), std::get<std::int64_t>(row[1])}] =
        std::get<std::int64_t>(row[2]);
  return out;
}

TEST(SqlCrashTest, KeepsWhatItAcknowledgedAndNothingByHalf) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const test::TempDir dir;
  const std::string path = dir / "test.db";
  must(must(sqlite::open(path))->write(test::call(), [](sql::Tx& tx) {
    return tx.run(
        "CREATE TABLE rows_written (writer BIGINT, number BIGINT, part BIGINT, text TEXT NOT NULL, "
        "PRIMARY KEY (writer, number, part))",
        {});
  }));
  std::map<Key, std::int64_t> expected;
  const auto until = std::chrono::steady_clock::now() + rounds_length;
  for (int round = 0; round < rounds_max && std::chrono::steady_clock::now() < until; ++round) {
    const auto said =
        kill_after(path, 1 + random() % 200, std::chrono::microseconds(random() % 5'000));
    ASSERT_FALSE(said.empty());
    for (const Acknowledged& one : said) expected[{one.writer, one.number}] = parts;
    if (round % 2 == 1) spoil_the_end(path + "-wal", random);

    const auto db = must(sqlite::open(path));
    const auto stored = parts_stored(*db);
    for (const auto& [key, count] : stored) {
      ASSERT_EQ(count, parts) << "writer " << key.first << ", number " << key.second;
      ASSERT_NE(key.second % 4, 0) << "a write that was taken back is there";
    }
    for (const auto& [key, count] : expected)
      ASSERT_TRUE(stored.contains(key)) << "writer " << key.first << " lost number " << key.second;
    // Beyond what was acknowledged: at most what each writer was about to hear of.
    ASSERT_LE(stored.size(), expected.size() + writers);
    expected = stored;
    const auto check = must(
        db->read(test::call(), [](sql::Tx& tx) { return tx.run("PRAGMA integrity_check", {}); }));
    ASSERT_EQ(check.at(0).at(0), Scalar(std::string("ok")));
  }
  RecordProperty("transactions", static_cast<int>(expected.size()));
}

}  // namespace
}  // namespace penstock
