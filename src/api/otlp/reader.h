// Export requests of the OpenTelemetry protocol, as spans of traces.
#pragma once

#include <string_view>
#include <vector>

#include "tracking/traces.h"

namespace penstock::api::otlp {

// At most 10,000 spans of 1 MB each; what is allocated is bounded by the largest span, not by how
// often a body repeats something. invalid_argument says what is wrong: malformed, too many or too
// large, ids of another size than 16 and 8 bytes.
Result<std::vector<tracking::TracedSpan>> read_protobuf(std::string_view body);
// The same request as JSON: ids in hex, names in lowerCamelCase. At most 16 MB.
Result<std::vector<tracking::TracedSpan>> read_json(std::string_view body);

}  // namespace penstock::api::otlp
