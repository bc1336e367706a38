#include "api/http/invocations.h"

#include <random>
#include <gtest/gtest.h>

#include "api/http/rows.h"
#include "tests/unit/serving/world.h"

namespace penstock::api {
namespace {

using serving::Arm;
using serving::weight_total;
using test::must;

class InvocationsTest : public ::testing::Test {
 protected:
  InvocationsTest() { world_.serve({{"flight-delay", 1, weight_total, Arm::live}}); }

  // A route whose callers send the model's own two features.
  void serve_tensors() {
    auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
    route.features = {};
    route.declaration.entity_keys = {};
    route.declaration.feature_schema = "";
    world_.serve(std::move(route));
  }
  Response send(const std::string& path, const std::string& body, Fields headers = {},
                Fields values = {}) {
    for (const Route& route : invocation_routes(world_.gateway))
      if (route.path == path)
        return route.handle(
            test::call(),
            {.path_values = std::move(values), .headers = std::move(headers), .body = body});
    throw std::logic_error("no route " + path);
  }
  json::value predictions(const std::string& body, Fields headers = {}) {
    const Response response = send("/invocations", body, std::move(headers));
    EXPECT_EQ(response.status, 200) << response.body;
    return response.status == 200 ? must(serving::parse_exact(response.body)).at("predictions")
                                  : json::value();
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

TEST_F(InvocationsTest, ReadsEachFormOfEntities) {
  const json::value two = predictions(
      R"({"dataframe_split": {"index": [0, 1], "columns": ["flight_id"], "data": [["UA1"], ["UA2"]]}})");
  ASSERT_EQ(two.as_array().size(), 2u);
  EXPECT_EQ(two.at(0).as_double(), *world_.events().at(0).score);
  for (const std::string body :
       {R"({"dataframe_records": [{"flight_id": "UA1"}, {"flight_id": "UA2"}]})",
        R"({"instances": [{"flight_id": "UA1"}, {"flight_id": "UA2"}]})",
        R"({"instances": {"flight_id": ["UA1", "UA2"]}})",
        R"({"inputs": {"flight_id": ["UA1", "UA2"]}})"}) {
    SCOPED_TRACE(body);
    EXPECT_EQ(predictions(body), two);
  }
  EXPECT_EQ(predictions("flight_id\r\nUA1\r\n\"UA2\"\r\n", {{"content-type", "text/csv"}}), two);
  EXPECT_EQ(predictions("flight_id\nUA1\nUA2", {{"content-type", "text/csv; charset=utf-8"}}), two);
}

TEST_F(InvocationsTest, ReadsEachFormOfTheModelsOwnInputs) {
  serve_tensors();
  const json::array half{0.5, 0.5};
  for (const std::string body :
       {R"({"dataframe_split": {"columns": ["a", "b"], "data": [[0, 0], [0.0, null]]}})",
        R"({"dataframe_split": {"data": [[0, 0], [0, 0]]}})",
        R"({"dataframe_records": [{"a": 0, "b": 0}, {"a": 0}]})",
        R"({"instances": [[0, 0], [0, 0]]})", R"({"inputs": [[0, 0], [0, 0]]})",
        R"({"inputs": {"features": [[0, 0], [0, 0]]}})"}) {
    SCOPED_TRACE(body);
    EXPECT_EQ(predictions(body), half);
  }
  EXPECT_EQ(predictions("a,b\n0,0\n0,\n", {{"content-type", "text/csv"}}), half);
  const Response response = send("/invocations", R"({"inputs": [[0, 0]]})");
  const json::value answer = must(serving::parse_exact(response.body));
  EXPECT_EQ(answer.at("model_version"), "1");
  EXPECT_EQ(answer.at("prediction_ids").as_array().size(), 1u);
}

TEST_F(InvocationsTest, TakesTheRouteFromPathHeaderOrBecauseThereIsOne) {
  const std::string body = R"({"dataframe_records": [{"flight_id": "UA1"}]})";
  EXPECT_EQ(send("/routes/{route}/invocations", body, {}, {{"route", "flight-delay"}}).status, 200);
  EXPECT_EQ(send("/routes/{route}/invocations", body, {}, {{"route", "nope"}}).status, 404);
  EXPECT_EQ(send("/invocations", body, {{"x-penstock-route", "nope"}}).status, 404);
  EXPECT_EQ(send("/invocations", body, {{"x-penstock-route", "flight-delay"}}).status, 200);

  auto next = std::make_shared<serving::RoutingTable>(*world_.table.get());
  next->routes["p1/other"] = next->routes["p1/flight-delay"];
  world_.table.set(next);
  const Response which = send("/invocations", body);
  EXPECT_EQ(which.status, 400);
  EXPECT_NE(which.body.find("say which route"), std::string::npos) << which.body;
  world_.table.set(std::make_shared<const serving::RoutingTable>());
  EXPECT_NE(send("/invocations", body).body.find("has no route in service"), std::string::npos);
}

TEST_F(InvocationsTest, TakesParametersAsTheProtocolHasThem) {
  predictions(
      R"({"dataframe_records": [{"flight_id": "UA1"}], "params": {"event_time": "2013-07-01T12:00:00Z", "n": 3}})");
  EXPECT_EQ(to_rfc3339(world_.events().at(0).event_time), "2013-07-01T12:00:00Z");
}

TEST_F(InvocationsTest, RefusesInMlflowsShapeWithWhatWasExpected) {
  struct Case {
    std::string what, body, says;
  };
  const Case cases[] = {
      {"no JSON", "{", "JSON"},
      {"a list", "[1]", "must be an object"},
      {"no form", "{}", "must have one of"},
      {"two forms", R"({"inputs": [], "instances": []})", "has both"},
      {"split without data", R"({"dataframe_split": {"columns": ["a"]}})", "with data"},
      {"split of no lists", R"({"dataframe_split": {"data": [1]}})", "list of lists"},
      {"records of no objects", R"({"dataframe_records": [1]})", "list of objects"},
      {"no rows", R"({"dataframe_records": []})", "no row"},
      {"unknown column", R"({"dataframe_records": [{"tail": "N1"}]})", "takes flight_id BYTES"},
      {"a hole", R"({"dataframe_records": [{"flight_id": "a"}, {}]})", "null is no value"},
      {"short row",
       R"({"dataframe_split": {"columns": ["flight_id"], "data": [["a"], ["b", "c"]]}})",
       "row 1 has 2 cells"},
      {"column twice",
       R"({"dataframe_split": {"columns": ["flight_id", "flight_id"], "data": [["a", "b"]]}})",
       "stands twice"},
      {"unknown input", R"({"inputs": {"tail": ["N1"]}})", "input tail is unknown"},
      {"inputs of another form", R"({"inputs": 7})", "must be a list"},
      {"ragged", R"({"inputs": {"features": [[1, 2], [3]]}})", "not all of one length"},
      {"uneven depth", R"({"inputs": {"features": [[1, 2], 3]}})", "nested as deep"},
      {"wrong width", R"({"inputs": {"features": [[1, 2, 3]]}})", "features"},
      {"no number", R"({"inputs": {"features": [["a", 2]]}})", "no value of datatype FP32"},
      {"beyond FP32", R"({"inputs": {"features": [[1e300, 2]]}})", "no value of datatype FP32"},
      {"params", R"({"inputs": {"flight_id": ["a"]}, "params": 7})", "params must be an object"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const Response response = send("/invocations", c.body);
    EXPECT_EQ(response.status, 400) << response.body;
    const json::value said = must(serving::parse_exact(response.body));
    EXPECT_TRUE(said.as_object().contains("error_code")) << response.body;
    EXPECT_NE(said.at("message").as_string().find(c.says), json::string::npos) << response.body;
  }
  EXPECT_EQ(send("/invocations", "x", {{"content-type", "image/png"}}).status, 415);
  for (const std::string csv : {"", "a,b\n1\n", "flight_id\n\"x", "tail\nN1\n"})
    EXPECT_EQ(send("/invocations", csv, {{"content-type", "text/csv"}}).status, 400) << csv;
}

TEST_F(InvocationsTest, SaysThatTheServerRuns) { EXPECT_EQ(send("/ping", "").status, 200); }

TEST(ReadCsv, KeepsQuotedCellsAsTheyAre) {
  const rows::Table table = must(rows::read_csv("a,b\n\"x, \"\"y\"\"\nz\",007\n\n,\n"));
  EXPECT_EQ(table.columns, (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(table.rows.size(), 2u);
  EXPECT_EQ(table.rows[0], (json::array{"x, \"y\"\nz", "007"}));
  EXPECT_EQ(table.rows[1], (json::array{"", ""}));
}

// Whatever comes, there is an answer or a refusal, and each answer has a row for each row.
TEST_F(InvocationsTest, SurvivesMutatedBodies) {
  serve_tensors();
  const std::string seeds[] = {
      R"({"dataframe_split": {"columns": ["a", "b"], "data": [[0, 0], [0.5, null]]}})",
      R"({"dataframe_records": [{"a": 0, "b": 1}], "params": {"unit": "u"}})",
      R"({"inputs": {"features": [[1, 2], [3, 4]]}})", "a,b\n\"1\",2\n3,\n"};
  std::mt19937 random(7);
  int answered = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t which = random() % std::size(seeds);
    std::string body = seeds[which];
    for (unsigned change = random() % 4; change > 0; --change) {
      const std::size_t at = random() % (body.size() + 1);
      static constexpr std::string_view letters = "{}[]\",:0123456789.eE-+nulltrueab\n\\\xff";
      if (random() % 2 && at < body.size())
        body.erase(at, 1 + random() % 3);
      else
        body.insert(at, 1, letters[random() % letters.size()]);
    }
    const Response response =
        send("/invocations", body, which == 3 ? Fields{{"content-type", "text/csv"}} : Fields{});
    ASSERT_TRUE(response.status == 200 || response.status == 400) << body << response.body;
    answered += response.status == 200;
    ASSERT_TRUE(serving::parse_exact(response.body)) << response.body;
  }
  EXPECT_GT(answered, 1'000) << "mutations that leave it whole are answered";
}

}  // namespace
}  // namespace penstock::api
