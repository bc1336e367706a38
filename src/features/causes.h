// What a difference between online and offline came from; the text of a cause begins with one of
// these.
#pragma once

#include <string_view>

namespace penstock::features::causes {

constexpr std::string_view late_data = "late data", ttl = "TTL", transform = "transform",
                           code_version = "code version", pushed_only = "pushed only",
                           sources_changed = "sources changed", lost = "lost";

}  // namespace penstock::features::causes
