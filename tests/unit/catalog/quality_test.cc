#include "catalog/quality.h"

#include "adapters/postgres/postgres.h"
#include "tests/support/postgres.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class QualityTest : public CatalogTest {
 protected:
  QualityTest() {
    clock_.set(*from_rfc3339("2013-01-02T12:00:00Z"));
    quality_.on_failure([this](sql::Tx&, const Call&, Timestamp, const Failure& failure) {
      told_.push_back(failure.key + ": " + failure.title);
      return Result<void>();
    });
  }
  const CheckResult& result(const Measure& measure, const std::string& name) {
    for (const CheckResult& check : measure.checks)
      if (check.name == name) return check;
    throw std::runtime_error("no check " + name);
  }
  std::vector<std::string> told_;
};

TEST_F(QualityTest, RunsTheCommonChecksAsSql) {
  run("COPY (SELECT * FROM (VALUES ('AA'), ('DL')) AS t(code)) TO '" + folder_ / "carriers.csv" +
      "' (HEADER)");
  test::must(apply(R"(kind: source
name: carriers
owner: o
path: carriers.csv
format: csv
columns: [{name: code, type: text, classification: public}]
)"));
  struct Case {
    std::string check;
    std::int64_t violations;
  };
  const Case cases[] = {
      {"not_null: [carrier, left_at]", 0},
      {"not_null: [carrier, delay]", 1},
      {"unique: [carrier, left_at]", 0},
      {"unique: [carrier]", 1},
      {"accepted_values: {column: carrier, values: [AA, UA]}", 0},
      {"accepted_values: {column: carrier, values: [\"it's\", AA]}", 1},
      {"accepted_values: {column: distance, values: [100, 200]}", 1},
      {"range: {column: distance, min: 100, max: 300}", 0},
      {"range: {column: distance, min: 101, max: 299.5}", 2},
      {"range: {column: delay, max: 4}", 1},
      {"range: {column: left_at, min: \"2013-01-01T10:30:00Z\"}", 1},
      {"pattern: {column: carrier, regex: \"[A-Z]{2}\"}", 0},
      {"pattern: {column: carrier, regex: \"A\"}", 3},
      {"row_count: {min: 3, max: 3}", 0},
      {"row_count: {min: 4}", 1},
      {"row_count: {max: 2}", 1},
      {"freshness: {max_age: 2h}", 0},
      {"freshness: {max_age: 119m}", 1},
      {"freshness: {max_age: 1d, column: left_at}", 0},
      {"references: {columns: [carrier], source: carriers, to_columns: [code]}", 1},
  };
  std::string checks = "checks:\n";
  for (std::size_t i = 0; i < std::size(cases); ++i)
    checks += "  - {name: check " + std::to_string(i) + ", " + cases[i].check + "}\n";
  test::must(apply(flights(checks)));
  const auto measure = test::must(quality_.check(ana_, {"flights"}));
  ASSERT_EQ(measure.checks.size(), std::size(cases)) << measure.fault;
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    EXPECT_EQ(measure.checks[i].violations, cases[i].violations) << cases[i].check;
    EXPECT_EQ(measure.checks[i].passed, cases[i].violations == 0) << cases[i].check;
    EXPECT_EQ(measure.checks[i].fault, "") << cases[i].check;
  }
}

TEST_F(QualityTest, HoldsADeclarationToWhatItImplies) {
  test::must(apply(replaced(flights("primary_key: [carrier]\n"), "unit: minutes",
                            "unit: minutes, nullable: false")));
  const auto measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_FALSE(measure.passed);
  EXPECT_EQ(result(measure, "not nullable").violations, 1);
  EXPECT_EQ(result(measure, "primary key").violations, 1);
  ASSERT_EQ(told_.size(), 2u);
  EXPECT_EQ(told_[1],
            "check:primary key: source flights: check \"primary key\" failed (1 violations)");
}

TEST_F(QualityTest, MeasuresFreshnessByEventTimeOrByTheFile) {
  test::must(apply(flights("freshness: {max_age: 2h}\n")));
  auto measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_TRUE(measure.fresh) << measure.fault;
  EXPECT_EQ(measure.age_seconds, 7200.0);
  clock_.advance(std::chrono::seconds(1));
  measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_FALSE(measure.fresh);
  EXPECT_FALSE(measure.passed);
  ASSERT_EQ(told_.size(), 1u);
  EXPECT_EQ(told_[0], "freshness: source flights: its newest row is 2 hours old, and may be 2h");
  test::must(apply(flights("freshness: {max_age: 2h, severity: warning}\n")));
  measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_FALSE(measure.fresh);
  EXPECT_TRUE(measure.passed);

  test::must(apply(replaced(flights("freshness: {max_age: 1h}\n"), "event_time: left_at\n", "")));
  clock_.set(SystemClock().now());
  EXPECT_TRUE(test::must(quality_.check(ana_, {"flights"})).fresh);
  clock_.advance(std::chrono::hours(2));
  EXPECT_FALSE(test::must(quality_.check(ana_, {"flights"})).fresh);
}

TEST_F(QualityTest, TellsOfDriftAndOfASourceThatIsGone) {
  test::must(apply(flights()));
  clock_.advance(std::chrono::seconds(1));
  run("COPY (SELECT 'AA' AS carrier, TIMESTAMP '2013-01-01' AS left_at, 'late' AS delay, 1 AS "
      "gate) "
      "TO '" +
      folder_ / "flights.parquet" + "' (FORMAT parquet)");
  auto measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_FALSE(measure.passed);
  ASSERT_EQ(measure.drift.size(), 3u);
  EXPECT_EQ(measure.drift[0], "columns[2].type delay is VARCHAR in flights.parquet, not double");
  EXPECT_EQ(measure.drift[1], "columns[3].name distance is not a column of flights.parquet");
  EXPECT_NE(measure.drift[2].find("must declare gate (INTEGER)"), std::string::npos);
  std::filesystem::remove(folder_ / "flights.parquet");
  measure = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_NE(measure.fault.find("there is no file"), std::string::npos) << measure.fault;
  EXPECT_EQ(told_.back(), "unreadable: source flights: cannot be read");
  EXPECT_EQ(test::must(quality_.history(ana_, {"flights"})).measures.size(), 2u);
  EXPECT_EQ(quality_.check(ana_, {"none"}).error().code, Code::not_found);
}

TEST_F(QualityTest, ProfilesEachColumnOnceASnapshot) {
  test::must(apply(flights()));
  EXPECT_EQ(quality_.profile(ana_, {"flights"}).error().code, Code::not_found);
  EXPECT_EQ(test::must(quality_.refresh(ana_, {"flights"})).fault, "");
  const auto profile = test::must(quality_.profile(ana_, {"flights"}));
  EXPECT_EQ(profile.row_count, 3);
  ASSERT_EQ(profile.columns.size(), 4u);
  const ColumnProfile &carrier = profile.columns[0], &delay = profile.columns[2],
                      &distance = profile.columns[3];
  EXPECT_EQ(carrier.distinct, 2);
  EXPECT_EQ(carrier.top[0].value, "AA");
  EXPECT_EQ(carrier.top[0].rows, 2);
  EXPECT_EQ(carrier.longest, 2);
  EXPECT_EQ(profile.columns[1].max, "2013-01-02 10:00:00");
  EXPECT_EQ(delay.nulls, 1);
  EXPECT_EQ(delay.mean, 0.75);
  // It is confidential: its numbers are told, its values are not.
  EXPECT_EQ(delay.min, std::nullopt);
  EXPECT_TRUE(delay.top.empty() && delay.quantiles.empty());
  EXPECT_EQ(distance.min, "100");
  EXPECT_EQ(distance.stddev, 100.0);
  ASSERT_EQ(distance.quantiles.size(), quantile_points.size());
  EXPECT_EQ(distance.quantiles[3], 200.0);
  test::must(quality_.refresh(ana_, {"flights"}));
  EXPECT_EQ(test::count(*db_, "source_profiles"), 1);
  clock_.advance(std::chrono::seconds(1));
  run("COPY (SELECT 'B6' AS carrier, TIMESTAMP '2013-01-03' AS left_at, 'inf'::DOUBLE AS delay, 1 "
      "AS distance) TO '" +
      folder_ / "flights.parquet" + "' (FORMAT parquet)");
  test::must(quality_.refresh(ana_, {"flights"}));
  EXPECT_EQ(test::count(*db_, "source_profiles"), 2);
  EXPECT_EQ(test::must(quality_.profile(ana_, {"flights"})).columns[2].mean, std::nullopt);
  const std::string first = profile.snapshot_digest.substr(0, 12);
  EXPECT_EQ(test::must(quality_.profile(ana_, {"flights", first})).row_count, 3);
}

TEST_F(QualityTest, HidesValuesOfAClassThatBecameStricter) {
  test::must(apply(flights()));
  test::must(quality_.refresh(ana_, {"flights"}));
  test::must(apply(replaced(flights(), "type: text, classification: public",
                            "type: text, classification: restricted")));
  EXPECT_TRUE(test::must(quality_.profile(ana_, {"flights"})).columns[0].top.empty());
}

TEST_F(QualityTest, MeasuresWhatIsDueAndNothingElse) {
  test::must(apply(flights()));
  EXPECT_FALSE(test::must(quality_.run_due()));
  test::must(apply(flights("refresh_every: 1h\n")));
  EXPECT_TRUE(test::must(quality_.run_due()));
  EXPECT_FALSE(test::must(quality_.run_due()));
  clock_.advance(std::chrono::minutes(59));
  EXPECT_FALSE(test::must(quality_.run_due()));
  clock_.advance(std::chrono::minutes(1));
  EXPECT_TRUE(test::must(quality_.run_due()));
  EXPECT_EQ(test::count(*db_, "source_measures"), 2);
  EXPECT_EQ(test::count(*db_, "source_profiles"), 1);
  // A rule of freshness is measured without being asked for, at a quarter of its age.
  test::must(apply(flights("freshness: {max_age: 8h}\n")));
  EXPECT_TRUE(test::must(quality_.run_due()));
  clock_.advance(std::chrono::hours(2));
  EXPECT_TRUE(test::must(quality_.run_due()));
  EXPECT_FALSE(test::must(quality_.run_due()));
}

TEST_F(QualityTest, ReadsADirectoryWithPartitions) {
  std::filesystem::create_directories(folder_ / "days");
  run("COPY (SELECT *, left_at::DATE AS day FROM read_parquet('" + folder_ / "flights.parquet" +
      "')) TO '" + folder_ / "days" + "' (FORMAT parquet, PARTITION_BY (day))");
  std::ofstream(folder_ / "days/_SUCCESS") << "";
  std::ofstream(folder_ / "days/notes.txt") << "not ours";
  const std::string days =
      replaced(replaced(flights("  - {name: day, type: timestamp, classification: public}\n"),
                        "path: flights.parquet", "path: days"),
               "name: flights", "name: days");
  test::must(apply(days));
  const auto measure = test::must(quality_.check(ana_, {"days"}));
  EXPECT_EQ(measure.row_count, 3) << measure.fault;
  EXPECT_TRUE(measure.passed);
  run("COPY (SELECT * FROM read_parquet('" + folder_ / "flights.parquet" + "')) TO '" +
      folder_ / "days/day=2013-01-02/more.parquet" + "' (FORMAT parquet)");
  const auto more = test::must(quality_.check(ana_, {"days"}));
  EXPECT_EQ(more.row_count, 6);
  EXPECT_NE(more.snapshot_digest, measure.snapshot_digest);
  std::filesystem::create_directories(folder_ / "empty");
  EXPECT_NE(faults(replaced(days, "path: days", "path: empty")).find("holds no parquet file"),
            std::string::npos);
}

class PostgresSourceTest : public QualityTest {
 protected:
  PostgresSourceTest() {
    secrets_["${ENV:WAREHOUSE}"] = test::postgres_connection() + " dbname=postgres";
    change("DROP SCHEMA IF EXISTS sales CASCADE; CREATE SCHEMA sales");
    change(R"(CREATE TABLE sales.orders (id bigint PRIMARY KEY, placed timestamptz NOT NULL,
             amount numeric(12,2), note text, paid boolean, ratio double precision, code uuid))");
    change(R"(INSERT INTO sales.orders VALUES
             (2, '2013-01-02 10:00:00+02', 12.50, '', true, 'NaN', NULL),
             (1, '2013-01-01 10:00:00+00', NULL, E'two\nlines, "quoted"', false, 0.5,
              '00000000-0000-0000-0000-000000000001'),
             (3, '2013-01-02 09:00:00+00', -0.01, NULL, NULL, NULL, NULL))");
  }
  void change(const std::string& sql) {
    auto db = test::must(postgres::open(secrets_["${ENV:WAREHOUSE}"], "", 1));
    test::must(db->write(ana_, [&](sql::Tx& tx) -> Result<void> {
      for (std::size_t at = 0; at < sql.size();) {
        const std::size_t end = std::min(sql.find(';', at), sql.size());
        TRY(tx.run(sql.substr(at, end - at), {}));
        at = end + 1;
      }
      return {};
    }));
  }
  static std::string orders() {
    return R"(kind: source
name: orders
owner: sales
postgres: {connection: "${ENV:WAREHOUSE}", table: sales.orders}
event_time: placed
primary_key: [id]
columns:
  - {name: id, type: bigint, classification: internal, nullable: false}
  - {name: placed, type: timestamp, classification: internal}
  - {name: amount, type: decimal, classification: internal}
  - {name: note, type: text, classification: internal}
  - {name: paid, type: boolean, classification: internal}
  - {name: ratio, type: double, classification: internal}
  - {name: code, type: text, classification: internal}
)";
  }
};

TEST_F(PostgresSourceTest, ReadsATableAsItStands) {
  test::must(apply(orders()));
  const auto measure = test::must(quality_.refresh(ana_, {"orders"}));
  EXPECT_TRUE(measure.passed) << measure.fault;
  EXPECT_EQ(measure.row_count, 3);
  EXPECT_EQ(measure.newest, from_rfc3339("2013-01-02T09:00:00Z"));
  const auto session = test::must(olap_->session());
  const auto sources =
      test::must(db_->read(ana_, [&](sql::Tx& tx) { return sources_named(tx, "p1", {"orders"}); }));
  test::must(catalog_.bind(*session, {sources[0].source}));
  const auto rows = test::must(session->query(
      "SELECT id, placed::VARCHAR, amount::VARCHAR, note, paid, ratio::VARCHAR, code FROM orders "
      "ORDER BY id"));
  ASSERT_EQ(rows.rows.size(), 3u);
  EXPECT_EQ(std::get<std::string>(rows.rows[0][3]), "two\nlines, \"quoted\"");
  EXPECT_EQ(std::get<std::string>(rows.rows[1][1]), "2013-01-02 08:00:00");
  EXPECT_EQ(std::get<std::string>(rows.rows[1][2]), "12.50");
  EXPECT_EQ(std::get<std::string>(rows.rows[1][3]), "");
  EXPECT_EQ(rows.rows[2][3].index(), 0u);
  EXPECT_EQ(std::get<std::string>(rows.rows[1][5]), "nan");
}

TEST_F(PostgresSourceTest, KnowsTheSameRowsByTheSameDigest) {
  test::must(apply(orders()));
  const auto digest = [&] {
    clock_.advance(std::chrono::minutes(11));  // past what is kept of a copy
    return test::must(quality_.check(ana_, {"orders"})).snapshot_digest;
  };
  const std::string before = digest();
  change("UPDATE sales.orders SET note = note");  // other places on disk, so another order
  EXPECT_EQ(digest(), before);
  change("UPDATE sales.orders SET note = 'x' WHERE id = 3");
  EXPECT_NE(digest(), before);
  std::size_t copies = 0;
  for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator(folder_ / "copies"))
    ++copies;
  EXPECT_LE(copies, 2u);
}

TEST_F(PostgresSourceTest, TellsWhatDiffersFromTheDeclaration) {
  EXPECT_NE(faults(replaced(orders(), "table: sales.orders", "table: sales.gone"))
                .find("postgres.table names no table"),
            std::string::npos);
  EXPECT_NE(faults(replaced(orders(), "table: sales.orders", "table: \"a b; DROP\""))
                .find("postgres.table"),
            std::string::npos);
  EXPECT_NE(faults(replaced(orders(), "name: note, type: text", "name: note, type: bigint"))
                .find("note is text in sales.orders, not bigint"),
            std::string::npos);
  test::must(apply(orders()));
  change("ALTER TABLE sales.orders DROP COLUMN ratio; ALTER TABLE sales.orders ADD email text");
  clock_.advance(std::chrono::minutes(11));
  const auto measure = test::must(quality_.check(ana_, {"orders"}));
  ASSERT_EQ(measure.drift.size(), 2u);
  EXPECT_EQ(measure.drift[0], "columns[5].name ratio is not a column of sales.orders");
  EXPECT_NE(measure.drift[1].find("must declare email (text)"), std::string::npos);
}

TEST_F(PostgresSourceTest, SaysThatAServerIsNotThereWithoutItsPassword) {
  secrets_["${ENV:WAREHOUSE}"] = "host=127.0.0.1 port=9 user=u password=geheim dbname=d";
  const std::string fault = faults(orders());
  EXPECT_NE(fault.find("cannot connect to PostgreSQL"), std::string::npos) << fault;
  EXPECT_EQ(fault.find("geheim"), std::string::npos) << fault;
  secrets_["${ENV:WAREHOUSE}"] = "geheim, and no connection";
  const std::string none = faults(orders());
  EXPECT_NE(none.find("${ENV:WAREHOUSE} holds no connection"), std::string::npos) << none;
  EXPECT_EQ(none.find("geheim"), std::string::npos) << none;
}

}  // namespace
}  // namespace penstock::catalog
