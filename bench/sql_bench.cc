// What a durable write costs: one small INSERT, committed and synced, from 1 and from 32 threads.
// It defends two goals: 10,000 such writes a second from 32 threads, and at most twice the time
// that SQLite itself takes for the same rows in the same batches (one writer alone: batches of 1;
// 32: batches of 32). Both are medians of rounds in turn; on a busy machine only the processor's
// time compares them well, since one thread that waits for a sync then gets its turn late, and 32
// do not. Sketch: a sync takes 0.1 to 1 ms; shared by 16 to 32 writers it leaves 10 us a write for
// the handing over.
#include <sqlite3.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "adapters/sqlite/sqlite.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using test::must;
using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

// The two take turns, so that what else the machine does meets both alike.
constexpr int rounds = 7;
constexpr auto round_length = std::chrono::milliseconds(700);

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct Figures {
  double per_second = 0;
  double processor_us = 0;  // of all threads and the kernel, for one write
};

// What `write_until_the_end` writes, as it counts it in `written`.
template <class Write>
Figures measure(std::atomic<std::int64_t>& written, Write write_until_the_end) {
  const std::int64_t before = written;
  const double processor = processor_seconds();
  const auto start = SteadyClock::now();
  write_until_the_end(start + round_length);
  const auto writes = static_cast<double>(written - before);
  return {.per_second = writes / Seconds(SteadyClock::now() - start).count(),
          .processor_us = (processor_seconds() - processor) * 1e6 / writes};
}

constexpr const char* create = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
constexpr const char* insert = "INSERT INTO notes (id, text) VALUES ($1, $2)";
const std::string text(100, 'x');

// SQLite by its own interface, as fast as it goes: statements prepared once, one thread.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    check(sqlite3_open(path.c_str(), &db_));
    run("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL");
    run(create);
    check(sqlite3_prepare_v2(db_, insert, -1, &insert_, nullptr));
    check(sqlite3_prepare_v2(db_, "BEGIN IMMEDIATE", -1, &begin_, nullptr));
    check(sqlite3_prepare_v2(db_, "COMMIT", -1, &commit_, nullptr));
  }
  ~Raw() {
    for (sqlite3_stmt* statement : {insert_, begin_, commit_}) sqlite3_finalize(statement);
    sqlite3_close(db_);
  }
  Raw(const Raw&) = delete;

  Figures write(int batch) {
    return measure(next_, [&](SteadyClock::time_point end) {
      while (SteadyClock::now() < end) {
        step(begin_);
        for (int row = 0; row < batch; ++row) {
          check(sqlite3_bind_int64(insert_, 1, next_++));
          check(sqlite3_bind_text(insert_, 2, text.data(), static_cast<int>(text.size()), nullptr));
          step(insert_);
        }
        step(commit_);
      }
    });
  }

 private:
  void check(int code) {
    if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(db_));
  }
  void run(const char* script) { check(sqlite3_exec(db_, script, nullptr, nullptr, nullptr)); }
  void step(sqlite3_stmt* statement) {
    sqlite3_step(statement);
    check(sqlite3_reset(statement));
  }

  sqlite3* db_ = nullptr;
  sqlite3_stmt *insert_ = nullptr, *begin_ = nullptr, *commit_ = nullptr;
  std::atomic<std::int64_t> next_ = 0;
};

class Ours {
 public:
  explicit Ours(const std::string& path) : db_(must(sqlite::open(path))) {
    must(db_->write(test::call(), [](sql::Tx& tx) { return tx.run(create, {}); }));
  }
  Figures write(int threads) {
    return measure(next_, [&](SteadyClock::time_point end) {
      std::vector<std::jthread> running;
      for (int thread = 0; thread < threads; ++thread)
        running.emplace_back([&] {
          const Call call = test::call();
          while (SteadyClock::now() < end)
            must(db_->write(call, [&](sql::Tx& tx) { return tx.run(insert, {next_++, text}); }));
        });
    });
  }

 private:
  std::unique_ptr<sql::Database> db_;
  std::atomic<std::int64_t> next_ = 0;
};

double median(std::vector<double> figures) {
  std::sort(figures.begin(), figures.end());
  return figures[figures.size() / 2];
}

void compare(const char* disk, const std::string& folder, int threads) {
  setenv("TMPDIR", folder.c_str(), 1);
  const test::TempDir dir;
  Raw raw(dir / "raw.db");
  Ours ours(dir / "ours.db");
  std::vector<double> raw_speed, our_speed, cost, processor;
  for (int round = 0; round < rounds; ++round) {
    const Figures raw_now = raw.write(threads), our_now = ours.write(threads);
    raw_speed.push_back(raw_now.per_second);
    our_speed.push_back(our_now.per_second);
    cost.push_back(raw_now.per_second / our_now.per_second);
    processor.push_back(our_now.processor_us / raw_now.processor_us);
  }
  std::printf("%-6s  %7d  %10.0f  %10.0f  %10.2f  %15.2f\n", disk, threads, median(our_speed),
              median(raw_speed), median(cost), median(processor));
}

}  // namespace
}  // namespace penstock

int main() {
  std::puts("disk    threads    writes/s    SQLite/s  time ratio  processor ratio");
  const std::string folder = std::filesystem::temp_directory_path();
  for (const int threads : {1, 8, 32}) penstock::compare("disk", folder, threads);
  // Where a sync is free, what is left is our own cost. More threads would find nobody to share
  // with.
  penstock::compare("memory", "/dev/shm", 1);
}
