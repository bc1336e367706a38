#include "adapters/onnx/onnx.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock {
namespace {

using infer::Tensor;
using test::must;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <class T>
std::vector<T> values_of(const std::string& bytes) {
  std::vector<T> out(bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

std::string texts(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values)
    out += bytes_of(std::vector{static_cast<std::uint32_t>(value.size())}) + value;
  return out;
}

std::string said(const std::vector<infer::TensorInfo>& infos) {
  std::string out;
  for (const auto& info : infos) {
    out += info.name + " " + info.datatype + " [";
    for (const std::int64_t size : info.shape) out += std::to_string(size) + ",";
    out += "]; ";
  }
  return out;
}

class OnnxTest : public testing::Test {
 protected:
  std::shared_ptr<infer::Model> load(const std::string& name) {
    return must(runtime_->load("tests/data/" + name + ".onnx"));
  }
  template <class T>
  void refused(Code code, const Result<T>& got, const std::string& says) {
    ASSERT_FALSE(got) << says;
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
    EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
  }

  std::unique_ptr<infer::Runtime> runtime_ = onnx::open({});
};

TEST_F(OnnxTest, RunsOneRowAndMany) {
  const auto model = load("linear");
  EXPECT_EQ(said(model->inputs()), "x FP32 [-1,3,]; ");
  EXPECT_EQ(said(model->outputs()), "y FP32 [-1,3,]; ");
  runtime_.reset();
  for (const std::int64_t rows : {0, 1, 1000}) {
    std::vector<float> x(static_cast<std::size_t>(rows) * 3);
    for (std::size_t at = 0; at < x.size(); ++at) x[at] = static_cast<float>(at);
    const auto got = must(model->run({{"x", "FP32", {rows, 3}, bytes_of(x)}}));
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].name, "y");
    EXPECT_EQ(got[0].datatype, "FP32");
    EXPECT_EQ(got[0].shape, (std::vector<std::int64_t>{rows, 3}));
    const auto y = values_of<float>(got[0].bytes);
    ASSERT_EQ(y.size(), x.size());
    for (std::size_t at = 0; at < x.size(); ++at) EXPECT_EQ(y[at], x[at] * 2 + 1);
  }
}

TEST_F(OnnxTest, TakesInputsInAnyOrderAndTextsOfAnyBytes) {
  const auto model = load("mixed");
  const std::string words = texts({"green", "", std::string("re\0d", 4), "red"});
  const Tensor id{"id", "INT64", {4, 1}, bytes_of(std::vector<std::int64_t>{-2, 0, 9, 4})};
  const Tensor word{"word", "BYTES", {4, 1}, words};
  for (const auto& inputs : {std::vector{id, word}, std::vector{word, id}}) {
    const auto got = must(model->run(inputs));
    ASSERT_EQ(got.size(), 3U);
    EXPECT_EQ(values_of<std::int64_t>(got[0].bytes), (std::vector<std::int64_t>{-1, 1, 10, 5}));
    EXPECT_EQ(got[1].datatype, "BYTES");
    EXPECT_EQ(got[1].bytes, words);
    EXPECT_EQ(values_of<std::int64_t>(got[2].bytes), (std::vector<std::int64_t>{1, -1, -1, 0}));
  }
}

TEST_F(OnnxTest, PassesEveryDatatypeThrough) {
  const auto model = load("identity");
  std::vector<Tensor> inputs;
  std::string names;
  for (const auto& info : model->inputs()) {
    names += info.datatype + " ";
    const std::size_t size = infer::size_of(info.datatype);
    std::string bytes(size * 2, '\1');
    if (info.datatype == "BYTES") bytes = texts({"a", "bc"});
    inputs.push_back({info.name, info.datatype, {2}, bytes});
  }
  EXPECT_EQ(names,
            "BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 BF16 FP32 FP64 BYTES ");
  const auto got = must(model->run(inputs));
  ASSERT_EQ(got.size(), inputs.size());
  for (std::size_t at = 0; at < got.size(); ++at) {
    EXPECT_EQ(got[at].datatype, inputs[at].datatype);
    EXPECT_EQ(got[at].bytes, inputs[at].bytes) << got[at].datatype;
  }
}

TEST_F(OnnxTest, RefusesWrongInputsAndSaysWhatItTakes) {
  const auto model = load("mixed");
  const std::string number(8, '\0'), word = texts({"red"});
  const Tensor id{"id", "INT64", {1, 1}, number}, fine{"word", "BYTES", {1, 1}, word};
  struct Case {
    std::string what;
    std::vector<Tensor> inputs;
    std::string says;
  };
  const std::int64_t big = std::int64_t{1} << 62;
  const Case cases[] = {
      {"none", {}, "takes 2 inputs, not 0"},
      {"one too few", {id}, "takes 2 inputs, not 1"},
      {"one too many", {id, fine, fine}, "takes 2 inputs, not 3"},
      {"twice the same", {id, id}, "comes twice"},
      {"another name", {id, {"words", "BYTES", {1, 1}, word}}, "no input words: it takes id, word"},
      {"another datatype", {{"id", "INT32", {1, 1}, number}, fine}, "must be INT64 [any,1]"},
      {"no datatype", {{"id", "", {1, 1}, number}, fine}, "must be INT64"},
      {"fewer dimensions", {{"id", "INT64", {1}, number}, fine}, "[any,1], not INT64 [1]"},
      {"more dimensions", {{"id", "INT64", {1, 1, 1}, number}, fine}, "[any,1]"},
      {"a wrong dimension", {{"id", "INT64", {1, 2}, number + number}, fine}, "[any,1]"},
      {"a negative dimension", {{"id", "INT64", {-1, 1}, number}, fine}, "[any,1]"},
      {"too few bytes", {{"id", "INT64", {2, 1}, number}, fine}, "has 8 bytes"},
      {"too many bytes", {{"id", "INT64", {1, 1}, number + "x"}, fine}, "has 9 bytes"},
      {"no bytes", {{"id", "INT64", {1, 1}, ""}, fine}, "has 0 bytes"},
      {"a shape beyond memory", {{"id", "INT64", {big, 1}, ""}, fine}, "has 0 bytes"},
      {"a text too few", {id, {"word", "BYTES", {2, 1}, word}}, "as many texts"},
      {"a text too many", {id, {"word", "BYTES", {1, 1}, word + word}}, "as many texts"},
      {"a cut length", {id, {"word", "BYTES", {1, 1}, word.substr(0, 3)}}, "as many texts"},
      {"a cut text", {id, {"word", "BYTES", {1, 1}, word.substr(0, 6)}}, "as many texts"},
      {"texts beyond memory", {id, {"word", "BYTES", {big, 1}, word}}, "as many texts"},
      {"rows that differ", {id, {"word", "BYTES", {0, 1}, ""}}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    if (c.says.empty())
      EXPECT_TRUE(model->run(c.inputs));  // the graph itself does not mind
    else
      refused(Code::invalid_argument, model->run(c.inputs), c.says);
  }
  EXPECT_TRUE(model->run({id, fine}));
}

TEST_F(OnnxTest, LeavesOutOutputsThatAreNoTensorsAndSaysWhyARunFailed) {
  const auto model = load("awkward");
  EXPECT_EQ(said(model->inputs()), "x FP32 [-1,2,]; at INT64 []; ");
  EXPECT_EQ(said(model->outputs()), "picked FP32 []; ");
  const Tensor x{"x", "FP32", {1, 2}, std::string(8, '\0')};
  const auto at = [](std::int64_t place) {
    return Tensor{"at", "INT64", {}, bytes_of(std::vector{place})};
  };
  EXPECT_EQ(values_of<float>(must(model->run({x, at(4)})).at(0).bytes), std::vector{40.0F});
  refused(Code::invalid_argument, model->run({x, at(9)}), "Gather");
}

TEST_F(OnnxTest, RefusesWhatIsNoModel) {
  const test::TempDir directory;
  refused(Code::not_found, runtime_->load(directory / "missing.onnx"), "missing.onnx");
  refused(Code::not_found, runtime_->load(directory.path()), "no model file");
  std::ofstream(directory / "empty.onnx");
  std::ofstream(directory / "text.onnx") << "this is no model";
  std::string whole;
  {
    std::ifstream in("tests/data/linear.onnx", std::ios::binary);
    whole.assign(std::istreambuf_iterator<char>(in), {});
  }
  ASSERT_GT(whole.size(), 100U);
  std::ofstream(directory / "cut.onnx") << whole.substr(0, 90);
  std::string changed = whole;
  changed.replace(changed.find("Mul"), 3, "Mux");
  std::ofstream(directory / "operator.onnx") << changed;
  for (const std::string name : {"empty", "text", "cut", "operator"})
    refused(Code::invalid_argument, runtime_->load(directory / (name + ".onnx")), "ONNX Runtime: ");
}

TEST(OnnxOpenTest, RefusesLibrariesThatAreNotOnnxRuntime) {
  const test::TempDir directory;
  std::ofstream(directory / "text.so") << "no library";
  for (const std::string& library :
       {directory / "missing.so", directory / "text.so", std::string("libm.so.6")}) {
    const auto got = onnx::open({.library = library})->load("tests/data/linear.onnx");
    ASSERT_FALSE(got) << library;
    EXPECT_EQ(got.error().code, Code::unavailable);
    EXPECT_NE(got.error().message.find(library), std::string::npos) << got.error().message;
  }
  EXPECT_FALSE(onnx::open({.threads = 0})->load("tests/data/linear.onnx"));
}

TEST_F(OnnxTest, RunsOneModelFromManyThreads) {
  const auto model = load("linear");
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      const auto x = static_cast<float>(thread);
      for (int run = 0; run < 500; ++run) {
        const auto got = must(model->run({{"x", "FP32", {1, 3}, bytes_of(std::vector{x, x, x})}}));
        ASSERT_EQ(values_of<float>(got.at(0).bytes), std::vector<float>(3, x * 2 + 1));
      }
    });
}

}  // namespace
}  // namespace penstock
