#include "serving/batch.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "adapters/sqlite/sqlite.h"
#include "migrations/migrations.h"
#include "policies/service.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

// Features as of a row's time, by a rule that online reading follows too: one from the id, one null
// for every third flight.
std::string flights(int count) {
  return "SELECT 'f' || i AS id, 'UA' || i AS flight_id, TIMESTAMP '2013-09-01 00:00:00' + "
         "INTERVAL (i * "
         "7) MINUTE AS event_time FROM range(" +
         std::to_string(count) + ") t(i)";
}

constexpr const char* joined =
    ", CAST(substr(flight_id, 3) AS DOUBLE) / 977.0 - 0.3 AS delay, CASE WHEN "
    "CAST(substr(flight_id, 3) "
    "AS BIGINT) % 3 = 0 THEN NULL ELSE 0.1::DOUBLE END AS unknown, event_time - INTERVAL 90 SECOND "
    "AS "
    "oldest_event_time FROM (";

OpenSchema schema() {
  return {"features_v1@1",
          {"delay", "unknown"},
          [](const Entities& entities, Timestamp) -> Result<FeatureRow> {
            const int number = std::stoi(entities.at("flight_id").substr(2));
            return FeatureRow{
                {number / 977.0 - 0.3, number % 3 == 0 ? std::nullopt : std::optional(0.1)}, 90.0};
          }};
}

// Everything that batch needs, over one directory that outlives it.
struct Batch {
  explicit Batch(const std::string& directory)
      : world(directory),
        db(must(sqlite::open(directory + "/penstock.db"))),
        blobs(must(localfs::open(directory + "/blobs"))),
        olap(duckdb::open({})),
        service(
            *db, world.log(), world.runtime(), world.clock, world.metrics,
            [this](sql::Tx&, const Call&, const std::string&,
                   std::int64_t version) -> Result<Artifact> {
              return Artifact{world.model_file(version), "digest-" + std::to_string(version)};
            },
            [](const Call&, const std::string&) -> Result<OpenSchema> { return schema(); }, {}),
        scorer(
            service, *db, *olap, *blobs, world.log(), world.clock,
            [](const Call&, olap::Session&, const std::string&, const std::string& rows)
                -> Result<std::string> { return "SELECT *" + std::string(joined) + rows + ")"; },
            directory + "/scratch") {}

  // The route, once: SQL that apply would write.
  void declare() {
    must(sql::migrate(*db, migrations(), world.clock.now()));
    resources::Service resources(*db, world.clock);
    resources.add(
        {"model",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    service.register_kinds(resources);
    must(resources.apply(
        test::call(),
        {.documents = {
             {.declaration = {{"kind", "model"}, {"name", "flight-delay"}, {"owner", "o"}}},
             {.declaration = {{"kind", "route"},
                              {"name", "flight-delay"},
                              {"owner", "o"},
                              {"model", "flight-delay"},
                              {"entity_keys", json::array{"flight_id"}},
                              {"feature_schema", "features_v1"},
                              {"threshold", 0.5}}}}}));
    must(db->write(test::call(), [&](sql::Tx& tx) {
      return service.set_targets(tx, test::call(), "flight-delay",
                                 {{"flight-delay", 1, weight_total, Arm::live}}, "r1");
    }));
    must(service.publish(test::call()));
  }

  BatchResult score(int rows = 500, std::int64_t version = 0) {
    return must(scorer.score(test::call(), {"flight-delay", version, flights(rows), "september"}));
  }
  // Path and bytes of every file of every output.
  std::map<std::string, std::string> files() {
    std::map<std::string, std::string> out;
    for (const blob::Entry& entry : must(blobs->list("batch")))
      out[entry.path] = must(blobs->get(entry.path));
    return out;
  }

  test::World world;
  std::unique_ptr<sql::Database> db;
  std::unique_ptr<blob::Store> blobs;
  std::unique_ptr<olap::Engine> olap;
  Service service;
  BatchScorer scorer;
};

class BatchTest : public ::testing::Test {
 protected:
  BatchTest() { batch_.declare(); }
  test::TempDir directory_;
  Batch batch_{directory_.path()};
};

TEST_F(BatchTest, ScoresEachDayAsOnlineWouldBitForBit) {
  const BatchResult made = batch_.score();
  EXPECT_EQ(made.rows, 500);
  EXPECT_EQ(made.published, 3);
  ASSERT_EQ(made.partitions.size(), 3u);
  EXPECT_EQ(made.partitions[0].day, "2013-09-01");
  EXPECT_EQ(made.partitions[0].rows, 206);
  EXPECT_EQ(to_rfc3339(*made.partitions[0].features_as_of), "2013-08-31T23:58:30Z");

  Gateway gateway(batch_.service.table(), batch_.world.telemetry, batch_.world.log(),
                  batch_.world.clock);
  const auto session = must(batch_.olap->session());
  int compared = 0;
  for (const BatchOutput& partition : made.partitions) {
    const auto rows = must(session->query(
        "SELECT flight_id, score, decision, version FROM read_parquet(" +
        olap::quoted_text(batch_.blobs->uri(partition.path + "/part.parquet")) + ")"));
    for (const auto& row : rows.rows) {
      const auto online = must(gateway.infer(
          test::call(),
          {.route = "flight-delay", .rows = {{{"flight_id", std::get<std::string>(row[0])}}}}));
      EXPECT_EQ(std::get<double>(row[1]), online.predictions[0].score);
      EXPECT_EQ(std::get<bool>(row[2]), online.predictions[0].decision);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 500);
}

TEST_F(BatchTest, PublishesTheSameBytesOnce) {
  batch_.score();
  const auto files = batch_.files();
  EXPECT_EQ(files.size(), 6u) << "rows and manifest of 3 days";
  const BatchResult again = batch_.score();
  EXPECT_EQ(again.published, 0);
  EXPECT_EQ(again.partitions.size(), 3u);
  EXPECT_EQ(batch_.files(), files);
  EXPECT_EQ(test::count(*batch_.db, "batch_outputs"), 3);
  EXPECT_EQ(test::count(*batch_.db, "audit_events WHERE action = 'serving.batch.published'"), 3);
  EXPECT_EQ(batch_.world.events().size(), 3u);
  EXPECT_EQ(must(batch_.scorer.outputs(test::call(), "september")).rows, 500);

  EXPECT_EQ(batch_.score(500, 2).published, 3) << "another version is another output";
  EXPECT_EQ(batch_.score(501).published, 1) << "only the day that has another row";

  test::TempDir elsewhere;
  Batch other(elsewhere.path());
  other.declare();
  other.score();
  EXPECT_EQ(other.files(), files) << "made elsewhere, the same bytes";
}

TEST_F(BatchTest, OverlappingRunsPublishEachPartitionOnce) {
  std::atomic<std::int64_t> published = 0;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] { published += batch_.score().published; });
  threads.clear();
  EXPECT_EQ(published, 3);
  EXPECT_EQ(test::count(*batch_.db, "batch_outputs"), 3);
  EXPECT_EQ(batch_.world.events().size(), 3u);
  EXPECT_TRUE(must(batch_.blobs->list("staged")).empty());
}

TEST_F(BatchTest, RefusesWhatItCannotScore) {
  struct Case {
    std::string what;
    BatchInput input;
    std::string says;
  };
  const Case cases[] = {
      {"unknown route", {"nope", 0, flights(1), "o"}, "nope"},
      {"bad output", {"flight-delay", 0, flights(1), "../o"}, "letters"},
      {"no id", {"flight-delay", 0, "SELECT 'UA1' AS flight_id, now() AS event_time", "o"}, "id"},
      {"no time",
       {"flight-delay", 0, "SELECT 'x' AS id, 'UA1' AS flight_id, 'now' AS event_time", "o"},
       ""},
      {"null key",
       {"flight-delay", 0,
        "SELECT NULL::VARCHAR AS id, 'UA1' AS flight_id, TIMESTAMP '2013-09-01' AS event_time",
        "o"},
       "null"},
      {"no SQL", {"flight-delay", 0, "SELEC", "o"}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto got = batch_.scorer.score(test::call(), c.input);
    ASSERT_FALSE(got);
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
  EXPECT_TRUE(batch_.files().empty());
  EXPECT_EQ(test::count(*batch_.db, "batch_outputs"), 0);
}

constexpr int ready_at = 100;  // the descriptor on which the child says that it begins

// Run by the test below in a process of its own, which is killed at some moment.
TEST(BatchChild, DISABLED_Scores) {
  const char* directory = std::getenv("PENSTOCK_TEST_BATCH");
  ASSERT_NE(directory, nullptr);
  Batch batch(directory);
  ASSERT_EQ(write(ready_at, "r", 1), 1);
  batch.score(3'000);
}

// G6: killed at any moment and run again, a backfill gives what an undisturbed one gives.
TEST(BatchKill, GivesTheSameBytesOnce) {
  test::TempDir directory, undisturbed;
  {
    Batch batch(directory.path());
    batch.declare();
  }
  const std::string setting = "PENSTOCK_TEST_BATCH=" + directory.path();
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  std::mt19937 random(20130901);
  int killed = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
      putenv(const_cast<char*>(setting.c_str()));
      dup2(ends[1], ready_at);
      close(ends[0]);
      close(ends[1]);
      close(1);
      execl(self.c_str(), "serving_test", "--gtest_filter=BatchChild.DISABLED_Scores",
            "--gtest_also_run_disabled_tests", nullptr);
      _exit(127);
    }
    close(ends[1]);
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 400'000));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    killed += WIFSIGNALED(status) ? 1 : 0;
  }
  EXPECT_GT(killed, 0) << "no round was killed, so nothing was shown";

  Batch after(directory.path()), oracle(undisturbed.path());
  oracle.declare();
  after.score(3'000);
  oracle.score(3'000);
  EXPECT_EQ(after.files(), oracle.files());
  EXPECT_EQ(test::count(*after.db, "batch_outputs"), 15);
  EXPECT_EQ(test::count(*after.db, "audit_events WHERE action = 'serving.batch.published'"), 15);
  EXPECT_EQ(after.world.events().size(), 15u);
}

TEST_F(BatchTest, APolicyOfReadsIsAskedBeforeAnythingIsScored) {
  resources::Service resources(*batch_.db, batch_.world.clock);
  policies::Service policies(*batch_.db, resources, batch_.world.clock);
  resources.add(policies.kind());
  const auto declare = [&](const std::string& purpose) {
    must(resources.apply(
        test::call(),
        {.documents = {
             {.declaration = {{"kind", "policy"},
                              {"name", "not-now"},
                              {"owner", "o"},
                              {"applies_to", json::array{"read"}},
                              {"message", "Not now"},
                              {"sql",
                               "SELECT s.urn AS subject FROM policy_subject AS s WHERE "
                               "s.name = 'flight-delay' AND s.version = 1 AND s.purpose = '" +
                                   purpose + "'"}}}}}));
  };
  declare("batch:september");
  const auto refused =
      batch_.scorer.score(test::call(), {"flight-delay", 0, flights(10), "september"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message,
            "to read model:flight-delay@v1 is refused by policy not-now: Not now");
  EXPECT_TRUE(batch_.files().empty());
  declare("batch:october");
  EXPECT_EQ(batch_.score().rows, 500);
}

}  // namespace
}  // namespace penstock::serving
