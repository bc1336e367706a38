#include "adapters/python/python.h"

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <boost/json.hpp>
#include <gtest/gtest.h>

#include "adapters/process/process.h"
#include "adapters/python/arrays.h"
#include "adapters/python/environment.h"
#include "tests/support/fixture.h"

namespace penstock::python {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;
using infer::Tensor;
using test::must;

const std::string interpreter = fs::absolute(".venv/bin/python").string();

template <class T>
Tensor tensor(const std::string& name, const std::string& datatype, std::vector<std::int64_t> shape,
              const std::vector<T>& values) {
  return {name, datatype, std::move(shape),
          std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T))};
}

Tensor texts(const std::string& name, const std::vector<std::string>& values) {
  Tensor out{name, "BYTES", {static_cast<std::int64_t>(values.size())}, ""};
  for (const std::string& value : values) {
    const auto length = static_cast<std::uint32_t>(value.size());
    out.bytes.append(reinterpret_cast<const char*>(&length), sizeof length).append(value);
  }
  return out;
}

template <class T>
std::vector<T> values_of(const Tensor& tensor) {
  std::vector<T> out(tensor.bytes.size() / sizeof(T));
  std::memcpy(out.data(), tensor.bytes.data(), out.size() * sizeof(T));
  return out;
}

// Gone, or dead and only waiting to be reaped by whoever took it over.
bool ended(std::int64_t process) {
  std::ifstream in("/proc/" + std::to_string(process) + "/stat");
  const std::string stat((std::istreambuf_iterator<char>(in)), {});
  return stat.empty() || stat.substr(stat.rfind(')') + 2, 1) == "Z";
}

class PythonTest : public testing::Test {
 protected:
  // Real models of scikit-learn and of MLflow's PythonModel, made once.
  static void SetUpTestSuite() {
    models_ = new test::TempDir;
    const auto made = must(process::runner()->run(
        {.arguments = {interpreter, "tests/unit/runtimes/models.py", models_->path()},
         .log_path = *models_ / "log"}));
    if (made.exit_code != 0) throw std::runtime_error(made.tail);
    std::ifstream in(*models_ / "expected.json");
    expected_ = new json::value(json::parse(in));
  }
  static void TearDownTestSuite() {
    delete models_;
    delete expected_;
  }

  Options options() const {
    return {.interpreter = interpreter,
            .scratch = directory_.path(),
            .start_time = std::chrono::minutes(5)};
  }
  std::shared_ptr<infer::Model> load(const Options& options, const std::string& model) {
    return must(open(*launcher_, options)->load(*models_ / model));
  }
  static Result<std::int64_t> odd(infer::Model& model, std::int64_t order,
                                  const infer::RunLimits& limits = {}) {
    const auto got = TRY(model.run({tensor<std::int64_t>("order", "INT64", {1}, {order})}, limits));
    EXPECT_EQ(values_of<std::int64_t>(got.at(0)).at(0), order);
    return values_of<std::int64_t>(got.at(1)).at(0);
  }
  // After a pause; what never comes ends the test by ctest's limit.
  static void until_it_answers(infer::Model& model) {
    while (!odd(model, 1)) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  static void refused(const auto& got, Code code, const std::string& says) {
    ASSERT_FALSE(got);
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
    EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
  }

  static test::TempDir* models_;
  static json::value* expected_;
  const std::unique_ptr<jobs::Launcher> launcher_ = process::launcher();
  const test::TempDir directory_;
};
test::TempDir* PythonTest::models_ = nullptr;
json::value* PythonTest::expected_ = nullptr;

TEST_F(PythonTest, RunsAModelOfScikitLearnByItsColumns) {
  const auto model = load(options(), "flights");
  ASSERT_EQ(model->inputs().size(), 3u);
  EXPECT_EQ(model->inputs()[0].name, "distance");
  EXPECT_EQ(model->inputs()[0].datatype, "FP64");
  EXPECT_EQ(model->inputs()[1].datatype, "INT64");
  EXPECT_EQ(model->inputs()[2].datatype, "BYTES");
  EXPECT_EQ(model->inputs()[2].shape, std::vector<std::int64_t>{-1});
  EXPECT_EQ(model->outputs().at(0).name, "output-0");
  EXPECT_EQ(model->outputs().at(0).shape, (std::vector<std::int64_t>{-1, 2}));
  EXPECT_EQ(model->gpus(), 0.25);
  EXPECT_GT(model->memory_bytes(), 20 << 20);

  const auto got = must(model->run({texts("carrier", {"UA", "DL", "AA"}),
                                    tensor<double>("distance", "FP64", {3, 1}, {100, 900, 400}),
                                    tensor<std::int64_t>("hour", "INT64", {3}, {0, 1, 2})}));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].shape, (std::vector<std::int64_t>{3, 2}));
  std::vector<double> wanted;
  for (const json::value& row : expected_->at("flights").as_array())
    for (const json::value& one : row.as_array()) wanted.push_back(one.to_number<double>());
  EXPECT_EQ(values_of<double>(got[0]), wanted) << "bit for bit what predict_proba gives";
}

TEST_F(PythonTest, TakesTensorsAsTheyAreAndFindsOutputsThatNoSignatureNames) {
  const auto line = load(options(), "line");
  ASSERT_EQ(line->inputs().size(), 1u);
  EXPECT_EQ(line->inputs()[0].name, "input-0");
  EXPECT_EQ(line->outputs().at(0).name, "output-0");
  const auto got =
      must(line->run({tensor<float>("input-0", "FP32", {2, 2}, {0.0F, 1.0F, 2.0F, 3.0F})}));
  const auto& wanted = expected_->at("line").as_array();
  ASSERT_EQ(got.at(0).datatype, "FP32");
  EXPECT_FLOAT_EQ(values_of<float>(got[0]).at(1),
                  static_cast<float>(wanted[1].to_number<double>()));

  const auto echo = load(options(), "echo");
  const auto back = must(
      echo->run({tensor<std::int16_t>("number", "INT16", {2, 2}, {1, 2, -3, 4}),
                 tensor<std::uint8_t>("flag", "BOOL", {2, 1}, {0, 1}), texts("text", {"a", "é"})}));
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(values_of<std::int16_t>(back[0]), (std::vector<std::int16_t>{2, 4, -6, 8}));
  EXPECT_EQ(back[0].shape, (std::vector<std::int64_t>{2, 2}));
  EXPECT_EQ(back[1].bytes, texts("text", {"A", "É"}).bytes);
  EXPECT_EQ(values_of<std::uint8_t>(back[2]), (std::vector<std::uint8_t>{1, 0}));
}

TEST_F(PythonTest, RefusesWrongInputsAndSaysWhatWasExpected) {
  const auto model = load(options(), "flights");
  const Tensor distance = tensor<double>("distance", "FP64", {1}, {1}),
               hour = tensor<std::int64_t>("hour", "INT64", {1}, {1}),
               carrier = texts("carrier", {"UA"});
  struct Case {
    std::string what;
    std::vector<Tensor> inputs;
    std::string says;
  };
  Tensor shortened = hour, several = carrier;
  shortened.bytes.pop_back();
  several.bytes += "more";
  const Case cases[] = {
      {"nothing", {}, "input distance is missing"},
      {"one is missing", {distance, hour}, "input carrier is missing"},
      {"unknown",
       {distance, hour, carrier, texts("colour", {"red"})},
       "no input colour: it takes distance, hour, carrier"},
      {"twice", {distance, hour, hour, carrier}, "hour stands twice"},
      {"datatype",
       {tensor<float>("distance", "FP32", {1}, {1}), hour, carrier},
       "must be FP64 [any], not FP32 [1]"},
      {"shape",
       {tensor<double>("distance", "FP64", {1, 2}, {1, 2}), hour, carrier},
       "not FP64 [1,2]"},
      {"negative", {tensor<double>("distance", "FP64", {-1}, {1}), hour, carrier}, "must be FP64"},
      {"short data", {distance, shortened, carrier}, "has 7 bytes"},
      {"texts that are none", {distance, hour, several}, "bytes, which its shape"},
      {"rows",
       {tensor<double>("distance", "FP64", {2}, {1, 2}), hour, carrier},
       "same number of rows"},
      {"no UTF-8", {distance, hour, texts("carrier", {"\xff"})}, "cannot be read"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    refused(model->run(c.inputs), Code::invalid_argument, c.says);
  }
  EXPECT_TRUE(model->run({distance, hour, carrier}));
}

TEST_F(PythonTest, LetsACallThatEndsItsWorkerFailAlone) {
  const auto model = load(options(), "odd");
  const std::int64_t first = must(odd(*model, 1));
  EXPECT_EQ(must(odd(*model, 2)), first) << "one process serves on";
  refused(odd(*model, 5), Code::internal, "ValueError: five is right out");
  EXPECT_EQ(must(odd(*model, 1)), first) << "an exception ends nothing";

  refused(odd(*model, 13), Code::internal, "ended by signal 9: thirteen!");
  const std::int64_t second = must(odd(*model, 1));
  EXPECT_NE(second, first);
  EXPECT_TRUE(ended(first));
  refused(odd(*model, 13), Code::internal, "ended by signal 9");
  refused(odd(*model, 13), Code::failed_precondition, "2 times");
  until_it_answers(*model);
  refused(odd(*model, 13), Code::failed_precondition, "not run again");
}

TEST_F(PythonTest, GivesAWorkerThatEndsAgainAndAgainAPause) {
  const auto model = load(options(), "odd");
  refused(odd(*model, 14), Code::internal, "ended with code 3");
  must(odd(*model, 1));
  refused(odd(*model, 100), Code::internal, "");
  const auto during = odd(*model, 1);
  refused(during, Code::unavailable, "starts again after a pause");
  until_it_answers(*model);
}

TEST_F(PythonTest, EndsACallThatTakesTooLongAndNotThatOfAHastyCaller) {
  Options limits = options();
  limits.run_time = std::chrono::milliseconds(1'500);
  const auto model = load(limits, "odd");
  const std::int64_t first = must(odd(*model, 1));
  refused(odd(*model, 8, {.deadline = SystemClock().now() + std::chrono::milliseconds(50)}),
          Code::deadline_exceeded, "in time");
  EXPECT_EQ(must(odd(*model, 1)), first) << "a caller in a hurry ends no worker of others";
  refused(odd(*model, 7), Code::deadline_exceeded, "within 1500 ms");
  EXPECT_NE(must(odd(*model, 1)), first);
  EXPECT_TRUE(ended(first));
}

TEST_F(PythonTest, HoldsAWorkerToItsMemory) {
  Options limits = options();
  limits.memory_bytes = std::int64_t{2} << 30;
  const auto model = load(limits, "odd");
  const std::int64_t first = must(odd(*model, 1));
  refused(odd(*model, 99), Code::internal, "MemoryError");
  EXPECT_EQ(must(odd(*model, 1)), first);
}

TEST_F(PythonTest, BoundsItsLog) {
  const auto model = load(options(), "odd");
  for (int i = 0; i < 8; ++i) must(odd(*model, 9));
  std::uintmax_t size = 0;
  for (const auto& file : fs::directory_iterator(directory_ / "logs")) size += file.file_size();
  EXPECT_GT(size, 1u << 20);
  EXPECT_LE(size, 2u << 20);
}

TEST_F(PythonTest, AnswersManyAtOnceByItsWorkersAndRefusesMoreThanMayWait) {
  Options limits = options();
  limits.workers = 2;
  limits.waiting_max = 4;
  const auto model = load(limits, "odd");
  std::mutex turn;
  std::set<std::int64_t> processes;
  std::atomic<int> full{0}, answered{0};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 12; ++thread)
      threads.emplace_back([&, thread] {
        for (int call = 0; call < 20; ++call) {
          const auto got = odd(*model, 1'000 + thread * 100 + call);
          if (!got) {
            EXPECT_EQ(name_of(got.error().code), name_of(Code::resource_exhausted))
                << got.error().message;
            ++full;
            continue;
          }
          ++answered;
          const std::lock_guard lock(turn);
          processes.insert(*got);
        }
      });
  }
  EXPECT_EQ(full + answered, 240);
  EXPECT_GT(full, 0) << "12 callers, 2 workers and 4 places to wait";
  while (processes.size() < 2) {
    // The second one starts beside the calls of the first.
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 2; ++thread)
      threads.emplace_back([&] {
        const auto got = odd(*model, 8);
        const std::lock_guard lock(turn);
        if (got) processes.insert(*got);
      });
  }
  EXPECT_EQ(processes.size(), 2u);
}

TEST_F(PythonTest, LeavesNothingWhenItIsUnloaded) {
  auto runtime = open(*launcher_, options());
  auto model = must(runtime->load(*models_ / "odd"));
  const std::int64_t process = must(odd(*model, 1));
  runtime.reset();
  EXPECT_EQ(must(odd(*model, 1)), process) << "models outlive their runtime";
  EXPECT_FALSE(fs::is_empty(directory_ / "models"));
  model.reset();
  EXPECT_TRUE(ended(process));
  EXPECT_TRUE(fs::is_empty(directory_ / "models"));
}

TEST_F(PythonTest, SaysWhyAModelCannotBeLoaded) {
  const auto runtime = open(*launcher_, options());
  refused(runtime->load(*models_ / "nowhere"), Code::not_found, "no MLmodel");
  refused(runtime->load(*models_ / "unsigned"), Code::invalid_argument, "has no signature");
  refused(runtime->load(*models_ / "broken"), Code::invalid_argument, "no_such_module");
  Options absent = options();
  absent.interpreter = "/no/such/python";
  refused(open(*launcher_, absent)->load(*models_ / "odd"), Code::not_found, "/no/such/python");
  Options other = options();
  other.interpreter = "/bin/false";
  refused(open(*launcher_, other)->load(*models_ / "odd"), Code::unavailable, "ended with code 1");
  Options slow = options();
  slow.start_time = std::chrono::milliseconds(1);
  refused(open(*launcher_, slow)->load(*models_ / "odd"), Code::deadline_exceeded, "too long");
}

TEST_F(PythonTest, PrefersTheEnvironmentThatWasPreparedForTheSamePackages) {
  const std::string model = *models_ / "flights";
  const std::string key = environment_key(requirements_in(model));
  EXPECT_EQ(key.size(), 32u);
  EXPECT_EQ(environment_key(""), "");
  const std::string place = directory_ / key;
  fs::create_directories(place + "/bin");
  EXPECT_EQ(interpreter_for(model, directory_.path(), "python3"), "python3") << "not ready yet";
  std::ofstream(place + "/ready") << "";
  EXPECT_EQ(interpreter_for(model, directory_.path(), "python3"), place + "/bin/python");
  EXPECT_EQ(interpreter_for(*models_ / "broken", directory_.path(), "python3"), "python3");
  std::ofstream(place + "/bin/python") << "#!/bin/sh\nexec " << interpreter << " \"$@\"\n";
  fs::permissions(place + "/bin/python", fs::perms::owner_all);
  Options prepared = options();
  prepared.interpreter = "/no/such/python";
  prepared.environments = directory_.path();
  EXPECT_TRUE(open(*launcher_, prepared)->load(model));
}

TEST(Arrays, GoThereAndBack) {
  const std::vector<Tensor> tensors = {tensor<double>("a", "FP64", {2, 1, 2}, {1, -2, 3.5, 0}),
                                       tensor<std::uint8_t>("b", "BOOL", {3}, {1, 0, 1}),
                                       tensor<std::int64_t>("none", "INT64", {0, 4}, {}),
                                       tensor<float>("scalar", "FP32", {}, {4}),
                                       texts("t", {"", "x", std::string("a\0b", 3)})};
  const auto back = must(read_arrays(must(write_arrays(tensors))));
  ASSERT_EQ(back.size(), tensors.size());
  for (std::size_t at = 0; at < back.size(); ++at) {
    EXPECT_EQ(back[at].name, tensors[at].name);
    EXPECT_EQ(back[at].shape, tensors[at].shape);
    EXPECT_EQ(back[at].bytes, tensors[at].bytes);
  }
  // BOOL and UINT8 travel alike; what they were stays known.
  EXPECT_EQ(back[1].datatype, "BOOL");
}

TEST(Arrays, RefuseWhatIsNone) {
  const std::string good = must(write_arrays({tensor<double>("a", "FP64", {2}, {1, 2})}));
  EXPECT_TRUE(read_arrays(good));
  EXPECT_FALSE(read_arrays(""));
  EXPECT_FALSE(read_arrays("no arrow"));
  for (std::size_t size = 0; size + 8 < good.size(); size += 7)
    (void)read_arrays(good.substr(0, size));
  // Any byte may be wrong: an answer is an error or tensors whose bytes fit their shapes.
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string wrong = good;
    wrong[at] = static_cast<char>(wrong[at] ^ 0x5a);
    const auto got = read_arrays(wrong);
    if (!got) continue;
    for (const Tensor& one : *got) {
      std::int64_t count = 1;
      for (const std::int64_t size : one.shape) count *= size;
      const std::size_t element = infer::size_of(one.datatype);
      EXPECT_TRUE(element == 0 || static_cast<std::size_t>(count) * element == one.bytes.size());
    }
  }
}

}  // namespace
}  // namespace penstock::python
