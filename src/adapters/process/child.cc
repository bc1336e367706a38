#include "adapters/process/child.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <fcntl.h>
#include <linux/close_range.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::process {
namespace {

constexpr const char* default_path = "/usr/local/bin:/usr/bin:/bin";

std::string own(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

std::map<std::string, std::string> environment_of(const jobs::Command& command) {
  std::map<std::string, std::string> out = command.environment;
  out.emplace("PATH", own("PATH", default_path));
  out.emplace("HOME", own("HOME", "/"));
  out.emplace("LANG", own("LANG", "C.UTF-8"));
  return out;
}

Result<void> check(const jobs::Command& command) {
  const auto refused = [](std::string_view why) {
    return Error{Code::invalid_argument, "a command " + std::string(why)};
  };
  if (command.arguments.empty() || command.arguments[0].empty()) return refused("needs a program");
  if (command.time_limit <= Micros(0)) return refused("needs a time limit above zero");
  for (const std::string& argument : command.arguments)
    if (argument.find('\0') != std::string::npos) return refused("must not hold a NUL byte");
  for (const auto& [name, value] : command.environment) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos)
      return refused("needs names of variables without \"=\" and NUL");
    if (value.find('\0') != std::string::npos) return refused("must not hold a NUL byte");
  }
  if (command.directory.find('\0') != std::string::npos) return refused("must not hold a NUL byte");
  return {};
}

bool is_file(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

// Looked up by us and not by execvp(), which may allocate: no call for after fork().
Result<std::string> program_of(const jobs::Command& command, const std::string& path) {
  const std::string& name = command.arguments[0];
  std::vector<std::string> places;
  if (name.find('/') != std::string::npos) {
    places.push_back(name[0] == '/' || command.directory.empty() ? name
                                                                 : command.directory + "/" + name);
  } else {
    for (std::size_t start = 0; start <= path.size();) {
      const std::size_t end = std::min(path.find(':', start), path.size());
      if (end > start) places.push_back(path.substr(start, end - start) + "/" + name);
      start = end + 1;
    }
  }
  bool forbidden = false;
  for (const std::string& place : places) {
    if (!is_file(place)) continue;
    if (access(place.c_str(), X_OK) == 0) return place;
    forbidden = true;
  }
  if (forbidden) return Error{Code::permission_denied, "the program " + name + " may not be run"};
  const bool searched = name.find('/') == std::string::npos;
  return Error{Code::not_found,
               "there is no program " + name + (searched ? " in PATH, which is " + path : "")};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

Result<std::pair<Descriptor, Descriptor>> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fault("no pipe");
  return std::pair(Descriptor(ends[0]), Descriptor(ends[1]));
}

struct Launch {
  const char* program;
  char* const* arguments;
  char* const* environment;
  const char* directory;
  pid_t parent;
  int input, output, failure;
};

// In the child of a process with threads: only calls that are safe in a signal handler.
[[noreturn]] void become(const Launch& launch) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launch.parent) _exit(127);  // it ended before we asked to be told
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);
  const int input = launch.input >= 0 ? launch.input : open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (input >= 0 && dup2(input, STDIN_FILENO) >= 0 && dup2(launch.output, STDOUT_FILENO) >= 0 &&
      dup2(launch.output, STDERR_FILENO) >= 0 &&
      (!*launch.directory || chdir(launch.directory) == 0)) {
    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(launch.program, launch.arguments, launch.environment);
  }
  const int number = errno;
  [[maybe_unused]] const ssize_t said = write(launch.failure, &number, sizeof number);
  _exit(127);
}

}  // namespace

Error fault(const std::string& what) {
  const int number = errno;
  const Code code = number == ENOENT || number == ENOTDIR  ? Code::not_found
                    : number == EACCES || number == EPERM  ? Code::permission_denied
                    : number == E2BIG || number == ENOEXEC ? Code::invalid_argument
                    : number == EAGAIN || number == ENOMEM || number == EMFILE ||
                            number == ENFILE || number == ENOSPC
                        ? Code::resource_exhausted
                        : Code::internal;
  return {code, what + ": " + std::generic_category().message(number)};
}

Result<Child> start(const jobs::Command& command, int input) {
  TRY(check(command));
  auto variables = environment_of(command);
  struct stat directory {};
  if (!command.directory.empty() &&
      (stat(command.directory.c_str(), &directory) != 0 || !S_ISDIR(directory.st_mode)))
    return Error{Code::not_found, "there is no directory " + command.directory};
  const std::string program = TRY(program_of(command, variables["PATH"]));
  std::vector<std::string> arguments = command.arguments, environment;
  for (const auto& [name, value] : variables) environment.push_back(name + "=" + value);
  const auto argument_list = pointers(arguments), environment_list = pointers(environment);
  auto [output, child_output] = TRY(make_pipe());
  auto [failure, child_failure] = TRY(make_pipe());
  // Ours alone never blocks: what the command writes to does, as programs expect.
  if (fcntl(output.number(), F_SETFL, O_NONBLOCK) != 0) return fault("no pipe");

  const Launch launch{.program = program.c_str(),
                      .arguments = argument_list.data(),
                      .environment = environment_list.data(),
                      .directory = command.directory.c_str(),
                      .parent = getpid(),
                      .input = input,
                      .output = child_output.number(),
                      .failure = child_failure.number()};
  const pid_t process = fork();
  if (process < 0) return fault("no process for " + command.arguments[0]);
  if (process == 0) become(launch);
  setpgid(process, process);  // either of us may come first
  child_output = Descriptor();
  child_failure = Descriptor();
  int number = 0;
  ssize_t said = 0;
  do said = read(failure.number(), &number, sizeof number);
  while (said < 0 && errno == EINTR);
  // By number: the header of glibc 2.36 declares pidfd_open() for C only.
  Descriptor ended(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
  if (said == 0 && ended)
    return Child{.process = process, .ended = std::move(ended), .output = std::move(output)};
  if (said > 0) errno = number;
  const Error error = fault("cannot run " + program);
  kill(-process, SIGKILL);
  waitpid(process, nullptr, 0);
  return error;
}

Result<Guard> Guard::over(pid_t group) {
  auto [watched, alive] = TRY(make_pipe());
  std::vector<std::string> arguments = {"sh", "-c",
                                        "read -r word || kill -9 -" + std::to_string(group)};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, watched.number(), STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  // In a group of its own, so that Ctrl-C in a terminal ends us before it.
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t process = 0;
  char* environment[] = {nullptr};
  errno = posix_spawn(&process, "/bin/sh", &actions, &attributes, pointers(arguments).data(),
                      environment);
  const int failed = errno;
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  errno = failed;
  if (failed != 0) return fault("no guard for the process group");
  return Guard(process, std::move(alive));
}

Guard::~Guard() {
  if (process_ == 0) return;
  kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
}

}  // namespace penstock::process
