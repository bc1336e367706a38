// Every kind of feature, from a source's column to what a reader gets, and back.
#include <algorithm>

#include "catalog/snapshots.h"
#include "features/codec.h"
#include "features/values.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class KindsTest : public FeaturesTest {
 protected:
  // `columns`: what a row holds beside item and seen, for the items 1 and 2.
  void given_things(const std::string& columns) {
    run("COPY (SELECT i AS item, TIMESTAMP '2020-09-13 12:26:40' + to_seconds(i) AS seen, " +
        columns + " FROM range(1, 3) AS t(i)) TO '" + folder_ / "things.parquet" +
        "' (FORMAT parquet)");
  }
  // The source has the columns that the file has, in their types.
  std::string things() {
    std::string columns;
    const auto found =
        test::must(test::must(olap_->session())
                       ->describe("SELECT * FROM read_parquet(" +
                                  olap::quoted_text(folder_ / "things.parquet") + ")"));
    for (const olap::Column& column : found)
      columns += (columns.empty() ? "{name: " : ", {name: ") + column.name +
                 ", type: " + std::string(name_of(catalog::type_of(column))) +
                 ", classification: public}";
    return "kind: source\nname: things\nowner: shop\npath: things.parquet\ncolumns: [" + columns +
           "]\n---\n" + R"(kind: entity
name: item
owner: shop
join_keys: [{name: item, type: bigint}]
---
)";
  }
  static std::string view(const std::string& sql, const std::string& features) {
    return "kind: feature_view\nname: kinds\nowner: shop\nentity: item\nsources: [things]\n"
           "sql: " +
           sql + "\nevent_time: seen\ncompatibility: none\nfeatures: [" + features + "]\n---\n";
  }
  // The second item has no value in any of them.
  static std::string all_columns() {
    std::string out;
    for (const auto* column :
         {"0.5 AS share", "7 AS number", "true AS truth", "'grüße' AS word",
          "TIMESTAMPTZ '2024-05-01 14:00:00.25+02' AS instant",
          "-12345678901234567890123456789012345.670::DECIMAL(38, 3) AS price",
          "[0.1, NULL, 'NaN'::DOUBLE, '-Infinity'::DOUBLE, 1e300] AS reals",
          "[1, NULL, -9223372036854775808] AS wholes", "['a\"b', NULL, ''] AS words",
          "[true, NULL, false] AS truths", "[0.1, -2, 0]::FLOAT[] AS vector"}) {
      const std::string text(column);
      const std::size_t as = text.rfind(" AS ");
      if (!out.empty()) out += ", ";
      out += "CASE WHEN i = 1 THEN " + text.substr(0, as) + " END" + text.substr(as);
    }
    return out;
  }
  static std::string all_features() {
    return R"({name: share}, {name: number, type: bigint}, {name: truth, type: boolean},
  {name: word, type: text}, {name: instant, type: timestamp}, {name: price, type: decimal},
  {name: reals, type: list<double>}, {name: wholes, type: list<bigint>},
  {name: words, type: list<text>}, {name: truths, type: list<boolean>},
  {name: vector, type: embedding, dimension: 3})";
  }
  static std::vector<std::string> all_names() {
    std::vector<std::string> out;
    for (const auto* name : {"share", "number", "truth", "word", "instant", "price", "reals",
                             "wholes", "words", "truths", "vector"})
      out.push_back(std::string("kinds:") + name);
    return out;
  }
  static constexpr const char* all_values =
      R"([5E-1,7,true,"grüße","2024-05-01T12:00:00.250000Z",)"
      R"("-12345678901234567890123456789012345.67",)"
      R"([1E-1,null,"NaN","-Infinity",1E300],[1,null,-9223372036854775808],["a\"b",null,""],)"
      R"([true,null,false],[1E-1,-2E0,0E0]])";

  OnlineRow online(std::int64_t item, const std::vector<std::string>& features = all_names()) {
    return test::must(features_.online(ana_, {.features = features,
                                              .entities = {{{"item", std::to_string(item)}}},
                                              .event_time = at(1'000'000'000)}))
        .rows.at(0);
  }
  static std::string text_of(const OnlineRow& row) {
    return json::serialize(json::array(row.values.begin(), row.values.end()));
  }
  Result<PushOutput> push(const std::string& row) {
    return features_.push(ana_, {.view = "kinds", .rows = {json::parse(row).as_object()}});
  }
  Result<HistoricalOutput> historical(const std::vector<std::string>& features) {
    return features_.historical(
        ana_, {.entity_sql = "SELECT item, seen AS event_time FROM things ORDER BY item",
               .features = features});
  }
};

TEST_F(KindsTest, ComeFromTheSourceToTheReaderAsTheyAre) {
  given_things(all_columns());
  test::must(apply(things() + view("SELECT * FROM things", all_features())));
  EXPECT_EQ(test::must(features_.materialize(ana_, {.until = at(100)})).rows, 2);
  EXPECT_EQ(text_of(online(1)), all_values);
  for (const Status status : online(1).statuses) EXPECT_EQ(status, Status::PRESENT);
  for (const Status status : online(2).statuses) EXPECT_EQ(status, Status::NULL_VALUE);
  for (const Status status : online(3).statuses) EXPECT_EQ(status, Status::NOT_FOUND);
  EXPECT_EQ(text_of(online(2)), "[null,null,null,null,null,null,null,null,null,null,null]");
  const auto verified = test::must(features_.verify(ana_, {.name = "kinds"}));
  EXPECT_EQ(verified.differing, 0);
  EXPECT_EQ(verified.values, 22);
}

TEST_F(KindsTest, HaveOneZero) {
  given_things("CASE i WHEN 1 THEN '-0.0'::DOUBLE ELSE 0.0::DOUBLE END AS share");
  test::must(apply(things() + view("SELECT * FROM things", "{name: share}")));
  EXPECT_EQ(test::must(features_.materialize(ana_, {.until = at(100)})).rows, 2);
  const auto zero = [&](std::int64_t item) { return text_of(online(item, {"kinds:share"})); };
  EXPECT_EQ(zero(1), "[0E0]");
  EXPECT_EQ(zero(2), "[0E0]");
  const auto joined = rows("SELECT share::VARCHAR FROM read_parquet(" +
                           olap::quoted_text(test::must(historical({"kinds:share"})).uri) + ")");
  EXPECT_EQ(joined, (std::vector<std::vector<Scalar>>{{Scalar("0.0")}, {Scalar("0.0")}}));
  test::must(push(R"({"item": 1, "seen": "2021-01-01T00:00:00Z", "share": -0.0})"));
  EXPECT_EQ(zero(1), "[0E0]");
}

TEST_F(KindsTest, ComeOutOfAJoinInTheTypesOfColumns) {
  given_things(all_columns());
  test::must(apply(things() + view("SELECT * FROM things", all_features())));
  const auto out = test::must(historical(all_names()));
  std::string types;
  for (const auto& column : out.columns) types += column.name + " " + column.type + "; ";
  EXPECT_EQ(types,
            "item BIGINT; event_time TIMESTAMP; share DOUBLE; number BIGINT; truth BOOLEAN; word "
            "VARCHAR; instant TIMESTAMP; price DECIMAL(38,3); reals DOUBLE[]; wholes BIGINT[]; "
            "words VARCHAR[]; truths BOOLEAN[]; vector FLOAT[]; ");
  const auto found =
      rows("SELECT instant, price, reals, wholes, words, truths, vector FROM read_parquet(" +
           olap::quoted_text(out.uri) + ")");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0][0], Scalar(std::int64_t{1'714'564'800'250'000}));
  EXPECT_EQ(found[0][1], Scalar("-12345678901234567890123456789012345.670"));
  EXPECT_EQ(found[0][2], Scalar("[0.1, NULL, nan, -inf, 1e+300]"));
  EXPECT_EQ(found[0][6], Scalar("[0.1, -2.0, 0.0]"));
  for (const Scalar& value : found[1]) EXPECT_EQ(value, Scalar{});
}

TEST_F(KindsTest, GrowOldInAJoinAsNumbersDo) {
  given_things(all_columns());
  std::string declared = view("SELECT * FROM things", all_features());
  declared.insert(declared.find("features:"), "ttl: 10s\n");
  test::must(apply(things() + declared));
  const auto out = test::must(features_.historical(
      ana_, {.entity_sql = "SELECT item, seen + to_seconds(n) AS event_time FROM things, (VALUES "
                           "(10), (11)) AS t(n) WHERE item = 1 ORDER BY event_time",
             .features = all_names()}));
  const auto found = rows("SELECT vector, price, instant, words FROM read_parquet(" +
                          olap::quoted_text(out.uri) + ")");
  ASSERT_EQ(found.size(), 2u);
  for (const Scalar& value : found[0]) EXPECT_NE(value, Scalar{});
  for (const Scalar& value : found[1]) EXPECT_EQ(value, Scalar{});
}

TEST_F(KindsTest, AreReadFromJsonAsTheyAreSaid) {
  given_things(all_columns());
  test::must(apply(things() + view("SELECT * FROM things", all_features())));
  json::object row{{"item", 9}, {"seen", "2021-01-01T02:00:00+02:00"}};
  const auto values = json::parse(all_values).as_array();
  const auto names = all_names();
  for (std::size_t i = 0; i < names.size(); ++i) row[names[i].substr(6)] = values[i];
  EXPECT_EQ(test::must(features_.push(ana_, {.view = "kinds", .rows = {row}})).written, 1);
  const OnlineRow read = online(9);
  EXPECT_EQ(text_of(read), all_values);
  EXPECT_EQ(to_rfc3339(*read.event_times.at(0)), "2021-01-01T00:00:00Z");

  test::must(push(R"({"item": 10, "seen": "2021-01-01", "instant": "2021-06-01T00:00:00-05:30",
                      "price": 12, "reals": [], "vector": [1, 2, 3]})"));
  EXPECT_EQ(text_of(online(10)),
            R"([null,null,null,null,"2021-06-01T05:30:00Z","12",[],null,null,null,[1E0,2E0,3E0]])");
}

TEST_F(KindsTest, RefuseJsonThatIsNoneOfThem) {
  given_things(all_columns());
  test::must(apply(things() + view("SELECT * FROM things", all_features())));
  struct Case {
    std::string field, value, fault;
  };
  const Case cases[] = {
      {"instant", "\"2024-05-01T12:00:00\"", "must be of type timestamp: a day, or an instant"},
      {"instant", "1714564800", "must be of type timestamp"},
      {"instant", "\"2024-02-30T12:00:00Z\"", "must be of type timestamp"},
      {"price", "0.1", "must be of type decimal: a text such as \"12.5\""},
      {"price", "\"1e3\"", "must be of type decimal, with at most 38 digits"},
      {"price", "\"\"", "must be of type decimal"},
      {"price", "\"" + std::string(39, '9') + "\"",
       "must be of type decimal, with at most 38 digits"},
      {"reals", "1.5", "must be of type list<double>"},
      {"reals", "[1, \"x\"]", "must be of type list<double>, and item 1 is not"},
      {"wholes", "[1.5]", "must be of type list<bigint>, and item 0 is not"},
      {"wholes", "[9223372036854775808]", "must be of type list<bigint>, and item 0 is not"},
      {"words", "[[\"a\"]]", "must be of type list<text>, and item 0 is not"},
      {"truths", "[1]", "must be of type list<boolean>, and item 0 is not"},
      {"vector", "[1, 2]",
       "must have 3 elements, as vector is declared, not 2 (item item=9 of view kinds)"},
      {"vector", "[1, null, 3]", "must be of finite numbers, and element 1 is not one"},
      {"vector", "[1, 2, 1e39]", "must be of finite numbers, and element 2 is not one"},
      {"vector", "\"abc\"", "must be of type embedding"},
      {"word", "[\"a\"]", "must be of type text"},
      {"share", "{}", "must be of type double"},
  };
  for (const Case& c : cases) {
    const auto out =
        push(R"({"item": 9, "seen": "2021-01-01", ")" + c.field + "\": " + c.value + "}");
    ASSERT_FALSE(out) << c.field << " " << c.value;
    EXPECT_NE(test::faults_of(out.error()).find("rows[0]." + c.field + " " + c.fault),
              std::string::npos)
        << c.value << ": " << test::faults_of(out.error());
  }
  EXPECT_EQ(online(9).statuses[0], Status::NOT_FOUND);
}

TEST_F(KindsTest, RefuseColumnsThatCannotBeThem) {
  given_things(
      "1::DECIMAL(4, 2) AS price, [1] AS wholes, [[1]] AS nested, ['a'] AS words, "
      "[1.5::DOUBLE] AS reals");
  const std::string sql =
      "SELECT *, 1::HUGEINT AS huge, CAST(wholes AS FLOAT[1]) AS one FROM things";
  struct Case {
    std::string feature, fault;
  };
  const Case cases[] = {
      {"{name: huge, type: decimal}", "huge is HUGEINT, not decimal: cast it to DECIMAL(38,"},
      {"{name: item, type: timestamp}", "item is a join key"},
      {"{name: price, type: timestamp}", "price is DECIMAL(4,2), not timestamp"},
      {"{name: wholes, type: list<text>}", "wholes is INTEGER[], not list<text>"},
      {"{name: reals, type: list<bigint>}", "reals is DOUBLE[], not list<bigint>"},
      {"{name: nested, type: list<bigint>}", "nested is INTEGER[][], not list<bigint>"},
      {"{name: words, type: list<boolean>}", "words is VARCHAR[], not list<boolean>"},
      {"{name: price, type: list<double>}", "price is DECIMAL(4,2), not list<double>"},
      {"{name: wholes, type: embedding, dimension: 1}",
       "wholes is INTEGER[], not embedding: cast it to FLOAT[]"},
      {"{name: one, type: embedding, dimension: 2}",
       "one is FLOAT[1], not an embedding of dimension 2"},
      {"{name: one, type: embedding}", "features[0].dimension must be given for an embedding"},
      {"{name: price, type: decimal, dimension: 2}",
       "features[0].dimension is only for features of type embedding"},
      {"{name: one, type: embedding, dimension: 4097}", "dimension must be at most 4096"},
      {"{name: one, type: list}", "features[0].type must be one of"},
  };
  for (const Case& c : cases) {
    const std::string found = faults(things() + view(sql, c.feature));
    EXPECT_NE(found.find(c.fault), std::string::npos) << c.feature << ": " << found;
  }
  for (const char* good :
       {"{name: wholes, type: list<double>}", "{name: price, type: decimal}",
        "{name: one, type: embedding, dimension: 1}", "{name: seen, type: timestamp}"})
    EXPECT_EQ(faults(things() + view(sql, good)), "") << good;
}

TEST_F(KindsTest, NameWhoseVectorIsNone) {
  struct Case {
    std::string column, fault;
  };
  const Case cases[] = {
      {"CASE WHEN i = 2 THEN [1.0] ELSE [1.0, 2.0] END::DOUBLE[] AS vector",
       "vector of item item=2 in view kinds has 1 elements, not 2"},
      {"CASE WHEN i = 2 THEN [1.0, NULL] ELSE [1.0, 2.0] END::FLOAT[] AS vector",
       "vector of item item=2 in view kinds has an element that is null or no finite number"},
      {"CASE WHEN i = 1 THEN [1.0, 'NaN'::DOUBLE] END AS vector",
       "vector of item item=1 in view kinds has an element that is null or no finite number"},
      {"CASE WHEN i = 1 THEN [1.0, 'Infinity'::DOUBLE] END AS vector", "no finite number"},
      {"CASE WHEN i = 1 THEN [1.0, 1e300] END AS vector", "kinds"},
  };
  for (const Case& c : cases) {
    given_things(c.column);
    test::must(apply(
        things() + view("SELECT * FROM things", "{name: vector, type: embedding, dimension: 2}")));
    const auto moved = features_.materialize(ana_, {.until = at(100)});
    ASSERT_FALSE(moved) << c.column;
    EXPECT_EQ(moved.error().code, Code::failed_precondition);
    EXPECT_NE(moved.error().message.find(c.fault), std::string::npos) << moved.error().message;
    EXPECT_NE(moved.error().message.find("kinds@1"), std::string::npos) << moved.error().message;
  }
  given_things("CASE WHEN i = 2 THEN 'infinity'::TIMESTAMP END AS instant");
  test::must(apply(things() + view("SELECT * FROM things", "{name: instant, type: timestamp}")));
  EXPECT_NE(features_.materialize(ana_, {.until = at(100)})
                .error()
                .message.find("instant of item item=2 in view kinds lies outside the years 1 to"),
            std::string::npos);
}

TEST_F(KindsTest, KeepInstantsWhateverTheZone) {
  given_things(
      "TIMESTAMPTZ '2024-03-31 02:30:00+05:45' AS zoned, DATE '2024-02-29' AS day, "
      "'2024-01-01 00:00:00.000000999'::TIMESTAMP_NS AS nanos, "
      "TIMESTAMPTZ '2020-09-14 00:00:00+14' AS noticed");
  test::must(
      apply(things() + view("SELECT item, noticed AS seen, zoned, day, nanos FROM things",
                            "{name: zoned, type: timestamp}, {name: day, type: timestamp}, {name: "
                            "nanos, type: timestamp}")));
  test::must(features_.materialize(ana_, {.until = at(100)}));
  const OnlineRow row = online(1, {"kinds:zoned", "kinds:day", "kinds:nanos"});
  EXPECT_EQ(text_of(row),
            R"(["2024-03-30T20:45:00Z","2024-02-29T00:00:00Z","2024-01-01T00:00:00Z"])");
  EXPECT_EQ(to_rfc3339(*row.event_times.at(0)), "2020-09-13T10:00:00Z");
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "kinds"})).differing, 0);
}

TEST_F(KindsTest, AreReadByModelsWhereTheyAreNumbers) {
  given_things("'0.1'::DECIMAL(38, 20) AS price, TIMESTAMP '2024-01-01' AS instant");
  test::must(apply(things() +
                   view("SELECT * FROM things",
                        "{name: price, type: decimal}, {name: instant, type: timestamp}") +
                   R"(kind: feature_schema
name: prices
owner: shop
features: [{view: kinds, feature: price}]
---
kind: feature_schema
name: times
owner: shop
features: [{view: kinds, feature: instant}]
)"));
  const auto session = test::must(olap_->session());
  const std::string asked = "SELECT 1 AS item, TIMESTAMP '2030-01-01' AS event_time";
  const auto statement =
      test::must(features_.historical_statement(ana_, *session, "prices", asked));
  const auto offline = test::must(session->query("SELECT price FROM (" + statement + ")"));
  EXPECT_EQ(offline.columns.at(0).declared, "DOUBLE");
  EXPECT_EQ(offline.rows.at(0).at(0), Scalar(0.1));
  test::must(features_.materialize(ana_, {.until = at(100)}));
  const auto schema = test::must(features_.open_schema(ana_, "prices"));
  const auto read = test::must(features_.read(*schema, {{"item", "1"}}, at(1000)));
  EXPECT_EQ(as_number(schema->types[0], read.values[0]), 0.1);
  EXPECT_TRUE(check_numbers(*schema));

  const auto refused = features_.historical_statement(ana_, *session, "times", asked);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_NE(refused.error().message.find("feature instant of times@1 is of type timestamp, which "
                                         "no model's input takes"),
            std::string::npos)
      << refused.error().message;
  EXPECT_EQ(as_number(FeatureType::timestamp, Scalar(std::int64_t{5})), std::nullopt);
}

}  // namespace
}  // namespace penstock::features
