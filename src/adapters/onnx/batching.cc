#include "adapters/onnx/batching.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <semaphore>

namespace penstock::onnx {
namespace {

using infer::Tensor;
using Tensors = std::vector<Tensor>;

bool has_rows(const infer::TensorInfo& info) {
  return info.datatype != "BYTES" && !info.shape.empty() && info.shape.front() == -1;
}

// The same names, datatypes and shapes but for the rows: one matrix below the other.
bool stack(const Tensors& a, const Tensors& b) {
  return std::ranges::equal(a, b, [](const Tensor& one, const Tensor& other) {
    return one.name == other.name && one.datatype == other.datatype &&
           std::equal(one.shape.begin() + 1, one.shape.end(), other.shape.begin() + 1,
                      other.shape.end());
  });
}

// The rows of a call, if all of its tensors have as many and hold just their bytes.
std::optional<std::int64_t> rows_of(const Tensors& inputs) {
  std::optional<std::int64_t> rows;
  for (const Tensor& input : inputs) {
    if (input.shape.empty() || input.shape.front() < 1) return std::nullopt;
    if (rows && *rows != input.shape.front()) return std::nullopt;
    rows = input.shape.front();
    std::size_t bytes = infer::size_of(input.datatype);
    for (const std::int64_t size : input.shape)
      if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(size), &bytes))
        return std::nullopt;
    if (bytes == 0 || bytes != input.bytes.size()) return std::nullopt;
  }
  return rows;
}

class Batched final : public infer::Model {
 public:
  Batched(std::shared_ptr<infer::Model> model, BatchOptions options)
      : model_(std::move(model)), options_(options) {}

  const std::vector<infer::TensorInfo>& inputs() const override { return model_->inputs(); }
  const std::vector<infer::TensorInfo>& outputs() const override { return model_->outputs(); }
  std::int64_t memory_bytes() const override { return model_->memory_bytes(); }

  std::size_t waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_.size();
  }

  Result<Tensors> run(const Tensors& inputs, const infer::RunLimits& limits) override {
    // Large calls gain nothing by company, and would make the others wait.
    const auto rows = limits.alone || !shares_ ? std::nullopt : rows_of(inputs);
    if (!rows || *rows * 2 > options_.rows_max) return model_->run(inputs, limits);
    Waiter self{.inputs = &inputs, .rows = *rows, .deadline = limits.deadline};
    {
      std::unique_lock lock(mutex_);
      if (running_ >= options_.at_once) {
        waiting_.push_back(&self);
        gathered_.notify_one();
        lock.unlock();
        if (!wait_for(self, limits.deadline))
          return Error{Code::deadline_exceeded, "the deadline passed before the model was free"};
        if (self.answer) return std::move(*self.answer);
        lock.lock();  // it leads the next run, in the place of the one that ended
      } else {
        ++running_;
      }
      if (options_.wait.count() > 0) gather(lock, self);
      take_company(self);
    }
    run_together(self);
    pass_on();
    return std::move(*self.answer);
  }

 private:
  struct Waiter {
    const Tensors* inputs;
    std::int64_t rows;
    Timestamp deadline;
    std::vector<Waiter*> company = {};
    std::optional<Result<Tensors>> answer = {};  // none once it is woken: it leads
    bool taken = false;                          // by a leader, or made one
    std::binary_semaphore woken{0};
  };

  // False where the deadline came first; then nobody knows it any more.
  bool wait_for(Waiter& self, Timestamp deadline) {
    if (deadline == Timestamp::max()) {
      self.woken.acquire();
      return true;
    }
    if (self.woken.try_acquire_until(std::chrono::system_clock::time_point(deadline))) return true;
    {
      const std::lock_guard lock(mutex_);
      if (!self.taken) {
        std::erase(waiting_, &self);
        return false;
      }
    }
    self.woken.acquire();  // its run goes on and cannot be left
    return true;
  }

  void gather(std::unique_lock<std::mutex>& lock, const Waiter& self) {
    gathered_.wait_for(lock, options_.wait, [&] {
      std::int64_t rows = self.rows;
      for (const Waiter* other : waiting_) rows += other->rows;
      return rows >= options_.rows_max;
    });
  }

  // With mutex_ held: those that waited longest, as far as they fit.
  void take_company(Waiter& self) {
    std::int64_t rows = self.rows;
    while (shares_ && !waiting_.empty()) {
      Waiter* next = waiting_.front();
      if (rows + next->rows > options_.rows_max || !stack(*self.inputs, *next->inputs)) return;
      rows += next->rows;
      next->taken = true;
      self.company.push_back(next);
      waiting_.pop_front();
    }
  }

  // Whoever waited longest leads the next run; else the place is free.
  void pass_on() {
    Waiter* next = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (waiting_.empty()) {
        --running_;
        return;
      }
      next = waiting_.front();
      waiting_.pop_front();
      next->taken = true;
    }
    next->woken.release();
  }

  void run_together(Waiter& self) {
    try {
      if (self.company.empty() || !run_as_one(self)) {
        self.answer = model_->run(*self.inputs, {.deadline = self.deadline});
        for (Waiter* other : self.company)
          other->answer = model_->run(*other->inputs, {.deadline = other->deadline});
      }
    } catch (const std::exception& fault) {
      // Nobody may be left waiting.
      const Error error{Code::unavailable, std::string("the model could not run: ") + fault.what()};
      self.answer = error;
      for (Waiter* other : self.company) other->answer = error;
    }
    for (Waiter* other : self.company) other->woken.release();  // it may be gone past this line
  }

  bool run_as_one(Waiter& self) {
    Tensors all = *self.inputs;
    Timestamp last = self.deadline;  // of those who still wait for it
    for (const Waiter* other : self.company) last = std::max(last, other->deadline);
    for (const Waiter* other : self.company)
      for (std::size_t at = 0; at < all.size(); ++at) {
        all[at].bytes += (*other->inputs)[at].bytes;
        all[at].shape.front() += other->rows;
      }
    const std::int64_t rows = all.front().shape.front();
    const auto made = model_->run(all, {.deadline = last});
    if (!made) return false;
    for (const Tensor& output : *made)
      if (output.shape.empty() || output.shape.front() != rows) {
        shares_ = false;  // its answers are not rows
        return false;
      }
    std::int64_t first = 0;
    const auto give = [&](Waiter& waiter) {
      Tensors part;
      for (const Tensor& output : *made) {
        const std::size_t row = output.bytes.size() / static_cast<std::size_t>(rows);
        Tensor& out = part.emplace_back(Tensor{output.name, output.datatype, output.shape, {}});
        out.shape.front() = waiter.rows;
        out.bytes = output.bytes.substr(static_cast<std::size_t>(first) * row,
                                        static_cast<std::size_t>(waiter.rows) * row);
      }
      first += waiter.rows;
      waiter.answer = std::move(part);
    };
    give(self);
    for (Waiter* other : self.company) give(*other);
    return true;
  }

  const std::shared_ptr<infer::Model> model_;
  const BatchOptions options_;
  std::atomic<bool> shares_{true};
  mutable std::mutex mutex_;
  std::condition_variable gathered_;
  std::deque<Waiter*> waiting_;
  int running_ = 0;
};

}  // namespace

bool can_share(const infer::Model& model) {
  return !model.inputs().empty() && std::ranges::all_of(model.inputs(), has_rows) &&
         std::ranges::all_of(model.outputs(), has_rows);
}

std::size_t waiting_calls(const infer::Model& model) {
  const auto* shared = dynamic_cast<const Batched*>(&model);
  return shared ? shared->waiting() : 0;
}

std::shared_ptr<infer::Model> batched(std::shared_ptr<infer::Model> model, BatchOptions options) {
  if (options.rows_max < 2 || !can_share(*model)) return model;
  return std::make_shared<Batched>(std::move(model), options);
}

}  // namespace penstock::onnx
