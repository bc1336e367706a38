// Moving a route from one version to another, step by step, on evidence.
#pragma once

#include <array>

#include "base/described.h"

namespace penstock::release {

// What a guard counts as bad. error: the call failed. slow: it took longer than the live version's
// quantile in the shadow stage. wrong: the decision was not what the label said, once that came.
enum class Quantity { error, slow, wrong };
BOOST_DESCRIBE_ENUM(Quantity, error, slow, wrong)

struct Guard {
  std::string name;
  Quantity quantity = Quantity::error;
  bool required = true;     // must be proven safe; else it can only roll back
  double null_ratio = 1.0;  // up to this ratio of the rates is no harm
  double safe_ratio = 1.5;  // safe is a ratio shown to be below this
};
BOOST_DESCRIBE_STRUCT(Guard, (), (name, quantity, required, null_ratio, safe_ratio))
constexpr auto rules_of(const Guard&) {
  return std::array{
      Rule{.field = "name", .min = 1, .max = 100}, Rule{.field = "required", .may_miss = true},
      Rule{.field = "null_ratio", .may_miss = true}, Rule{.field = "safe_ratio", .may_miss = true}};
}

struct Span {
  std::int64_t calls = 0;
};
BOOST_DESCRIBE_STRUCT(Span, (), (calls))
constexpr auto rules_of(const Span&) {
  return std::array{Rule{.field = "calls", .min = 0, .max = 10'000'000}};
}

struct Plan {
  Span shadow{200};  // mirrored calls before the first that count; 0 skips the stage
  std::vector<std::int64_t> canary;  // weights, parts of 10,000, one stage each
  Span stage{200};                   // calls drawn for the canary, of each stage at least
  Span bake{500};   // calls drawn at the last weight once every required guard is proven
  Span watch{500};  // calls after the promotion before the release is closed
  std::int64_t approvals = 1;
  std::vector<Guard> guards;
  double alpha = 0.05;  // chance of a false rollback over the whole release
  double beta = 0.05;   // chance that an unsafe version is called safe
  double slow_quantile = 0.99;
  double calls_per_second = 0;  // expected; 0: unknown
  double bad_rate = 0.01;       // expected of the live version
};
BOOST_DESCRIBE_STRUCT(Plan, (),
                      (shadow, canary, stage, bake, watch, approvals, guards, alpha, beta,
                       slow_quantile, calls_per_second, bad_rate))
constexpr auto rules_of(const Plan&) {
  return std::array{Rule{.field = "shadow", .may_miss = true},
                    Rule{.field = "canary", .max = 20},
                    Rule{.field = "stage", .may_miss = true},
                    Rule{.field = "bake", .may_miss = true},
                    Rule{.field = "watch", .may_miss = true},
                    Rule{.field = "approvals", .min = 1, .max = 10, .may_miss = true},
                    Rule{.field = "guards", .max = 20},
                    Rule{.field = "alpha", .may_miss = true},
                    Rule{.field = "beta", .may_miss = true},
                    Rule{.field = "slow_quantile", .may_miss = true},
                    Rule{.field = "calls_per_second", .may_miss = true},
                    Rule{.field = "bad_rate", .may_miss = true}};
}

// kind: release_plan. How a route is released where MLflow's client asks for it by an alias or a
// stage.
struct DefaultPlan {
  std::string name;  // of the route
  std::string owner;
  Plan plan;
};
BOOST_DESCRIBE_STRUCT(DefaultPlan, (), (name, owner, plan))
constexpr auto rules_of(const DefaultPlan&) {
  return std::array{Rule{.field = "name", .doc = "Of the route.", .min = 1, .max = 100},
                    Rule{.field = "owner", .min = 1, .max = 200}};
}

enum class State {
  awaiting_approval,
  shadow,
  canary,
  bake,
  watch,  // promoted: all calls go to the new version
  closed,
  rolled_back,
  cancelled,  // before it had traffic
};
BOOST_DESCRIBE_ENUM(State, awaiting_approval, shadow, canary, bake, watch, closed, rolled_back,
                    cancelled)

// Every move a release may make. What is not in this table is refused.
struct Move {
  State from, to;
};
inline constexpr std::array allowed_moves = {
    Move{State::awaiting_approval, State::shadow},
    Move{State::awaiting_approval, State::canary},
    Move{State::awaiting_approval, State::watch},
    Move{State::awaiting_approval, State::cancelled},
    Move{State::awaiting_approval, State::closed},
    Move{State::shadow, State::canary},
    Move{State::shadow, State::rolled_back},
    Move{State::canary, State::canary},
    Move{State::canary, State::bake},
    Move{State::canary, State::rolled_back},
    Move{State::bake, State::watch},
    Move{State::bake, State::rolled_back},
    Move{State::watch, State::closed},
    Move{State::watch, State::rolled_back},
};
constexpr bool may_move(State from, State to) {
  for (const Move& move : allowed_moves)
    if (move.from == from && move.to == to) return true;
  return false;
}
constexpr bool has_traffic(State state) {
  return state == State::shadow || state == State::canary || state == State::bake ||
         state == State::watch;
}

struct Release {
  std::string project, id;  // release:<id>
  std::string route, model;
  std::int64_t version = 0;
  std::int64_t from_version = 0;  // live before; 0: none
  std::string from_release;       // that had made it live, and does so again after a rollback
  Plan plan;
  std::string plan_digest;  // of plan, route and the version's record: what is approved
  State state = State::awaiting_approval;
  std::int64_t stage = 0;                 // of canary
  std::int64_t stage_calls = 0;           // shadow, canary or all calls since the state began
  std::vector<std::int64_t> live_micros;  // of live calls in the shadow stage, at most 2,000
  std::int64_t slow_micros = 0;  // the limit of `slow`, frozen when the shadow stage ended; 0: none
  bool paused = false;           // a guard is broken: only a person can go on, by rolling back
  std::string author, reason;
  Timestamp created_at, updated_at;
};
BOOST_DESCRIBE_STRUCT(Release, (),
                      (project, id, route, model, version, from_version, from_release, plan,
                       plan_digest, state, stage, stage_calls, live_micros, slow_micros, paused,
                       author, reason, created_at, updated_at))

// What a guard knew after one more stretch of calls, and what it said.
struct Look {
  std::string project, release, guard;
  std::int64_t number = 0;  // counts from 1 for each guard
  Timestamp looked_at;
  double rho = 0;  // chance of the canary for these calls
  std::int64_t canary_calls = 0, canary_bad = 0, baseline_calls = 0,
               baseline_bad = 0;              // since the look before
  double harm_log_e = 0, harm_threshold = 0;  // rolled back at the first E at or above
  double safe_log_e = 0, safe_threshold = 0;
  std::string verdict;
};
BOOST_DESCRIBE_STRUCT(Look, (),
                      (project, release, guard, number, looked_at, rho, canary_calls, canary_bad,
                       baseline_calls, baseline_bad, harm_log_e, harm_threshold, safe_log_e,
                       safe_threshold, verdict))

// Where a guard stands: its whole test as text (evidence.h), exact to the bit.
struct GuardState {
  std::string project, release, guard;
  double alpha = 0;
  std::int64_t looks = 0;
  std::string verdict;
  std::string state;
};
BOOST_DESCRIBE_STRUCT(GuardState, (), (project, release, guard, alpha, looks, verdict, state))

}  // namespace penstock::release
