#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace penstock {

// Who asks, for whom, and until when. Made at the edge, passed down by reference, never stored.
struct Call {
  std::string actor;    // "user:ana", "service:batch"
  std::string tenant;   // who calls and pays
  std::string project;  // who owns: every row belongs to one
  std::string request_id;
  Timestamp deadline = Timestamp::max();
  std::string trace;  // W3C traceparent as it came; empty where the caller sent none
  std::vector<std::string>
      roles;  // what the edge found; it has checked them, services only show them
};

}  // namespace penstock
