// G4 with crashes: a materialize that is stopped anywhere, by its own end or by the store's, and
// done again, gives what one that was not stopped gives.
#include <atomic>
#include <thread>

#include "tests/unit/online/online_stores.h"

namespace penstock::features {
namespace {

enum class Kind { rocksdb, redis, cluster };

test::RedisServer& one_redis() {
  static test::RedisServer server({.appendonly = true});
  return server;
}
test::RedisCluster& one_cluster() {
  static test::RedisCluster cluster;
  return cluster;
}

class CrashTest : public FeaturesTest {
 protected:
  CrashTest() {
    given({});
    test::must(apply(source() + views() + schema()));
  }

  // Rows of a few places, many of them late or tied, more than one batch of them. Each state has
  // more of them than the one before, and other values for the same ones.
  void write_readings(int state) {
    run("COPY (SELECT 'p' || (hash(i, 1) % 50) AS place, (hash(i, 2) % 3)::BIGINT AS sensor, "
        "TIMESTAMP '2020-09-13 12:26:40' + to_seconds((hash(i, 3) % 100)::BIGINT) AS seen, CASE "
        "WHEN "
        "hash(i, 4) % 3 = 0 THEN TIMESTAMP '2020-09-13 12:26:40' + to_seconds((hash(i, 5) % "
        "130)::BIGINT) END AS created, CASE WHEN hash(i, 6) % 9 > 0 THEN (hash(i, " +
        std::to_string(10 + state) +
        ") % 1000)::DOUBLE END AS heat, 'n' || (i % 5) AS note FROM range(" +
        std::to_string(12'000 + 1'500 * state) + ") AS t(i)) TO '" + folder_ / "readings.parquet" +
        "' (FORMAT parquet)");
  }
  std::unique_ptr<Service> service(kv::Store& store) {
    return std::make_unique<Service>(*db_, *olap_, *blobs_, store, catalog_, clock_, metrics_,
                                     Options{.scratch = folder_ / "scratch"});
  }
  // Everything that is there, as text.
  // Without the store's own name, which no two share.
  static std::map<std::string, std::string> all_of(kv::Store& store) {
    std::map<std::string, std::string> out;
    test::must(
        store.scan("features/", "features0", [&](std::string_view key, std::string_view value) {
          out.emplace(key, value);
          return true;
        }));
    return out;
  }
};

class StoppedTest : public CrashTest, public testing::WithParamInterface<Kind> {
 protected:
  std::unique_ptr<kv::Store> redis_ =
      GetParam() == Kind::redis     ? test::redis_store(one_redis().url())
      : GetParam() == Kind::cluster ? test::redis_store(one_cluster().url())
                                    : nullptr;
  kv::Store& place() { return redis_ ? *redis_ : rocks_->store(); }
  std::unique_ptr<rocksdb::Database> other_ = test::must(rocksdb::open(folder_ / "other"));
};
INSTANTIATE_TEST_SUITE_P(Stores, StoppedTest,
                         testing::Values(Kind::rocksdb, Kind::redis, Kind::cluster));

TEST_P(StoppedTest, AMaterializeThatStopsAnywhereGoesOnToTheSameEnd) {
  Failing failing(place());
  std::mt19937 random(11);
  const auto undisturbed = service(other_->store());
  std::int64_t now = 0;
  int stopped = 0;
  for (int round = 0; round < 8; ++round) {
    write_readings(round / 2);  // the sources change under it, too
    now += 40;
    for (int tries = 0;; ++tries) {
      // Each try is a new process: it knows nothing of the one before.
      const auto one = service(failing);
      failing.fail_after(tries < 6 ? static_cast<int>(random() % 6) : -1, random() % 2 == 0);
      const auto moved = one->materialize(ana_, {.until = at(now)});
      if (moved) break;
      ++stopped;
      ASSERT_EQ(moved.error().code, Code::unavailable) << moved.error().message;
    }
    test::must(undisturbed->materialize(ana_, {.until = at(now)}));
    ASSERT_EQ(all_of(place()), all_of(other_->store())) << "round " << round;
    EXPECT_EQ(test::must(service(place())->verify(ana_, {.name = "features_v1", .sample = 5'000}))
                  .differing,
              0);
  }
  EXPECT_GT(stopped, 5);
}

// Redis itself is killed in the middle, and comes back with what it acknowledged.
TEST_F(CrashTest, ARedisThatIsKilledInTheMiddleLosesNothing) {
  test::RedisServer server({.appendonly = true});
  const auto store = test::redis_store(server.url(), "read_time=2s&write_time=2s");
  const auto undisturbed = service(rocks_->store());
  write_readings(0);
  std::atomic<std::int64_t> reached = 0;
  std::atomic<int> kills = 0;
  std::atomic<bool> done = false;
  std::jthread mover([&] {
    for (std::int64_t now = 1; now <= 140 || kills < 5; ++now) {
      for (;;) {
        const auto moved = service(*store)->materialize(ana_, {.until = at(now)});
        if (moved) break;
        ASSERT_EQ(moved.error().code, Code::unavailable) << moved.error().message;
      }
      reached = now;
    }
    done = true;
  });
  std::mt19937 random(3);
  while (!done) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 60));
    server.kill();
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 40));
    server.start();
    ++kills;
  }
  mover.join();
  test::must(undisturbed->materialize(ana_, {.until = at(reached)}));
  EXPECT_EQ(all_of(*store), all_of(rocks_->store()));
}

}  // namespace
}  // namespace penstock::features
