#include "app/demo_client.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

namespace penstock::app {
namespace {

constexpr auto start_limit = std::chrono::seconds(60);
constexpr int resend_max = 400, spawn_max = 20;

// The port that the server printed: "penstock serves http://127.0.0.1:12345".
std::string printed_address(const std::string& path) {
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    const std::size_t at = line.find("http://");
    if (line.starts_with("penstock serves") && at != std::string::npos) return line.substr(at + 7);
  }
  return "";
}

}  // namespace

DemoServer::~DemoServer() {
  if (!keep_) stop();
}

Result<void> DemoServer::spawn() {
  const std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string output = data_ + "/server.out", log = data_ + "/server.log";
  std::filesystem::create_directories(data_);
  std::filesystem::remove(output);
  // Before the fork: a child of several threads may not allocate.
  std::vector<std::string> words = {program,     "serve",  "--data", data_,
                                    "--sources", sources_, "--http", address_};
  if (!config_.empty()) words.insert(words.end(), {"--config", config_});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = fork();
  if (child < 0) return Error{Code::unavailable, "cannot start a process"};
  if (child == 0) {
    if (!keep_) prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int out = ::open(output.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
    const int err = ::open(log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execv(program.c_str(), arguments.data());
    _exit(127);
  }
  process_ = child;
  ++starts_;
  const auto until = std::chrono::steady_clock::now() + start_limit;
  while (std::chrono::steady_clock::now() < until) {
    const std::string address = printed_address(output);
    if (!address.empty()) {
      address_ = address;
      return {};
    }
    int status = 0;
    if (waitpid(child, &status, WNOHANG) == child) {
      process_ = -1;
      if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return Error{Code::unavailable, "the server was killed before it listened"};
      std::ifstream stream(log);
      const std::string text(std::istreambuf_iterator<char>(stream), {});
      return Error{Code::failed_precondition,
                   "the server ended at once: " +
                       text.substr(text.size() - std::min<std::size_t>(text.size(), 2'000))};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return Error{Code::unavailable, "the server did not start within a minute; see " + log};
}

Result<void> DemoServer::start() {
  const std::lock_guard lock(turn_);
  return spawn();
}

Result<void> DemoServer::revive() {
  const std::lock_guard lock(turn_);
  const pid_t child = process_;
  if (child > 0 && waitpid(child, nullptr, WNOHANG) == 0) return {};
  for (int attempt = 1;; ++attempt) {
    const auto spawned = spawn();
    if (spawned || spawned.error().code != Code::unavailable || attempt == spawn_max)
      return spawned;
  }
}

void DemoServer::kill() {
  const pid_t child = process_;
  if (child > 0) ::kill(child, SIGKILL);
}

void DemoServer::stop() {
  const std::lock_guard lock(turn_);
  const pid_t child = process_.exchange(-1);
  if (child <= 0) return;
  ::kill(child, SIGTERM);
  waitpid(child, nullptr, 0);
}

DemoClient::DemoClient(DemoServer& server, std::string token)
    : server_(server),
      token_(std::move(token)),
      client_({.url = server.url(), .token = token_, .time_limit = std::chrono::minutes(5)}) {}

Result<json::value> DemoClient::call(std::string_view method, std::string_view target,
                                     const json::value& body) {
  for (int attempt = 0;; ++attempt) {
    auto answer = client_.call(method, target, body);
    if (answer || answer.error().code != Code::unavailable || attempt == resend_max) return answer;
    ++resent_;
    TRY(server_.revive());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}  // namespace penstock::app
