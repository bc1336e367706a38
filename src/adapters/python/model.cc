#include "adapters/python/model.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <boost/json.hpp>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/log.h"

namespace penstock::python {
namespace {

namespace json = boost::json;
using std::chrono::steady_clock;

constexpr int poison_times = 2;
constexpr std::size_t poison_max = 1'000;  // inputs
constexpr auto poison_time = std::chrono::minutes(10);
constexpr std::int64_t pause_max = 60'000;  // milliseconds

void signal(const Descriptor& event) {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event.number(), &one, sizeof one);
}

bool take(const Descriptor& event) {
  std::uint64_t one = 0;
  return ::read(event.number(), &one, sizeof one) == sizeof one;
}

std::uint64_t digest_of(const std::vector<infer::Tensor>& inputs) {
  std::uint64_t digest = 0;
  for (const infer::Tensor& input : inputs) {
    digest ^= XXH3_64bits_withSeed(input.bytes.data(), input.bytes.size(),
                                   XXH3_64bits(input.name.data(), input.name.size()));
    digest += XXH3_64bits(input.shape.data(), input.shape.size() * sizeof(std::int64_t));
  }
  return digest;
}

std::vector<infer::TensorInfo> tensors_of(const json::value& listed) {
  std::vector<infer::TensorInfo> out;
  for (const json::value& one : listed.as_array()) {
    infer::TensorInfo tensor;
    tensor.name = one.at("name").as_string();
    tensor.datatype = one.at("datatype").as_string();
    for (const json::value& size : one.at("shape").as_array())
      tensor.shape.push_back(size.to_number<std::int64_t>());
    tensor.optional = one.at("optional").as_bool();
    out.push_back(std::move(tensor));
  }
  return out;
}

}  // namespace

Model::Model(jobs::Launcher& launcher, ModelOptions options)
    : launcher_(launcher),
      options_(std::move(options)),
      places_(static_cast<std::size_t>(options_.limits.workers)),
      jobs_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Model::~Model() {
  {
    const std::lock_guard lock(turn_);
    stopping_ = true;
  }
  signal(stop_);
  for (Place& place : places_)
    if (place.thread.joinable()) place.thread.join();
  std::error_code ignored;
  std::filesystem::remove_all(options_.folder, ignored);
}

Result<void> Model::start() {
  if (!jobs_ || !stop_) return Error{Code::resource_exhausted, "there are no events left"};
  // One after the other: the first tells what the model takes, or why it does not load at all.
  places_[0].thread = std::thread([this] { tend(0); });  // layers: allow see Place
  std::unique_lock lock(turn_);
  answered_.wait(lock, [&] { return described_ || places_[0].standing == Standing::resting; });
  if (!described_) return fault_;
  for (std::size_t at = 1; at < places_.size(); ++at)
    places_[at].thread = std::thread([this, at] { tend(at); });  // layers: allow see Place
  return {};
}

// Until the model goes: a worker, and after it the next one.
void Model::tend(std::size_t place) {
  WorkerLog log(options_.log + "-" + std::to_string(place) + ".log");
  const WorkerOptions options{.command = options_.command,
                              .answer_max = options_.limits.answer_max,
                              .stop = stop_.number()};
  int failures = 0;
  for (;;) {
    auto worker = Worker::start(launcher_, options, log);
    Result<void> ready = worker ? first_words(**worker) : Result<void>(worker.error());
    if (ready) {
      const auto up_at = steady_clock::now();
      serve(**worker, place);
      // One that lasted is no reason to wait.
      failures =
          steady_clock::now() - up_at > std::chrono::milliseconds(pause_max) ? 0 : failures + 1;
      ready = Error{Code::unavailable, "its worker ended: " + log.last_words()};
    } else {
      failures = std::max(failures, 1) + 1;
    }
    if (worker) worker->reset();
    {
      const std::lock_guard lock(turn_);
      if (stopping_) return;
      if (!described_) failures = 8;  // it never loaded: load() says so, and the model goes
    }
    rest(place, ready.error(), failures);
    const std::lock_guard lock(turn_);
    if (stopping_) return;
  }
}

// The first end is followed at once, each further one after twice the time.
void Model::rest(std::size_t place, const Error& why, int failures) {
  const std::chrono::milliseconds pause(
      failures <= 1 ? 0 : std::min<std::int64_t>(pause_max, 250L << std::min(failures, 10)));
  {
    const std::lock_guard lock(turn_);
    fault_ = why;
    places_[place].memory = 0;
    places_[place].standing = pause.count() > 0 ? Standing::resting : Standing::starting;
    const auto is_resting = [](const Place& one) { return one.standing == Standing::resting; };
    // Nobody is left to answer them soon.
    if (std::ranges::all_of(places_, is_resting))
      for (; !waiting_.empty(); waiting_.pop_front()) {
        waiting_.front()->answer = resting_error();
        waiting_.front()->done = true;
      }
  }
  answered_.notify_all();
  log::warn(
      "python.worker_ended",
      {{"model", options_.log}, {"reason", why.message}, {"pause_milliseconds", pause.count()}});
  pollfd stop{.fd = stop_.number(), .events = POLLIN, .revents = 0};
  poll(&stop, 1, static_cast<int>(pause.count()));
  const std::lock_guard lock(turn_);
  places_[place].standing = Standing::starting;
}

Result<void> Model::first_words(Worker& worker) {
  const auto said = TRY(worker.receive(steady_clock::now() + options_.limits.start_time));
  if (said.kind != Kind::ready) return Error{Code::invalid_argument, said.content};
  const std::lock_guard lock(turn_);
  if (described_) return {};
  // A model's own code can write to the socket too.
  try {
    const json::value description = json::parse(said.content);
    inputs_ = tensors_of(description.at("inputs"));
    outputs_ = tensors_of(description.at("outputs"));
    gpus_ = description.at("gpus").to_number<double>();
  } catch (const std::exception&) {
    inputs_.clear();
    outputs_.clear();
    return Error{Code::data_loss, "its worker does not say what the model takes"};
  }
  described_ = true;
  return {};
}

Error Model::resting_error() const {
  return {Code::unavailable, "the model starts again after a pause: " + fault_.message};
}

std::shared_ptr<Model::Job> Model::next() {
  const std::lock_guard lock(turn_);
  if (waiting_.empty()) return nullptr;  // its caller did not wait
  auto job = std::move(waiting_.front());
  waiting_.pop_front();
  return job;
}

void Model::serve(Worker& worker, std::size_t place) {
  {
    const std::lock_guard lock(turn_);
    places_[place].standing = Standing::up;
    places_[place].memory = worker.memory();
  }
  answered_.notify_all();
  while (worker.wait_for(jobs_.number())) {
    if (!take(jobs_)) continue;  // another worker was faster
    const auto job = next();
    if (!job) continue;
    bool lost = false;
    auto answer = call(worker, *job, lost);
    const std::int64_t memory = worker.memory();
    {
      const std::lock_guard lock(turn_);
      if (lost && !stopping_) note_poison(job->digest);
      job->answer = std::move(answer);
      job->done = true;
      places_[place].memory = memory;
      if (lost) places_[place].standing = Standing::starting;
    }
    answered_.notify_all();
    if (lost) return;
  }
}

Result<Message> Model::call(Worker& worker, const Job& job, bool& lost) {
  const Deadline deadline = steady_clock::now() + options_.limits.run_time;
  const auto sent = worker.send(Kind::run, job.content, deadline);
  auto answer = sent ? worker.receive(deadline) : Result<Message>(sent.error());
  lost = !answer;
  if (answer) return answer;
  Error error = answer.error();
  if (error.code == Code::deadline_exceeded)
    error.message = "the model did not answer within " +
                    std::to_string(options_.limits.run_time / std::chrono::milliseconds(1)) +
                    " ms, the most that a call may take; its worker was ended";
  else
    error = {Code::internal, "the model failed on this input: " + error.message};
  return error;
}

Result<void> Model::refuse_poison(std::uint64_t digest) {
  const auto known = poison_.find(digest);
  if (known == poison_.end() || known->second.times < poison_times) return {};
  if (known->second.forgotten > steady_clock::now())
    return Error{Code::failed_precondition,
                 "this input ended a worker of the model " + std::to_string(poison_times) +
                     " times; it is not run again for some minutes, and the model must be mended"};
  poison_.erase(known);
  return {};
}

void Model::note_poison(std::uint64_t digest) {
  const auto now = steady_clock::now();
  if (poison_.size() >= poison_max)
    std::erase_if(poison_, [&](const auto& one) { return one.second.forgotten < now; });
  if (poison_.size() >= poison_max) poison_.clear();
  Poison& one = poison_[digest];
  ++one.times;
  one.forgotten = now + poison_time;
}

Result<void> Model::enter(const std::shared_ptr<Job>& job) {
  TRY(refuse_poison(job->digest));
  const auto is_resting = [](const Place& one) { return one.standing == Standing::resting; };
  if (std::ranges::all_of(places_, is_resting)) return resting_error();
  if (waiting_.size() >= options_.limits.waiting_max)
    return Error{
        Code::resource_exhausted,
        std::to_string(waiting_.size()) +
            " calls of this model wait already; send less at once, or give it more workers"};
  waiting_.push_back(job);
  signal(jobs_);
  return {};
}

Result<std::vector<infer::Tensor>> Model::run(const std::vector<infer::Tensor>& inputs,
                                              const infer::RunLimits& limits) {
  TRY(infer::check_inputs(inputs_, inputs));
  const auto job = std::make_shared<Job>();
  job->content = TRY(write_arrays(inputs));
  job->digest = digest_of(inputs);
  // A call may have to wait for a worker that starts, and then for its own turn.
  auto until = steady_clock::now() + options_.limits.start_time + options_.limits.run_time;
  if (limits.deadline != Timestamp::max())
    until = std::min(until, steady_clock::now() + (limits.deadline - SystemClock().now()));
  {
    std::unique_lock lock(turn_);
    TRY(enter(job));
    if (!answered_.wait_until(lock, until, [&] { return job->done; })) {
      std::erase(waiting_, job);
      return Error{Code::deadline_exceeded, "the model did not answer in time"};
    }
  }
  const Message answer = TRY(std::move(job->answer));
  if (answer.kind == Kind::done) return read_arrays(answer.content);
  if (answer.kind == Kind::refused)
    return Error{Code::invalid_argument, "the model refuses the input: " + answer.content};
  return Error{Code::internal, "the model failed on this input: " + answer.content};
}

std::int64_t Model::memory_bytes() const {
  const std::lock_guard lock(turn_);
  std::int64_t sum = 0;
  for (const Place& place : places_) sum += place.memory;
  return sum;
}

}  // namespace penstock::python
