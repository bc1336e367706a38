// Transforms of a feature schema: declared, read online, joined offline, traced.
#include <algorithm>
#include <random>

#include "features/transform/plan.h"
#include "features/values.h"
#include "tests/unit/features/features_fixture.h"
#include "tests/unit/features/transform_random.h"

namespace penstock::features {
namespace {

using transform::Random;
using transform::Values;

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t place = text.find(what);
  if (place == std::string::npos) throw std::runtime_error("the test's text lacks " + what);
  return text.replace(place, what.size(), with);
}

// As a client writes it; what names the number exactly.
std::string request_text(const Scalar& value, transform::Type type = transform::Type::real) {
  if (type == transform::Type::timestamp)
    return to_rfc3339(Timestamp(Micros(std::get<std::int64_t>(value))));
  if (const auto* real = std::get_if<double>(&value)) {
    char text[64];
    std::snprintf(text, sizeof text, "%.17g", *real);
    return text;
  }
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
  if (const auto* truth = std::get_if<bool>(&value)) return *truth ? "true" : "false";
  return std::get<std::string>(value);
}

// Kept and requested times are of the years 1 to 9999.
std::int64_t sayable(std::int64_t micros) {
  return std::clamp<std::int64_t>(micros, -62'135'596'800'000'000, 253'402'300'799'999'999);
}

class TransformSchemaTest : public FeaturesTest {
 protected:
  TransformSchemaTest() { given_accounts({}); }

  // A parquet file of one row for each of `rows`, with an account of its number.
  void write(const std::string& file, const std::string& time, const std::vector<Values>& columns,
             std::size_t rows, const std::vector<std::int64_t>& times) {
    const auto session = test::must(olap_->session());
    std::string declared = "account BIGINT, " + time + " TIMESTAMP",
                places = "$1, make_timestamp($2)";
    for (std::size_t i = 0; i < columns.size(); ++i) {
      declared += ", " + columns[i].name + " " + transform::engine_type(columns[i].type);
      places += ", $" + std::to_string(i + 3);
    }
    test::must(session->run("CREATE OR REPLACE TEMP TABLE made (" + declared + ")"));
    for (std::size_t row = 0; row < rows; ++row) {
      std::vector<Scalar> values{static_cast<std::int64_t>(row), times.at(row)};
      for (const Values& column : columns) values.push_back(column.values.at(row));
      test::must(session->query("INSERT INTO made VALUES (" + places + ")", values));
    }
    // A dictionary holds but one zero.
    test::must(session->run("COPY (SELECT * FROM made ORDER BY account) TO '" + folder_ / file +
                            "' (FORMAT parquet, DICTIONARY_SIZE_LIMIT 0)"));
  }

  void given_accounts(const std::vector<std::array<Scalar, 5>>& rows) {
    std::vector<Values> columns = {{"mean", transform::Type::real, {}},
                                   {"count", transform::Type::bigint, {}},
                                   {"vip", transform::Type::boolean, {}},
                                   {"segment", transform::Type::text, {}},
                                   {"last", transform::Type::timestamp, {}}};
    for (const auto& row : rows)
      for (std::size_t i = 0; i < 5; ++i) columns[i].values.push_back(row[i]);
    write("accounts.parquet", "seen", columns, rows.size(),
          std::vector<std::int64_t>(rows.size(), at(0).time_since_epoch().count()));
  }

  static std::string view() {
    return R"yaml(kind: source
name: accounts
owner: bank
path: accounts.parquet
columns:
  - {name: account, type: bigint, classification: internal}
  - {name: seen, type: timestamp, classification: internal}
  - {name: mean, type: double, classification: confidential}
  - {name: count, type: bigint, classification: internal}
  - {name: vip, type: boolean, classification: internal}
  - {name: segment, type: text, classification: internal}
  - {name: last, type: timestamp, classification: internal}
---
kind: entity
name: account
owner: bank
join_keys: [{name: account, type: bigint}]
---
kind: feature_view
name: account_view
owner: bank
entity: account
sources: [accounts]
sql: SELECT * FROM accounts
event_time: seen
ttl: 1h
features: [{name: mean}, {name: count, type: bigint}, {name: vip, type: boolean}, {name: segment, type: text}, {name: last, type: timestamp}]
---
)yaml";
  }
  static std::string schema() {
    return R"yaml(kind: feature_schema
name: payment
owner: bank
inputs:
  - {name: amount, type: double}
  - {name: country, type: text, nullable: true}
features:
  - {name: first, expression: "amount / nullif(mean_30d, 0)"}
  - {view: account_view, feature: mean, name: mean_30d}
  - {name: ratio, type: double, expression: "coalesce(first, -1)"}
  - {view: account_view, feature: count}
  - {view: account_view, feature: segment}
  - {name: at_home, type: boolean, expression: "lower(country) = segment"}
  - {name: age, expression: "CAST(round(event_time - TIMESTAMP '2020-09-13 12:26:40') AS BIGINT)"}
)yaml";
  }

  Result<FeatureRow> read(const std::string& name, std::map<std::string, std::string> request,
                          std::int64_t seconds) {
    const auto handle = TRY(features_.open_schema(ana_, name));
    return features_.read(*handle, request, at(seconds));
  }
  static std::string text_of(const FeatureRow& row) {
    std::string text;
    for (std::size_t i = 0; i < row.values.size(); ++i)
      text += json::serialize(to_json(row.values[i])) + ":" +
              std::string(name_of(row.statuses[i])) + " ";
    return text;
  }
};

TEST_F(TransformSchemaTest, GivesTransformedValuesOnlineWithTheirStatus) {
  given_accounts({{Scalar(50.0), std::int64_t{3}, true, std::string("de"), Scalar()},
                  {Scalar(0.0), Scalar(), Scalar(), Scalar(), Scalar()}});
  test::must(apply(view() + schema()));
  materialize(5);
  EXPECT_EQ(
      text_of(
          test::must(read("payment", {{"account", "0"}, {"amount", "25"}, {"country", "DE"}}, 7))),
      "5E-1:PRESENT 5E1:PRESENT 5E-1:PRESENT 3:PRESENT \"de\":PRESENT true:PRESENT 7:PRESENT ");
  EXPECT_EQ(text_of(test::must(read("payment", {{"account", "1"}, {"amount", "25"}}, 7))),
            "null:NULL_VALUE 0E0:PRESENT -1E0:PRESENT null:NULL_VALUE null:NULL_VALUE "
            "null:NULL_VALUE 7:PRESENT ");
  // No row, and one that is too old: null to an expression, which may say what that means.
  EXPECT_EQ(text_of(test::must(read("payment", {{"account", "9"}, {"amount", "1e3"}}, 0))),
            "null:NULL_VALUE null:NOT_FOUND -1E0:PRESENT null:NOT_FOUND null:NOT_FOUND "
            "null:NULL_VALUE 0:PRESENT ");
  EXPECT_EQ(
      text_of(test::must(read("payment", {{"account", "0"}, {"amount", "1"}}, 3601))).substr(0, 61),
      "null:NULL_VALUE null:OUTSIDE_MAX_AGE -1E0:PRESENT null:OUTSID");

  const auto out =
      test::must(features_.online(ana_, {.feature_schema = "payment",
                                         .entities = {{{"account", "0"}, {"amount", "100"}}},
                                         .event_time = at(1)}));
  EXPECT_EQ(out.names, (std::vector<std::string>{"first", "mean_30d", "ratio", "count", "segment",
                                                 "at_home", "age"}));
  EXPECT_EQ(out.rows[0].values[2], json::value(2.0));
  EXPECT_EQ(out.rows[0].event_times[2], at(0));         // as old as the mean
  EXPECT_EQ(out.rows[0].event_times[6], std::nullopt);  // made from the request alone
}

TEST_F(TransformSchemaTest, NamesTheInputThatIsMissingOrWrong) {
  test::must(apply(view() + schema()));
  const auto faults_of = [&](std::map<std::string, std::string> request) {
    const auto out = read("payment", std::move(request), 0);
    if (out) return std::string();
    EXPECT_EQ(out.error().code, Code::invalid_argument);
    return test::faults_of(out.error());
  };
  EXPECT_NE(faults_of({{"account", "1"}}).find("entities.amount is missing"), std::string::npos);
  for (const char* text : {"", "a lot", "1,5", " 1", "0x10"})
    EXPECT_NE(faults_of({{"account", "1"}, {"amount", text}})
                  .find("entities.amount must be of type double"),
              std::string::npos)
        << text;
  EXPECT_EQ(faults_of({{"account", "1"}, {"amount", "-1.5e3"}}), "");
  const auto out = features_.online(
      ana_, {.feature_schema = "payment", .entities = {{{"account", "0"}}}, .event_time = at(1)});
  EXPECT_NE(test::faults_of(out.error()).find("entities[0].amount is missing"), std::string::npos);
  HistoricalInput rows{.entity_sql = "SELECT account, seen AS event_time FROM accounts",
                       .feature_schema = "payment"};
  EXPECT_NE(test::faults_of(features_.historical(ana_, rows).error())
                .find("entity_sql must give amount, an input of payment"),
            std::string::npos);
  rows.entity_sql =
      "SELECT account, seen AS event_time, 'x' AS amount, 'de' AS country FROM accounts";
  EXPECT_NE(test::faults_of(features_.historical(ana_, rows).error())
                .find("entity_sql gives amount as VARCHAR; the input is double"),
            std::string::npos);
}

TEST_F(TransformSchemaTest, RefusesSchemasThatCannotBeComputed) {
  test::must(apply(view()));
  struct Case {
    std::string what, from, to, fault;
  };
  const Case cases[] = {
      {"a function that is not deterministic", "coalesce(first, -1)", "random()",
       "features[2].expression calls random, which is no function of an expression; there are abs"},
      {"an unknown name", "coalesce(first, -1)", "coalesce(last, -1)",
       "features[2].expression reads last, which is no input and no feature before it"},
      {"a transform that comes later", "amount / nullif(mean_30d, 0)", "ratio + 1",
       "features[0].expression reads ratio"},
      {"itself", "coalesce(first, -1)", "ratio + 1", "features[2].expression reads ratio"},
      {"another type", "type: double, expression: \"coalesce(first, -1)\"",
       "type: boolean, expression: \"coalesce(first, -1)\"",
       "features[2].expression gives double where boolean is needed"},
      {"a timestamp", "coalesce(first, -1)", "event_time",
       "gives timestamp where double is needed"},
      {"a list as an input", "{name: amount, type: double}",
       "{name: amount, type: double}\n  - {name: l, type: list<double>}",
       "inputs[1].type must be double, bigint, boolean, text or timestamp, not list<double>"},
      {"a type that no expression gives", "type: double, expression", "type: embedding, expression",
       "features[2].expression cannot give embedding"},
      {"a null without a type", "lower(country) = segment\"}",
       "1=1\"}\n  - {name: at, expression: \"NULL\"}", "is always null; say its type"},
      {"SQL that is none", "coalesce(first, -1)", "coalesce(first,", "is no SQL expression"},
      {"no name", "{name: first, expression", "{expression", "features[0].name is missing"},
      {"a name twice", "{name: first, expression", "{name: ratio, expression",
       "ratio stands there twice"},
      {"a reserved name", "{name: first, expression", "{name: event_time, expression",
       "features[0].name must not be event_time"},
      {"a view too", "{name: first, expression", "{view: account_view, name: first, expression",
       "features[0] must have either view and feature, or an expression"},
      {"nothing", "{view: account_view, feature: count}", "{name: count}",
       "features[3] must have either view and feature, or an expression"},
      {"an input that is a feature", "{name: amount, type: double}",
       "{name: amount, type: double}\n  - {name: count, type: bigint}",
       "inputs[1].name count is a feature too"},
      {"an input twice", "{name: amount, type: double}",
       "{name: amount, type: double}\n  - {name: amount, type: bigint}", "stands there twice"},
      {"an input that every row has", "{name: amount, type: double}",
       "{name: amount, type: double}\n  - {name: event_time, type: bigint}",
       "inputs[1].name must not be event_time"},
      {"a join key of another type", "{name: amount, type: double}",
       "{name: amount, type: double}\n  - {name: account, type: text}",
       "account is a join key too, of type bigint"},
      {"an unknown type", "{name: amount, type: double}", "{name: amount, type: money}",
       "inputs[0].type must be one of"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string found = faults(replaced(schema(), c.from, c.to));
    EXPECT_NE(found.find(c.fault), std::string::npos) << found;
  }
  EXPECT_EQ(test::count(*db_, "resources WHERE kind = 'feature_schema'"), 0);
  test::must(apply(schema()));
  for (const auto& change : test::must(apply(schema())).changes)
    EXPECT_EQ(change.action, resources::Action::unchanged);
}

TEST_F(TransformSchemaTest, TracesATransformToWhatItIsMadeFrom) {
  test::must(apply(view() + schema()));
  const auto made_from = [&](const std::string& feature) {
    std::string found;
    const auto rows = test::must(db_->read(ana_, [&](sql::Tx& tx) {
      return tx.run("SELECT to_urn FROM lineage_edges WHERE from_urn = $1 ORDER BY to_urn",
                    {"feature_schema:payment@1#" + feature});
    }));
    for (const auto& row : rows) found += std::get<std::string>(row.at(0)) + " ";
    return found;
  };
  EXPECT_EQ(made_from("ratio"),
            "feature_schema:payment@1#amount feature_view:account_view@1#mean ");
  EXPECT_EQ(made_from("at_home"),
            "feature_schema:payment@1#country feature_view:account_view@1#segment ");
  EXPECT_EQ(made_from("age"), "");
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "feature_schema:payment@1#ratio"}));
  std::string urns;
  for (const auto& node : trace.nodes) urns += node.urn + "\n";
  EXPECT_NE(urns.find("source:accounts@1#mean"), std::string::npos) << urns;
}

// Of many rows, so that several threads and chunks take part.
TEST_F(TransformSchemaTest, KeepsAllEntityRowsInTheirOrder) {
  given_accounts({{Scalar(50.0), std::int64_t{3}, true, std::string("de"), Scalar()},
                  {Scalar(4.0), std::int64_t{1}, false, std::string("fr"), Scalar()}});
  test::must(apply(view() + schema()));
  run("COPY (SELECT (n * 7919) % 3 AS account, TIMESTAMP '2020-09-13 12:26:45' AS event_time, "
      "CAST(n % 1000 AS INTEGER) AS amount, CASE WHEN n % 5 > 0 THEN 'DE' END AS country, n "
      "FROM range(200000) AS r(n)) TO '" +
      folder_ / "many.parquet" + "' (FORMAT parquet)");
  const auto out = test::must(features_.historical(
      ana_, {.entity_path = folder_ / "many.parquet", .feature_schema = "payment"}));
  EXPECT_EQ(out.row_count, 200'000);
  const std::string file = "read_parquet(" + olap::quoted_text(out.uri) + ")";
  const auto columns = rows("SELECT string_agg(name, ' ') FROM (DESCRIBE SELECT * FROM " + file +
                            ") AS d(name, a, b, c, e, f)");
  EXPECT_EQ(std::get<std::string>(columns[0][0]),
            "account event_time amount country n first mean_30d ratio count segment at_home age");
  const auto wrong =
      rows("SELECT count(*) FROM (SELECT *, row_number() OVER () - 1 AS place FROM " + file +
           ") WHERE n <> place OR ratio IS DISTINCT FROM (CASE account WHEN 0 THEN amount / "
           "50.0::DOUBLE "
           "WHEN 1 THEN amount / 4.0::DOUBLE ELSE -1 END) OR at_home IS DISTINCT FROM (CASE WHEN "
           "country "
           "IS NULL OR account = 2 THEN NULL ELSE account = 0 END) OR age <> 5");
  EXPECT_EQ(wrong[0][0], Scalar(std::int64_t{0}));
  const auto again = test::must(features_.historical(
      ana_, {.entity_path = folder_ / "many.parquet", .feature_schema = "payment"}));
  EXPECT_EQ(again.digest, out.digest);
}

TEST_F(TransformSchemaTest, ComputesFromTheRequestAlone) {
  test::must(apply(view() + R"yaml(kind: feature_schema
name: alone
owner: bank
inputs: [{name: lat}, {name: lon}]
features:
  - {name: distance, expression: "haversine_km(lat, lon, 52.52, 13.405)"}
  - {name: night, expression: "hour(event_time) < 6"}
)yaml"));
  const FeatureRow row = test::must(read("alone", {{"lat", "52.52"}, {"lon", "13.405"}}, 0));
  EXPECT_EQ(row.values[0], Scalar(0.0));
  EXPECT_EQ(row.values[1], Scalar(false));
  const auto session = test::must(olap_->session());
  const auto statement = test::must(features_.historical_statement(
      ana_, *session, "alone",
      "SELECT 52.52 AS lat, 13.405 AS lon, TIMESTAMP '2020-01-01 03:00:00' AS event_time"));
  const auto table = test::must(session->query(statement));
  ASSERT_EQ(table.columns.size(), 6u);
  EXPECT_EQ(table.rows[0][3], Scalar(0.0));
  EXPECT_EQ(table.rows[0][4], Scalar(1.0));  // numbers, for models
  EXPECT_EQ(table.rows[0][5], Scalar());
}

// G4 for transforms: each seed has a store, a schema of random expressions and random rows.
class TransformEqualityTest : public TransformSchemaTest,
                              public testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, TransformEqualityTest, testing::Range(0u, 8u));

// Many requests at once, all of the instant of the first, against one by one.
void compare_many(const SchemaHandle& handle, const std::vector<Values>& inputs, std::int64_t time,
                  const std::vector<FeatureRow>& reads) {
  constexpr std::size_t rows = 300;
  const Timestamp at{Micros(time)};
  std::vector<Scalar> values(handle.slots.size() * rows);
  std::vector<Status> statuses(values.size());
  std::vector<std::vector<std::string>> texts(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i)
    for (const Scalar& value : inputs[i].values)
      texts[i].push_back(value.index() == 0 ? "" : request_text(value, inputs[i].type));
  for (std::size_t f = 0; f < handle.slots.size(); ++f)
    for (std::size_t row = 0; row < rows && !handle.slots[f].is_computed(); ++row)
      values[f * rows + row] = reads[row % reads.size()].values[f];
  const auto text_at = [&](const FeatureInput& input, std::size_t row) {
    for (std::size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].name == input.name && inputs[i].values[row % reads.size()].index() != 0)
        return std::string_view(texts[i][row % reads.size()]);
    return std::string_view();
  };
  test::must(transform::compute(handle, {.value = text_at, .fault = {}}, at, rows, values.data(),
                                statuses.data()));
  for (std::size_t row = 0; row < rows; ++row) {
    FeatureRow one = reads[row % reads.size()];
    std::map<std::string, std::string> request;
    for (const FeatureInput& input : handle.inputs)
      if (const auto text = text_at(input, row); text.data()) request[input.name] = text;
    test::must(transform::compute(handle, request, at, one));
    for (std::size_t f = 0; f < handle.slots.size(); ++f)
      ASSERT_EQ(transform::bits_of(values[f * rows + row]), transform::bits_of(one.values[f]))
          << handle.names[f] << " of row " << row;
  }
}

// Transforms over everything there is and over each other. `times_kept`: timestamps are features
// too, which no model takes.
std::string random_schema(Random& random, const std::vector<Values>& inputs, bool times_kept) {
  std::vector<Values> names = {{"mean", transform::Type::real, {}},
                               {"count", transform::Type::bigint, {}},
                               {"vip", transform::Type::boolean, {}},
                               {"segment", transform::Type::text, {}},
                               {"event_time", transform::Type::timestamp, {}}};
  names.insert(names.end(), inputs.begin(), inputs.end());
  std::string yaml = "kind: feature_schema\nname: random\nowner: bank\ninputs:\n";
  for (const Values& input : inputs)
    yaml += "  - {name: " + input.name + ", type: " + std::string(type_name(input.type)) +
            ", nullable: true}\n";
  yaml += "features:\n";
  if (times_kept) {
    names.push_back({"last", transform::Type::timestamp, {}});
    yaml +=
        "  - {name: latest, type: timestamp, expression: \"greatest(moment, last)\"}\n"
        "  - {name: since, expression: \"event_time - coalesce(moment, last)\"}\n"
        "  - {view: account_view, feature: last}\n";
  }
  for (const char* feature : {"mean", "count", "vip", "segment"})
    yaml += "  - {view: account_view, feature: " + std::string(feature) + "}\n";
  for (int i = 0; i < 25; ++i) {
    const transform::Type type = random.type();
    const auto made = transform::expression(random, names, type, 4);
    const std::string name = "x" + std::to_string(i);
    yaml += "  - {name: " + name + ", type: " + std::string(type_name(type)) +
            ", expression: " + json::serialize(json::value(made.ours)) + "}\n";
    names.push_back({name, type, {}});
  }
  return yaml;
}

TEST_P(TransformEqualityTest, OnlineAndOfflineGiveTheSameBits) {
  Random random(GetParam());
  constexpr std::size_t accounts = 30;
  std::vector<std::array<Scalar, 5>> stored;
  for (std::size_t i = 0; i < accounts; ++i)
    stored.push_back({random.value(transform::Type::real), random.value(transform::Type::bigint),
                      random.value(transform::Type::boolean), random.value(transform::Type::text),
                      random.one_in(5) ? Scalar() : Scalar(sayable(random.instant()))});
  given_accounts(stored);
  std::vector<Values> inputs = {{"amount", transform::Type::real, {}},
                                {"items", transform::Type::bigint, {}},
                                {"online", transform::Type::boolean, {}},
                                {"country", transform::Type::text, {}},
                                {"moment", transform::Type::timestamp, {}}};
  std::vector<std::int64_t> times;
  for (std::size_t i = 0; i < accounts; ++i) {
    for (Values& input : inputs) {
      input.values.push_back(random.value(input.type));
      if (auto* time = std::get_if<std::int64_t>(&input.values.back());
          time && input.type == transform::Type::timestamp)
        *time = sayable(*time);
    }
    times.push_back(random.one_in(3) ? random.instant()
                                     : at(random.below(4'000)).time_since_epoch().count());
  }
  const bool times_kept = GetParam() % 2 == 1;
  const std::string yaml = random_schema(random, inputs, times_kept);
  write("questions.parquet", "event_time", inputs, accounts, times);
  test::must(apply(view() + R"yaml(kind: source
name: questions
owner: bank
path: questions.parquet
columns:
  - {name: account, type: bigint, classification: internal}
  - {name: event_time, type: timestamp, classification: internal}
  - {name: amount, type: double, classification: internal}
  - {name: items, type: bigint, classification: internal}
  - {name: online, type: boolean, classification: internal}
  - {name: country, type: text, classification: internal}
  - {name: moment, type: timestamp, classification: internal}
---
)yaml" + yaml));
  materialize(0);
  const auto out = test::must(features_.historical(
      ana_, {.entity_path = folder_ / "questions.parquet", .feature_schema = "random"}));
  const auto offline = rows("SELECT * FROM read_parquet(" + olap::quoted_text(out.uri) + ")");
  ASSERT_EQ(offline.size(), accounts);
  const auto session = test::must(olap_->session());
  std::vector<std::vector<Scalar>> batch;
  if (!times_kept)
    batch = test::must(session->query(test::must(features_.historical_statement(
                           ana_, *session, "random", "SELECT * FROM questions"))))
                .rows;
  const auto handle = test::must(features_.open_schema(ana_, "random"));
  std::vector<FeatureRow> reads;
  for (std::size_t i = 0; i < accounts; ++i) {
    std::map<std::string, std::string> request{{"account", std::to_string(i)}};
    for (const Values& input : inputs)
      if (input.values[i].index() != 0)
        request[input.name] = request_text(input.values[i], input.type);
    const FeatureRow online =
        test::must(features_.read(*handle, request, Timestamp(Micros(times[i]))));
    ASSERT_EQ(offline[i].size(), 7 + online.values.size());
    for (std::size_t f = 0; f < online.values.size(); ++f) {
      EXPECT_EQ(transform::bits_of(online.values[f]), transform::bits_of(offline[i][7 + f]))
          << handle->names[f] << " of account " << i << "\n"
          << yaml;
      const auto number = as_number(handle->types[f], online.values[f]);
      if (!times_kept && is_number(handle->types[f])) {
        EXPECT_EQ(transform::bits_of(number ? Scalar(*number) : Scalar()),
                  transform::bits_of(batch[i][7 + f]));
      }
      EXPECT_EQ(online.statuses[f] == Status::PRESENT, online.values[f].index() != 0);
    }
    reads.push_back(online);
  }
  compare_many(*handle, inputs, times[0], reads);
}

}  // namespace
}  // namespace penstock::features
