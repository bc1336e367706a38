// Identifiers of things that are made, not named.
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "base/time.h"

namespace penstock {

// A fresh ULID: 26 characters of Crockford's base 32, ordered by time, then random (80 bits).
// Within one process and millisecond later calls give greater ids.
std::string new_ulid(Timestamp at);
bool is_ulid(std::string_view text);
// When it was made, to the millisecond; nothing where it is none.
std::optional<Timestamp> time_of_ulid(std::string_view text);

}  // namespace penstock
