// JSON as it is read from others.
#pragma once

#include <string_view>

#include "base/described.h"

namespace penstock {

// As json::parse of the same arguments, but that every double is the nearest one to what stands
// there: Boost's own parser may be off by the last bit of one in ten.
json::value parse_json(std::string_view text, boost::system::error_code& fault,
                       json::storage_ptr storage = {}, const json::parse_options& options = {});

}  // namespace penstock
