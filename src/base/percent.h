#pragma once

#include <string>
#include <string_view>

namespace penstock {

// RFC 3986: all but letters, digits and "-._~" as %XX; "/" too, unless it stays.
std::string percent_encoded(std::string_view text, bool keep_slash = false);

}  // namespace penstock
