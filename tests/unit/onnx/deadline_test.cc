// A run that has begun ends with its caller's deadline.
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/onnx/batching.h"
#include "adapters/onnx/onnx.h"
#include "tests/support/fixture.h"
#include "tests/unit/serving/tiny_model.h"

namespace penstock {
namespace {

using std::chrono::milliseconds;
using test::Message;
using test::must;

// As many products one after the other that a call of many rows takes a minute and more.
constexpr std::uint64_t width = 512;
std::string slow_model() {
  constexpr int products = 1'500;
  Message graph;
  for (int at = 0; at < products; ++at)
    graph.add(1, test::node("MatMul", {at == 0 ? "x" : "p" + std::to_string(at - 1), "weights"},
                            at + 1 == products ? "y" : "p" + std::to_string(at)));
  graph.bytes(2, "slow")
      .add(5, test::floats("weights", {width, width}, std::vector<float>(width * width, 0.5F)))
      .add(11, test::matrix("x", width))
      .add(12, test::matrix("y", width));
  return Message().number(1, 8).add(7, graph).add(8, Message().bytes(1, "").number(2, 13)).text();
}

class DeadlineTest : public testing::Test {
 protected:
  static std::string written(const std::string& path) {
    std::ofstream(path, std::ios::binary) << slow_model();
    return path;
  }
  static std::vector<infer::Tensor> rows(std::int64_t count) {
    return {{"x",
             "FP32",
             {count, width},
             std::string(static_cast<std::size_t>(count) * width * sizeof(float), '\0')}};
  }
  static Timestamp in(Micros time) {
    return std::chrono::time_point_cast<Micros>(std::chrono::system_clock::now()) + time;
  }
  static void expect_late(const Result<std::vector<infer::Tensor>>& got, const std::string& says) {
    ASSERT_FALSE(got) << "it ran to its end";
    EXPECT_EQ(got.error().code, Code::deadline_exceeded) << got.error().message;
    EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
  }

  const test::TempDir directory_;
  const std::string path_ = written(directory_ / "slow.onnx");
  std::unique_ptr<infer::Runtime> runtime_ = onnx::open({.batch_at_once = 1});
  std::shared_ptr<infer::Model> model_ = must(runtime_->load(path_));
};

TEST_F(DeadlineTest, EndsARunThatHasBegun) {
  const auto many = rows(20'000);
  for (const int time : {1'000, 500})
    expect_late(model_->run(many, {.deadline = in(milliseconds(time))}),
                "passed while the model ran");
  expect_late(model_->run(rows(1), {.deadline = in(milliseconds(-1))}),
              "before the model could run");
  const auto made = must(model_->run(rows(1), {.deadline = in(std::chrono::hours(1))}));
  EXPECT_EQ(made.at(0).shape, (std::vector<std::int64_t>{1, width}));
  EXPECT_EQ(must(model_->run(rows(2))).at(0).shape.front(), 2);
}

TEST_F(DeadlineTest, EndsTheRunsOfOneCallAndNoOthers) {
  std::vector<std::jthread> callers;
  std::atomic<int> late = 0, made = 0;
  for (int caller = 0; caller < 6; ++caller)
    callers.emplace_back([&, patient = caller % 2 == 0] {
      const auto got =
          model_->run(patient ? rows(1) : rows(20'000),
                      {.deadline = patient ? in(std::chrono::hours(1)) : in(milliseconds(300))});
      if (got) ++made;
      if (!got && got.error().code == Code::deadline_exceeded) ++late;
    });
  callers.clear();
  EXPECT_EQ(made, 3);
  EXPECT_EQ(late, 3);
}

// A shared run goes on as long as one of its callers waits for it.
TEST_F(DeadlineTest, ASharedRunEndsWithTheLastDeadlineOfItsCalls) {
  std::vector<std::jthread> callers;
  std::atomic<int> late = 0, made = 0;
  const auto call = [&](Timestamp deadline) {
    callers.emplace_back([&, deadline] {
      const auto got = model_->run(rows(16), {.deadline = deadline});
      if (got) ++made;
      if (!got && got.error().code == Code::deadline_exceeded) ++late;
    });
  };
  for (int at = 0; at < 4; ++at) call(in(milliseconds(30)));
  callers.clear();
  EXPECT_EQ(late, 4);
  for (int at = 0; at < 4; ++at) call(in(std::chrono::hours(1)));
  callers.clear();
  EXPECT_EQ(made, 4);
}

}  // namespace
}  // namespace penstock
