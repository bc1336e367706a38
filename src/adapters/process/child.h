// Starting one command and its guard.
#pragma once

#include <string>
#include <utility>
#include <vector>
#include <sys/types.h>

#include "ports/descriptor.h"
#include "ports/jobs.h"

namespace penstock::process {

// The fault of the last system call.
Error fault(const std::string& what);

struct Child {
  pid_t process = 0;  // also its group
  Descriptor ended;   // readable once it ended
  Descriptor output;  // what it and its children write, never blocking
};

// `input` becomes its standard input, which is empty where there is none. It ends with the thread
// that started it.
Result<Child> start(const jobs::Command& command, int input = -1);

// A tiny process that ends a group when we are gone: the kernel tells of our end only to the
// command itself, not to what the command started.
class Guard {
 public:
  static Result<Guard> over(pid_t group);
  Guard(Guard&& other) noexcept
      : process_(std::exchange(other.process_, 0)), alive_(std::move(other.alive_)) {}
  ~Guard();

 private:
  Guard(pid_t process, Descriptor alive) : process_(process), alive_(std::move(alive)) {}

  pid_t process_;
  Descriptor alive_;  // a pipe that breaks when we end
};

}  // namespace penstock::process
