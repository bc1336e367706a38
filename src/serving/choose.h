// Which version answers a call, and with what chance it was that one.
#pragma once

#include "serving/rule.h"
#include "serving/table.h"

namespace penstock::serving {

// What the edge reads of every call.
inline constexpr std::string_view user_header = "x-penstock-user";
inline constexpr std::size_t user_max = 200;  // a longer tag is cut there
// What the edge says of an answer: the experiment that drew its version.
inline constexpr std::string_view experiment_header = "x-penstock-experiment";
inline constexpr std::string_view priority_header = "x-penstock-priority";
// 0 to 9; 9 is the most urgent. What is no such digit counts as none.
int priority_of(std::string_view said);

struct Choice {
  const LiveTarget* target = nullptr;  // of the route that was given
  // That a draw gives this target: the rho of the sequential tests. 1 where nothing was drawn: the
  // caller named the version, or a rule did.
  double probability = 1;
  std::string experiment;  // where it drew
  bool by_rule = false;
};

// "user", "header:NAME" or "cookie:NAME"; invalid_argument says what is known.
Result<void> check_sticky(const std::string& sticky);
// What `sticky` finds of this caller; empty where the route has none or the caller sends none.
// Headers and cookies come as their digest: they may be secrets, and units are kept.
std::string sticky_unit(const LiveRoute& route, const Caller& caller);

// In this order: the version that was asked for (0: none), the first rule that holds and whose
// version answers on this route, then the draw of `unit`. A shadow is never chosen. A rule's
// version that does not answer is passed over, so that a rollback takes its callers along.
// not_found for a version that does not answer; unavailable for a route without targets.
Result<Choice> choose_for(const LiveRoute& route, const Caller& caller, std::string_view unit,
                          std::int64_t version);

}  // namespace penstock::serving
