// Rules that must hold before something is registered, approved, released or read, and before the
// weights of a route move by themselves (adapt).
#pragma once

#include <array>

#include "base/described.h"
#include "base/named.h"

namespace penstock::policies {

enum class Action { register_, approve, release, read, adapt };
inline constexpr std::array action_names = {"register", "approve", "release", "read", "adapt"};
boost::mp11::mp_list<
    NamedEnumerator<Action::register_, action_names>,
    NamedEnumerator<Action::approve, action_names>, NamedEnumerator<Action::release, action_names>,
    NamedEnumerator<Action::read, action_names>, NamedEnumerator<Action::adapt, action_names>>
boost_enum_descriptor_fn(Action**);

// block: what breaks it is refused. warn: it goes through, and the result is kept.
enum class Severity { block, warn };
BOOST_DESCRIBE_ENUM(Severity, block, warn)

inline constexpr Micros time_limit_max = std::chrono::seconds(30);

// `kind: policy`. In `models` and `routes` a * at the end stands for anything.
struct Policy {
  std::string name, owner, description;
  std::vector<Action> applies_to;
  Severity severity = Severity::block;
  std::string message;
  std::vector<std::string> models;  // empty: all, and what is no model
  std::vector<std::string> routes;  // empty: all, and where there is no route
  Micros time_limit = std::chrono::seconds(5);
  std::string sql;
};
BOOST_DESCRIBE_STRUCT(Policy, (),
                      (name, owner, description, applies_to, severity, message, models, routes,
                       time_limit, sql))
constexpr auto rules_of(const Policy&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 200},
      Rule{.field = "owner", .min = 1, .max = 200},
      Rule{.field = "description", .max = 10'000, .may_miss = true},
      Rule{.field = "applies_to",
           .doc = "register, approve, release, read, adapt; one or several.",
           .min = 1,
           .max = 5},
      Rule{.field = "severity", .may_miss = true},
      Rule{.field = "message", .doc = "What is wrong, and what to do.", .min = 1, .max = 2'000},
      Rule{.field = "models", .doc = "\"flight-*\"; empty: all.", .max = 100},
      Rule{.field = "routes", .max = 100},
      Rule{.field = "time_limit", .doc = "At most 30s.", .may_miss = true},
      Rule{.field = "sql",
           .doc = "A SELECT over the documented views whose rows are violations; a "
                  "column message says what is wrong with the row.",
           .min = 1,
           .max = 20'000}};
}

// failed: it could not be run, so it blocks, whatever its severity.
enum class Outcome { passed, violated, failed };
BOOST_DESCRIBE_ENUM(Outcome, passed, violated, failed)

// What is about to be done, and to what.
struct Subject {
  Action action = Action::release;
  std::string urn;      // "model:flight-delay@v4", "source:flights@2"
  std::string route;    // of a release, or whose weights would move
  std::string purpose;  // of a read: "dataset:flights_2013", "features", "batch:daily"
};

// What one policy said. A row of policy_results.
struct Finding {
  std::string project;
  std::string decision;  // the same for all policies that were asked together
  std::string policy;
  std::int64_t policy_version = 0;
  std::string policy_digest;  // of its declaration
  Severity severity = Severity::block;
  Action action = Action::release;
  std::string subject, route, purpose;
  Outcome outcome = Outcome::passed;
  bool allowed = true;              // false: it stands in the way
  std::string message;              // empty where it holds
  std::int64_t violations = 0;      // rows; 101 stands for more than 100
  std::vector<json::object> shown;  // the first 20 of them
  std::string actor;
  Timestamp at;
};
BOOST_DESCRIBE_STRUCT(Finding, (),
                      (project, decision, policy, policy_version, policy_digest, severity, action,
                       subject, route, purpose, outcome, allowed, message, violations, shown, actor,
                       at))

}  // namespace penstock::policies
