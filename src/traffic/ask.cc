#include "traffic/ask.h"

#include <algorithm>
#include <cstdlib>

namespace penstock::traffic {
namespace {

constexpr std::string_view retry_after_field = "Retry-After";

std::string say(const Refusal& refusal) {
  switch (refusal.reason) {
    case Reason::requests:
    case Reason::tokens: return "the limit of " + refusal.what + " is reached";
    case Reason::concurrent: return "the limit of " + refusal.what + " at the same time is reached";
    case Reason::queue_full: return "too many calls wait already" + refusal.what;
    case Reason::wait_too_long: return "the call would wait longer than it may" + refusal.what;
    case Reason::displaced: return "more urgent calls took the place of this one in the queue";
    case Reason::cancelled: return "the call was given up while it waited";
    case Reason::upstream: return "upstream " + refusal.what + " is failing and takes no calls";
    case Reason::budget: return refusal.what;
  }
  return refusal.what;
}

bool is_the_callers(Reason reason) {
  return reason == Reason::requests || reason == Reason::tokens || reason == Reason::concurrent ||
         reason == Reason::budget;
}

}  // namespace

std::int64_t retry_after_seconds(Micros wait) {
  return std::max<std::int64_t>(1, std::chrono::ceil<std::chrono::seconds>(wait).count());
}

Error error_of(const Refusal& refusal) {
  Error error{is_the_callers(refusal.reason) ? Code::resource_exhausted : Code::unavailable,
              say(refusal)};
  if (refusal.retry_after) {
    const std::string seconds = std::to_string(retry_after_seconds(*refusal.retry_after)) + " s";
    error.message += "; try again in " + seconds;
    error.violations.push_back({std::string(retry_after_field), seconds});
  } else if (refusal.reason == Reason::tokens) {
    error.message += ": this call alone asks for more; ask for fewer tokens";
  }
  return error;
}

std::optional<std::int64_t> retry_after_of(const Error& error) {
  for (const Violation& violation : error.violations)
    if (violation.field == retry_after_field) return std::atoll(violation.problem.c_str());
  return std::nullopt;
}

}  // namespace penstock::traffic
