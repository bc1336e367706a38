// Who asks for a call, and why it may not go on.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/described.h"

namespace penstock::traffic {

inline constexpr int priority_max = 9;      // the most urgent
inline constexpr int priority_default = 5;  // 0 is the least urgent

// Views: of the length of one call.
struct Ask {
  std::string_view project, route, tenant, user;
  int priority = priority_default;
  std::int64_t tokens = 0;  // the worst case; 0: not known or none
};

enum class Reason {
  requests,    // more a minute than allowed
  tokens,      // more a minute than allowed
  concurrent,  // more at once than allowed
  queue_full,
  wait_too_long,  // it would not come to its turn in time
  displaced,      // a more urgent call, or a tenant with fewer waiting, took its place
  cancelled,      // whoever waited gave up
  upstream,       // its breaker is open, or it is ejected
  budget,
};
BOOST_DESCRIBE_ENUM(Reason, requests, tokens, concurrent, queue_full, wait_too_long, displaced,
                    cancelled, upstream, budget)

struct Refusal {
  Reason reason = Reason::requests;
  // From now until the same call would be let in, if nobody else came. None: never as it is.
  std::optional<Micros> retry_after;
  std::string what;  // the limit: "120 requests a minute for tenant acme on route chat"
};

// Whole seconds, rounded up, at least 1: the header Retry-After.
std::int64_t retry_after_seconds(Micros wait);

// resource_exhausted (429) where the caller is over its limit, unavailable (503) where the server
// is over its own. When to come again is the violation of the field `Retry-After`.
Error error_of(const Refusal& refusal);
// The seconds that such an error says, for the header of that name; none where it says none.
std::optional<std::int64_t> retry_after_of(const Error& error);

}  // namespace penstock::traffic
