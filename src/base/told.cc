#include "base/told.h"

#include "base/kind.h"

namespace penstock {

std::string told_problem(const Violation& fault) {
  const std::string of_duration = "must be of type " + std::string(Kind<Micros>::type) + " (" +
                                  std::string(Kind<Micros>::format) + ")";
  if (fault.problem != of_duration) return fault.problem;
  return "must be a duration: a number and its unit, such as 30s, 12h or 90d";
}

}  // namespace penstock
