#include "net/workers.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <future>
#include <set>

namespace penstock::net {
namespace {

using namespace std::chrono_literals;

// The thread that ran it, once it is done.
std::thread::id run_once(Workers& workers) {
  std::promise<std::thread::id> ran;
  workers.submit([&ran] { ran.set_value(std::this_thread::get_id()); });
  const auto id = ran.get_future().get();
  std::this_thread::sleep_for(2ms);  // so that the thread waits again
  return id;
}

TEST(WorkersTest, RunAllThatManyThreadsSubmit) {
  Workers workers(8, 1'000);
  std::atomic<int> ran = 0;
  {
    std::vector<std::jthread> threads;
    for (int at = 0; at < 8; ++at)
      threads.emplace_back([&] {
        for (int job = 0; job < 1'000; ++job) workers.submit([&ran] { ++ran; });
      });
  }
  workers.join();
  EXPECT_EQ(ran, 8'000);
}

// Holds so many of them at once, so that there are as many.
void hold_at_once(Workers& workers, int threads) {
  std::atomic<int> inside = 0;
  std::promise<void> open;
  const auto opened = open.get_future().share();
  std::vector<std::promise<void>> done(static_cast<std::size_t>(threads));
  for (auto& one : done)
    workers.submit([&inside, &open, &one, opened, threads] {
      if (++inside == threads) open.set_value();
      opened.wait_for(30s);
      one.set_value();
    });
  for (auto& one : done) one.get_future().wait();
  EXPECT_EQ(inside, threads);
}

std::ptrdiff_t threads_of_this_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

TEST(WorkersTest, BeginWhenThereIsWorkForThem) {
  const auto before = threads_of_this_process();
  Workers workers(16, 100);
  EXPECT_EQ(threads_of_this_process(), before);
  run_once(workers);
  EXPECT_EQ(threads_of_this_process(), before + 1);
  hold_at_once(workers, 5);
  EXPECT_GE(threads_of_this_process(), before + 5);
  EXPECT_LE(threads_of_this_process(), before + 6);  // one may be slow to wait again
  hold_at_once(workers, 16);
  for (int at = 0; at < 50; ++at) workers.submit([] { std::this_thread::sleep_for(1ms); });
  EXPECT_EQ(threads_of_this_process(), before + 16);
}

TEST(WorkersTest, WakeWhoWorkedLast) {
  Workers workers(16, 100);
  hold_at_once(workers, 16);
  std::this_thread::sleep_for(20ms);  // until all of them wait
  std::set<std::thread::id> seen;
  for (int at = 0; at < 50; ++at) seen.insert(run_once(workers));
  // In turns it were all 16. Some may be slow to wait again on a machine that is busy.
  EXPECT_LT(seen.size(), 10u);
}

TEST(WorkersTest, UseAllThreadsWhereAllAreNeeded) {
  constexpr int threads = 6;
  Workers workers(threads, 100);
  std::atomic<int> inside = 0;
  std::promise<void> open;
  const auto opened = open.get_future().share();
  for (int at = 0; at < threads; ++at)
    workers.submit([&inside, &open, opened] {
      if (++inside == threads) open.set_value();
      opened.wait_for(30s);
    });
  workers.join();
  EXPECT_EQ(inside, threads);
}

TEST(WorkersTest, JoinWaitsForWhatWorkSubmits) {
  Workers workers(2, 100);
  std::atomic<int> ran = 0;
  std::function<void(int)> again = [&](int left) {
    ++ran;
    if (left > 0) workers.submit([&again, left] { again(left - 1); });
  };
  workers.submit([&again] { again(20); });
  workers.join();
  EXPECT_EQ(ran, 21);
}

TEST(WorkersTest, AfterStopNothingBeginsAndWhatWaitsIsLetGoOf) {
  const auto kept = std::make_shared<int>(1);
  bool ended = false, begun = false;
  {
    Workers workers(1, 100);
    std::promise<void> started, go_on;
    workers.submit([&] {
      started.set_value();
      go_on.get_future().wait();
      ended = true;
    });
    started.get_future().wait();
    workers.submit([&begun, kept] { begun = true; });
    workers.stop();
    workers.submit([&begun, kept] { begun = true; });
    EXPECT_EQ(kept.use_count(), 3);
    go_on.set_value();
    workers.join();
  }
  EXPECT_TRUE(ended);
  EXPECT_FALSE(begun);
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(WorkersTest, PostHasAnEnd) {
  Workers workers(1, 2);
  std::promise<void> started, go_on;
  ASSERT_TRUE(workers.post([&] {
    started.set_value();
    go_on.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_TRUE(workers.post([] { throw std::runtime_error("told to the log"); }));
  EXPECT_TRUE(workers.post([] {}));
  EXPECT_FALSE(workers.post([] {}));
  go_on.set_value();
  workers.join();
}

}  // namespace
}  // namespace penstock::net
