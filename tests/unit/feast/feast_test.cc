// Feast's JSON, as its clients write and read it.
#include <cmath>
#include <limits>

#include "api/http/features_routes.h"
#include "features/codec.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class FeastTest : public FeaturesTest {
 protected:
  FeastTest() {
    given({{"a", 1, 0, 0, 1.0, "x \"y\"\n"}, {"b", 2, 5, {}, {}, "z"}});
    test::must(apply(source() + views() + schema()));
    materialize(30);
    clock_.set(at(5));
  }
  api::Response post(const std::string& path, const std::string& body) {
    for (const api::Route& route : routes_)
      if (route.path == path) return route.handle(ana_, {.method = "POST", .body = body});
    ADD_FAILURE() << path;
    return {};
  }
  json::value read(const std::string& body) {
    const api::Response response = post("/get-online-features", body);
    EXPECT_EQ(response.status, 200) << response.body;
    return json::parse(response.body);
  }
  static std::string text(const json::value& value) { return json::serialize(value); }

  const std::vector<api::Route> routes_ = api::features_routes(features_);
};

TEST_F(FeastTest, AnswersInFeastsShape) {
  const auto body = post("/get-online-features", R"({
      "features": ["sensor_heat:heat", "sensor_heat:note", "place_heat:hot", "place_heat:last_sensor"],
      "entities": {"place": ["a", "b", "c"], "sensor": [1, 2, 3]}})")
                        .body;
  EXPECT_EQ(
      body,
      R"({"metadata":{"feature_names":["place","sensor","heat","note","hot","last_sensor"]},)"
      R"("results":[{"values":["a","b","c"],"statuses":["PRESENT","PRESENT","PRESENT"],)"
      R"("event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},)"
      R"({"values":[1,2,3],"statuses":["PRESENT","PRESENT","PRESENT"],)"
      R"("event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]},)"
      R"({"values":[1.0,null,null],"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],)"
      R"("event_timestamps":["2020-09-13T12:26:40Z","2020-09-13T12:26:45Z","1970-01-01T00:00:00Z"]},)"
      R"({"values":["x \"y\"\n","z",null],"statuses":["PRESENT","PRESENT","NOT_FOUND"],)"
      R"("event_timestamps":["2020-09-13T12:26:40Z","2020-09-13T12:26:45Z","1970-01-01T00:00:00Z"]},)"
      R"({"values":[false,null,null],"statuses":["PRESENT","NULL_VALUE","NOT_FOUND"],)"
      R"("event_timestamps":["2020-09-13T12:26:40Z","2020-09-13T12:26:45Z","1970-01-01T00:00:00Z"]},)"
      R"({"values":[1,2,null],"statuses":["PRESENT","PRESENT","NOT_FOUND"],)"
      R"("event_timestamps":["2020-09-13T12:26:40Z","2020-09-13T12:26:45Z","1970-01-01T00:00:00Z"]}]})");
}

TEST_F(FeastTest, TakesInputsBesideTheKeysAndComputesTransforms) {
  test::must(apply(R"yaml(kind: feature_schema
name: computed
owner: sensors
inputs: [{name: outside}, {name: label, type: text, nullable: true}]
features:
  - {name: above, expression: "heat - outside"}
  - {view: sensor_heat, feature: heat}
  - {name: same, expression: "label = 'x'"}
)yaml"));
  const auto answer = read(R"({"feature_service": "computed", "full_feature_names": true,
      "entities": {"place": ["a", "b"], "sensor": [1, 2], "outside": [-1.5, 2],
                   "label": ["x", null]}})");
  EXPECT_EQ(text(answer.at("metadata").at("feature_names")),
            R"(["place","sensor","outside","label","computed__above","sensor_heat__heat",)"
            R"("computed__same"])");
  const auto& results = answer.at("results").as_array();
  EXPECT_EQ(text(results.at(4)),
            R"({"values":[2.5E0,null],"statuses":["PRESENT","NULL_VALUE"],)"
            R"("event_timestamps":["2020-09-13T12:26:40Z","2020-09-13T12:26:45Z"]})");
  EXPECT_EQ(text(results.at(6)),
            R"({"values":[true,null],"statuses":["PRESENT","NULL_VALUE"],)"
            R"("event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]})");
  const auto fault = [&](const std::string& outside) {
    const auto response = post("/get-online-features",
                               R"({"feature_service": "computed", "entities": {"place": ["a", "b"],
                 "sensor": [1, 2])" +
                                   outside + "}}");
    EXPECT_EQ(response.status, 400) << response.body;
    return response.body;
  };
  EXPECT_NE(fault("").find("outside is missing"), std::string::npos);
  EXPECT_NE(fault(R"(, "outside": [1, null])").find("entities.outside[1]"), std::string::npos);
  EXPECT_NE(fault(R"(, "outside": [1, "much"])").find("must be of type double"), std::string::npos);
  EXPECT_NE(fault(R"(, "outside": [1, 2], "more": [1, 2])").find("no input of computed"),
            std::string::npos);
}

TEST_F(FeastTest, NamesFeaturesInFullAndReadsServices) {
  const auto full = read(R"({"features": ["sensor_heat:heat"], "full_feature_names": true,
                             "entities": {"place": ["a"], "sensor": ["1"]}})");
  EXPECT_EQ(text(full.at("metadata").at("feature_names")),
            R"(["place","sensor","sensor_heat__heat"])");
  const auto service = read(R"({"feature_service": "features_v1",
                                "entities": {"place": ["a"], "sensor": [1]}})");
  EXPECT_EQ(text(service.at("metadata").at("feature_names")),
            R"(["place","sensor","place_heat","heat","note","hot","last_sensor"])");
}

TEST_F(FeastTest, SaysOutsideMaxAgeAndNeverReadsTheFuture) {
  const std::string body =
      R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [1]}})";
  clock_.set(at(6));
  EXPECT_EQ(text(read(body).at("results").at(2).at("statuses")), R"(["OUTSIDE_MAX_AGE"])");
  clock_.set(at(-1));
  EXPECT_EQ(text(read(body).at("results").at(2).at("statuses")), R"(["NOT_FOUND"])");
}

TEST_F(FeastTest, WritesEveryNumberSoThatItReadsBack) {
  const auto view = test::must(features_.open_features(ana_, {"sensor_heat:heat"}))->views[0];
  const double numbers[] = {0.1, -0.0, 1e300, 5e-324, 123456789012345678.0, -3, 1.0 / 3};
  const auto heat = [&](double number) {
    kv::Batch batch;
    batch.put(row_key(*view, {"a", "1"}),
              encode_row(*view, {at(1), at(1), {Scalar(number), Scalar{}}}));
    test::must(rocks_->store().write(batch, kv::Durability::process));
    return read(
               R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [1]}})")
        .at("results")
        .at(2)
        .at("values")
        .at(0);
  };
  for (const double number : numbers) {
    const json::value back = heat(number);
    ASSERT_TRUE(back.is_double()) << text(back);
    EXPECT_EQ(back.get_double(), number);
    EXPECT_EQ(std::signbit(back.get_double()), std::signbit(number));
  }
  EXPECT_EQ(text(heat(std::nan(""))), R"("NaN")");
  EXPECT_EQ(text(heat(-std::numeric_limits<double>::infinity())), R"("-Infinity")");
}

TEST_F(FeastTest, RefusesWithTheNameOfWhatIsWrong) {
  struct Case {
    std::string path, body;
    int status;
    std::string detail;
  };
  const std::string read = "/get-online-features",
                    keys = R"("entities": {"place": ["a"], "sensor": [1]})";
  const Case cases[] = {
      {read, "", 400, "the body must be a JSON object"},
      {read, "[]", 400, "the body must be a JSON object"},
      {read, "{" + keys + "}", 400, "features must be a list of view:feature"},
      {read, R"({"features": ["heat"], )" + keys + "}", 400, "write view:feature"},
      {read, R"({"features": ["none:heat"], )" + keys + "}", 404, "none"},
      {read, R"({"features": ["sensor_heat:cold"], )" + keys + "}", 404, "has no feature cold"},
      {read, R"({"feature_service": "none", )" + keys + "}", 404, "none"},
      {read, R"({"features": ["sensor_heat:heat"]})", 400, "entities must be an object of lists"},
      {read, R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"]}})", 400,
       "entity key sensor is missing"},
      {read, R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [[1]]}})",
       400, "entity key sensor must be a text, a number, true or false"},
      {read, R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [1.5]}})",
       400, "entity key sensor must be of type bigint"},
      {read,
       R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [1, 2]}})", 400,
       "entities.sensor must have as many values"},
      {read,
       R"({"features": ["sensor_heat:heat"], "entities": {"place": ["a"], "sensor": [1], "plaice": [1]}})",
       400, "entity key plaice is no join key"},
      {read, R"({"features": ["sensor_heat:heat"], "full_feature_names": 1, )" + keys + "}", 400,
       "full_feature_names must be true or false"},
      {"/push", R"({"df": {"place": ["a"]}})", 400, "push_source_name must name"},
      {"/push", R"({"push_source_name": "none", "df": {"place": ["a"]}})", 404, "none"},
      {"/push", R"({"push_source_name": "sensor_heat", "to": "both", "df": {"place": ["a"]}})", 400,
       "to must be online, offline or online_and_offline"},
      {"/push",
       R"({"push_source_name": "sensor_heat", "transform_on_write": "x", "df": {"place": ["a"]}})",
       400, "transform_on_write must be true or false"},
  };
  for (const Case& c : cases) {
    const api::Response response = post(c.path, c.body);
    EXPECT_EQ(response.status, c.status) << c.body << response.body;
    EXPECT_NE(response.body.find(c.detail), std::string::npos) << c.detail << "\n" << response.body;
  }
}

TEST_F(FeastTest, PushesWithFeastsTimesAndRefusesAllForOneBadRow) {
  const std::string good = R"("place": ["d", "e"], "sensor": [1, 1], "note": ["n", "n"],
      "seen": ["2020-09-13 12:26:44", "2020-09-13T12:26:44+00:00"])";
  const std::string start = R"({"push_source_name": "sensor_heat", "allow_registry_cache": true,
      "transform_on_write": true, "to": "online", "df": {)";
  EXPECT_EQ(post("/push", start + good + R"(, "heat": [1.5, "hot"]}})").status, 400);
  const std::string asked = R"({"features": ["sensor_heat:heat"],
      "entities": {"place": ["d", "e"], "sensor": [1, 1]}})";
  EXPECT_EQ(text(read(asked).at("results").at(2).at("statuses")), R"(["NOT_FOUND","NOT_FOUND"])");
  const auto some = post("/push", R"({"all_or_nothing": false, )" + start.substr(1) + good +
                                      R"(, "heat": [1.5, "hot"]}})");
  EXPECT_EQ(some.status, 200);
  EXPECT_EQ(text(json::parse(some.body).at("rejected")), "1");
  EXPECT_EQ(text(read(asked).at("results").at(2).at("statuses")), R"(["PRESENT","NOT_FOUND"])");
  EXPECT_EQ(text(read(asked).at("results").at(2).at("event_timestamps").at(0)),
            R"("2020-09-13T12:26:44Z")");
  // Our own API does not guess a time's zone.
  EXPECT_FALSE(features_.push(
      ana_, {.view = "sensor_heat",
             .rows = {{{"place", "d"}, {"sensor", 1}, {"seen", "2020-09-13 12:26:44"}}}}));
}

}  // namespace
}  // namespace penstock::features
