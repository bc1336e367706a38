// When a freeze is in force. Pure, but for the time zones, which are the system's.
#pragma once

#include "freezes/freeze.h"

namespace penstock::freezes {

// What is wrong with a declaration's times; empty where nothing is.
std::vector<Violation> faults_of(const Freeze& freeze);

// The span that `at` is in, or the next one after it; nothing where none comes any more. Spans of
// several weekly times that touch are one.
//
// Where clocks are set forward and a local time does not exist, the instant of the change stands
// for it. Where they are set back and it comes twice, a span begins at the first and ends at the
// second: it is longer rather than shorter. failed_precondition where the time zone is not known on
// this machine.
Result<std::optional<Span>> span_at(const Freeze& freeze, Timestamp at);

}  // namespace penstock::freezes
