#include "tests/support/s3_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

namespace penstock::test {
namespace {

constexpr auto start_max = std::chrono::seconds(60);
constexpr const char* program = ".deps/bin/versitygw";  // below where ctest runs us

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int free_port() {
  const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  const bool found = bind(one, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(one, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(one);
  if (!found) throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

bool listens(int port) {
  const int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const bool there = connect(one, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(one);
  return there;
}

}  // namespace

bool S3Server::is_there() { return access(program, X_OK) == 0; }

S3Server::S3Server() : port_(free_port()) {
  std::filesystem::create_directories(directory_ / "data");
  std::filesystem::create_directories(directory_ / "sidecar");
  start();
}

S3Server::~S3Server() { kill(); }

void S3Server::start() {
  const std::string address = "127.0.0.1:" + std::to_string(port_);
  const std::string data = directory_ / "data", sidecar = directory_ / "sidecar";
  const std::string log = directory_ / "log";
  // The side directory keeps what would be extended attributes, which tmpfs may not have.
  const char* words[] = {"setpriv",   "--pdeathsig",   "KILL",       program,
                         "--port",    address.c_str(), "--access",   access_key,
                         "--secret",  secret_key,      "--quiet",    "posix",
                         "--sidecar", sidecar.c_str(), data.c_str(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  const int failed =
      posix_spawnp(&process_, words[0], &actions, nullptr, const_cast<char**>(words), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) throw std::runtime_error("cannot start versitygw");
  const auto end = std::chrono::steady_clock::now() + start_max;
  while (!listens(port_)) {
    if (waitpid(process_, nullptr, WNOHANG) != 0 || std::chrono::steady_clock::now() > end)
      throw std::runtime_error("versitygw does not listen; its log is in " + log);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

void S3Server::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

// The signal takes a moment, in which one more answer could be given.
void S3Server::freeze() {
  ::kill(process_, SIGSTOP);
  for (int i = 0; i < 5'000; ++i) {
    std::ifstream status("/proc/" + std::to_string(process_) + "/stat");
    std::string text;
    std::getline(status, text);
    if (text.find(") T ") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  throw std::runtime_error("versitygw does not stop");
}
void S3Server::thaw() { ::kill(process_, SIGCONT); }

void S3Server::make_bucket(const std::string& name) {
  std::filesystem::create_directory(directory_ / ("data/" + name));
}

}  // namespace penstock::test
