// Traces of what an application did: spans, and what people and judges say of them (MLflow 3).
#pragma once

#include "tracking/service.h"

namespace penstock::tracking {

// MLflow's words.
enum class TraceState { STATE_UNSPECIFIED, OK, ERROR, IN_PROGRESS };
BOOST_DESCRIBE_ENUM(TraceState, STATE_UNSPECIFIED, OK, ERROR, IN_PROGRESS)

struct Trace {
  std::int64_t number = 0;
  std::string project, id;
  std::int64_t experiment = 0;
  std::int64_t request_time = 0;         // milliseconds since 1970
  std::optional<std::int64_t> duration;  // milliseconds
  TraceState state = TraceState::IN_PROGRESS;
  std::string client_request_id, request_preview, response_preview;
  bool finished = false;  // its client said the last word; spans change its times no more
};
BOOST_DESCRIBE_STRUCT(Trace, (),
                      (number, project, id, experiment, request_time, duration, state,
                       client_request_id, request_preview, response_preview, finished))

struct Span {
  std::string id, parent, name, type, status;  // ids in hex; no parent: the root
  std::int64_t start_time = 0, end_time = 0;   // nanoseconds since 1970
  std::string usage;                           // tokens and costs of a model call as JSON, or empty
  std::string body;                            // the whole of it, the JSON of OTLP's message
};
BOOST_DESCRIBE_STRUCT(Span, (), (id, parent, name, type, status, start_time, end_time, usage, body))

// A span as it came, with what it says of its trace.
struct TracedSpan {
  std::string trace;  // "tr-" and 32 hex digits
  Span span;
  std::string inputs, outputs;       // of the root: JSON text
  std::vector<Pair> tags, metadata;  // of the trace; metadata that is there already stays
};

struct TraceDetail {
  Trace trace;
  std::vector<Pair> metadata, tags;
  std::vector<std::string> assessments;  // JSON objects
};

struct StartTrace {
  Trace trace;
  std::vector<Pair> metadata, tags;
  std::vector<json::object> assessments;
};

struct DeleteTraces {
  std::int64_t experiment = 0;
  std::vector<std::string> ids;
  std::optional<std::int64_t> until;  // milliseconds since 1970
  std::optional<std::int64_t> limit;  // the oldest first
};

struct Assessment {
  std::string id, kind;          // "feedback", "expectation" or "issue"
  std::string key, value;        // its name; its value: a text as it is, else JSON
  std::optional<double> number;  // the value, where it is one
  bool is_valid = true;          // nothing overrides it
  std::int64_t created_at = 0;
  std::string body;  // JSON, as it is answered
};
BOOST_DESCRIBE_STRUCT(Assessment, (), (id, kind, key, value, number, is_valid, created_at, body))

// How often traces of one kind are traces of another.
struct Correlation {
  std::int64_t first = 0, second = 0, joint = 0, total = 0;
};

struct MetricGroup;
struct TraceMetricQuery;

// Every function is one transaction. Deletion is in the audit log; traces themselves are data.
class Traces {
 public:
  Traces(sql::Database& db, const Clock& clock) : db_(db), clock_(clock) {}

  // Of a trace whose client has none for it.
  std::string new_id() const;
  // Says the last word on a trace, whose spans may have come before it.
  Result<TraceDetail> start(const Call& call, const StartTrace& input);
  // All or none: at most 10,000 spans, of 1 MB each. A trace that is not known yet begins with its
  // first span, in `experiment`. What a batch costs does not grow with the spans before it, but for
  // the batch that brings a trace's root, which adds up the tokens of all. `run`: what the traces
  // are linked to, or empty.
  Result<void> add_spans(const Call& call, std::int64_t experiment,
                         const std::vector<TracedSpan>& spans, const std::string& run = "");
  Result<TraceDetail> get(const Call& call, const std::string& id);
  // Those of `ids` that exist, in their order. At most 1,000.
  Result<std::vector<TraceDetail>> get(const Call& call, const std::vector<std::string>& ids);
  // The root first, then by their start.
  Result<std::vector<Span>> spans(const Call& call, const std::string& id);
  // At most 500 a page.
  Result<Found<TraceDetail>> search(const Call& call, const Search& search);
  Result<Correlation> correlate(const Call& call, const std::vector<std::int64_t>& experiments,
                                const std::string& first, const std::string& second,
                                const std::string& among);
  // `trace_metrics.h` says how.
  Result<Found<MetricGroup>> metrics(const Call& call, const TraceMetricQuery& query);
  // How many went.
  Result<std::int64_t> remove(const Call& call, const DeleteTraces& input);
  Result<void> set_tag(const Call& call, const std::string& id, const Pair& tag);
  Result<void> remove_tag(const Call& call, const std::string& id, const std::string& key);
  // At most 100 at once; all or none.
  Result<void> link_run(const Call& call, const std::vector<std::string>& ids,
                        const std::string& run);
  // `prompts`: "name/version".
  Result<void> link_prompts(const Call& call, const std::string& id,
                            const std::vector<std::string>& prompts);

  // `body` with its assessment_id: what it overrides is not valid any more.
  Result<Assessment> assess(const Call& call, const std::string& id, json::object body);
  Result<Assessment> assessment(const Call& call, const std::string& id,
                                const std::string& assessment);
  // Replaces the named fields of it; metadata is merged.
  Result<Assessment> reassess(const Call& call, const std::string& id,
                              const std::string& assessment, const json::object& fields);
  // Absent is fine; what it overrode is valid again.
  Result<void> remove_assessment(const Call& call, const std::string& id,
                                 const std::string& assessment);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
};

}  // namespace penstock::tracking
