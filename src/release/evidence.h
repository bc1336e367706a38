// The statistics that decide a release: pure, synchronous, no input or output, no clock.
//
// All tests here are anytime-valid: they may be looked at after every call, and stopped by what
// they show, without raising the chance of a wrong verdict over the whole release. An e-process E
// is nonnegative, and its mean is at most 1 at every stopping time while the null holds; by
// Ville's inequality (Ville 1939), P(E_t >= 1/alpha for any t) <= alpha.
//
// What every test asks of its caller:
// - The arm of each call was drawn at random, with canary probability rho, by the router. Pass the
//   rho that was really applied; when it changes (0.1 -> 0.5), add one look per rho.
// - Each sticky unit is counted once. Calls of one user repeat their user's fate, so counting them
//   all pretends to more evidence than there is.
// - One test per guard and segment, each with its share of alpha (`split_alpha`).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::release {

// Precedence is that of this list from harmful down: what was shown harmful stays harmful, an
// impossible input stays broken unless harm shows later, and a proof of safety still gives way to
// harm. Missing data is never success.
enum class Verdict { harmful, broken, proven_safe, no_data, undecided };

inline constexpr std::size_t grid_size = 24;  // K: how many alternatives a test mixes
using Grid = std::array<double, grid_size>;

// ---- Ratio of the rates of bad events ----------------------------------------------------------

struct RatePlan {
  double null_ratio = 1.0;  // R_0: canary rate / baseline rate up to this is not harm
  double safe_ratio = 1.5;  // R_1 > R_0: safe is a ratio shown to be below this
  double alpha = 0.05;      // chance of `harmful` while the ratio is at most R_0, over all looks
  double beta = 0.05;       // chance of `proven_safe` while it is at least R_1, over all looks
  // Chance of `broken` while calls do fall on the canary with chance rho; 0 does not check it.
  double assignment_level = 1e-4;

  friend bool operator==(const RatePlan&, const RatePlan&) = default;
};

// Empty, or what is wrong with the plan.
std::string fault_of(const RatePlan& plan);

// What happened since the look before, under one rho.
struct RateLook {
  double rho = 0;  // chance of the canary, of canary and baseline together; in (0, 1)
  std::int64_t canary_calls = 0, baseline_calls = 0;
  std::int64_t canary_bad = 0, baseline_bad = 0;  // of those calls
  std::int64_t other_calls = 0;                   // answered by neither version: must be 0
};

// Everything a test remembers, plan included: equal states give equal verdicts for ever after.
struct RateState {
  static constexpr int format = 1;

  RatePlan plan;
  std::int64_t canary_calls = 0, baseline_calls = 0, canary_bad = 0, baseline_bad = 0;
  Grid harm_log_products{}, safe_log_products{};   // ln prod_i P_{R_k}(arm_i) / P_{null}(arm_i)
  Grid more_log_products{}, fewer_log_products{};  // the same over all calls, against R = 1
  double harm_log_e_max = 0, safe_log_e_max = 0;   // over all looks; E starts at 1
  bool harmful = false, proven_safe = false, broken = false;

  friend bool operator==(const RateState&, const RateState&) = default;
};

// The sequential test of R = canary rate / baseline rate, given the bad events.
//
// A call is the canary's with chance rho. Given that it went bad, the chance that it was the
// canary's is P_R(canary) = rho R / (rho R + 1 - rho), whatever the rate of bad events is at that
// moment: an outage that hits both arms alike is no evidence. With R_k = R_0 m_k, m_k log-spaced
// over 1.1..20,
//
//   E_t = (1/K) sum_k prod_i P_{R_k}(arm_i) / P_{R_0}(arm_i)          over the bad events i <= t
//
// and the verdict is `harmful` at the first E_t >= 1/alpha. The mirror, R_k = R_1 / m_k against
// R_1, is `proven_safe` at the first E_t >= 1/beta.
//
// Why it holds for the whole null R <= R_0 and not only at its edge: the factor of R_k > R_0 is
// above 1 on a canary event and below 1 on a baseline event, so its mean rises with
// P_R(canary), which rises with R. The mean is 1 at R = R_0, hence at most 1 for every R <= R_0,
// also when R moves from event to event. So each product is a supermartingale, and so is their
// average with fixed weights. R >= R_1 is the same turned round.
//
// The products do not depend on order, so a look is added in bulk without loss; only the moments
// at which E is compared with its threshold are fewer. No bad event means no evidence: a guard
// whose baseline hardly ever fails cannot be proven safe by a ratio, use BoundedMeanTest there.
//
// All of it stands on rho. A canary that gets no calls, or whose events are lost, has no bad
// events either and would look safe. So the same mixture runs over all calls, bad or not, against
// "canary with chance rho" on both sides (a sequential test for sample ratio mismatch, after
// Lindon and Malek 2022), and the test is `broken` at 1/assignment_level.
class RateTest {
 public:
  explicit RateTest(const RatePlan& plan);    // a plan with a fault gives `broken`
  explicit RateTest(const RateState& state);  // goes on where `state` was taken

  // The verdict after this look. A look with no calls at all changes nothing. An impossible one
  // (rho outside (0, 1), negative or too many counts, calls of another version) is not counted
  // and breaks the test.
  Verdict add(const RateLook& look);

  Verdict verdict() const;
  const RateState& state() const { return state_; }
  double harm_log_e() const;        // ln E_t, to compare with log_threshold(plan.alpha)
  double safe_log_e() const;        // ln of the mirror, to compare with log_threshold(plan.beta)
  double assignment_log_e() const;  // to compare with log_threshold(plan.assignment_level)

 private:
  RateState state_;
};

double log_threshold(double level);  // ln(1 / level)

// The log of the average of e-values that are given as logs: an e-value again, so segments that
// share one alpha may be averaged instead of splitting it. Not for an empty list.
double log_mean_exp(std::span<const double> logs);

// ---- Planning ----------------------------------------------------------------------------------

// Bad events until a test of `null_ratio` at `level` is expected to end when the ratio is `ratio`:
// (ln(1/level) + ln(K)/2) / KL(q(ratio) || q(null_ratio)), q(R) = rho R / (rho R + 1 - rho).
// Infinity where the two ratios are equal or rho is not in (0, 1).
double bad_events_needed(double ratio, double null_ratio, double rho, double level);

struct Traffic {
  double calls_per_second = 0;  // of canary and baseline together
  double bad_rate = 0;          // bad events per baseline call, in (0, 1)
  double rho = 0;
  double seconds = 0;  // the window
};

struct Detectable {
  // The smallest ratio that is expected to show as harm within the window, between the ends of
  // the grid (1.1 R_0 .. 20 R_0); nothing where even the largest would not.
  std::optional<double> ratio;
  // What that takes, or what the largest would take; infinity where no traffic would do.
  double bad_events = 0, calls = 0, seconds = 0;
  double seconds_to_prove_safe = 0;  // expected, for a canary at R_0
};

Detectable detectable(const RatePlan& plan, const Traffic& traffic);

struct AlphaShare {
  std::string guard, segment;
  double alpha = 0;
};

// Equal shares for every guard in every segment; their sum is at most `alpha` (union bound). A
// guard without segments is asked for as one segment ("all"). Empty where a list is empty.
std::vector<AlphaShare> split_alpha(double alpha, std::span<const std::string> guards,
                                    std::span<const std::string> segments);

// ---- Difference of means -----------------------------------------------------------------------

// Count, mean and sum of squared deviations (Welford 1962; merged as Chan et al. 1979).
struct Moments {
  std::int64_t count = 0;
  double mean = 0, m2 = 0;

  void add(double value);
  void merge(const Moments& other);
  double variance() const;  // unbiased; 0 below two values

  friend bool operator==(const Moments&, const Moments&) = default;
};

enum class Worse { higher, lower, either };  // which difference (canary - baseline) is harm

struct MeanPlan {
  Worse worse = Worse::higher;
  double harm_margin = 0;  // harmful: shown to be worse by more than this, >= 0
  double safe_margin = 0;  // proven safe: shown to be worse by less than this, > harm_margin
  double alpha = 0.05, beta = 0.05;
  // AsymptoticMeanTest: the number of calls at which its interval is tightest, and the calls that
  // each arm needs before it is believed at all.
  std::int64_t tightest_at = 10'000, calls_at_least = 200;
  // BoundedMeanTest: the baseline's mean before the release, in [0, 1]; a wrong one costs only
  // time.
  double expected_mean = 0.5;

  friend bool operator==(const MeanPlan&, const MeanPlan&) = default;
};

std::string fault_of(const MeanPlan& plan);

struct MeanLook {
  double rho = 0;
  Moments canary, baseline;
  std::int64_t other_calls = 0;
};

struct Interval {
  double lower = 0, upper = 0;  // infinite where nothing is known
};

struct MeanStratum {
  double rho = 0;
  Moments canary, baseline;

  friend bool operator==(const MeanStratum&, const MeanStratum&) = default;
};

struct MeanState {
  static constexpr int format = 1;
  static constexpr std::size_t strata_max = 64;

  MeanPlan plan;
  std::vector<MeanStratum> strata;  // one per rho, in the order of their first look
  bool harmful = false, proven_safe = false, broken = false;

  friend bool operator==(const MeanState&, const MeanState&) = default;
};

// Difference of two means of any values with a finite variance: cost, tokens, seconds.
//
// The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024
// (Annals of Statistics 52(6)): with t calls, estimate D_t and estimated variance s^2 of one call's
// influence on it,
//
//   D_t +- s sqrt( 2 (t r^2 + 1) / (t^2 r^2) ln( sqrt(t r^2 + 1) / alpha ) ),
//   r^2 = (-2 ln alpha + ln(-2 ln alpha) + 1) / tightest_at.
//
// D_t is the difference of the arms' means within each rho, weighted by its calls, so that a day
// on which all values rise while rho changes does not look like a difference; s^2 = t Var(D_t),
// with Var from the arms' own variances. Like the central limit theorem it holds in the limit:
// before `calls_at_least` there is no verdict, and rare huge values that nobody has seen yet can
// fool it. Where values are bounded, BoundedMeanTest needs no limit.
class AsymptoticMeanTest {
 public:
  explicit AsymptoticMeanTest(const MeanPlan& plan);
  explicit AsymptoticMeanTest(MeanState state);

  Verdict add(const MeanLook& look);  // as RateTest::add; also broken by more than 64 rhos

  Verdict verdict() const;
  const MeanState& state() const { return state_; }
  // Of canary - baseline; holds at all looks together with chance 1 - level.
  Interval interval(double level) const;

 private:
  MeanState state_;
};

struct BoundedState {
  static constexpr int format = 1;

  MeanPlan plan;
  Moments canary, baseline;
  double effect_sum = 0;      // T = sum phi_i / c_i
  double inverse_widths = 0;  // N = sum 1 / c_i
  double square_sum = 0;      // V = sum (phi_i / c_i)^2
  double harm_log_e_max = 0, safe_log_e_max = 0;
  bool harmful = false, proven_safe = false, broken = false;

  friend bool operator==(const BoundedState&, const BoundedState&) = default;
};

// Difference of two means of values in [0, 1] (scores, or 0 and 1 for a rate), without any limit
// theorem: an empirical-Bernstein e-process (Howard, Ramdas, McAuliffe and Sekhon 2021, theorem 4
// and their randomised experiment; the inequality is that of Fan, Grama and Liu 2015).
//
// Each call gives phi_i = (Y_i - m_i) / rho_i on the canary, -(Y_i - m_i) / (1 - rho_i) on the
// baseline, where m_i is a guess of the mean made before the look. Its mean is the difference of
// the arms at that moment, whatever m_i is, so neither drift nor a change of rho biases it. With
// |phi_i| <= c_i, u_k log-spaced over 0.0001..0.9 and psi(u) = -ln(1 - u) - u,
//
//   E_t(d) = (1/K) sum_k exp( u_k (T - d N) - psi(u_k) V )
//
// is an e-process for "the difference is at most d"; -T and -N turn it round.
class BoundedMeanTest {
 public:
  explicit BoundedMeanTest(const MeanPlan& plan);
  explicit BoundedMeanTest(const BoundedState& state);

  // As RateTest::add; also broken by moments that no values in [0, 1] have.
  Verdict add(const MeanLook& look);

  Verdict verdict() const;
  const BoundedState& state() const { return state_; }
  double harm_log_e() const;
  double safe_log_e() const;
  Interval interval(double level) const;

 private:
  BoundedState state_;
};

// ---- Quantiles ---------------------------------------------------------------------------------

// The levels between which the true p-quantile lies at all counts together, with chance
// 1 - alpha, for independent draws of one distribution (Howard and Ramdas 2022, Bernoulli 28(3)):
// p -+ f, f = 1.5 sqrt(p (1 - p) l) + 0.8 l, l = (1.4 ln ln(2.1 t) + ln(10 / alpha)) / t.
// Read both levels from a sketch of the values; a level of 0 or 1 means no bound on that side.
Interval quantile_levels(double p, std::int64_t count, double alpha);

// ---- States as text ----------------------------------------------------------------------------

// One line, exact to the bit: numbers in their shortest form that reads back as the same double.
// (A JSON number may lose the last bit in a parser; store this text.) A replay gives the same bits
// in the same build; another C library's `log` may differ in the last bit.
std::string to_text(const RateState& state);
std::string to_text(const MeanState& state);
std::string to_text(const BoundedState& state);

// Nothing where the text is not the whole of such a line, of this format, with possible values.
std::optional<RateState> rate_state_from(std::string_view text);
std::optional<MeanState> mean_state_from(std::string_view text);
std::optional<BoundedState> bounded_state_from(std::string_view text);

}  // namespace penstock::release
