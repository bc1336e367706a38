// The tables of traces, spans and assessments; and what spans say of their trace.
#pragma once

#include "ports/sql.h"
#include "tracking/traces.h"

namespace penstock::tracking::trace_store {

// Refuse what is too large or has no name: invalid_argument naming the field, its size and the
// limit.
Result<void> check(const StartTrace& input);
Result<void> check(const std::vector<TracedSpan>& spans);
// At most `max` characters of it, the last three dots where some are missing.
std::string shortened(const std::string& text, std::size_t max = 1'000);

Result<std::vector<Trace>> find(sql::Tx& tx, const std::string& project, const std::string& id);
// Gives it a number. not_found where its experiment is not there or is deleted.
Result<void> insert(sql::Tx& tx, Trace& trace, std::int64_t now);
Result<void> update(sql::Tx& tx, const Trace& trace);
// Widens the trace's times by a span's, and takes state and previews from its root. `is_new`: the
// trace has none but those of this span.
void widen(Trace& trace, const TracedSpan& traced, bool is_new);
// Those that began until then, in milliseconds, the oldest first.
Result<std::vector<std::int64_t>> older(sql::Tx& tx, const std::string& project,
                                        std::int64_t experiment, std::int64_t until,
                                        std::optional<std::int64_t> limit);
// With all that hangs on them: numbers[from .. until).
Result<void> erase(sql::Tx& tx, const std::vector<std::int64_t>& numbers, std::size_t from,
                   std::size_t until);
// Each with what is said of it, in the order given.
Result<std::vector<TraceDetail>> details(sql::Tx& tx, std::vector<Trace> traces);

// Values longer than 8,000 characters are cut, as MLflow cuts them.
Result<void> put_tag(sql::Tx& tx, std::int64_t trace, const Pair& tag);
Result<void> put_metadata(sql::Tx& tx, std::int64_t trace, const Pair& pair);
Result<void> put_run(sql::Tx& tx, std::int64_t trace, const std::string& run);
Result<void> put_prompt(sql::Tx& tx, std::int64_t trace, const std::string& prompt);
// With the tags and metadata it brings. The same span sent again replaces what it said before.
Result<void> put_span(sql::Tx& tx, const Trace& trace, const TracedSpan& traced);
Result<std::vector<Span>> spans(sql::Tx& tx, std::int64_t trace);
// Tokens and costs of all spans as metadata of the trace. A span whose ancestor has them is part
// of that ancestor's, and not counted again.
Result<void> add_up_usage(sql::Tx& tx, const Trace& trace);

Result<Assessment> add_assessment(sql::Tx& tx, std::int64_t trace, const std::string& trace_id,
                                  json::object body, Timestamp now);

}  // namespace penstock::tracking::trace_store
