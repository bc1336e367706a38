// Runs commands: local processes, or a cluster.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::jobs {

struct Command {
  std::vector<std::string> arguments;              // the first is the program
  std::map<std::string, std::string> environment;  // added to a minimal one: PATH, HOME, LANG
  std::string directory;                           // where it runs
  std::string log_path;                            // gets its output and errors, at most 64 MB
  Micros time_limit = std::chrono::hours(6);
};

struct Outcome {
  int exit_code = 0;  // 128 + signal where one ended it
  bool timed_out = false;
  double cpu_seconds = 0;
  std::int64_t peak_memory = 0;  // bytes
  std::string tail;              // the last 4 KB of the log
};

class Runner {
 public:
  virtual ~Runner() = default;
  // Blocks until the command ended. Its whole process group is ended with it, and with us.
  virtual Result<Outcome> run(const Command& command) = 0;
};

// A command that runs beside us. Its whole process group ends with it, with this object, with the
// thread that started it, and with us, even by kill -9.
class Process {
 public:
  virtual ~Process() = default;
  virtual int number() const = 0;  // of the process; ours until this object goes
  // Descriptors to wait on: readable once it ended; what it and its children write, never blocking.
  virtual int ended() const = 0;
  virtual int output() const = 0;
};

class Launcher {
 public:
  virtual ~Launcher() = default;
  // `input` (a descriptor; it stays the caller's) becomes the standard input. Log and time limit of
  // the command are the caller's business.
  virtual Result<std::unique_ptr<Process>> start(const Command& command, int input) = 0;
};

}  // namespace penstock::jobs
