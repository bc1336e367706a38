// A writer that is killed at any moment loses nothing that it acknowledged, and leaves no half
// step.
#include <csignal>
#include <filesystem>
#include <map>
#include <random>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using kv::Durability;
using test::must;

constexpr int saying = 100;  // the child's end of the pipe
constexpr const char* directory_variable = "PENSTOCK_CRASH_TEST_DIRECTORY";

struct Acknowledged {
  std::int64_t appended = 0, position = 0, kept = 0;
};

// The child: appends to "in", moves it on to "out", keeps a value, and says each time
// through its pipe how far it came. It never ends by itself.
TEST(CrashTest, DISABLED_Writer) {
  const char* directory = std::getenv(directory_variable);
  ASSERT_TRUE(directory);
  const auto database = must(rocksdb::open(directory));
  events::Log& log = database->log();
  Acknowledged now{.appended = must(log.end("in")),
                   .position = must(log.position("g", "in")),
                   .kept = std::stoll(must(database->store().get("left")).value_or("0"))};
  std::mt19937 random(std::random_device{}());
  for (std::int64_t turn = now.kept + 1;; ++turn) {
    const auto durability = turn % 16 == 0 ? Durability::disk : Durability::process;
    std::vector<events::Append> records;
    for (auto count = random() % 4; count > 0; --count)
      records.push_back({"in", "k", std::to_string(now.appended++)});
    must(log.append(records, durability));

    const std::int64_t from = now.position;
    events::Step step{.group = "g", .topic = "in"};
    for (const auto& record : must(log.read("in", from, random() % 5))) {
      step.outputs.push_back({"out", "k", record.value + std::string(500, '.')});
      now.position = record.offset + 1;
    }
    step.next_offset = now.position;
    step.state.put("moved", std::to_string(now.position));
    must(log.commit(step, from, durability));

    kv::Batch batch;
    now.kept = turn;
    batch.put("left", std::to_string(turn));
    batch.put("right", std::to_string(turn));
    must(database->store().write(batch, durability));
    ASSERT_EQ(write(saying, &now, sizeof now), static_cast<ssize_t>(sizeof now));
  }
}

constexpr int loaded_keys = 3'000;
std::string loaded_key(std::int64_t turn, int key) {
  char text[32];
  std::snprintf(text, sizeof text, "load/%08ld/%06d", static_cast<long>(turn), key);
  return text;
}

// The child: each turn it adds so many new keys at once that they become a file of their own.
TEST(CrashTest, DISABLED_Loader) {
  const char* directory = std::getenv(directory_variable);
  ASSERT_TRUE(directory);
  const auto database = must(rocksdb::open(directory));
  kv::Store& store = database->store();
  Acknowledged now{.kept = std::stoll(must(store.get("loaded")).value_or("0"))};
  for (;;) {
    const std::string before = std::to_string(now.kept++);
    std::vector<kv::Swap> swaps;
    for (int key = 0; key < loaded_keys; ++key)
      swaps.push_back({loaded_key(now.kept, key), {}, std::string(1'000, 'v')});
    // Of the load that was cut off before either all is there, or nothing.
    const auto lost = must(store.swap(swaps, Durability::process)).size();
    ASSERT_TRUE(lost == 0 || lost == loaded_keys) << lost;
    const bool first = before == "0" && !must(store.get("loaded"));
    ASSERT_TRUE(must(store.swap({{"loaded", first ? std::nullopt : std::optional(before),
                                  std::to_string(now.kept)}},
                                Durability::process))
                    .empty());
    ASSERT_EQ(write(saying, &now, sizeof now), static_cast<ssize_t>(sizeof now));
  }
}

// The child: keeps the newest records of a topic and what finds them, and says how many there were.
constexpr std::int64_t kept_records = 3'000;
TEST(CrashTest, DISABLED_Shortener) {
  const char* directory = std::getenv(directory_variable);
  ASSERT_TRUE(directory);
  const auto database = must(rocksdb::open(directory));
  events::Log& log = database->log();
  Acknowledged now{.appended = must(log.end("t"))};
  for (;;) {
    events::Step step{.group = "finder", .topic = "finder"};
    for (int at = 0; at < 500; ++at) {
      const std::string text = std::to_string(now.appended++);
      step.offsets.emplace_back(text, step.outputs.size());
      step.outputs.push_back({"t", text, text + std::string(2'000, '.')});
    }
    must(log.commit(step, 0, Durability::process));
    ASSERT_EQ(write(saying, &now, sizeof now), static_cast<ssize_t>(sizeof now));
    if (now.appended > kept_records) must(log.truncate("t", now.appended - kept_records));
    must(log.reclaim("t"));
  }
}

// Runs the child until it said `turns` times how far it is, kills it, and gives the last it said.
Acknowledged kill_after(const std::string& directory, std::uint64_t turns,
                        const std::string& child_test = "Writer") {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  setenv(directory_variable, directory.c_str(), 1);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], saying);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  std::string arguments[] = {"writer", "--gtest_filter=CrashTest.DISABLED_" + child_test,
                             "--gtest_also_run_disabled_tests", "--gtest_output="};
  std::vector<char*> list;
  for (std::string& argument : arguments) list.push_back(argument.data());
  list.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawn(&child, "/proc/self/exe", &actions, nullptr, list.data(), environ) != 0)
    throw std::runtime_error("the writer does not start");
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);

  Acknowledged last;
  while (turns > 0 && read(ends[0], &last, sizeof last) == static_cast<ssize_t>(sizeof last))
    --turns;
  kill(child, SIGKILL);
  Acknowledged more;
  while (read(ends[0], &more, sizeof more) == static_cast<ssize_t>(sizeof more)) last = more;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
  EXPECT_EQ(turns, 0U);
  return last;
}

// Whatever was lost, nothing of it may be half there.
Acknowledged whole(const std::string& directory) {
  const auto database = must(rocksdb::open(directory));
  events::Log& log = database->log();
  const Acknowledged found{.appended = must(log.end("in")),
                           .position = must(log.position("g", "in"))};
  EXPECT_EQ(must(log.state("g", "moved")).value_or("0"), std::to_string(found.position));
  EXPECT_EQ(must(log.end("out")), found.position);
  EXPECT_LE(found.position, found.appended);
  for (const std::string topic : {"in", "out"}) {
    std::int64_t next = 0;
    for (bool more = true; more;) {
      const auto records = must(log.read(topic, next, 1000));
      for (const events::Record& record : records) {
        EXPECT_EQ(record.offset, next);
        EXPECT_EQ(record.value.substr(0, record.value.find('.')), std::to_string(next++));
      }
      more = !records.empty();
    }
    EXPECT_EQ(next, must(log.end(topic)));
  }
  EXPECT_EQ(must(database->store().get("left")), must(database->store().get("right")));
  return found;
}

TEST(CrashTest, KeepsWhatAKilledWriterAcknowledged) {
  const test::TempDir directory;
  std::mt19937 random(7);
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const Acknowledged said = kill_after(directory.path(), 1 + random() % 300);
    const Acknowledged found = whole(directory.path());
    EXPECT_GE(found.appended, said.appended);
    EXPECT_GE(found.position, said.position);
    const auto database = must(rocksdb::open(directory.path()));
    EXPECT_GE(std::stoll(must(database->store().get("left")).value_or("0")), said.kept);
  }
}

TEST(CrashTest, KeepsWhatAKilledLoaderAcknowledgedAndNothingByHalves) {
  const test::TempDir directory;
  std::mt19937 random(5);
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const Acknowledged said = kill_after(directory.path(), 1 + random() % 8, "Loader");
    const auto database = must(rocksdb::open(directory.path()));
    EXPECT_TRUE(std::filesystem::is_empty(directory / "incoming"));
    const std::int64_t loaded = std::stoll(must(database->store().get("loaded")).value_or("0"));
    EXPECT_GE(loaded, said.kept);
    std::map<std::string, int> counts;
    must(database->store().scan("load/", "load0", [&](std::string_view key, std::string_view) {
      ++counts[std::string(key.substr(0, 13))];
      return true;
    }));
    EXPECT_GE(counts.size(), static_cast<std::size_t>(loaded));
    EXPECT_LE(counts.size(), static_cast<std::size_t>(loaded) + 1);
    for (const auto& [turn, keys] : counts) EXPECT_EQ(keys, loaded_keys) << turn;
  }
}

TEST(CrashTest, KeepsWhatAKilledShortenerWasToKeep) {
  const test::TempDir directory;
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const Acknowledged said = kill_after(directory.path(), 1 + random() % 40, "Shortener");
    const auto database = must(rocksdb::open(directory.path()));
    events::Log& log = database->log();
    const auto held = must(log.extent("t"));
    ASSERT_GE(held.end, said.appended);
    EXPECT_LE(held.start, std::max<std::int64_t>(0, held.end - kept_records));
    std::int64_t next = held.start;
    while (next < held.end) {
      const auto records = must(log.read("t", next, 1'000));
      ASSERT_FALSE(records.empty()) << next;
      for (const events::Record& record : records) {
        ASSERT_EQ(record.offset, next);
        const std::string text = std::to_string(next++);
        ASSERT_EQ(record.key, text);
        ASSERT_EQ(must(log.state("finder", text)), text);
      }
    }
    for (std::int64_t gone = held.start - 1; gone >= 0 && gone >= held.start - 500; --gone)
      ASSERT_FALSE(must(log.state("finder", std::to_string(gone)))) << gone;
  }
}

// As a power cut may: the last bytes that were written never reached the disk.
TEST(CrashTest, OpensWithATornTailAndKeepsWhatComesBeforeIt) {
  std::mt19937 random(11);
  for (int round = 0; round < 6; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const test::TempDir directory;
    const Acknowledged said = kill_after(directory.path(), 50 + random() % 100);
    std::filesystem::path tail;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      if (entry.path().extension() == ".log" && (tail.empty() || entry.path() > tail))
        tail = entry.path();
    const auto size = std::filesystem::file_size(tail);
    ASSERT_GT(size, 4096U);
    std::filesystem::resize_file(tail, size - 1 - random() % 4096);
    const Acknowledged found = whole(directory.path());
    EXPECT_GT(found.appended, 0);
    EXPECT_GT(found.position, said.position / 2);
  }
}

}  // namespace
}  // namespace penstock
