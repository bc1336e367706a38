// What a server that will not come back holds of hard budgets, given back by a person who knows.
#pragma once

#include "costs/ledger.h"

namespace penstock::costs {

struct FreeLeasesInput {
  std::string server;  // as the incident of its silence says it
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(FreeLeasesInput, (), (server, reason))
constexpr auto rules_of(const FreeLeasesInput&) {
  return std::array{Rule{.field = "server", .min = 1, .max = 200},
                    Rule{.field = "reason", .min = 1, .max = 2'000}};
}
struct FreedLease {
  std::string budget;
  Timestamp heard_of_at;
  Money freed;
  Money unsettled;  // of calls that ran then; counted as spent until the period ends
};
BOOST_DESCRIBE_STRUCT(FreedLease, (), (budget, heard_of_at, freed, unsettled))
struct FreedLeases {
  std::vector<FreedLease> leases;
};
BOOST_DESCRIBE_STRUCT(FreedLeases, (), (leases))

}  // namespace penstock::costs
