// Several servers write one store at once.
#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "features/codec.h"
#include "tests/unit/online/online_stores.h"

namespace penstock::features {
namespace {

test::RedisServer& one_redis() {
  static test::RedisServer server;
  return server;
}

// True: Redis.
class ServersTest : public FeaturesTest, public testing::WithParamInterface<bool> {
 protected:
  ServersTest() {
    given({{"a", 1, 0, 0, 1.0, "x"}});
    test::must(apply(source() + views() + schema()));
  }
  // Each a server of its own: its own connections, its own memory of what it did.
  std::unique_ptr<Service> server(kv::Store& store) {
    return std::make_unique<Service>(*db_, *olap_, *blobs_, store, catalog_, clock_, metrics_,
                                     Options{.scratch = folder_ / "scratch"});
  }
  static json::object row(std::int64_t sensor, std::int64_t event, std::int64_t created,
                          double heat) {
    return {{"place", "a"},     {"sensor", sensor},
            {"heat", heat},     {"seen", to_rfc3339(at(event))},
            {"note", "pushed"}, {"created", to_rfc3339(at(created))}};
  }

  std::unique_ptr<kv::Store> first_ = GetParam() ? test::redis_store(one_redis().url()) : nullptr;
  kv::Store& store() { return first_ ? *first_ : rocks_->store(); }
};
INSTANTIATE_TEST_SUITE_P(Stores, ServersTest, testing::Values(false, true));

struct Pushed {
  std::int64_t event, created;
  double heat;
  auto times() const { return std::pair(event, created); }
};

TEST_P(ServersTest, TheLatestRowStaysWhoeverWritesItWhen) {
  constexpr int writers = 4, rounds = 60, sensors = 3;
  std::vector<std::vector<std::pair<std::int64_t, Pushed>>> all(writers);
  {
    std::vector<std::jthread> threads;
    for (int writer = 0; writer < writers; ++writer)
      threads.emplace_back([&, writer] {
        const auto one = server(store());
        std::mt19937 random(static_cast<unsigned>(writer) + 1);
        for (int round = 0; round < rounds; ++round) {
          // Few instants: ties and takings back are tried all the time.
          PushInput input{.view = "sensor_heat"};
          for (std::int64_t sensor = 0; sensor < sensors; ++sensor) {
            const auto event = static_cast<std::int64_t>(random() % 20);
            const Pushed pushed{event, event + static_cast<std::int64_t>(random() % 3),
                                static_cast<double>(writer * 1'000 + round)};
            input.rows.push_back(row(sensor, pushed.event, pushed.created, pushed.heat));
            all[static_cast<std::size_t>(writer)].emplace_back(sensor, pushed);
          }
          test::must(one->push(ana_, input));
        }
      });
  }
  const auto schema = test::must(features_.open_schema(ana_, "features_v1"));
  for (std::int64_t sensor = 0; sensor < sensors; ++sensor) {
    std::pair<std::int64_t, std::int64_t> latest{-1, -1};
    std::vector<double> possible;
    for (const auto& of_writer : all)
      for (const auto& [whose, pushed] : of_writer) {
        if (whose != sensor || pushed.times() < latest) continue;
        if (pushed.times() > latest) possible.clear();
        latest = pushed.times();
        possible.push_back(pushed.heat);
      }
    const auto stored =
        test::must(store().get(row_key(*schema->views[1], {"a", std::to_string(sensor)})));
    ASSERT_TRUE(stored);
    const StoredRow found = test::must(decode_row(*schema->views[1], *stored));
    EXPECT_EQ(found.event_time, at(latest.first));
    EXPECT_EQ(found.created_time, at(latest.second));
    EXPECT_TRUE(std::find(possible.begin(), possible.end(), std::get<double>(found.values[0])) !=
                possible.end());
  }
}

TEST_P(ServersTest, ACorrectionAtAnEqualTimeIsAppliedWhoeverWroteItFirst) {
  const auto one = server(store()), two = server(store());
  test::must(one->push(ana_, {.view = "sensor_heat", .rows = {row(1, 5, 6, 1.0)}}));
  EXPECT_EQ(
      test::must(two->push(ana_, {.view = "sensor_heat", .rows = {row(1, 5, 6, 2.0)}})).written, 1);
  EXPECT_EQ(
      test::must(one->push(ana_, {.view = "sensor_heat", .rows = {row(1, 5, 5, 3.0)}})).ignored, 1);
  EXPECT_EQ(
      test::must(one->push(ana_, {.view = "sensor_heat", .rows = {row(1, 4, 9, 3.0)}})).ignored, 1);
  const auto schema = test::must(two->open_schema(ana_, "features_v1"));
  const auto found = test::must(two->read(*schema, {{"place", "a"}, {"sensor", "1"}}, at(6)));
  EXPECT_EQ(found.values[1], Scalar(2.0));
}

TEST_P(ServersTest, TwoThatMaterializeAtOnceLoseNothingAndDoubleNothing) {
  run("COPY (SELECT 'p' || (i % 97) AS place, i % 2 AS sensor, TIMESTAMP '2020-09-13 12:26:40' + "
      "to_seconds(i // 20) AS seen, CAST(NULL AS TIMESTAMP) AS created, CAST(i AS DOUBLE) AS heat, "
      "'n' AS note FROM range(40000) AS t(i)) TO '" +
      folder_ / "readings.parquet" + "' (FORMAT parquet)");
  {
    const std::array servers = {server(store()), server(store()), server(store())};
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < servers.size(); ++i)
      threads.emplace_back([&, i] {
        const auto& one = servers[i];
        for (std::int64_t now = 100 + static_cast<std::int64_t>(i) * 50; now < 2'100; now += 300) {
          const auto moved = one->materialize(ana_, {.until = at(now)});
          ASSERT_TRUE(moved) << moved.error().message;
        }
        test::must(one->materialize(ana_, {.until = at(2'100)}));
      });
  }
  const auto last = server(store());
  EXPECT_EQ(test::must(last->materialize(ana_, {.until = at(2'100)})).rows, 0);
  EXPECT_EQ(test::must(last->verify(ana_, {.name = "features_v1", .sample = 5'000})).differing, 0);
}

// The sources change while some have seen that and others have not.
TEST_P(ServersTest, WhoMovesRowsOfAnOlderStateOfTheSourcesDoesNotPrevail) {
  // Whole or not at all, as sources are written that somebody may read meanwhile.
  const auto readings = [&](int heat) {
    run("COPY (SELECT 'a' AS place, i % 4 AS sensor, TIMESTAMP '2020-09-13 12:26:40' + "
        "to_seconds(i // 4) AS seen, CAST(NULL AS TIMESTAMP) AS created, (i + " +
        std::to_string(heat) + ")::DOUBLE AS heat, 'n' AS note FROM range(40) AS t(i)) TO '" +
        folder_ / "next.parquet" + "' (FORMAT parquet)");
    std::filesystem::rename(folder_ / "next.parquet", folder_ / "readings.parquet");
  };
  std::atomic<std::int64_t> now = 0;
  std::atomic<bool> done = false;
  readings(0);
  {
    // Before any of them works: one that starts clears what one before it left half written.
    const std::array servers = {server(store()), server(store())};
    std::vector<std::jthread> threads;
    for (const auto& one : servers)
      threads.emplace_back([&] {
        while (!done) {
          const auto moved = one->materialize(ana_, {.until = at(++now)});
          if (!moved) {
            ASSERT_EQ(moved.error().code, Code::unavailable) << moved.error().message;
          }
        }
      });
    for (int i = 1; i < 12; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      readings(100 * i);
    }
    done = true;
  }
  const auto last = server(store());
  test::must(last->materialize(ana_, {.until = at(now + 1)}));
  EXPECT_EQ(test::must(last->verify(ana_, {.name = "features_v1"})).differing, 0);
}

}  // namespace
}  // namespace penstock::features
