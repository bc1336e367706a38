#include "serving/telemetry.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/serving/log_over.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::must;

// A log over the real one, whose disk can be taken away or made to hang.
class FaultyLog final : public test::LogOver {
 public:
  using LogOver::LogOver;
  std::atomic<bool> full = false, hangs = false;

  Result<std::vector<std::int64_t>> append(const std::vector<events::Append>& records,
                                           kv::Durability durability) override {
    TRY(disk());
    return LogOver::append(records, durability);
  }
  Result<std::vector<std::int64_t>> commit(const events::Step& step, std::int64_t from,
                                           kv::Durability durability) override {
    TRY(disk());
    return LogOver::commit(step, from, durability);
  }

 private:
  Result<void> disk() {
    hangs.wait(true);
    if (full) return Error{Code::unavailable, "no space left on device"};
    return {};
  }
};

class TelemetryTest : public ::testing::Test {
 protected:
  static std::vector<InferenceEvent> events(const std::string& id, std::size_t count = 1) {
    std::vector<InferenceEvent> out(count);
    for (std::size_t at = 0; at < count; ++at) {
      out[at].id = count == 1 ? id : id + "." + std::to_string(at);
      out[at].project = "p1";
    }
    return out;
  }
  std::size_t logged() {
    std::size_t count = 0;
    while (true) {
      const auto records =
          must(log_.read(inference_topic, static_cast<std::int64_t>(count), 10'000));
      if (records.empty()) return count;
      count += records.size();
    }
  }
  bool is_findable(const std::string& id) {
    const auto found = must(recorded(log_, gateway_group, "p1", id));
    return found && found->id == id;
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  FaultyLog log_{world_.log()};
  Metrics metrics_;
};

TEST_F(TelemetryTest, WhatWasPutIsInTheLogAfterAFlushAndFindable) {
  Telemetry telemetry(log_, metrics_);
  telemetry.put(events("a"));
  telemetry.put(events("many", 100));
  telemetry.put({});
  EXPECT_EQ(logged(), 0u) << "no call waits for the log";
  EXPECT_FALSE(is_findable("a"));
  must(telemetry.flush(seconds(10)));
  EXPECT_EQ(logged(), 101u);
  EXPECT_TRUE(is_findable("a") && is_findable("many.99"));
  must(telemetry.flush(seconds(0)));
  EXPECT_EQ(logged(), 101u) << "nothing is written twice";
}

TEST_F(TelemetryTest, AnEventPutNowIsThereWhenTheCallReturns) {
  Telemetry telemetry(log_, metrics_);
  must(telemetry.put_now(events("retry")));
  EXPECT_TRUE(is_findable("retry"));
  log_.full = true;
  EXPECT_FALSE(telemetry.put_now(events("refused")));
  EXPECT_FALSE(is_findable("refused"));
}

TEST_F(TelemetryTest, TheWriterWritesAGroupATurnAndWaitsWhereThereIsNone) {
  Telemetry telemetry(log_, metrics_, {.group_max = 1});
  EXPECT_FALSE(must(telemetry.write(milliseconds(1)))) << "nothing waits";
  for (const char* id : {"a", "b", "c"}) telemetry.put(events(id));
  EXPECT_TRUE(must(telemetry.write(seconds(10))));
  EXPECT_EQ(logged(), 1u);
  EXPECT_TRUE(must(telemetry.write(seconds(10))));
  EXPECT_FALSE(must(telemetry.write(seconds(10))));
  EXPECT_EQ(logged(), 3u);
}

TEST_F(TelemetryTest, ManyProducersAndOneWriterLoseNothingAndRepeatNothing) {
  Telemetry telemetry(log_, metrics_);
  std::atomic<bool> stop = false;
  std::jthread writer([&] {
    while (!stop) must(telemetry.write(milliseconds(5)));
  });
  {
    std::vector<std::jthread> producers;
    for (int producer = 0; producer < 4; ++producer)
      producers.emplace_back([&, producer] {
        for (int i = 0; i < 2'000; ++i) {
          const std::string id = std::to_string(producer) + "-" + std::to_string(i);
          telemetry.put(events(id));
          if (i % 500 == 0) {
            must(telemetry.flush(seconds(30)));
            EXPECT_TRUE(is_findable(id)) << "its own, after its flush";
          }
        }
      });
  }
  must(telemetry.flush(seconds(30)));
  stop = true;
  writer.join();
  EXPECT_EQ(logged(), 8'000u);
  EXPECT_EQ(metrics_.counter("penstock_telemetry_dropped_total", "").value(), 0u);
}

TEST_F(TelemetryTest, AFullDiskKeepsWhatFitsAndDropsTheRestAndIsTold) {
  Telemetry telemetry(log_, metrics_, {.waiting_max = 20 * sizeof(InferenceEvent)});
  std::vector<TelemetryTrouble> told;
  telemetry.on_trouble([&](const TelemetryTrouble& trouble) -> Result<void> {
    told.push_back(trouble);
    return {};
  });
  must(telemetry.watch());
  EXPECT_TRUE(told.empty());

  log_.full = true;
  for (int i = 0; i < 100; ++i) telemetry.put(events("e" + std::to_string(i)));
  EXPECT_FALSE(telemetry.write(seconds(1)));
  EXPECT_EQ(telemetry.flush(seconds(1)).error().code, Code::unavailable);
  must(telemetry.watch());
  must(telemetry.watch());
  ASSERT_EQ(told.size(), 1u) << "once";
  EXPECT_FALSE(told[0].over);
  EXPECT_NE(told[0].what.find("no space left"), std::string::npos) << told[0].what;
  const auto dropped = told[0].dropped;
  EXPECT_GT(dropped, 0);
  EXPECT_LT(dropped, 100);

  log_.full = false;
  must(telemetry.flush(seconds(10)));
  EXPECT_EQ(static_cast<std::int64_t>(logged()) + dropped, 100) << "each is logged or counted";
  EXPECT_TRUE(is_findable("e0"));
  EXPECT_EQ(metrics_.counter("penstock_telemetry_dropped_total", "").value(),
            static_cast<std::uint64_t>(dropped));
  must(telemetry.watch());
  ASSERT_EQ(told.size(), 2u);
  EXPECT_TRUE(told[1].over);
  EXPECT_EQ(told[1].dropped, dropped);
}

TEST_F(TelemetryTest, AListenerThatFailsIsToldAgain) {
  Telemetry telemetry(log_, metrics_);
  int asked = 0;
  telemetry.on_trouble([&](const TelemetryTrouble&) -> Result<void> {
    if (++asked == 1) return Error{Code::unavailable, "no database"};
    return {};
  });
  log_.full = true;
  telemetry.put(events("a"));
  EXPECT_FALSE(telemetry.flush(seconds(1)));
  EXPECT_FALSE(telemetry.watch());
  must(telemetry.watch());
  must(telemetry.watch());
  EXPECT_EQ(asked, 2);
}

TEST_F(TelemetryTest, AWriteThatHangsHoldsUpNoCallAndIsTold) {
  Telemetry telemetry(log_, metrics_, {.stuck = milliseconds(1)});
  std::vector<TelemetryTrouble> told;
  telemetry.on_trouble([&](const TelemetryTrouble& trouble) -> Result<void> {
    told.push_back(trouble);
    return {};
  });
  log_.hangs = true;
  telemetry.put(events("a"));
  std::jthread writer([&] { must(telemetry.write(seconds(10))); });
  while (told.empty()) {
    must(telemetry.watch());
    std::this_thread::yield();
  }
  EXPECT_EQ(told[0].what, "a write to the log hangs");
  telemetry.put(events("b"));
  EXPECT_EQ(telemetry.flush(milliseconds(1)).error().code, Code::deadline_exceeded);
  log_.hangs = false;
  log_.hangs.notify_all();
  writer.join();
  must(telemetry.flush(seconds(10)));
  EXPECT_TRUE(is_findable("a") && is_findable("b"));
}

TEST_F(TelemetryTest, AnEventThatNoLogTakesIsDroppedAlone) {
  Telemetry telemetry(log_, metrics_);
  telemetry.put(events("before"));
  telemetry.put(events(std::string(100 << 10, 'x')));  // a key of the log has 64 KB
  telemetry.put(events("after"));
  must(telemetry.flush(seconds(10)));
  EXPECT_TRUE(is_findable("before") && is_findable("after"));
  EXPECT_EQ(metrics_.counter("penstock_telemetry_dropped_total", "").value(), 1u);
}

// More than the log takes at once: who brings it waits, and nothing is lost.
// Of a healthy log that nobody writes to meanwhile: a call of the loop finds room where another one
// would wait, and the loop hears of it before.
TEST_F(TelemetryTest, ACallOfTheLoopTakesMoreMemoryInsteadOfWaiting) {
  constexpr std::size_t most = 40;
  Telemetry telemetry(log_, metrics_, {.waiting_max = most * sizeof(InferenceEvent)});
  auto& dropped = metrics_.counter("penstock_telemetry_dropped_total", "");
  std::size_t taken = 0, taken_before_crowded = 0;
  for (; dropped.value() == 0; ++taken) {
    if (!telemetry.is_crowded()) taken_before_crowded = taken;
    telemetry.put(events("e" + std::to_string(taken)), /*from_loop=*/true);
    ASSERT_LE(taken, 2 * most);
  }
  EXPECT_GT(taken - 1, most) << "more than another call gets";
  EXPECT_LE(taken - 1, most + most / 4);
  EXPECT_LT(taken_before_crowded, most * 3 / 4 + 1);
  EXPECT_TRUE(telemetry.is_crowded());
  must(telemetry.flush(seconds(10)));
  EXPECT_FALSE(telemetry.is_crowded());
  EXPECT_EQ(logged(), taken - 1);
}

TEST_F(TelemetryTest, ABurstWaitsForALogThatIsWell) {
  Telemetry telemetry(log_, metrics_, {.waiting_max = 64 << 10, .group_max = 16 << 10});
  std::jthread writer([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) (void)telemetry.write(milliseconds(5));
  });
  {
    std::vector<std::jthread> callers;
    for (int caller = 0; caller < 4; ++caller)
      callers.emplace_back([&, caller] {
        for (int turn = 0; turn < 500; ++turn)
          telemetry.put(events("c" + std::to_string(caller) + "-" + std::to_string(turn)));
      });
  }
  writer.request_stop();
  writer.join();
  must(telemetry.flush(seconds(10)));
  EXPECT_EQ(logged(), 2'000u);
}

}  // namespace
}  // namespace penstock::serving
