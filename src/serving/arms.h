// The arithmetic of experiments: what rewards say of arms, and how weights follow. No state.
#pragma once

#include "base/described.h"

namespace penstock::serving {

// What was seen of one version in one experiment.
struct ArmTally {
  std::string model;
  std::int64_t version = 0;
  std::int64_t calls = 0, errors = 0;
  std::int64_t rewards = 0;  // labels; a label that was corrected counts once, as it is now
  double reward_sum = 0, reward_squares = 0;
  std::int64_t between = 0;  // of the rewards, those that are neither 0 nor 1
};
BOOST_DESCRIBE_STRUCT(ArmTally, (),
                      (model, version, calls, errors, rewards, reward_sum, reward_squares, between))

enum class Interval { none, credible, confidence_sequence };
BOOST_DESCRIBE_ENUM(Interval, none, credible, confidence_sequence)

struct Estimate {
  std::optional<double> mean, lower, upper;
  Interval interval = Interval::none;
};
BOOST_DESCRIBE_STRUCT(Estimate, (), (mean, lower, upper, interval))

// Of the mean reward. All rewards 0 or 1: the equal-tailed 95% interval of Beta(1 + ones, 1 +
// zeros). Others: the 95% asymptotic confidence sequence of Waudby-Smith et al. 2024, which holds
// however often it is looked at; nothing with fewer than two rewards.
Estimate estimate(const ArmTally& arm);

// The chance of each arm to have the greatest mean: draws of each posterior (Beta as above where
// all rewards of all arms are 0 or 1; else normal around the mean) from `seed`, so that it can be
// told again.
std::vector<double> best_chances(const std::vector<ArmTally>& arms, std::uint64_t seed);

struct Bounds {
  std::int64_t total = 10'000, floor = 500, step = 1'000;
};
// Thompson sampling as weights: each arm's share is its chance to be best, above the floor that
// every arm keeps. All move towards that at one pace, so that none moves by more than the step and
// they go on adding to the total. An arm below the floor is not moved further down.
std::vector<std::int64_t> next_weights(const std::vector<std::int64_t>& now,
                                       const std::vector<double>& chances, const Bounds& bounds);

}  // namespace penstock::serving
