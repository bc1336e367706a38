#include "serving/arms.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <boost/math/special_functions/beta.hpp>

namespace penstock::serving {
namespace {

constexpr double alpha = 0.05;
constexpr int draws = 20'000;

double variance(const ArmTally& arm) {
  const auto n = static_cast<double>(arm.rewards);
  const double mean = arm.reward_sum / n;
  return std::max(0.0, arm.reward_squares / n - mean * mean);
}

// Half its width after n rewards; narrowest for its width at about 1,000.
double sequence_half(double n, double deviation) {
  constexpr double tuned_for = 1'000;
  const double log_alpha = -2 * std::log(alpha);
  const double rho2 = (log_alpha + std::log(log_alpha + 1)) / tuned_for;
  const double inside =
      2 * (n * rho2 + 1) / (n * n * rho2) * std::log(std::sqrt(n * rho2 + 1) / alpha);
  return deviation * std::sqrt(inside);
}

}  // namespace

Estimate estimate(const ArmTally& arm) {
  Estimate out;
  if (arm.rewards == 0) return out;
  const auto n = static_cast<double>(arm.rewards);
  out.mean = arm.reward_sum / n;
  if (arm.between == 0) {
    const double a = 1 + arm.reward_sum, b = 1 + n - arm.reward_sum;
    out.interval = Interval::credible;
    out.lower = boost::math::ibeta_inv(a, b, alpha / 2);
    out.upper = boost::math::ibeta_inv(a, b, 1 - alpha / 2);
  } else if (arm.rewards > 1) {
    const double half = sequence_half(n, std::sqrt(variance(arm) * n / (n - 1)));
    out.interval = Interval::confidence_sequence;
    out.lower = *out.mean - half;
    out.upper = *out.mean + half;
  }
  return out;
}

std::vector<double> best_chances(const std::vector<ArmTally>& arms, std::uint64_t seed) {
  std::vector<double> chances(arms.size(), 0);
  if (arms.empty()) return chances;
  std::mt19937_64 random(seed);
  const bool binary =
      std::all_of(arms.begin(), arms.end(), [](const ArmTally& arm) { return arm.between == 0; });
  std::vector<std::gamma_distribution<double>> ones, zeros;
  std::vector<std::normal_distribution<double>> means;
  for (const ArmTally& arm : arms) {
    const auto n = static_cast<double>(arm.rewards);
    ones.emplace_back(1 + arm.reward_sum, 1.0);
    zeros.emplace_back(std::max(1.0, 1 + n - arm.reward_sum), 1.0);
    means.emplace_back(n > 0 ? arm.reward_sum / n : 0,
                       n > 1 ? std::sqrt(std::max(variance(arm), 1e-12) / (n - 1)) : 1e6);
  }
  for (int draw = 0; draw < draws; ++draw) {
    std::size_t best = 0;
    double most = 0;
    for (std::size_t i = 0; i < arms.size(); ++i) {
      double mean = 0;
      if (binary) {
        const double one = ones[i](random), zero = zeros[i](random);
        mean = one / (one + zero);
      } else {
        mean = means[i](random);
      }
      if (i > 0 && mean <= most) continue;
      best = i;
      most = mean;
    }
    chances[best] += 1.0 / draws;
  }
  return chances;
}

std::vector<std::int64_t> next_weights(const std::vector<std::int64_t>& now,
                                       const std::vector<double>& chances, const Bounds& bounds) {
  const auto arms = static_cast<double>(now.size());
  const auto total = static_cast<double>(bounds.total);
  const double floor = std::min(static_cast<double>(bounds.floor), std::floor(total / arms));
  const double sum = std::accumulate(chances.begin(), chances.end(), 0.0);
  if (now.size() < 2 || !(sum > 0)) return now;
  std::vector<double> moves;
  double furthest = 0;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const double wanted = floor + chances[i] / sum * (total - arms * floor);
    moves.push_back(wanted - static_cast<double>(now[i]));
    furthest = std::max(furthest, std::fabs(moves.back()));
  }
  const double pace = furthest > 0 ? std::min(1.0, static_cast<double>(bounds.step) / furthest) : 0;
  // Whole parts by largest remainder, so that they add to the total.
  std::vector<std::int64_t> next;
  std::vector<std::pair<double, std::size_t>> rests;
  std::int64_t given = 0;
  for (std::size_t i = 0; i < now.size(); ++i) {
    const double exact = static_cast<double>(now[i]) + pace * moves[i];
    next.push_back(static_cast<std::int64_t>(std::floor(exact + 1e-9)));
    rests.emplace_back(exact - static_cast<double>(next.back()), i);
    given += next.back();
  }
  std::sort(rests.begin(), rests.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (std::size_t i = 0; given < bounds.total && i < rests.size(); ++i, ++given)
    ++next[rests[i].second];
  return next;
}

}  // namespace penstock::serving
