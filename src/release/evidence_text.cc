// States of the tests as text: one list of fields per state, walked to write and to read.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <type_traits>
#include <utility>

#include "release/evidence.h"

namespace penstock::release {
namespace {

class Writer {
 public:
  explicit Writer(std::string name) : text(std::move(name)) {}
  void operator()(double value) { put(value); }
  void operator()(std::int64_t value) { put(value); }
  void operator()(bool value) { put(std::int64_t{value}); }
  void operator()(Worse value) { put(static_cast<std::int64_t>(value)); }

  std::string text;

 private:
  void put(auto value) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    text.append(" ").append(digits.data(), end);
  }
};

// Reads as far as it understands. What is missing, malformed or not finite stays as it was: `read`
// compares with the text written anew, and so refuses all that to_text would not have written.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) { next_word(); }
  void operator()(double& value) {
    double finite = value;
    parse(next_word(), finite);
    if (std::isfinite(finite)) value = finite;
  }
  void operator()(std::int64_t& value) { parse(next_word(), value); }
  void operator()(bool& value) { value = next_word() == "1"; }
  void operator()(Worse& value) {
    std::int64_t number = 0;
    parse(next_word(), number);
    value = static_cast<Worse>(std::clamp<std::int64_t>(number, 0, 2));
  }

 private:
  std::string_view next_word() {
    const std::string_view word = rest_.substr(0, rest_.find(' '));
    rest_.remove_prefix(std::min(word.size() + 1, rest_.size()));
    return word;
  }
  static void parse(std::string_view word, auto& value) {
    std::from_chars(word.data(), word.data() + word.size(), value);
  }

  std::string_view rest_;
};

void walk_plan(auto& plan,
               auto& visit) requires std::is_same_v<std::remove_cvref_t<decltype(plan)>, RatePlan> {
  visit(plan.null_ratio);
  visit(plan.safe_ratio);
  visit(plan.alpha);
  visit(plan.beta);
  visit(plan.assignment_level);
}

void walk_plan(auto& plan,
               auto& visit) requires std::is_same_v<std::remove_cvref_t<decltype(plan)>, MeanPlan> {
  visit(plan.worse);
  visit(plan.harm_margin);
  visit(plan.safe_margin);
  visit(plan.alpha);
  visit(plan.beta);
  visit(plan.tightest_at);
  visit(plan.calls_at_least);
  visit(plan.expected_mean);
}

void walk_moments(auto& moments, auto& visit) {
  visit(moments.count);
  visit(moments.mean);
  visit(moments.m2);
}

void walk_latches(auto& state, auto& visit) {
  visit(state.harmful);
  visit(state.proven_safe);
  visit(state.broken);
}

template <class State>
concept Rates = std::is_same_v<std::remove_const_t<State>, RateState>;
template <class State>
concept Means = std::is_same_v<std::remove_const_t<State>, MeanState>;
template <class State>
concept Bounded = std::is_same_v<std::remove_const_t<State>, BoundedState>;

void walk(Rates auto& state, auto& visit) {
  walk_plan(state.plan, visit);
  visit(state.canary_calls);
  visit(state.baseline_calls);
  visit(state.canary_bad);
  visit(state.baseline_bad);
  for (auto* grid : {&state.harm_log_products, &state.safe_log_products, &state.more_log_products,
                     &state.fewer_log_products})
    for (auto& log_product : *grid) visit(log_product);
  visit(state.harm_log_e_max);
  visit(state.safe_log_e_max);
  walk_latches(state, visit);
}

void walk(Means auto& state, auto& visit) {
  walk_plan(state.plan, visit);
  walk_latches(state, visit);
  auto count = static_cast<std::int64_t>(state.strata.size());
  visit(count);
  if constexpr (!std::is_const_v<std::remove_reference_t<decltype(state)>>)
    state.strata.resize(std::min(static_cast<std::size_t>(std::max<std::int64_t>(count, 0)),
                                 MeanState::strata_max));
  for (auto& stratum : state.strata) {
    visit(stratum.rho);
    walk_moments(stratum.canary, visit);
    walk_moments(stratum.baseline, visit);
  }
}

void walk(Bounded auto& state, auto& visit) {
  walk_plan(state.plan, visit);
  walk_moments(state.canary, visit);
  walk_moments(state.baseline, visit);
  visit(state.effect_sum);
  visit(state.inverse_widths);
  visit(state.square_sum);
  visit(state.harm_log_e_max);
  visit(state.safe_log_e_max);
  walk_latches(state, visit);
}

std::string write(const char* name, const auto& state) {
  Writer writer(std::string(name) + "/" + std::to_string(state.format));
  walk(state, writer);
  return std::move(writer.text);
}

template <class State>
std::optional<State> read(std::string_view text) {
  State state;
  Reader reader(text);
  walk(state, reader);
  if (to_text(state) != text) return {};
  return state;
}

bool is_sane(const Moments& moments) { return moments.count >= 0 && moments.m2 >= 0; }

}  // namespace

std::string to_text(const RateState& state) { return write("rate", state); }
std::string to_text(const MeanState& state) { return write("mean", state); }
std::string to_text(const BoundedState& state) { return write("bounded", state); }

std::optional<RateState> rate_state_from(std::string_view text) {
  auto state = read<RateState>(text);
  if (!state || state->canary_bad < 0 || state->canary_bad > state->canary_calls ||
      state->baseline_bad < 0 || state->baseline_bad > state->baseline_calls)
    return {};
  return state;
}

std::optional<MeanState> mean_state_from(std::string_view text) {
  auto state = read<MeanState>(text);
  if (!state || !std::all_of(state->strata.begin(), state->strata.end(), [](const auto& stratum) {
        return stratum.rho > 0 && stratum.rho < 1 && is_sane(stratum.canary) &&
               is_sane(stratum.baseline);
      }))
    return {};
  return state;
}

std::optional<BoundedState> bounded_state_from(std::string_view text) {
  auto state = read<BoundedState>(text);
  if (!state || !is_sane(state->canary) || !is_sane(state->baseline) || state->square_sum < 0 ||
      state->inverse_widths < 0)
    return {};
  return state;
}

}  // namespace penstock::release
