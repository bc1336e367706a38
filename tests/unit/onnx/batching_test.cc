#include "adapters/onnx/batching.h"

#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/onnx/onnx.h"
#include "tests/support/fixture.h"

namespace penstock::onnx {
namespace {

using infer::Tensor;
using test::must;
using Tensors = std::vector<Tensor>;

// Gives back its rows, each number doubled; its runs can be held back and are counted.
class Doubling final : public infer::Model {
 public:
  std::vector<infer::TensorInfo> in{{"x", "FP32", {-1, 2}}}, out{{"y", "FP32", {-1, 2}}};
  std::atomic<bool> held = false;
  std::atomic<int> runs = 0, inside = 0;
  std::int64_t answer_rows = 0;  // 0: as many as came
  std::mutex turn;
  std::vector<std::int64_t> sizes;

  const std::vector<infer::TensorInfo>& inputs() const override { return in; }
  const std::vector<infer::TensorInfo>& outputs() const override { return out; }
  Result<Tensors> run(const Tensors& inputs, const infer::RunLimits&) override {
    ++inside;
    {
      const std::lock_guard lock(turn);
      sizes.push_back(inputs.front().shape.front());
    }
    held.wait(true);
    --inside;
    ++runs;
    Tensor answer = inputs.front();
    answer.name = "y";
    for (std::size_t at = 0; at < answer.bytes.size(); at += sizeof(float)) {
      float value = 0;
      std::memcpy(&value, answer.bytes.data() + at, sizeof value);
      if (value == 13) return Error{Code::invalid_argument, "13 is refused"};
      value *= 2;
      std::memcpy(answer.bytes.data() + at, &value, sizeof value);
    }
    if (answer_rows != 0) {
      answer.shape.front() = answer_rows;
      answer.bytes.resize(static_cast<std::size_t>(answer_rows) * 2 * sizeof(float));
    }
    return Tensors{answer};
  }
  void release() {
    held = false;
    held.notify_all();
  }
};

Tensors rows(const std::vector<float>& values) {
  Tensor tensor{"x", "FP32", {static_cast<std::int64_t>(values.size() / 2), 2}, {}};
  tensor.bytes.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return {tensor};
}

std::vector<float> values_of(const Result<Tensors>& got) {
  const Tensors tensors = must(got);
  const std::string& bytes = tensors.at(0).bytes;
  std::vector<float> out(bytes.size() / sizeof(float));
  std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

class BatchingTest : public testing::Test {
 protected:
  // Starts callers one after the other, each inside the model or waiting before the next begins.
  void call(infer::Model& model, const Tensors& inputs, infer::RunLimits limits = {}) {
    const std::size_t place = answers_.size();
    answers_.emplace_back(Error{Code::internal, "did not end"});
    callers_.emplace_back([this, &model, inputs, limits, place] {
      auto got = model.run(inputs, limits);
      const std::lock_guard lock(turn_);
      answers_[place] = std::move(got);
    });
    while (static_cast<std::size_t>(real_->inside) + waiting_calls(model) < callers_.size())
      std::this_thread::yield();
  }
  void end() {
    real_->release();
    callers_.clear();
  }

  std::shared_ptr<Doubling> real_ = std::make_shared<Doubling>();
  std::mutex turn_;
  std::deque<Result<Tensors>> answers_;
  std::vector<std::jthread> callers_;
};

TEST_F(BatchingTest, CallsThatWaitShareOneRunAndGetTheirOwnRows) {
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  real_->held = true;
  for (float i = 0; i < 6; ++i) call(*model, rows({i, i + 0.5F}));
  end();
  for (std::size_t i = 0; i < 6; ++i) {
    const auto first = static_cast<float>(i);
    EXPECT_EQ(values_of(answers_[i]), (std::vector{2 * first, 2 * first + 1}));
    EXPECT_EQ(answers_[i]->at(0).shape, (std::vector<std::int64_t>{1, 2}));
  }
  EXPECT_EQ(real_->runs, 2) << "the first alone, the five that came meanwhile together";
  EXPECT_EQ(real_->sizes, (std::vector<std::int64_t>{1, 5}));
}

TEST_F(BatchingTest, NoRunIsLargerThanAllowed) {
  const auto model = batched(real_, {.rows_max = 4, .at_once = 1});
  real_->held = true;
  for (float i = 0; i < 7; ++i) call(*model, rows({i, i, i, i}));  // two rows each
  end();
  for (const auto& answer : answers_) EXPECT_TRUE(answer);
  EXPECT_EQ(real_->sizes, (std::vector<std::int64_t>{2, 4, 4, 4}));
}

TEST_F(BatchingTest, ACallAloneRunsAtOnceAndAsItCame) {
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  EXPECT_EQ(values_of(model->run(rows({1, 2}), {})), (std::vector<float>{2, 4}));
  EXPECT_EQ(values_of(model->run(rows(std::vector<float>(200, 1)), {})).size(), 200u)
      << "more rows than a shared run may have";
  EXPECT_EQ(real_->runs, 2);
}

TEST_F(BatchingTest, WhoMustRunAloneDoes) {
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  real_->held = true;
  call(*model, rows({1, 1}));
  call(*model, rows({2, 2}), {.alone = true});
  call(*model, rows({3, 3}), {.alone = true});
  EXPECT_EQ(real_->inside, 3) << "it waits for nobody either";
  end();
  EXPECT_EQ(real_->sizes, (std::vector<std::int64_t>{1, 1, 1}));
}

TEST_F(BatchingTest, OneCallsFaultIsItsOwn) {
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  real_->held = true;
  call(*model, rows({1, 1}));
  call(*model, rows({2, 2}));
  call(*model, rows({13, 3}));
  call(*model, rows({4, 4}));
  end();
  EXPECT_TRUE(answers_[0] && answers_[1] && answers_[3]);
  ASSERT_FALSE(answers_[2]);
  EXPECT_EQ(answers_[2].error().message, "13 is refused");
  EXPECT_EQ(values_of(answers_[3]), (std::vector<float>{8, 8}));
}

TEST_F(BatchingTest, AnswersThatAreNoRowsAreNeverShared) {
  real_->answer_rows = 1;
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  real_->held = true;
  for (float i = 0; i < 3; ++i) call(*model, rows({i, i}));
  end();
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_EQ(values_of(answers_[i])[0], 2 * static_cast<float>(i));
  EXPECT_EQ(real_->sizes, (std::vector<std::int64_t>{1, 2, 1, 1})) << "tried once";
}

TEST_F(BatchingTest, WhoWaitsTooLongLeavesAndTheOthersGoOn) {
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  real_->held = true;
  call(*model, rows({1, 1}));
  const auto late =
      model->run(rows({2, 2}), {.deadline = SystemClock().now() + std::chrono::milliseconds(5)});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::deadline_exceeded);
  call(*model, rows({3, 3}));
  end();
  EXPECT_EQ(values_of(answers_[1]), (std::vector<float>{6, 6}));
  EXPECT_EQ(real_->runs, 2);
}

TEST_F(BatchingTest, OtherShapesWaitForTheirOwnRun) {
  real_->in = {{"x", "FP32", {-1, -1}}};
  const auto model = batched(real_, {.rows_max = 64, .at_once = 1});
  Tensors wide = rows({1, 2, 3, 4});
  wide[0].shape = {1, 4};
  real_->held = true;
  call(*model, rows({1, 1}));
  call(*model, rows({2, 2}));
  call(*model, wide);
  call(*model, rows({4, 4}));
  end();
  EXPECT_EQ(values_of(answers_[2]), (std::vector<float>{2, 4, 6, 8}));
  EXPECT_EQ(values_of(answers_[3]), (std::vector<float>{8, 8}));
}

TEST_F(BatchingTest, ARunWaitsForOthersWhereItIsTold) {
  const auto model =
      batched(real_, {.rows_max = 3, .at_once = 1, .wait = std::chrono::seconds(30)});
  // The wait ends with the third row, long before its time.
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 3; ++i)
      callers.emplace_back([&] { EXPECT_TRUE(model->run(rows({1, 1}), {})); });
  }
  EXPECT_EQ(real_->sizes, (std::vector<std::int64_t>{3}));
}

TEST_F(BatchingTest, IsLeftOutWhereTheSignatureHasNoRows) {
  real_->out = {{"y", "FP32", {2}}};
  EXPECT_EQ(batched(real_, {}), real_);
  real_->out = {{"y", "BYTES", {-1}}};
  EXPECT_EQ(batched(real_, {}), real_);
  real_->out = {{"y", "FP32", {-1}}};
  EXPECT_NE(batched(real_, {}), real_);
  EXPECT_EQ(batched(real_, {.rows_max = 1}), real_);
}

TEST_F(BatchingTest, ManyCallersGetWhatTheyAskedFor) {
  const auto model = batched(real_, {.rows_max = 8, .at_once = 2});
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 8; ++caller)
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 500; ++i) {
        const auto value = static_cast<float>(caller * 1'000 + i + 100);
        EXPECT_EQ(values_of(model->run(rows({value, 1}), {})), (std::vector{2 * value, 2.0F}));
      }
    });
}

}  // namespace
}  // namespace penstock::onnx
