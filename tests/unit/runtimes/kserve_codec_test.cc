#include "adapters/kserve/codec.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::kserve {
namespace {

using infer::Tensor;
using test::must;

template <class T>
Tensor tensor(const std::string& name, const std::string& datatype, std::vector<std::int64_t> shape,
              const std::vector<T>& values) {
  return {name, datatype, std::move(shape),
          std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
}
Tensor texts(const std::string& name, const std::vector<std::string>& values) {
  Tensor out{name, "BYTES", {static_cast<std::int64_t>(values.size())}, ""};
  for (const std::string& value : values) infer::append_text(value, out.bytes);
  return out;
}
std::string header(const http::Request& request, const std::string& name) {
  for (const auto& [field, value] : request.headers)
    if (field == name) return value;
  return "";
}

TEST(KserveCodec, WritesTensorsInBinaryAndInJson) {
  const std::vector<Tensor> inputs = {
      tensor<float>("x", "FP32", {1, 2}, {1.5F, NAN}), texts("t", {"a\"b", "é"}),
      tensor<std::uint8_t>("f", "BOOL", {2}, {1, 0}),
      tensor<std::int64_t>("n", "INT64", {1}, {-9'007'199'254'740'993})};
  const auto binary = must(write_request(inputs, true));
  const std::size_t length = std::stoul(header(binary, "inference-header-content-length"));
  std::string bytes;
  for (const Tensor& input : inputs) bytes += input.bytes;
  EXPECT_EQ(binary.body.substr(length), bytes);
  EXPECT_NE(binary.body.find("\"binary_data_output\":true"), std::string::npos);
  const auto plain = must(write_request(inputs, false));
  EXPECT_EQ(plain.body,
            R"({"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1.5E0,null]},)"
            R"({"name":"t","datatype":"BYTES","shape":[2],"data":["a\"b","é"]},)"
            R"({"name":"f","datatype":"BOOL","shape":[2],"data":[true,false]},)"
            R"({"name":"n","datatype":"INT64","shape":[1],"data":[-9007199254740993]}]})");
  EXPECT_EQ(header(plain, "content-type"), "application/json");
  EXPECT_TRUE(write_request({{"h", "FP16", {1}, "ab"}}, true));
  EXPECT_FALSE(write_request({{"h", "FP16", {1}, "ab"}}, false));
}

TEST(KserveCodec, ReadsAnswersOfEitherForm) {
  const auto nested = must(read_answer(
      {200,
       {},
       R"({"outputs":[{"name":"y","datatype":"FP64","shape":[2,2],"data":[[1,2.5],[3,null]]},)"
       R"({"name":"t","datatype":"BYTES","shape":[1],"data":["x"]},)"
       R"({"name":"b","datatype":"BOOL","shape":[2],"data":[true,false]}]})"}));
  ASSERT_EQ(nested.size(), 3u);
  double third = 0, fourth = 0;
  std::memcpy(&third, nested[0].bytes.data() + 16, 8);
  std::memcpy(&fourth, nested[0].bytes.data() + 24, 8);
  EXPECT_EQ(third, 3);
  EXPECT_TRUE(std::isnan(fourth));
  EXPECT_EQ(nested[1].bytes, texts("t", {"x"}).bytes);
  EXPECT_EQ(nested[2].bytes, std::string("\1\0", 2));

  const std::string head =
      R"({"outputs":[{"name":"y","datatype":"INT16","shape":[2],"parameters":{"binary_data_size":4}}]})";
  const http::Fields fields{{"inference-header-content-length", std::to_string(head.size())}};
  EXPECT_EQ(must(read_answer({200, fields, head + "abcd"})).at(0).bytes, "abcd");
  for (const char* tail : {"", "abc"}) EXPECT_FALSE(read_answer({200, fields, head + tail}));
}

TEST(KserveCodec, RefusesAnswersThatAreNone) {
  for (
      const std::string body :
      {"", "nonsense", "[]", "{}", R"({"outputs":{}})", R"({"outputs":[1]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","data":[1]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[1]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":["a"]}]})",
       R"({"outputs":[{"name":"y","datatype":"INT8","shape":[1],"data":[300]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[-1],"data":[]}]})",
       R"({"outputs":[{"name":"y","datatype":"COLOUR","shape":[1],"data":[1]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[4611686018427387904,4],"data":[]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":["2"],"data":[1,2]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}]})",
       R"({"outputs":[{"name":"y","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":99}}]})"}) {
    SCOPED_TRACE(body);
    const auto got = read_answer({200, {}, body});
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(Code::data_loss));
  }
  EXPECT_FALSE(read_answer({200, {{"inference-header-content-length", "99999"}}, "{}"}));
  EXPECT_FALSE(read_answer({200, {{"inference-header-content-length", "-1"}}, "{}"}));
}

TEST(KserveCodec, TellsWhoseFaultAnAnswerIs) {
  struct Case {
    int status;
    Code code;
  };
  const Case cases[] = {{400, Code::invalid_argument},    {422, Code::invalid_argument},
                        {401, Code::failed_precondition}, {403, Code::failed_precondition},
                        {404, Code::failed_precondition}, {413, Code::resource_exhausted},
                        {429, Code::resource_exhausted},  {500, Code::internal},
                        {502, Code::unavailable},         {503, Code::unavailable},
                        {504, Code::deadline_exceeded},   {302, Code::internal}};
  for (const Case& c : cases) {
    const Error error = error_of("p/triton", {c.status, {}, R"({"error":"no such shape"})"});
    EXPECT_EQ(name_of(error.code), name_of(c.code)) << c.status;
    EXPECT_NE(error.message.find("p/triton"), std::string::npos);
    EXPECT_NE(error.message.find("no such shape"), std::string::npos);
  }
  EXPECT_LT(
      error_of("u", {500, {}, R"({"error":")" + std::string(10'000, 'x') + R"("})"}).message.size(),
      700u);
  EXPECT_NE(error_of("u", {502, {}, "<html>"}).message, "");
}

TEST(KserveCodec, ReadsMetadataAndNames) {
  const auto metadata = must(read_metadata(
      R"({"name":"m","inputs":[{"name":"x","datatype":"FP32","shape":[-1,4]}],"outputs":[{"name":"y","datatype":"FP32","shape":[-1]}]})"));
  EXPECT_EQ(metadata.inputs.at(0).shape, (std::vector<std::int64_t>{-1, 4}));
  EXPECT_EQ(metadata.outputs.at(0).name, "y");
  EXPECT_TRUE(must(read_metadata(R"({"name":"mlserver","inputs":null})")).inputs.empty());
  EXPECT_FALSE(read_metadata(R"({"inputs":[{"name":"x"}]})"));
  EXPECT_FALSE(read_metadata("<html>"));
  EXPECT_TRUE(has_binary(R"({"extensions":["x","binary_tensor_data"]})"));
  for (const char* none :
       {R"({"extensions":[]})", "{}", "", R"({"extensions":"binary_tensor_data"})"})
    EXPECT_FALSE(has_binary(none));
  EXPECT_EQ(must(name_of_model("scorer/versions/3")).version, "3");
  EXPECT_EQ(must(name_of_model("my-scorer_1.0")).name, "my-scorer_1.0");
  for (const char* none :
       {"", "a/b", "a/versions/", "../x", "a b", "a?x=1", "a/versions/1/infer", "/versions/1"})
    EXPECT_FALSE(name_of_model(none)) << none;
}

}  // namespace
}  // namespace penstock::kserve
