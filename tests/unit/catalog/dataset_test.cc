#include "adapters/localfs/localfs.h"
#include "catalog/dataset_builder.h"
#include "policies/service.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class DatasetTest : public CatalogTest {
 protected:
  DatasetTest() {
    run("COPY (SELECT range AS id, range * 0.1 AS x, 'g' || range % 7 AS g FROM range(300000)) TO "
        "'" +
        folder_ / "numbers.parquet" + "' (FORMAT parquet, ROW_GROUP_SIZE 10000)");
    test::must(apply(R"(kind: source
name: numbers
owner: o
path: numbers.parquet
columns:
  - {name: id, type: bigint, classification: public}
  - {name: x, type: decimal, classification: internal}
  - {name: g, type: text, classification: public}
)"));
    test::must(apply(flights()));
  }
  Result<Dataset> create(const std::string& name, const std::string& sql) {
    return builder_.create(ana_, {name, sql});
  }
  std::unique_ptr<blob::Store> blobs_ = test::must(localfs::open(folder_ / "blobs"));
  std::unique_ptr<olap::Engine> in_order_ = duckdb::open({.threads = 1});
  DatasetBuilder builder_{*db_, *in_order_, *blobs_, catalog_, clock_, folder_ / "scratch"};
};

TEST_F(DatasetTest, KnowsWhatItWasMadeOf) {
  const auto made = test::must(
      create("dataset_2026_05_01", "SELECT g, sum(x::DOUBLE) AS total FROM numbers GROUP BY g;\n"));
  EXPECT_EQ(made.urn(), "dataset:dataset_2026_05_01@1");
  EXPECT_EQ(made.row_count, 7);
  EXPECT_EQ(made.query, "SELECT g, sum(x::DOUBLE) AS total FROM numbers GROUP BY g");
  ASSERT_EQ(made.snapshots.size(), 1u);
  EXPECT_EQ(made.snapshots[0].urn, "source:numbers@1");
  EXPECT_EQ(made.schema_version, 1);
  ASSERT_EQ(made.profile.size(), 2u);
  EXPECT_EQ(made.profile[0].top.size(), 7u);
  EXPECT_EQ(test::must(digest_of_file(made.uri)), made.digest);
  const auto trace = test::must(catalog_.trace(ana_, {.urn = made.urn()}));
  EXPECT_EQ(trace.nodes.size(), 2u);
}

// On other threads, in another folder, after a restart: nothing that is the same here but the query
// and the bytes of its source.
TEST_F(DatasetTest, IsTheSameBytesFromTheSameInputsAnywhere) {
  const std::string sql =
      "SELECT g, sum(x::DOUBLE) AS total, avg(id) AS middle FROM numbers GROUP BY g";
  const auto first = test::must(create("d", sql));
  EXPECT_EQ(test::must(create("d", sql)).version, 1);
  EXPECT_EQ(test::count(*db_, "datasets"), 1);

  test::TempDir other;
  const auto blobs = test::must(localfs::open(other / "blobs"));
  const auto olap = duckdb::open({.threads = 1});
  const auto db = test::database();
  resources::Service resources(*db, clock_);
  Service catalog(*db, *olap, clock_, {.data_directory = folder_.path()});
  catalog.register_kinds(resources);
  resources::ApplyInput input;
  input.documents.push_back(
      {.declaration =
           encode(test::must(catalog_.show_source(ana_, {"numbers"})).source).as_object()});
  input.documents[0].declaration["kind"] = "source";
  test::must(resources.apply(ana_, input));
  clock_.advance(std::chrono::hours(1));
  DatasetBuilder builder(*db, *olap, *blobs, catalog, clock_, other / "scratch");
  const auto second = test::must(builder.create(ana_, {"d", sql}));
  EXPECT_EQ(second.digest, first.digest);
  EXPECT_EQ(second.inputs_digest, first.inputs_digest);
  EXPECT_EQ(encode(second.profile), encode(first.profile));
}

TEST_F(DatasetTest, HasTheSameBytesForTheSameRowsInAnotherOrder) {
  const auto up = test::must(create("up", "SELECT id, g FROM numbers WHERE id < 1000 ORDER BY id"));
  const auto down =
      test::must(create("down", "SELECT id, g FROM numbers WHERE id < 1000 ORDER BY id DESC"));
  EXPECT_EQ(up.digest, down.digest);
  EXPECT_NE(up.inputs_digest, down.inputs_digest);
}

TEST_F(DatasetTest, MakesANewVersionOfOtherBytesAndSaysWhatDiffers) {
  const std::string sql = "SELECT carrier, distance FROM flights";
  test::must(create("d", sql));
  run("COPY (SELECT 'AA' AS carrier, TIMESTAMP '2013-01-01' AS left_at, 1.0::DOUBLE AS delay, 100 "
      "AS "
      "distance) TO '" +
      folder_ / "flights.parquet" + "' (FORMAT parquet)");
  const auto second = test::must(create("d", sql));
  EXPECT_EQ(second.version, 2);
  EXPECT_EQ(second.schema_version, 1);
  const auto third = test::must(create("d", "SELECT carrier FROM flights"));
  EXPECT_EQ(third.schema_version, 2);
  const auto difference = test::must(builder_.diff(ana_, {"d@1", "d@2"}));
  EXPECT_FALSE(difference.same);
  EXPECT_EQ(difference.only_before, 2);
  EXPECT_EQ(difference.only_after, 0);
  std::string changes;
  for (const std::string& change : difference.changes) changes += change + "\n";
  EXPECT_NE(changes.find("made from other bytes of source:flights@1"), std::string::npos)
      << changes;
  EXPECT_NE(changes.find("column distance: mean 200 -> 100"), std::string::npos) << changes;
  // A source of the query has a confidential column, so no single value is told.
  EXPECT_EQ(changes.find("column distance: max"), std::string::npos) << changes;
  const auto columns = test::must(builder_.diff(ana_, {"d@2", "d"}));
  EXPECT_EQ(columns.only_after, std::nullopt);
  EXPECT_EQ(columns.changes.front(), "column distance: removed");
  EXPECT_TRUE(test::must(builder_.diff(ana_, {"d@2", "d@2"})).same);
}

TEST_F(DatasetTest, ReadsOtherDatasets) {
  test::must(create("small", "SELECT id FROM numbers WHERE id < 3"));
  const auto made = test::must(create("sum", "SELECT sum(id) AS total FROM \"small@1\""));
  EXPECT_EQ(made.snapshots[0].urn, "dataset:small@1");
  EXPECT_EQ(made.row_count, 1);
  EXPECT_EQ(test::must(create("sum", "SELECT sum(id) AS total FROM small")).version, 1);
}

TEST_F(DatasetTest, RefusesWhatWouldNotBeTheSameTwice) {
  struct Case {
    std::string sql, fault;
  };
  const Case cases[] = {
      {"SELECT random() AS x", "must not use random"},
      {"SELECT current_date AS d", "must not use current_date"},
      {"SELECT now() AS d", "must not use now"},
      {"SELECT * FROM numbers USING SAMPLE 10", "must not use USING SAMPLE"},
      {"SELECT * FROM numbers TABLESAMPLE 10%", "must not use tablesample"},
      {"SELECT gen_random_uuid() AS u", "must not use gen_random_uuid"},
      {"SELECT * FROM nowhere", "which is no source or dataset"},
      {"SELECT * FROM read_csv('/etc/passwd')", "must not call read_csv"},
      {"SELECT * FROM '/etc/passwd'", "which is no source or dataset"},
      {"DROP TABLE x", "must be a SELECT"},
      {"SELECT wrong FROM numbers", "cannot be run"},
      {"SELECT FROM", "sql cannot be read"},
  };
  for (const Case& c : cases) {
    const auto made = create("d", c.sql);
    ASSERT_FALSE(made) << c.sql;
    EXPECT_NE(test::faults_of(made.error()).find(c.fault), std::string::npos)
        << c.sql << "\n"
        << test::faults_of(made.error());
  }
  EXPECT_FALSE(create("a/b", "SELECT 1 AS x"));
  EXPECT_FALSE(builder_.diff(ana_, {"d@1", "d@2"}));
  EXPECT_EQ(test::count(*db_, "datasets"), 0);
  EXPECT_TRUE(test::must(blobs_->list("datasets")).empty());
}

TEST_F(DatasetTest, APolicyOfReadsIsAskedBeforeItIsMade) {
  policies::Service policies(*db_, resources_, clock_);
  resources_.add(policies.kind());
  const auto declare = [&](const std::string& severity) {
    test::must(apply(
        "kind: policy\nname: confidential\nowner: o\napplies_to: [read]\nseverity: " + severity +
        "\nmessage: Confidential data\nsql: SELECT u.urn AS subject, s.purpose AS "
        "message FROM policy_subject AS s CROSS JOIN policy_upstream AS u WHERE "
        "u.class_rank >= 2\n"));
  };
  declare("block");
  const auto refused = create("d", "SELECT delay FROM flights");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_EQ(refused.error().message,
            "to read source:flights@1 is refused by policy confidential: Confidential data: "
            "dataset:d");
  EXPECT_FALSE(create("d", "SELECT n.x FROM numbers AS n CROSS JOIN flights AS f"));
  EXPECT_EQ(test::count(*db_, "datasets"), 0);
  EXPECT_EQ(test::count(*db_, "policy_results WHERE NOT allowed AND purpose = 'dataset:d'"), 2)
      << "who wanted to is kept";
  test::must(create("e", "SELECT x FROM numbers"));
  declare("warn");
  test::must(create("d", "SELECT delay FROM flights"));
  EXPECT_EQ(test::count(*db_,
                        "policy_results WHERE subject = 'source:flights@1' AND purpose = "
                        "'dataset:d' AND outcome = 'violated' AND allowed"),
            1);
  // What was made from it bears its class.
  declare("block");
  EXPECT_FALSE(create("f", "SELECT delay FROM \"d@1\""));
  EXPECT_FALSE(create("d", "SELECT delay FROM flights")) << "not even what is there already";
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'policies.asked'"), 7);
}

}  // namespace
}  // namespace penstock::catalog
