#include <gtest/gtest.h>

#include "api/http/system_routes.h"
#include "api/http/v2_codec.h"
#include "api/http/v2_routes.h"
#include "tests/unit/serving/world.h"

namespace penstock::api {
namespace {

using serving::Arm;
using serving::weight_total;
using test::must;

class V2Test : public ::testing::Test {
 protected:
  V2Test() {
    world_.serve(
        {{"flight-delay", 1, weight_total, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}});
  }

  Response send(const std::string& method, const std::string& path, Request request) {
    for (const Route& route : v2_routes(world_.gateway))
      if (route.method == method && route.path == path) return route.handle(test::call(), request);
    throw std::logic_error("no route " + path);
  }
  Response infer(const std::string& body, const Fields& headers = {}) {
    return send("POST", "/v2/models/{model}/infer",
                {.path_values = {{"model", "flight-delay"}}, .headers = headers, .body = body});
  }
  static std::string body(const std::string& inputs, const std::string& more = "") {
    return "{\"inputs\":[" + inputs + "]" + more + "}";
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

const std::string one_flight =
    R"({"name":"flight_id","datatype":"BYTES","shape":[1],"data":["UA1"]})";

TEST_F(V2Test, AnswersInJson) {
  const Response response = infer(body(one_flight, R"(,"id":"call-1")"));
  ASSERT_EQ(response.status, 200) << response.body;
  const json::value answer = must(serving::parse_exact(response.body));
  EXPECT_EQ(answer.at("model_name"), "flight-delay");
  EXPECT_EQ(answer.at("model_version"), "1");
  EXPECT_EQ(answer.at("id"), "call-1");
  const json::array& outputs = answer.at("outputs").as_array();
  ASSERT_EQ(outputs.size(), 4u);
  EXPECT_EQ(outputs[0].at("name"), "score");
  EXPECT_EQ(outputs[0].at("datatype"), "FP64");
  EXPECT_EQ(outputs[0].at("data").at(0).as_double(), *world_.events().at(0).score);
  EXPECT_EQ(outputs[1].at("name"), "decision");
  EXPECT_TRUE(outputs[1].at("data").at(0).is_bool());
  EXPECT_EQ(outputs[2].at("data").at(0), "call-1");
  EXPECT_EQ(response.body.find("shadow"), std::string::npos);
  EXPECT_TRUE(response.after) << "the shadow waits for the answer to be out";
}

TEST_F(V2Test, TellsRulesTheHeadersOfTheCaller) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live},
                             {"flight-delay", 2, 0, Arm::canary},
                             {"flight-delay", 3, 0, Arm::shadow}});
  route.rules = must(serving::Rules::compile(
      {{R"(header("x-beta") == "1")", 2}, {R"(header("x-beta") == "shadow")", 3}}, {"flight_id"}));
  world_.serve(route);
  const auto version = [&](const Fields& headers) {
    const auto response = infer(body(one_flight), headers);
    return must(serving::parse_exact(response.body)).at("model_version");
  };
  EXPECT_EQ(version({}), "1");
  EXPECT_EQ(version({{"x-beta", "1"}, {"x-penstock-user", "ana"}}), "2");
  EXPECT_EQ(world_.events().back().user, "ana");
  EXPECT_EQ(version({{"x-beta", "shadow"}}), "1") << "no header makes a shadow answer";
}

TEST_F(V2Test, AnswersManyRowsAndOnlyTheOutputsAskedFor) {
  const Response response = infer(
      body(R"({"name":"flight_id","datatype":"BYTES","shape":[3,1],"data":[["a"],["b"],["c"]]})",
           R"(,"outputs":[{"name":"prediction_id"}])"));
  ASSERT_EQ(response.status, 200) << response.body;
  const json::value answer = must(serving::parse_exact(response.body));
  EXPECT_FALSE(answer.as_object().contains("id")) << "none was given";
  ASSERT_EQ(answer.at("outputs").as_array().size(), 1u);
  EXPECT_EQ(answer.at("outputs").at(0).at("data").as_array().size(), 3u);
  EXPECT_EQ(answer.at("outputs").at(0).at("shape"), json::array{3});
}

TEST_F(V2Test, ReadsTheEventTime) {
  infer(body(one_flight, R"(,"parameters":{"event_time":"2013-07-01T12:00:00Z","priority":3})"));
  EXPECT_EQ(to_rfc3339(world_.events().at(0).event_time), "2013-07-01T12:00:00Z");
}

TEST_F(V2Test, SpeaksBinaryTensorsBothWays) {
  const infer::Tensor keys = v2::bytes_tensor("flight_id", {"UA1", "UA2"});
  const std::string text =
      R"({"inputs":[{"name":"flight_id","datatype":"BYTES","shape":[2],"parameters":{"binary_data_size":)" +
      std::to_string(keys.bytes.size()) + R"(}}],"parameters":{"binary_data_output":true}})";
  const Response response =
      infer(text + keys.bytes, {{"inference-header-content-length", std::to_string(text.size())}});
  ASSERT_EQ(response.status, 200) << response.body;
  ASSERT_EQ(response.headers.size(), 1u);
  EXPECT_EQ(response.headers[0].first, "Inference-Header-Content-Length");
  const auto length = std::stoul(response.headers[0].second);
  const json::value answer = must(serving::parse_exact(response.body.substr(0, length)));
  std::size_t sizes = 0;
  for (const json::value& output : answer.at("outputs").as_array())
    sizes += static_cast<std::size_t>(output.at("parameters").at("binary_data_size").as_int64());
  EXPECT_EQ(response.body.size(), length + sizes);
  double score = 0;
  std::memcpy(&score, response.body.data() + length, sizeof score);
  EXPECT_EQ(score, *world_.events().at(0).score);
}

TEST_F(V2Test, TakesTheModelsOwnTensorsNestedFlatOrMissing) {
  for (const std::string data : {"[[0,0],[null,0]]", "[0,0.0,null,0]"}) {
    const Response response =
        infer(body(R"({"name":"features","datatype":"FP32","shape":[2,2],"data":)" + data + "}"));
    ASSERT_EQ(response.status, 200) << response.body;
    const json::value answer = must(serving::parse_exact(response.body));
    EXPECT_EQ(answer.at("outputs").at(0).at("datatype"), "FP32") << "the model's own score";
    EXPECT_EQ(answer.at("outputs").at(0).at("data"), (json::array{0.5, 0.5}));
  }
}

TEST_F(V2Test, RefusesWithWhatWasExpected) {
  const auto input = [](const std::string& name, const std::string& type, const std::string& shape,
                        const std::string& data) {
    return body(R"({"name":")" + name + R"(","datatype":")" + type + R"(","shape":)" + shape +
                R"(,"data":)" + data + "}");
  };
  struct Case {
    std::string what, body, says;
  };
  const Case cases[] = {
      {"no JSON", "{\"inputs\":[", "no JSON"},
      {"no body", "", "no JSON"},
      {"a list", "[]", "object"},
      {"no inputs", "{}", "inputs is missing"},
      {"empty inputs", body(""), "flight_id is missing"},
      {"id no string", body(one_flight, ",\"id\":7"), "id must be a string"},
      {"unknown input", input("tail", "BYTES", "[1]", "[\"N1\"]"), "expects flight_id BYTES [-1]"},
      {"wrong datatype", input("flight_id", "FP32", "[1]", "[1]"), "must be BYTES"},
      {"unknown datatype", input("flight_id", "TEXT", "[1]", "[\"a\"]"), "TEXT is unknown"},
      {"no JSON form", input("features", "FP16", "[1,2]", "[1,2]"), "no JSON form"},
      {"too few", input("flight_id", "BYTES", "[2]", "[\"a\"]"), "its shape says 2"},
      {"too many", input("flight_id", "BYTES", "[1]", "[\"a\",\"b\"]"), "its shape says 1"},
      {"negative shape", input("flight_id", "BYTES", "[-1]", "[\"a\"]"), "negative"},
      {"huge shape", input("features", "FP32", "[4000000000,4000000000]", "[]"), "67108864"},
      {"overflowing shape", input("features", "FP32", "[4294967296,4294967296,2]", "[]"),
       "67108864"},
      {"wrong element", input("flight_id", "BYTES", "[1]", "[7]"), "element 0 is no value"},
      {"out of range", input("features", "UINT8", "[1,2]", "[255,256]"), "element 1 is no value"},
      {"beyond FP32", input("features", "FP32", "[1,2]", "[1e300,0]"), "element 0"},
      {"too deep", input("flight_id", "BYTES", "[1]", "[[[\"a\"]]]"), "nested deeper"},
      {"no list", input("flight_id", "BYTES", "[1]", "\"a\""), "must be a list"},
      {"model's width", input("features", "FP32", "[1,3]", "[1,2,3]"), "features"},
      {"two lengths",
       body(one_flight +
            R"(,{"name":"flight_id","datatype":"BYTES","shape":[2],"data":["a","b"]})"),
       "rows"},
      {"twice", body(one_flight + "," + one_flight), "stands twice"},
      {"unknown output", body(one_flight, R"(,"outputs":[{"name":"probability"}])"),
       "no output probability"},
      {"bad timeout", body(one_flight, R"(,"parameters":{"timeout":"soon"})"), "microseconds"},
      {"a sequence", body(one_flight, R"(,"parameters":{"sequence_id":7})"), "sequence_id"},
      {"shared memory",
       body(
           R"({"name":"flight_id","datatype":"BYTES","shape":[1],"parameters":{"shared_memory_region":"r"}})"),
       "shared memory is not offered"},
      {"classes",
       body(one_flight, R"(,"outputs":[{"name":"score","parameters":{"classification":3}}])"),
       "classification is not offered"},
      {"bad time", body(one_flight, R"(,"parameters":{"event_time":"noon"})"), "RFC 3339"},
      {"binary without bytes",
       body(
           R"({"name":"flight_id","datatype":"BYTES","shape":[1],"parameters":{"binary_data_size":99}})"),
       "bytes left"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const Response response = infer(c.body);
    EXPECT_EQ(response.status, 400) << response.body;
    const json::value said = must(serving::parse_exact(response.body));
    ASSERT_TRUE(said.as_object().contains("error"));
    EXPECT_NE(said.at("error").as_string().find(c.says), json::string::npos) << response.body;
  }
  EXPECT_EQ(infer(body(one_flight), {{"inference-header-content-length", "9999"}}).status, 400);
  EXPECT_EQ(infer(body(one_flight), {{"inference-header-content-length", "-1"}}).status, 400);
  EXPECT_EQ(infer(body(one_flight) + "rest",
                  {{"inference-header-content-length", std::to_string(body(one_flight).size())}})
                .status,
            400)
      << "bytes that belong to no input";
}

TEST_F(V2Test, SaysWhatItServes) {
  const Request known{.path_values = {{"model", "flight-delay"}}};
  const Request first{.path_values = {{"model", "flight-delay"}, {"version", "1"}}};
  const Request shadow{.path_values = {{"model", "flight-delay"}, {"version", "2"}}};
  const Request unknown{.path_values = {{"model", "nope"}}};
  EXPECT_EQ(send("GET", "/v2/health/live", {}).status, 200);
  EXPECT_EQ(send("GET", "/v2/health/ready", {}).status, 200);
  const json::value server = json::parse(send("GET", "/v2", {}).body);
  EXPECT_EQ(server.at("extensions"),
            (json::array{"binary_tensor_data", "model_repository", "statistics"}));
  EXPECT_EQ(server.at("version"), json::value(version));

  const json::value model = json::parse(send("GET", "/v2/models/{model}", known).body);
  EXPECT_EQ(model.at("name"), "flight-delay");
  EXPECT_EQ(model.at("versions"), json::array{"1"}) << "a shadow is not shown";
  EXPECT_EQ(json::serialize(model.at("inputs")),
            R"([{"name":"flight_id","datatype":"BYTES","shape":[-1]}])");
  EXPECT_EQ(send("GET", "/v2/models/{model}/ready", known).status, 200);
  EXPECT_EQ(send("GET", "/v2/models/{model}/ready", unknown).status, 404);
  const std::string versioned = "/v2/models/{model}/versions/{version}";
  EXPECT_EQ(send("GET", versioned, first).status, 200);
  EXPECT_EQ(send("GET", versioned, shadow).status, 404);
  EXPECT_EQ(send("GET", versioned + "/ready", shadow).status, 404);

  Request asked = first;
  asked.body = body(one_flight);
  EXPECT_EQ(send("POST", versioned + "/infer", asked).status, 200);
  asked.path_values = shadow.path_values;
  EXPECT_EQ(send("POST", versioned + "/infer", asked).status, 404);
  asked.path_values = {{"model", "flight-delay"}, {"version", "x"}};
  EXPECT_EQ(send("POST", versioned + "/infer", asked).status, 404);
}

// Each datatype that has a JSON form comes back as it was sent.
TEST(V2Codec, KeepsEveryDatatype) {
  struct Case {
    std::string datatype, data;
  };
  const Case cases[] = {{"BOOL", "[true,false]"},
                        {"UINT8", "[0,255]"},
                        {"UINT16", "[0,65535]"},
                        {"UINT32", "[0,4294967295]"},
                        {"UINT64", "[0,18446744073709551615]"},
                        {"INT8", "[-128,127]"},
                        {"INT16", "[-32768,32767]"},
                        {"INT32", "[-2147483648,2147483647]"},
                        {"INT64", "[-9223372036854775808,9223372036854775807]"},
                        {"FP32", "[0.5,-2.25]"},
                        {"FP64", "[0.1,-1e+300]"},
                        {"BYTES", "[\"\",\"a \\\"b\\\" \\u0001\"]"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.datatype);
    const auto read = must(v2::read_body(R"({"inputs":[{"name":"x","datatype":")" + c.datatype +
                                             R"(","shape":[2],"data":)" + c.data + "}]}",
                                         nullptr));
    const Response said =
        must(v2::write_answer({.model = "m", .version = "1", .outputs = read.inputs}, {}));
    EXPECT_NE(said.body.find("\"data\":" + c.data), std::string::npos) << said.body;
  }
}

}  // namespace
}  // namespace penstock::api
