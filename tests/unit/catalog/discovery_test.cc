#include "catalog/discovery.h"

#include "tests/support/postgres.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class DiscoveryTest : public CatalogTest {
 protected:
  Result<Discovery> find(const DiscoverInput& input) {
    return discover(*olap_, catalog_.snapshots(), ana_, input);
  }
};

TEST_F(DiscoveryTest, ProposesWhatCanBeApplied) {
  run("COPY (SELECT range AS trip_id, 'x' || range % 3 AS kind, TIMESTAMP '2013-01-01' + INTERVAL "
      "1 "
      "HOUR * range AS event_time, DATE '2013-01-01' AS day, range::DECIMAL(10,2) AS fare, "
      "CASE WHEN range > 5 THEN 1 END AS late, [range] AS list FROM range(100)) TO '" +
      folder_ / "trips.parquet" + "' (FORMAT parquet)");
  const auto found = test::must(find({.path = "trips.parquet"}));
  const Source& source = found.source;
  EXPECT_EQ(source.name, "trips");
  EXPECT_EQ(source.owner, "ana");
  EXPECT_EQ(found.row_count, 100);
  EXPECT_EQ(source.event_time, "event_time");
  EXPECT_EQ(source.primary_key, std::vector<std::string>{"trip_id"});
  EXPECT_EQ(found.candidate_keys.size(), 4u);  // trip_id, event_time, fare, list
  std::string types;
  for (const SourceColumn& column : source.columns)
    types += std::string(name_of(column.type)) + (column.nullable ? "? " : " ");
  EXPECT_EQ(types, "bigint text timestamp timestamp decimal bigint? list ");
  json::object declaration = encode(source).as_object();
  declaration["kind"] = "source";
  test::must(apply(yaml::print(declaration)));
}

TEST_F(DiscoveryTest, TellsTheFormatByTheName) {
  std::ofstream(folder_ / "a.csv") << "id,name\n1,x\n2,\n";
  std::ofstream(folder_ / "b.jsonl") << "{\"id\": 1}\n{\"id\": 2}\n";
  std::ofstream(folder_ / "c.dat") << "id\n1\n";
  const auto csv = test::must(find({.path = "a.csv"}));
  EXPECT_EQ(csv.source.format, Format::csv);
  EXPECT_TRUE(csv.source.columns[1].nullable);
  EXPECT_EQ(csv.source.primary_key, std::vector<std::string>{"id"});
  EXPECT_EQ(test::must(find({.path = "b.jsonl"})).source.format, Format::json);
  EXPECT_EQ(test::must(find({.path = "c.dat", .format = Format::csv})).row_count, 1);
  EXPECT_NE(test::faults_of(find({.path = "c.dat"}).error()).find("format cannot be told"),
            std::string::npos);
}

TEST_F(DiscoveryTest, RefusesWhatIsNotThere) {
  EXPECT_EQ(find({.path = "gone.parquet"}).error().code, Code::invalid_argument);
  EXPECT_EQ(find({.path = "../x.parquet"}).error().code, Code::invalid_argument);
  EXPECT_EQ(find({}).error().code, Code::invalid_argument);
  std::ofstream(folder_ / "broken.parquet") << "PAR1 no";
  EXPECT_NE(find({.path = "broken.parquet"}).error().message.find("no readable parquet file"),
            std::string::npos);
}

TEST_F(DiscoveryTest, TakesTypesKeysAndCommentsOfATable) {
  secrets_["${ENV:W}"] = test::postgres_connection() + " dbname=postgres";
  const auto db = test::postgres_database();
  const std::string schema = test::must(db->write(ana_, [](sql::Tx& tx) -> Result<std::string> {
    TRY(
        tx.run("CREATE TABLE people (id bigint PRIMARY KEY, email text NOT NULL UNIQUE, born date, "
               "joined timestamptz)",
               {}));
    TRY(tx.run("COMMENT ON TABLE people IS 'Everybody.'", {}));
    TRY(tx.run("COMMENT ON COLUMN people.email IS 'As they gave it.'", {}));
    const auto rows = TRY(tx.run("SELECT current_schema()::text", {}));
    return std::get<std::string>(rows.at(0).at(0));
  }));
  const auto found = test::must(find({.postgres = PostgresTable{"${ENV:W}", schema + ".people"}}));
  EXPECT_EQ(found.source.name, "people");
  EXPECT_EQ(found.source.description, "Everybody.");
  EXPECT_EQ(found.source.primary_key, std::vector<std::string>{"id"});
  EXPECT_EQ(found.candidate_keys.size(), 2u);
  EXPECT_EQ(found.source.columns[1].description, "As they gave it.");
  EXPECT_FALSE(found.source.columns[1].nullable);
  EXPECT_EQ(found.source.columns[2].type, ColumnType::timestamp);
}

}  // namespace
}  // namespace penstock::catalog
