#include "adapters/python/worker.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::python {
namespace {

constexpr std::size_t log_max = 1 << 20, tail_max = 4 << 10, head_size = 12;

int milliseconds_to(Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000));
}

}  // namespace

void WorkerLog::take(std::string_view bytes) {
  tail_.append(bytes.substr(bytes.size() - std::min(bytes.size(), tail_max)));
  if (tail_.size() > tail_max) tail_.erase(0, tail_.size() - tail_max);
  while (!bytes.empty()) {
    if (!file_ || written_ >= log_max) {
      std::rename(path_.c_str(), (path_ + ".1").c_str());
      file_ = Descriptor(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
      written_ = 0;
    }
    const std::string_view part = bytes.substr(0, log_max - written_);
    const ssize_t count = file_ ? ::write(file_.number(), part.data(), part.size()) : -1;
    if (count < 0 && errno == EINTR) continue;
    // A disk that is full must not end the model.
    if (count <= 0) return;
    written_ += static_cast<std::size_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

std::string WorkerLog::last_words() const {
  std::string_view text = tail_;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const std::size_t line = text.rfind('\n');
  if (line != std::string_view::npos) text.remove_prefix(line + 1);
  return std::string(text.substr(0, 500));
}

Result<std::unique_ptr<Worker>> Worker::start(jobs::Launcher& launcher,
                                              const WorkerOptions& options, WorkerLog& log) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return Error{Code::resource_exhausted, "there are no sockets left"};
  Descriptor ours(ends[0]), theirs(ends[1]);
  // Ours alone never blocks: the flag is of the open end, and theirs is another.
  if (fcntl(ours.number(), F_SETFL, O_NONBLOCK) != 0)
    return Error{Code::internal, "a socket cannot be made not to block"};
  auto process = TRY(launcher.start(options.command, theirs.number()));
  return std::unique_ptr<Worker>(new Worker(std::move(process), std::move(ours), options, log));
}

Worker::~Worker() { drain(); }

void Worker::drain() {
  std::array<char, 1 << 14> buffer;
  for (int reads = 0; reads < 16 && !quiet_; ++reads) {
    const ssize_t count = ::read(process_->output(), buffer.data(), buffer.size());
    if (count > 0)
      log_.take({buffer.data(), static_cast<std::size_t>(count)});
    else if (count == 0)
      quiet_ = true;
    else if (errno != EINTR)
      return;
  }
}

Error Worker::ended() {
  // Its sockets close a moment before it has ended.
  pollfd end{.fd = process_->ended(), .events = POLLIN, .revents = 0};
  poll(&end, 1, 1'000);
  drain();
  siginfo_t how{};
  // Left as it is: who started it reaps it.
  const bool known = waitid(P_PID, static_cast<id_t>(process_->number()), &how,
                            WEXITED | WNOHANG | WNOWAIT) == 0 &&
                     how.si_pid != 0;
  std::string text = "its worker process ended";
  if (known && how.si_code == CLD_EXITED) text += " with code " + std::to_string(how.si_status);
  if (known && how.si_code != CLD_EXITED) text += " by signal " + std::to_string(how.si_status);
  const std::string words = log_.last_words();
  return {Code::unavailable, words.empty() ? text : text + ": " + words};
}

Result<void> Worker::wait(short events, Deadline deadline) {
  for (;;) {
    std::array<pollfd, 4> polled{
        {{.fd = socket_.number(), .events = events, .revents = 0},
         {.fd = quiet_ ? -1 : process_->output(), .events = POLLIN, .revents = 0},
         {.fd = stop_, .events = POLLIN, .revents = 0},
         {.fd = process_->ended(), .events = POLLIN, .revents = 0}}};
    const int ready = poll(polled.data(), polled.size(), milliseconds_to(deadline));
    if (ready < 0) continue;  // EINTR
    if (polled[1].revents) drain();
    if (polled[2].revents) return Error{Code::unavailable, "the model is unloaded"};
    if (polled[0].revents & events) return {};
    if (polled[0].revents || polled[3].revents) return ended();
    if (std::chrono::steady_clock::now() >= deadline)
      return Error{Code::deadline_exceeded, "it took too long"};
  }
}

Result<void> Worker::read(char* to, std::size_t size, Deadline deadline) {
  while (size > 0) {
    const ssize_t count = recv(socket_.number(), to, size, 0);
    if (count == 0) return ended();
    if (count > 0) {
      to += count;
      size -= static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      TRY(wait(POLLIN, deadline));
    } else if (errno != EINTR) {
      return ended();
    }
  }
  return {};
}

Result<void> Worker::write(std::string_view bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0)
      bytes.remove_prefix(static_cast<std::size_t>(count));
    else if (errno == EAGAIN)
      TRY(wait(POLLOUT, deadline));
    else if (errno != EINTR)
      return ended();
  }
  return {};
}

Result<void> Worker::send(Kind kind, std::string_view content, Deadline deadline) {
  std::array<char, head_size> head{};
  const auto number = static_cast<std::uint32_t>(kind);
  const std::uint64_t length = content.size();
  std::memcpy(head.data(), &number, sizeof number);
  std::memcpy(head.data() + sizeof number, &length, sizeof length);
  TRY(write({head.data(), head.size()}, deadline));
  return write(content, deadline);
}

Result<Message> Worker::receive(Deadline deadline) {
  std::array<char, head_size> head{};
  TRY(read(head.data(), head.size(), deadline));
  std::uint32_t number = 0;
  std::uint64_t length = 0;
  std::memcpy(&number, head.data(), sizeof number);
  std::memcpy(&length, head.data() + sizeof number, sizeof length);
  if (number < static_cast<std::uint32_t>(Kind::done) ||
      number > static_cast<std::uint32_t>(Kind::ready))
    return Error{Code::data_loss, "its worker said what nobody understands"};
  if (length > answer_max_)
    return Error{Code::data_loss, "its answer has " + std::to_string(length) +
                                      " bytes, and at most " + std::to_string(answer_max_) +
                                      " are taken"};
  Message out{static_cast<Kind>(number), std::string(length, '\0')};
  TRY(read(out.content.data(), out.content.size(), deadline));
  return out;
}

bool Worker::wait_for(int wake) {
  for (;;) {
    std::array<pollfd, 4> polled{
        {{.fd = wake, .events = POLLIN, .revents = 0},
         {.fd = quiet_ ? -1 : process_->output(), .events = POLLIN, .revents = 0},
         {.fd = stop_, .events = POLLIN, .revents = 0},
         {.fd = process_->ended(), .events = POLLIN, .revents = 0}}};
    if (poll(polled.data(), polled.size(), -1) < 0) continue;  // EINTR
    if (polled[1].revents) drain();
    if (polled[2].revents || polled[3].revents) return false;
    if (polled[0].revents) return true;
  }
}

std::int64_t Worker::memory() const {
  std::ifstream file("/proc/" + std::to_string(process_->number()) + "/statm");
  std::int64_t whole = 0, resident = 0;
  file >> whole >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace penstock::python
