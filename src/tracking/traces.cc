#include "tracking/traces.h"

#include <algorithm>
#include <map>
#include <set>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "tracking/offset_page.h"
#include "tracking/store.h"
#include "tracking/trace_search.h"
#include "tracking/trace_store.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t ids_max = 1'000, links_max = 100, at_once = 500;

Error invalid(const std::string& problem) { return {Code::invalid_argument, problem}; }

Result<Trace> find(sql::Tx& tx, const Call& call, const std::string& id) {
  auto found = TRY(trace_store::find(tx, call.project, id));
  if (found.empty()) return Error{Code::not_found, "Trace with ID '" + id + "' not found."};
  return std::move(found.front());
}

Result<TraceDetail> detail(sql::Tx& tx, Trace trace) {
  std::vector<Trace> one;
  one.push_back(std::move(trace));
  return std::move(TRY(trace_store::details(tx, std::move(one))).front());
}

Result<void> check_run(sql::Tx& tx, const Call& call, const std::string& run) {
  if (TRY(store::run(tx, call.project, run)).empty())
    return Error{Code::not_found, "Run with id=" + run + " not found"};
  return {};
}

// `experiments` and what else a search says of its traces: " WHERE ...".
std::string where_of(const Call& call, const std::vector<std::int64_t>& experiments,
                     Clauses& compiled) {
  const auto mark = [&](Scalar value) {
    compiled.parameters.push_back(std::move(value));
    return "$" + std::to_string(compiled.parameters.size());
  };
  std::string where = " WHERE t.project = " + mark(call.project) + " AND t.experiment IN (";
  for (std::size_t i = 0; i < experiments.size(); ++i)
    where += (i ? ", " : "") + mark(experiments[i]);
  return where + ")" + (compiled.where.empty() ? "" : " AND " + compiled.where);
}

Result<void> check_experiments(const std::vector<std::int64_t>& experiments) {
  if (experiments.size() <= ids_max) return {};
  return invalid("a search may name " + std::to_string(ids_max) + " experiments, and names " +
                 std::to_string(experiments.size()));
}

}  // namespace

std::string Traces::new_id() const {
  return "tr-" + sha256_hex(new_ulid(clock_.now())).substr(0, 32);
}

Result<TraceDetail> Traces::start(const Call& call, const StartTrace& input) {
  TRY(trace_store::check(input));
  return db_.write(call, [&](sql::Tx& tx) -> Result<TraceDetail> {
    auto before = TRY(trace_store::find(tx, call.project, input.trace.id));
    Trace trace = input.trace;
    trace.request_preview = trace_store::shortened(trace.request_preview);
    trace.response_preview = trace_store::shortened(trace.response_preview);
    trace.finished = trace.state == TraceState::OK || trace.state == TraceState::ERROR;
    trace.project = call.project;
    if (before.empty()) {
      TRY(trace_store::insert(tx, trace, now()));
    } else {
      trace.number = before.front().number;
      trace.experiment = before.front().experiment;
      if (trace.request_preview.empty()) trace.request_preview = before.front().request_preview;
      if (trace.response_preview.empty()) trace.response_preview = before.front().response_preview;
      TRY(trace_store::update(tx, trace));
    }
    for (const Pair& one : input.metadata) TRY(trace_store::put_metadata(tx, trace.number, one));
    for (const Pair& one : input.tags) TRY(trace_store::put_tag(tx, trace.number, one));
    for (const json::object& one : input.assessments)
      TRY(trace_store::add_assessment(tx, trace.number, trace.id, one, clock_.now()));
    return detail(tx, std::move(trace));
  });
}

Result<void> Traces::add_spans(const Call& call, std::int64_t experiment,
                               const std::vector<TracedSpan>& spans, const std::string& run) {
  TRY(trace_store::check(spans));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    if (!run.empty()) TRY(check_run(tx, call, run));
    std::map<std::string, Trace> traces;
    std::set<std::string> to_add_up;
    for (const TracedSpan& one : spans) {
      auto place = traces.find(one.trace);
      bool is_new = false;
      if (place == traces.end()) {
        auto found = TRY(trace_store::find(tx, call.project, one.trace));
        is_new = found.empty();
        Trace trace{.project = call.project, .id = one.trace, .experiment = experiment};
        if (is_new)
          TRY(trace_store::insert(tx, trace, now()));
        else
          trace = std::move(found.front());
        TRY(trace_store::put_tag(tx, trace.number,
                                 {"mlflow.trace.spansLocation", "TRACKING_STORE"}));
        place = traces.emplace(one.trace, std::move(trace)).first;
      }
      Trace& trace = place->second;
      if (!trace.finished) trace_store::widen(trace, one, is_new);
      const bool has_root = one.span.parent.empty() || trace.state != TraceState::IN_PROGRESS;
      if (one.span.parent.empty() || (has_root && !one.span.usage.empty()))
        to_add_up.insert(one.trace);
      TRY(trace_store::put_span(tx, trace, one));
    }
    for (const auto& [id, trace] : traces) {
      TRY(trace_store::update(tx, trace));
      if (to_add_up.contains(id)) TRY(trace_store::add_up_usage(tx, trace));
      if (!run.empty()) TRY(trace_store::put_run(tx, trace.number, run));
    }
    return {};
  });
}

Result<TraceDetail> Traces::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<TraceDetail> {
    return detail(tx, TRY(find(tx, call, id)));
  });
}

Result<std::vector<TraceDetail>> Traces::get(const Call& call,
                                             const std::vector<std::string>& ids) {
  if (ids.size() > ids_max)
    return invalid("trace_ids may have " + std::to_string(ids_max) + " entries, and has " +
                   std::to_string(ids.size()) + "; ask several times");
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<TraceDetail>> {
    std::vector<Trace> traces;
    for (const std::string& id : ids)
      for (Trace& trace : TRY(trace_store::find(tx, call.project, id)))
        traces.push_back(std::move(trace));
    return trace_store::details(tx, std::move(traces));
  });
}

Result<std::vector<Span>> Traces::spans(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<Span>> {
    return trace_store::spans(tx, TRY(find(tx, call, id)).number);
  });
}

Result<Found<TraceDetail>> Traces::search(const Call& call, const Search& search) {
  if (search.limit < 1 || search.limit > 500)
    return invalid("Invalid value " + std::to_string(search.limit) +
                   " for parameter 'max_results' supplied: it must be from 1 to 500");
  TRY(check_experiments(search.experiments));
  Clauses compiled = TRY(compile_traces(search.filter, search.order_by));
  const std::int64_t offset = TRY(offset_page::begin(search.page_token));
  if (search.experiments.empty()) return Found<TraceDetail>{};
  const std::string where = where_of(call, search.experiments, compiled);
  const std::string order = compiled.order.empty() ? "" : compiled.order + ", ";
  const std::string text =
      "SELECT t.number, t.project, t.id, t.experiment, t.request_time, t.duration, t.state, "
      "t.client_request_id, t.request_preview, t.response_preview, t.finished FROM traces t" +
      compiled.joins + where + " ORDER BY " + order + "t.request_time DESC, t.id LIMIT " +
      std::to_string(search.limit + 1) + " OFFSET " + std::to_string(offset);
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<TraceDetail>> {
    auto traces = TRY(sql::select<Trace>(tx, text, compiled.parameters));
    Found<TraceDetail> out;
    out.next_page_token = offset_page::next(traces, search.limit, offset);
    out.items = TRY(trace_store::details(tx, std::move(traces)));
    return out;
  });
}

Result<Correlation> Traces::correlate(const Call& call,
                                      const std::vector<std::int64_t>& experiments,
                                      const std::string& first, const std::string& second,
                                      const std::string& among) {
  TRY(check_experiments(experiments));
  const std::string base = among.empty() ? "" : among + " AND ";
  std::vector<Clauses> asked;
  for (const std::string& filter :
       {base + first, base + second, base + first + " AND " + second, among})
    asked.push_back(TRY(compile_traces(filter, {})));
  if (experiments.empty()) return Correlation{};
  return db_.read(call, [&](sql::Tx& tx) -> Result<Correlation> {
    std::vector<std::int64_t> counts;
    for (Clauses& one : asked) {
      const std::string where = where_of(call, experiments, one);
      const auto rows = TRY(tx.run("SELECT count(*) FROM traces t" + where, one.parameters));
      counts.push_back(std::get<std::int64_t>(rows.at(0).at(0)));
    }
    return Correlation{counts[0], counts[1], counts[2], counts[3]};
  });
}

Result<std::int64_t> Traces::remove(const Call& call, const DeleteTraces& input) {
  if (input.ids.empty() == !input.until)
    return invalid("Either `max_timestamp_millis` or `trace_ids` must be specified, but not both.");
  if (input.limit && !input.ids.empty())
    return invalid("`max_traces` can't be specified if `trace_ids` is specified.");
  if (input.limit && *input.limit < 1) return invalid("`max_traces` must be a positive integer.");
  if (input.ids.size() > ids_max)
    return invalid("request_ids may have " + std::to_string(ids_max) + " entries, and has " +
                   std::to_string(input.ids.size()) + "; delete in several calls");
  return db_.write(call, [&](sql::Tx& tx) -> Result<std::int64_t> {
    std::vector<std::int64_t> gone;
    if (input.until)
      gone = TRY(trace_store::older(tx, call.project, input.experiment, *input.until, input.limit));
    for (const std::string& id : input.ids)
      for (const Trace& trace : TRY(trace_store::find(tx, call.project, id)))
        if (trace.experiment == input.experiment) gone.push_back(trace.number);
    for (std::size_t from = 0; from < gone.size(); from += at_once)
      TRY(trace_store::erase(tx, gone, from, std::min(from + at_once, gone.size())));
    const auto count = static_cast<std::int64_t>(gone.size());
    if (count > 0)
      TRY(audit::record(tx, call, clock_.now(),
                        {"tracking.traces.deleted",
                         "experiment:" + std::to_string(input.experiment),
                         {{"traces", count}}}));
    return count;
  });
}

Result<void> Traces::set_tag(const Call& call, const std::string& id, const Pair& tag) {
  TRY(check_tag({tag.key, ""}, ""));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    return trace_store::put_tag(tx, TRY(find(tx, call, id)).number, tag);
  });
}

Result<void> Traces::remove_tag(const Call& call, const std::string& id, const std::string& key) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Trace trace = TRY(find(tx, call, id));
    const auto gone = TRY(tx.run(
        "DELETE FROM trace_tags WHERE trace = $1 AND key = $2 RETURNING key", {trace.number, key}));
    if (gone.empty())
      return Error{Code::not_found,
                   "No trace tag with key '" + key + "' for trace with ID '" + id + "'"};
    return {};
  });
}

Result<void> Traces::link_run(const Call& call, const std::vector<std::string>& ids,
                              const std::string& run) {
  if (ids.size() > links_max)
    return invalid("Cannot link more than " + std::to_string(links_max) +
                   " traces to a run in a single request. Provided " + std::to_string(ids.size()) +
                   " traces.");
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(check_run(tx, call, run));
    for (const std::string& id : ids)
      TRY(trace_store::put_run(tx, TRY(find(tx, call, id)).number, run));
    return {};
  });
}

Result<void> Traces::link_prompts(const Call& call, const std::string& id,
                                  const std::vector<std::string>& prompts) {
  if (prompts.size() > links_max)
    return invalid("prompt_versions may have " + std::to_string(links_max) + " entries, and has " +
                   std::to_string(prompts.size()));
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const Trace trace = TRY(find(tx, call, id));
    for (const std::string& prompt : prompts)
      TRY(trace_store::put_prompt(tx, trace.number, prompt));
    return {};
  });
}

}  // namespace penstock::tracking
