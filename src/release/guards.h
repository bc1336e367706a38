// How a plan's guards become tests of evidence.h.
#pragma once

#include "base/result.h"
#include "release/evidence.h"
#include "release/release.h"

namespace penstock::release {

// invalid_argument with every fault of it.
Result<void> check_plan(const Plan& plan);
// Alpha is split evenly over the plan's guards, so that the release as a whole keeps it.
RatePlan rate_plan(const Plan& plan, const Guard& guard);

constexpr const char* text_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::harmful: return "harmful";
    case Verdict::broken: return "broken";
    case Verdict::proven_safe: return "proven_safe";
    case Verdict::no_data: return "no_data";
    case Verdict::undecided: return "undecided";
  }
  return "broken";
}

}  // namespace penstock::release
