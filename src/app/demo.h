// The main job, from raw flights to a guarded release, by the public APIs alone.
#pragma once

#include <string>

#include "base/result.h"

namespace penstock::app {

struct DemoOptions {
  std::string data = "demo-data";
  std::string example = "examples/flights";
  std::string python = "python";
  std::string config;  // the server's; empty: none
  bool quick = false;  // two months instead of nine
  bool stay = true;    // leave the server up at the end
  int kills = 0;       // how often to kill -9 the server at random moments of steps 3 to 7
  unsigned seed = 1;   // of those moments
};

// Prints what it does and what came of it. An error says which step failed and why.
Result<void> run_demo(const DemoOptions& options);

}  // namespace penstock::app
