#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

TEST_F(CatalogTest, TakesASourceThatIsAsItsFileIs) {
  test::must(apply(flights()));
  const auto list = test::must(catalog_.list_sources(ana_));
  ASSERT_EQ(list.sources.size(), 1u);
  EXPECT_EQ(list.sources[0].classification, Classification::confidential);
  EXPECT_EQ(list.sources[0].source.columns[2].unit, "minutes");
  const auto again = test::must(apply(flights()));
  EXPECT_EQ(again.changes[0].action, resources::Action::unchanged);
}

TEST_F(CatalogTest, RefusesASourceThatIsNotAsItsFileIs) {
  struct Case {
    std::string what, yaml, fault;
  };
  const std::string good = flights();
  const Case cases[] = {
      {"no such file", replaced(good, "flights.parquet", "gone.parquet"), "there is no file"},
      {"a way out of the folder", replaced(good, "flights.parquet", "../flights.parquet"),
       "path must not hold \"..\""},
      {"a way out in the middle", replaced(good, "flights.parquet", "/a/../b.parquet"),
       "path must not hold \"..\""},
      {"a pattern", replaced(good, "flights.parquet", "'*.parquet'"),
       "path must be one local file or directory"},
      {"another machine", replaced(good, "flights.parquet", "http://h/f.parquet"),
       "path must be one local file or directory"},
      {"a missing column", replaced(good, "name: distance", "name: length"),
       "columns[3].name length is not a column of flights.parquet"},
      {"an undeclared column",
       replaced(good, "  - {name: distance, type: bigint, classification: internal, unit: miles}\n",
                ""),
       "columns must declare distance (INTEGER)"},
      {"another type", replaced(good, "carrier, type: text", "carrier, type: bigint"),
       "columns[0].type carrier is VARCHAR in flights.parquet, not bigint"},
      {"a type that nobody knows", replaced(good, "type: text", "type: string"),
       "columns[0].type must be one of boolean, bigint, double, text, timestamp, decimal, list"},
      {"a class that nobody knows", replaced(good, "confidential", "secret"),
       "must be one of public, internal, confidential, restricted"},
      {"an event time that is no column", replaced(good, "event_time: left_at", "event_time: when"),
       "event_time must be one of the columns"},
      {"an event time that is no time", replaced(good, "event_time: left_at", "event_time: delay"),
       "event_time must be a column of type timestamp"},
      {"no place", replaced(good, "path: flights.parquet\n", ""), "path must be given where"},
      {"two places", good + "postgres: {connection: host=h, table: t}\n",
       "path must be given where"},
      {"a password that everybody sees",
       replaced(good, "path: flights.parquet",
                "postgres: {connection: \"host=h password=geheim\", table: t}"),
       "postgres.connection must not hold a password"},
      {"a password in a URL",
       replaced(good, "path: flights.parquet",
                "postgres: {connection: \"postgresql://u:geheim@h/d\", table: t}"),
       "postgres.connection must not hold a password"},
      {"a secret that is not there",
       replaced(good, "path: flights.parquet", "postgres: {connection: \"${ENV:NONE}\", table: t}"),
       "postgres.connection ${ENV:NONE} is not set"},
      {"a key that is no column", good + "primary_key: [id]\n", "primary_key[0] must be one of"},
      {"an age of nothing", good + "freshness: {max_age: 0s}\n", "freshness.max_age must be more"},
      {"a hurry", good + "refresh_every: 1s\n", "refresh_every must be at least 10s"},
      {"a check of nothing", flights("checks:\n  - {name: c}\n"), "must give exactly one of sql"},
      {"a check of two things",
       flights("checks:\n  - {name: c, not_null: [delay], row_count: {min: 1}}\n"),
       "must give exactly one of sql"},
      {"a check of no column", flights("checks:\n  - {name: c, not_null: [delay, gone]}\n"),
       "checks[0].not_null[1] gone is not a column"},
      {"a range without ends", flights("checks:\n  - {name: c, range: {column: delay}}\n"),
       "checks[0].range must give min, max or both"},
      {"a range of another type",
       flights("checks:\n  - {name: c, range: {column: left_at, min: 3}}\n"),
       "checks[0].range.min must be a time"},
      {"values of another type",
       flights("checks:\n  - {name: c, accepted_values: {column: carrier, values: [AA, 7]}}\n"),
       "checks[0].accepted_values.values[1] must be a text"},
      {"no regular expression",
       flights("checks:\n  - {name: c, pattern: {column: carrier, regex: \"[A-\"}}\n"),
       "checks[0].pattern.regex is no regular expression"},
      {"no owner", replaced(good, "owner: data-team\n", ""), "owner is missing"},
      {"a check that changes things", flights("checks:\n  - {name: c, sql: DROP TABLE flights}\n"),
       "checks[0].sql must be a SELECT"},
      {"a check that reads files",
       flights("checks:\n  - {name: c, sql: \"SELECT * FROM read_csv('/etc/passwd')\"}\n"),
       "must not call read_csv"},
      {"a column twice", flights("  - {name: left_at, type: timestamp, classification: public}\n"),
       "columns[4].name left_at stands there twice"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_NE(faults(c.yaml).find(c.fault), std::string::npos) << faults(c.yaml);
    EXPECT_EQ(faults(c.yaml).find("geheim"), std::string::npos) << faults(c.yaml);
  }
  EXPECT_EQ(test::count(*db_, "resources"), 0);
}

TEST_F(CatalogTest, RefusesAFileThatIsNotOfItsFormat) {
  std::ofstream(folder_ / "flights.parquet") << "PAR1 and then nothing of the kind";
  EXPECT_NE(faults(flights()).find("is no readable parquet file"), std::string::npos);
}

TEST_F(CatalogTest, RecordsWhatAVersionChanged) {
  test::must(apply(flights()));
  test::must(apply(replaced(flights(), "unit: minutes", "unit: seconds")));
  const auto view = test::must(catalog_.show_source(ana_, {"flights"}));
  EXPECT_EQ(view.version, 2);
  ASSERT_EQ(view.changes.size(), 1u);
  EXPECT_EQ(view.changes[0].what, "column delay: unit minutes -> seconds");
  EXPECT_FALSE(view.changes[0].compatible);
  EXPECT_EQ(view.changes[0].actor, "user:ana");
}

TEST(Differences, NamesEachChangeThatAReaderCanFeel) {
  Source before{.owner = "a",
                .path = "f",
                .event_time = "t",
                .columns = {{.name = "x", .type = ColumnType::bigint, .unit = "m"}, {.name = "y"}}};
  Source after = before;
  EXPECT_TRUE(differences(before, after).empty());
  after.columns = {{.name = "x",
                    .type = ColumnType::real,
                    .classification = Classification::restricted,
                    .unit = "ft"},
                   {.name = "z"}};
  after.path = "g";
  std::string text;
  for (const Difference& difference : differences(before, after))
    text += difference.what + (difference.compatible ? "\n" : " !\n");
  EXPECT_EQ(text,
            "column x: type bigint -> double !\n"
            "column x: unit m -> ft !\n"
            "column x: classification internal -> restricted !\n"
            "column y: removed !\n"
            "column z: added\n"
            "path f -> g\n");
}

TEST_F(CatalogTest, RunsEachCheckOverTheFile) {
  test::must(apply(flights(R"(checks:
  - {name: no rows, sql: SELECT * FROM flights WHERE distance < 0}
  - {name: two rows, sql: "SELECT carrier, delay FROM flights WHERE carrier = 'AA'", severity: warning}
  - {name: a count, sql: SELECT count(*) FROM flights WHERE delay IS NULL}
  - {name: one row of a number, sql: SELECT distance FROM flights WHERE distance = 200, severity: warning}
  - {name: not bound, sql: SELECT wrong FROM flights, severity: warning}
)")));
  const auto report = test::must(quality_.check(ana_, {"flights"}));
  EXPECT_EQ(report.urn(), "source:flights@1");
  EXPECT_EQ(report.row_count, 3);
  EXPECT_EQ(report.snapshot_digest.size(), 64u);
  EXPECT_FALSE(report.passed);
  ASSERT_EQ(report.checks.size(), 5u);
  EXPECT_TRUE(report.checks[0].passed);
  EXPECT_EQ(report.checks[1].violations, 2);
  EXPECT_EQ(report.checks[2].violations, 1);
  EXPECT_FALSE(report.checks[3].passed);
  EXPECT_FALSE(report.checks[4].passed);
  EXPECT_NE(report.checks[4].fault.find("wrong"), std::string::npos);
}

TEST_F(CatalogTest, KnowsAFileByItsBytes) {
  test::must(apply(flights()));
  const auto sources = test::must(
      db_->read(ana_, [&](sql::Tx& tx) { return sources_named(tx, "p1", {"flights"}); }));
  const std::string before = test::must(catalog_.snapshot_digest(sources[0].source));
  EXPECT_EQ(test::must(catalog_.snapshot_digest(sources[0].source)), before);
  run("COPY (SELECT 'AA' AS carrier) TO '" + folder_ / "flights.parquet" + "' (FORMAT parquet)");
  EXPECT_NE(test::must(catalog_.snapshot_digest(sources[0].source)), before);
  std::filesystem::remove(folder_ / "flights.parquet");
  EXPECT_EQ(catalog_.snapshot_digest(sources[0].source).error().code, Code::not_found);
}

TEST(CheckSelect, LetsThroughOnlyWhatReadsWhatItWasGiven) {
  const char* good[] = {"SELECT 1",
                        "with a AS (SELECT 1) SELECT * FROM a;",
                        "SELECT 'DROP TABLE x; read_csv(' FROM t -- DELETE FROM x",
                        "SELECT a.update, \"delete\" FROM t",
                        "SELECT $1, $2",
                        "SELECT count(*) FROM t"};
  const char* bad[] = {"",
                       "DELETE FROM t",
                       "SELECT 1; SELECT 2",
                       "COPY t TO 'x'",
                       "SELECT * FROM read_text('/etc/passwd')",
                       "SELECT * FROM READ_BLOB ('/etc/passwd')",
                       "SELECT * FROM \"read_csv\"('/etc/passwd')",
                       "SELECT * FROM glob('*')",
                       "SELECT getenv('HOME')",
                       "SELECT $$'$$, read_csv('x')",
                       "SELECT E'\\'', read_csv('x') --'",
                       "SELECT 1 /* /* */ ' */ */",
                       "WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a",
                       "WITH a AS (UPDATE t SET x = 1 RETURNING *) SELECT * FROM a",
                       "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a"};
  for (const char* sql : good) EXPECT_TRUE(check_select(sql, "sql")) << sql;
  for (const char* sql : bad) EXPECT_FALSE(check_select(sql, "sql")) << sql;
}

}  // namespace
}  // namespace penstock::catalog
