#include "release/evidence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace penstock::release {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double smallest_multiple = 1.1, largest_multiple = 20;  // of R_0, and of 1 / R_1
// Far above any real traffic, and low enough that sums of looks cannot overflow.
constexpr std::int64_t look_calls_max = 1'000'000'000'000, calls_max = 1'000'000'000'000'000'000;

bool in_open_unit(double value) { return value > 0 && value < 1; }
bool is_level(double value) { return value > 0 && value <= 0.5; }
bool is_positive(double value) { return value > 0 && std::isfinite(value); }

// grid_size values, log-spaced, both ends included.
Grid log_spaced(double first, double last) {
  Grid grid;
  const double step = std::log(last / first) / (grid_size - 1);
  for (std::size_t k = 0; k < grid_size; ++k)
    grid[k] = std::exp(std::log(first) + static_cast<double>(k) * step);
  return grid;
}

struct Multiples {
  Grid values = log_spaced(smallest_multiple, largest_multiple), logs{};
  Multiples() {
    for (std::size_t k = 0; k < grid_size; ++k) logs[k] = std::log(values[k]);
  }
};

const Multiples& multiples() {
  static const Multiples grid;
  return grid;
}

// The fractions u_k of the largest bet that BoundedMeanTest mixes.
const Grid& bets() {
  static const Grid grid = log_spaced(1e-4, 0.9);
  return grid;
}

double canary_share(double ratio, double rho) { return rho * ratio / (rho * ratio + 1 - rho); }

struct Arms {
  double rho = 0;
  std::int64_t canary = 0, baseline = 0;  // events
};

// Adds, for each k, the log of these events' factors P_R(arm) / P_null(arm). The alternative R is
// null * m_k, or null / m_k when `is_below`. The factor is R / null / w on the canary and 1 / w on
// the baseline, w = (rho R + 1 - rho) / (rho null + 1 - rho).
void add_factors(Grid& log_products, const Arms& events, double null_ratio, bool is_below) {
  if (events.canary == 0 && events.baseline == 0) return;
  const double rho = events.rho, share = canary_share(null_ratio, rho);
  const auto canary = static_cast<double>(events.canary);
  const auto all = static_cast<double>(events.canary + events.baseline);
  for (std::size_t k = 0; k < grid_size; ++k) {
    const double multiple = is_below ? 1 / multiples().values[k] : multiples().values[k];
    const double log_multiple = is_below ? -multiples().logs[k] : multiples().logs[k];
    log_products[k] += canary * log_multiple - all * std::log1p(share * (multiple - 1));
  }
}

bool is_count(std::int64_t count) { return count >= 0 && count <= look_calls_max; }

bool is_possible(const RateLook& look) {
  return in_open_unit(look.rho) && look.other_calls == 0 && is_count(look.canary_calls) &&
         is_count(look.baseline_calls) && look.canary_bad >= 0 && look.baseline_bad >= 0 &&
         look.canary_bad <= look.canary_calls && look.baseline_bad <= look.baseline_calls;
}

bool is_empty(const RateLook& look) {
  return look.canary_calls == 0 && look.baseline_calls == 0 && look.canary_bad == 0 &&
         look.baseline_bad == 0 && look.other_calls == 0;
}

bool is_possible(const Moments& moments) {
  return is_count(moments.count) && std::isfinite(moments.mean) && std::isfinite(moments.m2) &&
         moments.m2 >= 0 && (moments.count > 0 || (moments.mean == 0 && moments.m2 == 0));
}

bool is_possible(const MeanLook& look) {
  return in_open_unit(look.rho) && look.other_calls == 0 && is_possible(look.canary) &&
         is_possible(look.baseline);
}

bool is_empty(const MeanLook& look) {
  return look.canary.count == 0 && look.baseline.count == 0 && look.other_calls == 0;
}

// Whether values in [0, 1] can have these moments; the slack is for rounding.
bool is_unit(const Moments& moments) {
  const auto count = static_cast<double>(moments.count);
  return moments.mean >= 0 && moments.mean <= 1 &&
         moments.m2 <= count * (moments.mean * (1 - moments.mean) + 1e-9);
}

Verdict verdict_of(const auto& state, std::int64_t canary_calls, std::int64_t baseline_calls) {
  if (state.harmful) return Verdict::harmful;
  if (state.broken) return Verdict::broken;
  if (state.proven_safe) return Verdict::proven_safe;
  return canary_calls == 0 || baseline_calls == 0 ? Verdict::no_data : Verdict::undecided;
}

// Safety needs both arms: bad events of the baseline alone are no success of a silent canary.
void latch_e_values(auto& state, double harm_log_e, double safe_log_e, bool has_both_arms) {
  state.harm_log_e_max = std::max(state.harm_log_e_max, harm_log_e);
  state.safe_log_e_max = std::max(state.safe_log_e_max, safe_log_e);
  state.harmful = state.harmful || harm_log_e >= log_threshold(state.plan.alpha);
  state.proven_safe =
      state.proven_safe || (has_both_arms && safe_log_e >= log_threshold(state.plan.beta));
}

}  // namespace

// ---- Ratio of rates ----------------------------------------------------------------------------

std::string fault_of(const RatePlan& plan) {
  if (!is_level(plan.alpha)) return "alpha must be above 0 and at most 0.5";
  if (!is_level(plan.beta)) return "beta must be above 0 and at most 0.5";
  if (plan.assignment_level != 0 && !is_level(plan.assignment_level))
    return "assignment_level must be 0, or above 0 and at most 0.5";
  if (!is_positive(plan.null_ratio)) return "null_ratio must be a positive number";
  if (!is_positive(plan.safe_ratio)) return "safe_ratio must be a positive number";
  if (plan.safe_ratio <= plan.null_ratio) return "safe_ratio must be above null_ratio";
  return "";
}

double log_threshold(double level) { return -std::log(level); }

double log_mean_exp(std::span<const double> logs) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const double log : logs) sum += std::exp(log - largest);
  return largest + std::log(sum / static_cast<double>(logs.size()));
}

RateTest::RateTest(const RatePlan& plan) : RateTest(RateState{.plan = plan}) {}

RateTest::RateTest(const RateState& state) : state_(state) {
  if (!fault_of(state_.plan).empty()) state_.broken = true;
}

Verdict RateTest::add(const RateLook& look) {
  if (is_empty(look) || !fault_of(state_.plan).empty()) return verdict();
  if (!is_possible(look) || state_.canary_calls > calls_max - look.canary_calls ||
      state_.baseline_calls > calls_max - look.baseline_calls) {
    state_.broken = true;
    return verdict();
  }
  state_.canary_calls += look.canary_calls;
  state_.baseline_calls += look.baseline_calls;
  state_.canary_bad += look.canary_bad;
  state_.baseline_bad += look.baseline_bad;
  const Arms bad{look.rho, look.canary_bad, look.baseline_bad};
  const Arms calls{look.rho, look.canary_calls, look.baseline_calls};
  add_factors(state_.harm_log_products, bad, state_.plan.null_ratio, false);
  add_factors(state_.safe_log_products, bad, state_.plan.safe_ratio, true);
  if (state_.plan.assignment_level > 0) {
    add_factors(state_.more_log_products, calls, 1, false);
    add_factors(state_.fewer_log_products, calls, 1, true);
    if (assignment_log_e() >= log_threshold(state_.plan.assignment_level)) state_.broken = true;
  }
  latch_e_values(state_, harm_log_e(), safe_log_e(),
                 state_.canary_calls > 0 && state_.baseline_calls > 0);
  return verdict();
}

Verdict RateTest::verdict() const {
  return verdict_of(state_, state_.canary_calls, state_.baseline_calls);
}

double RateTest::harm_log_e() const { return log_mean_exp(state_.harm_log_products); }
double RateTest::safe_log_e() const { return log_mean_exp(state_.safe_log_products); }

double RateTest::assignment_log_e() const {
  return log_mean_exp(
      std::array{log_mean_exp(state_.more_log_products), log_mean_exp(state_.fewer_log_products)});
}

// ---- Planning ----------------------------------------------------------------------------------

double bad_events_needed(double ratio, double null_ratio, double rho, double level) {
  if (!in_open_unit(rho) || !is_level(level) || !is_positive(ratio) || !is_positive(null_ratio))
    return infinity;
  const double q = canary_share(ratio, rho), p = canary_share(null_ratio, rho);
  const double divergence = q * std::log(q / p) + (1 - q) * std::log((1 - q) / (1 - p));
  if (divergence <= 0) return infinity;
  return (log_threshold(level) + std::log(double{grid_size}) / 2) / divergence;
}

Detectable detectable(const RatePlan& plan, const Traffic& traffic) {
  Detectable found{{}, infinity, infinity, infinity, infinity};
  const double rho = traffic.rho;
  if (!fault_of(plan).empty() || !in_open_unit(rho) || !in_open_unit(traffic.bad_rate) ||
      !is_positive(traffic.calls_per_second) || !is_positive(traffic.seconds))
    return found;

  const auto bad_share = [&](double ratio) { return traffic.bad_rate * (rho * ratio + 1 - rho); };
  const auto calls_to_harm = [&](double ratio) {
    return bad_events_needed(ratio, plan.null_ratio, rho, plan.alpha) / bad_share(ratio);
  };
  const double window = traffic.calls_per_second * traffic.seconds;
  double low = smallest_multiple * plan.null_ratio;
  // A canary that always fails has the ratio 1 / bad_rate; nothing can be worse.
  double high = std::min(largest_multiple * plan.null_ratio, 1 / traffic.bad_rate);
  if (low <= high && calls_to_harm(high) <= window) {
    if (calls_to_harm(low) <= window) high = low;
    for (int step = 0; step < 100 && low < high; ++step) {
      const double middle = std::sqrt(low * high);
      (calls_to_harm(middle) <= window ? high : low) = middle;
    }
    found.ratio = high;
  }
  found.bad_events = bad_events_needed(high, plan.null_ratio, rho, plan.alpha);
  found.calls = calls_to_harm(high);
  found.seconds = found.calls / traffic.calls_per_second;
  found.seconds_to_prove_safe =
      bad_events_needed(plan.null_ratio, plan.safe_ratio, rho, plan.beta) /
      bad_share(plan.null_ratio) / traffic.calls_per_second;
  return found;
}

std::vector<AlphaShare> split_alpha(double alpha, std::span<const std::string> guards,
                                    std::span<const std::string> segments) {
  // Rounded down, so that the shares never add up to more than was there.
  const double count = static_cast<double>(guards.size()) * static_cast<double>(segments.size());
  const double share = std::nextafter(alpha / count, 0.0);
  std::vector<AlphaShare> shares;
  for (const std::string& guard : guards)
    for (const std::string& segment : segments) shares.push_back({guard, segment, share});
  return shares;
}

// ---- Difference of means -----------------------------------------------------------------------

void Moments::add(double value) { merge({1, value, 0}); }

void Moments::merge(const Moments& other) {
  if (other.count == 0) return;
  const auto mine = static_cast<double>(count), theirs = static_cast<double>(other.count);
  const double shift = other.mean - mean;
  mean += shift * (theirs / (mine + theirs));
  m2 += other.m2 + shift * shift * (mine * theirs / (mine + theirs));
  count += other.count;
}

double Moments::variance() const { return count < 2 ? 0 : m2 / static_cast<double>(count - 1); }

std::string fault_of(const MeanPlan& plan) {
  if (!is_level(plan.alpha)) return "alpha must be above 0 and at most 0.5";
  if (!is_level(plan.beta)) return "beta must be above 0 and at most 0.5";
  if (!(plan.harm_margin >= 0)) return "harm_margin must be at least 0";
  if (!std::isfinite(plan.safe_margin) || !(plan.safe_margin > plan.harm_margin))
    return "safe_margin must be above harm_margin";
  if (plan.tightest_at < 1) return "tightest_at must be at least 1";
  if (plan.calls_at_least < 2) return "calls_at_least must be at least 2";
  if (!(plan.expected_mean >= 0 && plan.expected_mean <= 1))
    return "expected_mean must be between 0 and 1";
  return "";
}

AsymptoticMeanTest::AsymptoticMeanTest(const MeanPlan& plan)
    : AsymptoticMeanTest(MeanState{.plan = plan}) {}

AsymptoticMeanTest::AsymptoticMeanTest(MeanState state) : state_(std::move(state)) {
  if (!fault_of(state_.plan).empty()) state_.broken = true;
}

namespace {

std::pair<std::int64_t, std::int64_t> calls_of(const MeanState& state) {
  std::pair<std::int64_t, std::int64_t> calls;
  for (const MeanStratum& stratum : state.strata) {
    calls.first += stratum.canary.count;
    calls.second += stratum.baseline.count;
  }
  return calls;
}

bool is_shown_worse(const Interval& interval, Worse worse, double margin) {
  return (worse != Worse::lower && interval.lower > margin) ||
         (worse != Worse::higher && interval.upper < -margin);
}

bool is_shown_safe(const Interval& interval, Worse worse, double margin) {
  return (worse == Worse::lower || interval.upper < margin) &&
         (worse == Worse::higher || interval.lower > -margin);
}

}  // namespace

Verdict AsymptoticMeanTest::add(const MeanLook& look) {
  if (is_empty(look) || !fault_of(state_.plan).empty()) return verdict();
  const auto [canary_calls, baseline_calls] = calls_of(state_);
  auto& strata = state_.strata;
  auto stratum = std::find_if(strata.begin(), strata.end(),
                              [&](const MeanStratum& known) { return known.rho == look.rho; });
  if (!is_possible(look) || canary_calls > calls_max - look.canary.count ||
      baseline_calls > calls_max - look.baseline.count ||
      (stratum == strata.end() && strata.size() == MeanState::strata_max)) {
    state_.broken = true;
    return verdict();
  }
  if (stratum == strata.end()) stratum = strata.insert(stratum, MeanStratum{look.rho, {}, {}});
  stratum->canary.merge(look.canary);
  stratum->baseline.merge(look.baseline);

  const MeanPlan& plan = state_.plan;
  if (is_shown_worse(interval(plan.alpha), plan.worse, plan.harm_margin)) state_.harmful = true;
  if (is_shown_safe(interval(plan.beta), plan.worse, plan.safe_margin)) state_.proven_safe = true;
  return verdict();
}

Verdict AsymptoticMeanTest::verdict() const {
  const auto [canary_calls, baseline_calls] = calls_of(state_);
  return verdict_of(state_, canary_calls, baseline_calls);
}

Interval AsymptoticMeanTest::interval(double level) const {
  const auto [canary_calls, baseline_calls] = calls_of(state_);
  const Interval nothing{-infinity, infinity};
  if (!is_level(level) || !fault_of(state_.plan).empty() ||
      std::min(canary_calls, baseline_calls) < state_.plan.calls_at_least)
    return nothing;
  double calls = 0, difference = 0, variance = 0;  // the latter two times calls, and calls^2
  for (const auto& [rho, canary, baseline] : state_.strata) {
    if (canary.count < 2 || baseline.count < 2) continue;  // no variance, so no weight
    const auto in_canary = static_cast<double>(canary.count);
    const auto in_baseline = static_cast<double>(baseline.count);
    const double both = in_canary + in_baseline;
    calls += both;
    difference += both * (canary.mean - baseline.mean);
    variance += both * both * (canary.variance() / in_canary + baseline.variance() / in_baseline);
  }
  if (calls == 0) return nothing;
  const double squared = -2 * std::log(level);
  const double tuning =
      (squared + std::log(squared) + 1) / static_cast<double>(state_.plan.tightest_at);
  const double grown = calls * tuning + 1;
  const double boundary =
      std::sqrt(2 * grown / (calls * calls * tuning) * std::log(std::sqrt(grown) / level));
  const double centre = difference / calls, half = std::sqrt(variance / calls) * boundary;
  return {centre - half, centre + half};
}

// ---- Difference of bounded means ---------------------------------------------------------------

namespace {

// ln E_t(d) for "the difference is at most d" (sign 1), or "at least d" (sign -1).
double bounded_log_e(const BoundedState& state, double difference, double sign) {
  Grid logs;
  const double excess = sign * (state.effect_sum - difference * state.inverse_widths);
  for (std::size_t k = 0; k < grid_size; ++k) {
    const double bet = bets()[k], cost = -std::log1p(-bet) - bet;
    logs[k] = bet * excess - cost * state.square_sum;
  }
  return log_mean_exp(logs);
}

}  // namespace

BoundedMeanTest::BoundedMeanTest(const MeanPlan& plan)
    : BoundedMeanTest(BoundedState{.plan = plan}) {}

BoundedMeanTest::BoundedMeanTest(const BoundedState& state) : state_(state) {
  if (!fault_of(state_.plan).empty()) state_.broken = true;
}

Verdict BoundedMeanTest::add(const MeanLook& look) {
  if (is_empty(look) || !fault_of(state_.plan).empty()) return verdict();
  if (!is_possible(look) || !is_unit(look.canary) || !is_unit(look.baseline) ||
      state_.canary.count > calls_max - look.canary.count ||
      state_.baseline.count > calls_max - look.baseline.count) {
    state_.broken = true;
    return verdict();
  }
  // From earlier looks only: a guess that has seen this look's values would bias the test.
  constexpr double worth_of_plan = 100;  // how many calls expected_mean counts for
  const auto seen = static_cast<double>(state_.baseline.count);
  const double guess = (worth_of_plan * state_.plan.expected_mean + seen * state_.baseline.mean) /
                       (worth_of_plan + seen);
  const double width =
      std::max(guess, 1 - guess) / std::min(look.rho, 1 - look.rho);  // |phi| is at most this
  const auto add_arm = [&](const Moments& arm, double weight) {
    const auto count = static_cast<double>(arm.count);
    const double scale = weight / width, shift = arm.mean - guess;
    state_.effect_sum += scale * count * shift;
    state_.square_sum += scale * scale * (arm.m2 + count * shift * shift);
    state_.inverse_widths += count / width;
  };
  add_arm(look.canary, 1 / look.rho);
  add_arm(look.baseline, -1 / (1 - look.rho));
  state_.canary.merge(look.canary);
  state_.baseline.merge(look.baseline);
  latch_e_values(state_, harm_log_e(), safe_log_e(),
                 state_.canary.count > 0 && state_.baseline.count > 0);
  return verdict();
}

Verdict BoundedMeanTest::verdict() const {
  return verdict_of(state_, state_.canary.count, state_.baseline.count);
}

double BoundedMeanTest::harm_log_e() const {
  const double margin = state_.plan.harm_margin;
  const double up = bounded_log_e(state_, margin, 1), down = bounded_log_e(state_, -margin, -1);
  if (state_.plan.worse == Worse::higher) return up;
  if (state_.plan.worse == Worse::lower) return down;
  return log_mean_exp(std::array{up, down});  // both are e-values while |difference| <= margin
}

double BoundedMeanTest::safe_log_e() const {
  const double margin = state_.plan.safe_margin;
  const double below = bounded_log_e(state_, margin, -1), above = bounded_log_e(state_, -margin, 1);
  if (state_.plan.worse == Worse::higher) return below;
  if (state_.plan.worse == Worse::lower) return above;
  return std::min(below, above);  // both sides must be shown, each against its own null
}

Interval BoundedMeanTest::interval(double level) const {
  if (!is_level(level) || !fault_of(state_.plan).empty()) return {-1, 1};
  // E falls as the assumed difference moves toward what was seen, so each end is one crossing.
  const auto end = [&](double sign) {
    double outside = -sign, inside = sign;
    if (bounded_log_e(state_, outside, sign) < log_threshold(level / 2)) return outside;
    for (int step = 0; step < 60; ++step) {
      const double middle = (outside + inside) / 2;
      const bool refused = bounded_log_e(state_, middle, sign) >= log_threshold(level / 2);
      (refused ? outside : inside) = middle;
    }
    return outside;
  };
  return {end(1), end(-1)};
}

// ---- Quantiles ---------------------------------------------------------------------------------

Interval quantile_levels(double p, std::int64_t count, double alpha) {
  if (!in_open_unit(p) || !in_open_unit(alpha) || count < 2) return {0, 1};
  const auto t = static_cast<double>(count);
  const double l = (1.4 * std::log(std::log(2.1 * t)) + std::log(10 / alpha)) / t;
  const double half = 1.5 * std::sqrt(p * (1 - p) * l) + 0.8 * l;
  return {std::max(0.0, p - half), std::min(1.0, p + half)};
}

}  // namespace penstock::release
