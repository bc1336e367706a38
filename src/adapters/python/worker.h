// One worker process: started, spoken to over a pair of sockets, ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/time.h"
#include "ports/descriptor.h"
#include "ports/jobs.h"

namespace penstock::python {

using Deadline = std::chrono::steady_clock::time_point;

enum class Kind : std::uint32_t { run = 1, done = 2, refused = 3, failed = 4, ready = 5 };

struct Message {
  Kind kind = Kind::failed;
  std::string content;
};

// What a worker and its children wrote, on disk: at most 2 MB, the older half in <path>.1.
class WorkerLog {
 public:
  explicit WorkerLog(std::string path) : path_(std::move(path)) {}
  void take(std::string_view bytes);
  // The last line that says something.
  std::string last_words() const;

 private:
  std::string path_, tail_;
  Descriptor file_;
  std::size_t written_ = 0;
};

struct WorkerOptions {
  jobs::Command command;
  std::size_t answer_max = 0;
  int stop = -1;  // readable once all of it must end
};

// Used by the thread that started it, which must outlive it.
class Worker {
 public:
  // The log outlives the worker.
  static Result<std::unique_ptr<Worker>> start(jobs::Launcher& launcher,
                                               const WorkerOptions& options, WorkerLog& log);
  ~Worker();
  Worker(const Worker&) = delete;

  Result<void> send(Kind kind, std::string_view content, Deadline deadline);
  // After any error of these two the worker is of no use: unavailable where it ended, and how;
  // deadline_exceeded; data_loss where it said what nobody understands.
  Result<Message> receive(Deadline deadline);
  // Until `wake` is readable (true), or it ended or should stop (false).
  bool wait_for(int wake);
  std::int64_t memory() const;  // that is resident now

 private:
  Worker(std::unique_ptr<jobs::Process> process, Descriptor socket, const WorkerOptions& options,
         WorkerLog& log)
      : process_(std::move(process)),
        socket_(std::move(socket)),
        answer_max_(options.answer_max),
        stop_(options.stop),
        log_(log) {}
  void drain();
  Result<void> wait(short events, Deadline deadline);
  Result<void> read(char* to, std::size_t size, Deadline deadline);
  Result<void> write(std::string_view bytes, Deadline deadline);
  Error ended();

  std::unique_ptr<jobs::Process> process_;
  Descriptor socket_;
  std::size_t answer_max_;
  int stop_;
  WorkerLog& log_;
  bool quiet_ = false;  // nobody can write any more
};

}  // namespace penstock::python
