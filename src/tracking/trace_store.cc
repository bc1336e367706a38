#include "tracking/trace_store.h"

#include <algorithm>
#include <map>

#include "tracking/store.h"

namespace penstock::tracking::trace_store {
namespace {

constexpr const char* run_key = "mlflow.sourceRun";
constexpr const char* prompts_key = "mlflow.linkedPrompts";
constexpr const char* name_key = "mlflow.traceName";
constexpr std::size_t id_max = 50, key_max = 250, value_max = 8'000, pairs_max = 1'000;
constexpr std::size_t spans_max = 10'000, span_max = 1'000'000, name_max = 4'096;

Error refused(const std::string& what, std::size_t size, std::size_t max, const char* unit) {
  return {Code::invalid_argument, what + " has " + std::to_string(size) + " " + unit +
                                      ", and may have " + std::to_string(max)};
}

Result<void> check_pairs(const std::vector<Pair>& pairs, const std::string& field) {
  if (pairs.size() > pairs_max) return refused(field, pairs.size(), pairs_max, "entries");
  for (const Pair& one : pairs) {
    if (one.key.empty()) return Error{Code::invalid_argument, field + " has an empty key"};
    if (one.key.size() > key_max)
      return refused(field + " key '" + one.key.substr(0, 50) + "...'", one.key.size(), key_max,
                     "bytes");
  }
  return {};
}

Result<void> put(sql::Tx& tx, const std::string& table, std::int64_t trace, const Pair& pair,
                 bool replaces) {
  TRY(tx.run("INSERT INTO " + table + " (trace, key, value) VALUES ($1, $2, $3) " +
                 (replaces ? "ON CONFLICT (trace, key) DO UPDATE SET value = excluded.value"
                           : "ON CONFLICT DO NOTHING"),
             {trace, pair.key, shortened(pair.value, value_max)}));
  return {};
}

// $1, $2, ... for numbers[from .. until), which become `row`.
std::string marks(const std::vector<std::int64_t>& numbers, std::size_t from, std::size_t until,
                  sql::Row& row) {
  std::string out;
  for (std::size_t i = from; i < until; ++i) {
    row.emplace_back(numbers[i]);
    out += (out.empty() ? "$" : ", $") + std::to_string(row.size());
  }
  return out;
}

// `[{"name": "n", "version": "1"}]`
Result<void> put_prompts(sql::Tx& tx, std::int64_t trace, const std::string& text) {
  boost::system::error_code fault;
  const json::value list = json::parse(text, fault);
  if (fault || !list.is_array()) return {};
  for (const json::value& one : list.as_array()) {
    const json::object* fields = one.if_object();
    const json::value* name = fields ? fields->if_contains("name") : nullptr;
    const json::value* version = fields ? fields->if_contains("version") : nullptr;
    if (!name || !name->is_string() || !version) continue;
    const std::string number =
        version->is_string() ? std::string(version->as_string()) : json::serialize(*version);
    TRY(put_prompt(tx, trace, std::string(name->as_string()) + "/" + number));
  }
  return {};
}

struct SpanUsage {
  std::string id, parent, usage;
};
BOOST_DESCRIBE_STRUCT(SpanUsage, (), (id, parent, usage))

struct Sums {
  std::map<std::string, double> tokens, cost;
};

void add(std::map<std::string, double>& sums, const json::value& amounts) {
  if (!amounts.is_object()) return;
  for (const auto& [name, amount] : amounts.as_object())
    if (amount.is_number()) sums[std::string(name)] += amount.to_number<double>();
}

// Walks from the roots down: what is above a span decides whether it counts.
Sums add_up(const std::vector<SpanUsage>& spans) {
  std::map<std::string, std::vector<const SpanUsage*>> children;
  std::map<std::string, bool> is_known;
  for (const SpanUsage& span : spans) is_known[span.id] = true;
  struct Visit {
    const SpanUsage* span;
    bool tokens_above, cost_above;
  };
  std::vector<Visit> open;
  for (const SpanUsage& span : spans)
    if (is_known.contains(span.parent))
      children[span.parent].push_back(&span);
    else
      open.push_back({&span, false, false});
  Sums sums;
  while (!open.empty()) {
    Visit at = open.back();
    open.pop_back();
    if (!at.span->usage.empty()) {
      const json::object usage = json::parse(at.span->usage).as_object();
      if (const json::value* tokens = usage.if_contains("tokens")) {
        if (!at.tokens_above) add(sums.tokens, *tokens);
        at.tokens_above = true;
      }
      if (const json::value* cost = usage.if_contains("cost")) {
        if (!at.cost_above) add(sums.cost, *cost);
        at.cost_above = true;
      }
    }
    for (const SpanUsage* child : children[at.span->id])
      open.push_back({child, at.tokens_above, at.cost_above});
  }
  return sums;
}

}  // namespace

std::string shortened(const std::string& text, std::size_t max) {
  if (text.size() <= max) return text;
  std::size_t characters = 0, cut = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
    if (characters == max - 3) cut = at;
    if (++characters > max) return text.substr(0, cut) + "...";
  }
  return text;
}

Result<void> check(const StartTrace& input) {
  if (input.trace.id.empty()) return Error{Code::invalid_argument, "trace_id is missing"};
  if (input.trace.id.size() > id_max)
    return refused("trace_id", input.trace.id.size(), id_max, "bytes");
  if (input.trace.client_request_id.size() > id_max)
    return refused("client_request_id", input.trace.client_request_id.size(), id_max, "bytes");
  if (input.assessments.size() > pairs_max)
    return refused("assessments", input.assessments.size(), pairs_max, "entries");
  TRY(check_pairs(input.metadata, "trace_metadata"));
  return check_pairs(input.tags, "tags");
}

Result<void> check(const std::vector<TracedSpan>& spans) {
  if (spans.size() > spans_max)
    return Error{Code::invalid_argument, "a request may hold " + std::to_string(spans_max) +
                                             " spans, and holds " + std::to_string(spans.size()) +
                                             "; send several"};
  for (const TracedSpan& one : spans) {
    if (one.span.body.size() > span_max)
      return refused("span '" + one.span.name.substr(0, 100) + "'", one.span.body.size(), span_max,
                     "bytes");
    if (one.span.name.size() > name_max)
      return refused("the name of span '" + one.span.name.substr(0, 50) + "...'",
                     one.span.name.size(), name_max, "bytes");
  }
  return {};
}

Result<std::vector<Trace>> find(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Trace>() + " FROM traces WHERE project = $1 AND id = $2";
  return sql::select<Trace>(tx, text, {project, id});
}

Result<void> insert(sql::Tx& tx, Trace& trace, std::int64_t now) {
  auto experiment = TRY(store::experiment(tx, trace.project, trace.experiment));
  if (experiment.empty() && trace.experiment == 0) {
    TRY(store::put_default_experiment(tx, trace.project, now));
    experiment = TRY(store::experiment(tx, trace.project, 0));
  }
  if (experiment.empty())
    return Error{Code::not_found,
                 "No Experiment with id=" + std::to_string(trace.experiment) + " exists"};
  if (experiment.front().lifecycle != Lifecycle::active)
    return Error{Code::invalid_argument,
                 "The experiment " + std::to_string(trace.experiment) +
                     " must be in the 'active' state, and is in the deleted state; restore it "
                     "first"};
  const auto last = TRY(tx.run("SELECT coalesce(max(number), 0) FROM traces", {}));
  trace.number = std::get<std::int64_t>(last.at(0).at(0)) + 1;
  TRY(sql::insert(tx, "traces", trace));
  return put_tag(tx, trace.number,
                 {"mlflow.artifactLocation",
                  experiment.front().artifact_location + "/traces/" + trace.id + "/artifacts"});
}

Result<void> update(sql::Tx& tx, const Trace& trace) {
  TRY(tx.run(
      "UPDATE traces SET request_time = $2, duration = $3, state = $4, client_request_id = "
      "$5, request_preview = $6, response_preview = $7, finished = $8 WHERE number = $1",
      {trace.number, trace.request_time, sql::to_sql(trace.duration), sql::to_sql(trace.state),
       trace.client_request_id, trace.request_preview, trace.response_preview, trace.finished}));
  return {};
}

void widen(Trace& trace, const TracedSpan& traced, bool is_new) {
  const std::int64_t start = traced.span.start_time / 1'000'000;
  const std::int64_t end = traced.span.end_time / 1'000'000;
  const std::int64_t was_end = is_new ? end : trace.request_time + trace.duration.value_or(0);
  trace.request_time = is_new ? start : std::min(trace.request_time, start);
  if (traced.span.end_time != 0) trace.duration = std::max(was_end, end) - trace.request_time;
  if (!traced.span.parent.empty()) return;
  trace.state = traced.span.status == "ERROR" ? TraceState::ERROR
                : traced.span.end_time != 0   ? TraceState::OK
                                              : TraceState::IN_PROGRESS;
  if (trace.request_preview.empty()) trace.request_preview = shortened(traced.inputs);
  if (trace.response_preview.empty()) trace.response_preview = shortened(traced.outputs);
}

Result<std::vector<std::int64_t>> older(sql::Tx& tx, const std::string& project,
                                        std::int64_t experiment, std::int64_t until,
                                        std::optional<std::int64_t> limit) {
  std::vector<std::int64_t> numbers;
  for (const sql::Row& row :
       TRY(tx.run("SELECT number FROM traces WHERE project = $1 AND experiment = $2 AND "
                  "request_time <= $3 ORDER BY request_time, id LIMIT $4",
                  {project, experiment, until, limit.value_or(1'000'000)})))
    numbers.push_back(std::get<std::int64_t>(row.at(0)));
  return numbers;
}

Result<void> erase(sql::Tx& tx, const std::vector<std::int64_t>& numbers, std::size_t from,
                   std::size_t until) {
  sql::Row row;
  const std::string in = " IN (" + marks(numbers, from, until, row) + ")";
  // Other projects may have traces of the same ids.
  TRY(tx.run("DELETE FROM review_queue_items WHERE item IN (SELECT id FROM traces WHERE number" +
                 in +
                 ") AND queue IN (SELECT q.id FROM review_queues q JOIN traces t ON t.project = "
                 "q.project WHERE t.number" +
                 in + ")",
             row));
  for (const char* table : {"trace_tags", "trace_metadata", "trace_runs", "trace_prompts",
                            "trace_spans", "assessments"})
    TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE trace" + in, row));
  TRY(tx.run("DELETE FROM traces WHERE number" + in, row));
  return {};
}

Result<std::vector<TraceDetail>> details(sql::Tx& tx, std::vector<Trace> traces) {
  constexpr std::size_t at_once = 500;
  std::vector<TraceDetail> out;
  out.reserve(traces.size());
  std::vector<std::int64_t> numbers;
  for (Trace& trace : traces) {
    numbers.push_back(trace.number);
    out.push_back({.trace = std::move(trace)});
  }
  for (std::size_t from = 0; from < out.size(); from += at_once) {
    const std::size_t until = std::min(from + at_once, out.size());
    std::map<std::int64_t, TraceDetail*> by_number;
    for (std::size_t i = from; i < until; ++i) by_number[numbers[i]] = &out[i];
    sql::Row row;
    const std::string in = " IN (" + marks(numbers, from, until, row) + ")";
    const auto text = [](const Scalar& column) { return std::get<std::string>(column); };
    const auto pairs = [&](const char* table,
                           std::vector<Pair> TraceDetail::*list) -> Result<void> {
      for (const sql::Row& one : TRY(tx.run("SELECT key, value, trace FROM " + std::string(table) +
                                                " WHERE trace" + in + " ORDER BY trace, key",
                                            row)))
        (by_number.at(std::get<std::int64_t>(one.at(2)))->*list)
            .push_back({text(one.at(0)), text(one.at(1))});
      return {};
    };
    TRY(pairs("trace_metadata", &TraceDetail::metadata));
    TRY(pairs("trace_tags", &TraceDetail::tags));
    for (const sql::Row& one : TRY(tx.run(
             "SELECT body, trace FROM assessments WHERE trace" + in + " ORDER BY created_at, id",
             row)))
      by_number.at(std::get<std::int64_t>(one.at(1)))->assessments.push_back(text(one.at(0)));
  }
  return out;
}

Result<void> put_tag(sql::Tx& tx, std::int64_t trace, const Pair& tag) {
  if (tag.key == prompts_key) TRY(put_prompts(tx, trace, tag.value));
  return put(tx, "trace_tags", trace, tag, true);
}

Result<void> put_metadata(sql::Tx& tx, std::int64_t trace, const Pair& pair) {
  if (pair.key == run_key) TRY(put_run(tx, trace, pair.value));
  return put(tx, "trace_metadata", trace, pair, true);
}

Result<void> put_run(sql::Tx& tx, std::int64_t trace, const std::string& run) {
  TRY(tx.run("INSERT INTO trace_runs (trace, run) VALUES ($1, $2) ON CONFLICT DO NOTHING",
             {trace, run}));
  return {};
}

Result<void> put_prompt(sql::Tx& tx, std::int64_t trace, const std::string& prompt) {
  TRY(tx.run("INSERT INTO trace_prompts (trace, prompt) VALUES ($1, $2) ON CONFLICT DO NOTHING",
             {trace, prompt}));
  return {};
}

Result<void> put_span(sql::Tx& tx, const Trace& trace, const TracedSpan& traced) {
  const Span& span = traced.span;
  static const std::string text =
      "INSERT INTO trace_spans (trace, " + columns<Span>() +
      ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (trace, id) DO UPDATE SET "
      "parent = excluded.parent, name = excluded.name, type = excluded.type, status = "
      "excluded.status, start_time = excluded.start_time, end_time = excluded.end_time, usage = "
      "excluded.usage, body = excluded.body";
  TRY(tx.run(text, {trace.number, span.id, span.parent, span.name, span.type, span.status,
                    span.start_time, span.end_time, span.usage, span.body}));
  for (const Pair& tag : traced.tags)
    TRY(put(tx, "trace_tags", trace.number, tag, !trace.finished));
  if (span.parent.empty()) TRY(put(tx, "trace_tags", trace.number, {name_key, span.name}, false));
  for (const Pair& one : traced.metadata) TRY(put(tx, "trace_metadata", trace.number, one, false));
  return {};
}

Result<std::vector<Span>> spans(sql::Tx& tx, std::int64_t trace) {
  static const std::string text =
      "SELECT " + columns<Span>() +
      " FROM trace_spans WHERE trace = $1 ORDER BY CASE WHEN parent = '' THEN 0 ELSE 1 END, "
      "start_time, id";
  return sql::select<Span>(tx, text, {trace});
}

Result<void> add_up_usage(sql::Tx& tx, const Trace& trace) {
  const auto spans = TRY(sql::select<SpanUsage>(
      tx, "SELECT id, parent, usage FROM trace_spans WHERE trace = $1", {trace.number}));
  Sums sums = add_up(spans);
  if (!sums.tokens.empty()) {
    json::object said;
    for (const char* name : {"input_tokens", "output_tokens", "total_tokens"}) sums.tokens[name];
    for (const auto& [name, amount] : sums.tokens)
      said[name] = static_cast<std::int64_t>(std::clamp(amount, 0.0, 9e15));
    TRY(put(tx, "trace_metadata", trace.number, {"mlflow.trace.tokenUsage", json::serialize(said)},
            !trace.finished));
  }
  if (!sums.cost.empty()) {
    json::object said;
    for (const auto& [name, amount] : sums.cost) said[name] = amount;
    TRY(put(tx, "trace_metadata", trace.number, {"mlflow.trace.cost", json::serialize(said)},
            !trace.finished));
  }
  return {};
}

}  // namespace penstock::tracking::trace_store
