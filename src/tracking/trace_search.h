// MLflow's filters and orders over traces, as SQL.
#pragma once

#include "tracking/comparison.h"

namespace penstock::tracking {

// `filter`: comparisons joined by AND.
//   status, name, run_id, request_id, client_request_id, prompt        texts
//   timestamp_ms, execution_time_ms, end_time_ms                      whole numbers
//   tags.K, metadata.K                                                texts; IS NULL, IS NOT NULL
//   span.name, span.type, span.status, span.attributes.K, text        one span has all of them
//   feedback.K, expectation.K                                         texts, or numbers with <, >
//   issue.id
// `order_by`: attributes, tags.K or metadata.K with ASC or DESC; what is not there comes last.
// The table of traces is `t`. invalid_argument where either cannot be read, naming the word.
Result<Clauses> compile_traces(const std::string& filter, const std::vector<std::string>& order_by);

}  // namespace penstock::tracking
