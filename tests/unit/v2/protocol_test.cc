// The Open Inference Protocol beyond its core, and what either codec makes of bytes that are wrong.
#include <open_inference.pb.h>

#include <random>
#include <gtest/gtest.h>

#include "api/grpc/codec.h"
#include "api/http/v2_codec.h"
#include "api/http/v2_routes.h"
#include "tests/unit/serving/world.h"

namespace penstock::api {
namespace {

using serving::Arm;
using serving::weight_total;
using test::must;

class ProtocolTest : public ::testing::Test {
 protected:
  ProtocolTest() { world_.serve({{"flight-delay", 1, weight_total, Arm::live}}); }

  Response send(const std::string& method, const std::string& path, Request request) {
    for (const Route& route : v2_routes(world_.gateway))
      if (route.method == method && route.path == path) return route.handle(test::call(), request);
    throw std::logic_error("no route " + path);
  }
  Response infer(const std::string& body, const Fields& headers = {}) {
    return send("POST", "/v2/models/{model}/infer",
                {.path_values = {{"model", "flight-delay"}}, .headers = headers, .body = body});
  }
  json::value stats(const std::string& path, Fields values = {}) {
    return json::parse(send("GET", path, {.path_values = std::move(values)}).body)
        .at("model_stats");
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

const std::string two_rows =
    R"({"name":"features","datatype":"FP32","shape":[2,2],"data":[[0,0],[1,1]]})";

TEST_F(ProtocolTest, CountsWhatARouteAnswered) {
  EXPECT_EQ(stats("/v2/models/stats").at(0).at("inference_count"), 0);
  EXPECT_EQ(infer("{\"inputs\":[" + two_rows + "]}").status, 200);
  EXPECT_EQ(
      infer(R"({"inputs":[{"name":"flight_id","datatype":"BYTES","shape":[1],"data":["broken"]}]})")
          .status,
      503);
  const json::value one = stats("/v2/models/{model}/stats", {{"model", "flight-delay"}}).at(0);
  EXPECT_EQ(one.at("name"), "flight-delay");
  EXPECT_EQ(one.at("version"), "1");
  EXPECT_EQ(one.at("inference_count"), 2) << "rows";
  EXPECT_EQ(one.at("execution_count"), 1) << "calls";
  EXPECT_GT(one.at("last_inference").as_int64(), std::int64_t{1'600'000'000'000});
  EXPECT_EQ(one.at("inference_stats").at("success").at("count"), 1);
  EXPECT_EQ(one.at("inference_stats").at("fail").at("count"), 1);
  EXPECT_EQ(stats("/v2/models/stats").as_array().size(), 1u);
  EXPECT_EQ(send("GET", "/v2/models/{model}/stats", {.path_values = {{"model", "nope"}}}).status,
            404);
  EXPECT_EQ(send("GET", "/v2/models/{model}/versions/{version}/stats",
                 {.path_values = {{"model", "flight-delay"}, {"version", "9"}}})
                .status,
            404);
}

TEST_F(ProtocolTest, ALanguageModelSaysWhereToAskIt) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  route.features = {};
  route.declaration.entity_keys = {};
  auto deployment = std::make_shared<serving::Deployment>(*route.targets[0].deployment);
  deployment->runtime = nullptr;
  deployment->runtime_name = "openai";
  route.targets[0].deployment = deployment;
  world_.serve(std::move(route));
  const Response refused = infer("{\"inputs\":[" + two_rows + "]}");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("/v1/chat/completions"), std::string::npos) << refused.body;
  const Response described =
      send("GET", "/v2/models/{model}", {.path_values = {{"model", "flight-delay"}}});
  EXPECT_EQ(described.status, 400);
  EXPECT_NE(described.body.find("/v1/chat/completions"), std::string::npos) << described.body;
}

// A route that features are read for, whose only version takes no tensors.
TEST_F(ProtocolTest, AVersionWithoutARuntimeIsAnErrorAndNoCrash) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  auto deployment = std::make_shared<serving::Deployment>(*route.targets[0].deployment);
  deployment->runtime = nullptr;
  route.targets[0].deployment = deployment;
  world_.serve(std::move(route));
  EXPECT_EQ(
      infer(R"({"inputs":[{"name":"flight_id","datatype":"BYTES","shape":[1],"data":["a"]}]})")
          .status,
      400);
}

TEST_F(ProtocolTest, MixesBinaryAndJsonInBothDirections) {
  const std::vector<float> values = {0, 0, 1, 1};
  const std::string bytes(reinterpret_cast<const char*>(values.data()), 16);
  const std::string text =
      R"({"inputs":[{"name":"features","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}],)"
      R"("parameters":{"binary_data_output":true},)"
      R"("outputs":[{"name":"prediction_id","parameters":{"binary_data":false}},{"name":"score"},)"
      R"({"name":"decision","parameters":{"binary_data":true}}]})";
  const Response response =
      infer(text + bytes, {{"inference-header-content-length", std::to_string(text.size())}});
  ASSERT_EQ(response.status, 200) << response.body;
  const auto length = std::stoul(response.headers.at(0).second);
  const json::value answer = must(serving::parse_exact(response.body.substr(0, length)));
  EXPECT_EQ(answer.at("outputs").at(0).at("data").as_array().size(), 2u);
  EXPECT_EQ(answer.at("outputs").at(1).at("parameters").at("binary_data_size"), 8);
  EXPECT_EQ(answer.at("outputs").at(2).at("parameters").at("binary_data_size"), 2);
  EXPECT_EQ(response.body.size(), length + 10);
  float first = 0;
  std::memcpy(&first, response.body.data() + length, sizeof first);
  EXPECT_EQ(first, 0.5F) << "tensors lie in the order of the outputs";
}

TEST_F(ProtocolTest, ShortOrLongBinaryDataIsRefusedWithWhatWasExpected) {
  const auto with = [&](std::size_t said, std::size_t sent) {
    const std::string text =
        R"({"inputs":[{"name":"features","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":)" +
        std::to_string(said) + "}}]}";
    return infer(text + std::string(sent, '\0'),
                 {{"inference-header-content-length", std::to_string(text.size())}});
  };
  EXPECT_EQ(with(16, 16).status, 200);
  for (const auto& [said, sent, says] : {std::tuple{16, 15, "15 bytes left"},
                                         {12, 12, "say 16"},
                                         {20, 20, "say 16"},
                                         {16, 20, "4 bytes of the body belong to no input"}}) {
    const Response response = with(static_cast<std::size_t>(said), static_cast<std::size_t>(sent));
    EXPECT_EQ(response.status, 400);
    EXPECT_NE(response.body.find(says), std::string::npos) << response.body;
  }
}

TEST_F(ProtocolTest, ACallersTimeoutIsItsDeadline) {
  EXPECT_EQ(infer("{\"inputs\":[" + two_rows + "],\"parameters\":{\"timeout\":60000000}}").status,
            200);
}

TEST(V2Fuzz, NoBodyCrashesTheReader) {
  const std::string bytes(16, '\1');
  const std::string seeds[] = {
      R"({"id":"a","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[null,-4e3]]}]})",
      R"({"inputs":[{"name":"x","datatype":"BYTES","shape":[2],"data":["a","\u00e9"]},{"name":"y","datatype":"BOOL","shape":[1],"data":[true]}],"outputs":[{"name":"o","parameters":{"binary_data":true}}]})",
      R"({"parameters":{"binary_data_output":true,"n":3},"inputs":[{"name":"x","datatype":"INT64","shape":[2],"parameters":{"binary_data_size":16}}]})" +
          bytes};
  std::mt19937 random(11);
  int read = 0;
  for (int i = 0; i < 60'000; ++i) {
    const std::size_t which = random() % std::size(seeds);
    std::string body = seeds[which];
    const std::string length = std::to_string(body.size() - bytes.size() + random() % 3 - 1);
    for (unsigned change = random() % 4; change > 0; --change) {
      const std::size_t at = random() % body.size();
      static constexpr std::string_view letters = "{}[]\",:0123456789.eE-nulltrueFP\\\xff\0";
      if (random() % 3 == 0)
        body.erase(at, 1 + random() % 4);
      else if (random() % 2)
        body[at] = letters[random() % letters.size()];
      else
        body.insert(at, 1 + random() % 3, letters[random() % letters.size()]);
      if (body.empty()) body = "{";
    }
    const auto got = v2::read_body(body, which == 2 ? &length : nullptr);
    if (!got) {
      EXPECT_EQ(got.error().code, Code::invalid_argument);
      continue;
    }
    ++read;
    for (const infer::Tensor& tensor : got->inputs) ASSERT_TRUE(v2::check_tensor(tensor));
    ASSERT_TRUE(v2::write_answer({.model = "m", .outputs = got->inputs}, {.binary_outputs = true}));
  }
  EXPECT_GT(read, 1'000);
}

// Lists that are deep or many, and numbers that are huge: a bounded cost and a refusal.
TEST(V2Fuzz, HugeAndDeepBodiesAreRefused) {
  std::string deep = R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1],"data":)";
  deep += std::string(100'000, '[');
  EXPECT_FALSE(v2::read_body(deep, nullptr));
  std::string many = R"({"inputs":[)";
  for (int i = 0; i < 300; ++i)
    many += std::string(i ? "," : "") + R"({"name":"x","datatype":"FP32","shape":[0],"data":[]})";
  EXPECT_FALSE(v2::read_body(many + "]}", nullptr));
  for (const std::string shape :
       {"[9223372036854775807]", "[9223372036854775807,9223372036854775807]", "[1e3]",
        "[18446744073709551615]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"})
    EXPECT_FALSE(v2::read_body(
        R"({"inputs":[{"name":"x","datatype":"FP32","shape":)" + shape + R"(,"data":[1]}]})",
        nullptr))
        << shape;
}

TEST(GrpcCodec, KeepsEveryDatatypeTypedAndRaw) {
  for (const char* datatype : {"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16",
                               "INT32", "INT64", "FP16", "FP32", "FP64", "BF16", "BYTES"}) {
    SCOPED_TRACE(datatype);
    infer::Tensor tensor{"x", datatype, {2}, {}};
    if (tensor.datatype == "BYTES")
      tensor.bytes = v2::bytes_tensor("x", {"", "a\0b"}).bytes;
    else
      tensor.bytes = std::string(2 * infer::size_of(datatype), '\0');
    inference::ModelInferRequest raw;
    auto& input = *raw.add_inputs();
    input.set_name("x");
    input.set_datatype(datatype);
    input.add_shape(2);
    raw.add_raw_input_contents(tensor.bytes);
    EXPECT_EQ(must(grpc::read_body(raw)).inputs.at(0).bytes, tensor.bytes);

    v2::InferReply reply{.model = "m", .outputs = {tensor}};
    inference::ModelInferResponse said;
    const auto typed = grpc::write_answer(reply, false, said);
    const bool half = tensor.datatype == "FP16" || tensor.datatype == "BF16";
    ASSERT_EQ(static_cast<bool>(typed), !half) << "halves have no typed form";
    if (half) continue;
    inference::ModelInferRequest again;
    auto& back = *again.add_inputs();
    back.set_name("x");
    back.set_datatype(datatype);
    back.add_shape(2);
    *back.mutable_contents() = said.outputs(0).contents();
    EXPECT_EQ(must(grpc::read_body(again)).inputs.at(0).bytes, tensor.bytes);
  }
}

TEST(GrpcCodec, NoMessageCrashesTheReader) {
  inference::ModelInferRequest seed;
  auto& typed = *seed.add_inputs();
  typed.set_name("x");
  typed.set_datatype("FP32");
  typed.add_shape(2);
  typed.mutable_contents()->add_fp32_contents(1);
  typed.mutable_contents()->add_fp32_contents(2);
  auto& texts = *seed.add_inputs();
  texts.set_name("y");
  texts.set_datatype("BYTES");
  texts.add_shape(1);
  texts.mutable_contents()->add_bytes_contents("abc");
  (*seed.mutable_parameters())["n"].set_int64_param(3);
  const std::string good = seed.SerializeAsString();
  std::mt19937 random(5);
  int read = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string bytes = good;
    for (unsigned change = random() % 4; change > 0; --change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    inference::ModelInferRequest request;
    if (!request.ParseFromString(bytes)) continue;
    const auto got = grpc::read_body(request);
    if (!got) continue;
    ++read;
    for (const infer::Tensor& tensor : got->inputs) ASSERT_TRUE(v2::check_tensor(tensor));
  }
  EXPECT_GT(read, 1'000);
}

}  // namespace
}  // namespace penstock::api
