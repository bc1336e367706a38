#include "adapters/process/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/process/child.h"

namespace penstock::process {
namespace {

constexpr std::size_t max_log = 64 << 20, max_tail = 4 << 10;
constexpr std::string_view dropped = "\n[the rest of the output is dropped: 64 MB are the limit]\n";

// The log file and the end of what went to it.
class Output {
 public:
  static Result<Output> open(const std::string& path) {
    if (path.empty()) return Output(Descriptor());
    Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file) return fault("cannot write the log " + path);
    return Output(std::move(file));
  }

  void take(std::string_view bytes) {
    tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), max_tail)));
    if (tail_.size() > max_tail) tail_.erase(0, tail_.size() - max_tail);
    const std::size_t room = max_log - dropped.size() - written_;
    write(bytes.substr(0, room));
    written_ += std::min(bytes.size(), room);
    if (bytes.size() <= room || full_) return;
    full_ = true;
    write(dropped);
  }

  std::string tail() && { return std::move(tail_); }

 private:
  explicit Output(Descriptor file) : file_(std::move(file)) {}

  // A disk that is full must not end the command, whose outcome is still worth having.
  void write(std::string_view bytes) {
    while (file_ && !bytes.empty()) {
      const ssize_t count = ::write(file_.number(), bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  Descriptor file_;
  std::size_t written_ = 0;
  bool full_ = false;
  std::string tail_;
};

// Reads what is there, about 1 MB at most: somebody who writes without pause must not keep us from
// looking at the time. False at the end, when nobody can write any more.
bool drain(int from, Output& output) {
  std::array<char, 1 << 16> buffer;
  for (int reads = 0; reads < 16; ++reads) {
    const ssize_t count = read(from, buffer.data(), buffer.size());
    if (count > 0)
      output.take({buffer.data(), static_cast<std::size_t>(count)});
    else if (count == 0)
      return false;
    else if (errno != EINTR)
      return true;
  }
  return true;
}

Result<Descriptor> timer(Micros limit) {
  Descriptor out(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  itimerspec times{};
  times.it_value.tv_sec = limit.count() / 1'000'000;
  times.it_value.tv_nsec = limit.count() % 1'000'000 * 1'000;
  if (!out || timerfd_settime(out.number(), 0, &times, nullptr) != 0) return fault("no timer");
  return out;
}

// True where the time limit came first.
bool wait_for_end(const Child& child, int timer, Output& output) {
  std::array<pollfd, 3> polled{{{.fd = child.ended.number(), .events = POLLIN, .revents = 0},
                                {.fd = timer, .events = POLLIN, .revents = 0},
                                {.fd = child.output.number(), .events = POLLIN, .revents = 0}}};
  for (;;) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;  // EINTR
    if (polled[2].revents && !drain(child.output.number(), output)) polled[2].fd = -1;
    if (polled[0].revents) return false;
    if (polled[1].revents) return true;
  }
}

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

class Runner final : public jobs::Runner {
 public:
  Result<jobs::Outcome> run(const jobs::Command& command) override {
    Output output = TRY(Output::open(command.log_path));
    const Descriptor limit = TRY(timer(command.time_limit));
    const Child child = TRY(start(command));
    jobs::Outcome outcome;
    Result<void> guarded;
    {
      const auto guard = Guard::over(child.process);
      if (!guard)
        guarded = guard.error();
      else
        outcome.timed_out = wait_for_end(child, limit.number(), output);
      // Before the guard goes and the number is free for others: until we reap it, it is ours.
      kill(-child.process, SIGKILL);
    }
    int status = 0;
    rusage used{};
    while (wait4(child.process, &status, 0, &used) < 0 && errno == EINTR) {
    }
    TRY(std::move(guarded));
    drain(child.output.number(), output);
    outcome.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    outcome.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
    outcome.peak_memory = std::int64_t{used.ru_maxrss} * 1024;
    outcome.tail = std::move(output).tail();
    return outcome;
  }
};

class Process final : public jobs::Process {
 public:
  Process(Child child, Guard guard) : child_(std::move(child)), guard_(std::move(guard)) {}
  // Until it is reaped its number is ours, and so is its group's.
  ~Process() override {
    kill(-child_.process, SIGKILL);
    while (waitpid(child_.process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  int number() const override { return child_.process; }
  int ended() const override { return child_.ended.number(); }
  int output() const override { return child_.output.number(); }

 private:
  const Child child_;
  const Guard guard_;
};

class Launcher final : public jobs::Launcher {
 public:
  Result<std::unique_ptr<jobs::Process>> start(const jobs::Command& command, int input) override {
    Child child = TRY(process::start(command, input));
    auto guard = Guard::over(child.process);
    if (guard)
      return std::unique_ptr<jobs::Process>(
          std::make_unique<Process>(std::move(child), std::move(guard).take()));
    kill(-child.process, SIGKILL);
    waitpid(child.process, nullptr, 0);
    return guard.error();
  }
};

}  // namespace

std::unique_ptr<jobs::Launcher> launcher() { return std::make_unique<Launcher>(); }

std::unique_ptr<jobs::Runner> runner() { return std::make_unique<Runner>(); }

}  // namespace penstock::process
