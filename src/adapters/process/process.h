#pragma once

#include <memory>

#include "ports/jobs.h"

namespace penstock::process {

// Runs commands on this machine, each in a process group of its own that ends with its first
// process, at the time limit, and with us, even by kill -9. (What leaves the group by setsid() is
// not held.) Safe from any thread. The log is begun anew, and what goes beyond its 64 MB is
// dropped; no log_path keeps none. A directory of "" is ours.
//
// invalid_argument for a command that no program could get; not_found, naming it, without the
// program or directory; permission_denied for a program that may not be run. What the program
// itself does wrong is in the outcome.
std::unique_ptr<jobs::Runner> runner();
// The same for commands that run on while others do something else.
std::unique_ptr<jobs::Launcher> launcher();

}  // namespace penstock::process
