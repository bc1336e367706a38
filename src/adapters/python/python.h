#pragma once

#include <memory>
#include <string>

#include "ports/infer.h"
#include "ports/jobs.h"

namespace penstock::python {

struct Options {
  std::string interpreter = "python3";  // a path, or a name to be found in PATH
  std::string environments;             // of `penstock models prepare`; empty: there are none
  std::string scratch;           // a folder of our own: models while they run, and their logs
  int workers = 1;               // processes of one model
  std::size_t waiting_max = 64;  // calls of one model that wait for a process
  int threads = 1;               // that a process is told to use
  std::int64_t memory_bytes = std::int64_t{4} << 30;  // of one process; 0: no limit
  std::size_t answer_max = 256 << 20;                 // bytes
  Micros start_time = std::chrono::minutes(2);        // until a process has its model
  Micros run_time = std::chrono::seconds(60);         // of one call
};

// Loads the folder of an MLmodel into worker processes that run while its infer::Model lives.
//
// Models may outlive the runtime, and not the launcher. load() is not_found without folder or
// interpreter, and invalid_argument, with Python's words, where the model cannot be loaded or says
// too little about its inputs.
std::unique_ptr<infer::Runtime> open(jobs::Launcher& launcher, Options options);

}  // namespace penstock::python
