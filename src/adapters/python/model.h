// The worker processes of one model, and the calls that wait for them.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "adapters/python/arrays.h"
#include "adapters/python/python.h"
#include "adapters/python/worker.h"

namespace penstock::python {

struct ModelOptions {
  Options limits;
  jobs::Command command;  // that runs a worker
  std::string folder;     // the model's files, removed with it
  std::string log;        // path; "-<number>.log" is added
};

class Model final : public infer::Model {
 public:
  Model(jobs::Launcher& launcher, ModelOptions options);
  ~Model() override;

  // Starts the workers and waits for the first to have its model.
  Result<void> start();

  const std::vector<infer::TensorInfo>& inputs() const override { return inputs_; }
  const std::vector<infer::TensorInfo>& outputs() const override { return outputs_; }
  using infer::Model::run;
  Result<std::vector<infer::Tensor>> run(const std::vector<infer::Tensor>& inputs,
                                         const infer::RunLimits& limits) override;
  std::int64_t memory_bytes() const override;
  double gpus() const override { return gpus_; }

 private:
  struct Job {
    std::string content;
    std::uint64_t digest = 0;
    bool done = false;
    Result<Message> answer = Error{Code::internal, "not answered"};
  };
  enum class Standing { starting, up, resting };
  struct Place {
    Standing standing = Standing::starting;
    std::int64_t memory = 0;
    std::thread thread;  // layers: allow a worker process ends with the thread that started it
  };

  void tend(std::size_t place);
  Result<void> first_words(Worker& worker);
  void serve(Worker& worker, std::size_t place);
  Result<Message> call(Worker& worker, const Job& job, bool& lost);
  void rest(std::size_t place, const Error& why, int failures);
  Error resting_error() const;
  std::shared_ptr<Job> next();
  Result<void> enter(const std::shared_ptr<Job>& job);
  Result<void> refuse_poison(std::uint64_t digest);
  void note_poison(std::uint64_t digest);

  jobs::Launcher& launcher_;
  const ModelOptions options_;
  std::vector<infer::TensorInfo> inputs_, outputs_;
  double gpus_ = 0;

  mutable std::mutex turn_;
  std::condition_variable answered_;  // a job is done, a worker is up, or it all stops
  std::deque<std::shared_ptr<Job>> waiting_;
  std::vector<Place> places_;
  bool described_ = false, stopping_ = false;
  Error fault_{Code::unavailable, "its worker has not started yet"};  // the last one
  struct Poison {
    int times = 0;
    Deadline forgotten;
  };
  std::map<std::uint64_t, Poison> poison_;  // inputs that ended a worker
  Descriptor jobs_, stop_;                  // events for those who wait in poll()
};

}  // namespace penstock::python
