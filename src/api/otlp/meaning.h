// What a span says of itself and of its trace, whichever library wrote it.
#pragma once

#include "tracking/traces.h"

namespace otlp {
class Resource;
class Span;
}  // namespace otlp

namespace penstock::api::otlp {

// Fills in MLflow's own attributes (type, inputs, outputs, tokens, model) where the span has those
// of OpenTelemetry's GenAI conventions, OpenInference or Traceloop alone. invalid_argument where an
// id has not its size, or a time is none.
Result<tracking::TracedSpan> traced(::otlp::Span& span, std::size_t span_max);
// The resource's attributes as tags, without those of the SDK and MLflow's own names.
std::vector<tracking::Pair> tags_of(const ::otlp::Resource& resource);

}  // namespace penstock::api::otlp
