// Traces in the words of MLflow's REST.
#pragma once

#include "api/mlflow/protocol.h"
#include "tracking/traces.h"

namespace penstock::api::mlflow {

// TraceInfoV3, as 3.x clients have it, and TraceInfo of the 2.0 paths.
json::object trace_info(const tracking::TraceDetail& detail);
json::object old_trace_info(const tracking::TraceDetail& detail);
// {"trace_info": ..., "spans": [...]}
json::object trace_with_spans(const tracking::TraceDetail& detail,
                              const std::vector<tracking::Span>& spans);
// {"spans": [...]}, as clients keep it in a file and browsers read it.
json::object trace_data(const std::vector<tracking::Span>& spans);
// Whether all spans are here that the trace says it has.
bool is_whole(const tracking::TraceDetail& detail, std::size_t spans);

// The trace of a StartTraceV3 request.
Result<tracking::StartTrace> start_of(const Arguments& trace_info);
// StartTrace and EndTrace of the 2.0 paths. What the end does not say stays as it was.
Result<tracking::StartTrace> old_start_of(const Arguments& in, const std::string& id);
Result<tracking::StartTrace> old_end_of(const Arguments& in, const tracking::TraceDetail& before);
// "2026-05-01T12:00:00.123Z" as milliseconds; "1.5s" as milliseconds.
Result<std::int64_t> milliseconds_of_time(const std::string& text, const std::string& field);
Result<std::int64_t> milliseconds_of_duration(const std::string& text, const std::string& field);

}  // namespace penstock::api::mlflow
