#include "tracking/trace_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/time.h"

#include "tracking/comparison.h"
#include "tracking/offset_page.h"

namespace penstock::tracking {
namespace {

enum class Offers { count, spread, all };  // which aggregates a metric has

struct KnownMetric {
  MetricView view;
  std::string_view name;
  Offers offers;
  std::string_view dimensions;  // words between blanks
  std::string_view column;      // of the value, or of the JSON that has it under `name`
};
constexpr std::string_view usage = "usage.value", model = "span_model_name span_model_provider";
constexpr std::array metrics = {
    KnownMetric{MetricView::TRACES, "trace_count", Offers::count, "trace_name trace_status", "1"},
    KnownMetric{MetricView::TRACES, "session_count", Offers::count, "", "session.value"},
    KnownMetric{MetricView::TRACES, "latency", Offers::spread, "trace_name", "t.duration"},
    KnownMetric{MetricView::TRACES, "input_tokens", Offers::all, "trace_name", usage},
    KnownMetric{MetricView::TRACES, "output_tokens", Offers::all, "trace_name", usage},
    KnownMetric{MetricView::TRACES, "total_tokens", Offers::all, "trace_name", usage},
    KnownMetric{MetricView::TRACES, "cache_read_input_tokens", Offers::all, "trace_name", usage},
    KnownMetric{MetricView::TRACES, "cache_creation_input_tokens", Offers::all, "trace_name",
                usage},
    KnownMetric{MetricView::SPANS, "span_count", Offers::count,
                "span_name span_type span_status span_model_name span_model_provider", "1"},
    KnownMetric{MetricView::SPANS, "latency", Offers::spread, "span_name span_status",
                "(x.end_time - x.start_time) / 1000000"},
    KnownMetric{MetricView::SPANS, "input_cost", Offers::all, model, "x.usage"},
    KnownMetric{MetricView::SPANS, "output_cost", Offers::all, model, "x.usage"},
    KnownMetric{MetricView::SPANS, "total_cost", Offers::all, model, "x.usage"},
    KnownMetric{MetricView::ASSESSMENTS, "assessment_count", Offers::count,
                "assessment_name assessment_value", "1"},
    KnownMetric{MetricView::ASSESSMENTS, "assessment_value", Offers::spread, "assessment_name",
                "x.body"},
};

// In JSON: what its column holds is read by `word`.
struct Dimension {
  std::string_view name, column, word;
};
constexpr std::array dimensions = {
    Dimension{"trace_name", "named.value", ""},
    Dimension{"trace_status", "t.state", ""},
    Dimension{"span_name", "x.name", ""},
    Dimension{"span_type", "x.type", ""},
    Dimension{"span_status", "x.status", ""},
    Dimension{"span_model_name", "x.body", "mlflow.llm.model"},
    Dimension{"span_model_provider", "x.body", "mlflow.llm.provider"},
    Dimension{"assessment_name", "x.key", ""},
    Dimension{"assessment_value", "x.body", "value"},
};

Error faulty(const std::string& problem) { return {Code::invalid_argument, problem}; }

bool has_word(std::string_view words, std::string_view word) {
  for (std::size_t at = 0; at <= words.size();) {
    const std::size_t end = std::min(words.find(' ', at), words.size());
    if (!word.empty() && words.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

Result<const KnownMetric*> known(const TraceMetricQuery& query) {
  std::string names;
  for (const KnownMetric& one : metrics) {
    if (one.view != query.view) continue;
    if (one.name == query.metric) return &one;
    names += (names.empty() ? "" : ", ") + std::string(one.name);
  }
  return faulty("metric_name must be one of " + names + ", got '" + query.metric.substr(0, 100) +
                "'");
}

bool offers(const KnownMetric& metric, Aggregation type) {
  if (metric.offers == Offers::count) return type == Aggregation::COUNT;
  if (type == Aggregation::SUM) return metric.offers == Offers::all;
  return type != Aggregation::COUNT;
}

Result<void> check(const KnownMetric& metric, const TraceMetricQuery& query) {
  if (query.aggregates.empty() || query.aggregates.size() > 20)
    return faulty("aggregations has " + std::to_string(query.aggregates.size()) +
                  " entries, and has 1 to 20");
  if (query.experiments.empty() || query.experiments.size() > 1'000)
    return faulty("experiment_ids has " + std::to_string(query.experiments.size()) +
                  " entries, and has 1 to 1000");
  for (const Aggregate& one : query.aggregates) {
    if (!offers(metric, one.type))
      return faulty("Found invalid aggregation_type(s): " + std::string(name_of(one.type)) +
                    " does not go with " + query.metric);
    if (one.type == Aggregation::PERCENTILE && !(one.percentile >= 0 && one.percentile <= 100))
      return faulty("percentile_value must be from 0 to 100");
  }
  for (const std::string& one : query.dimensions)
    if (!has_word(metric.dimensions, one))
      return faulty("Found invalid dimension(s): '" + one.substr(0, 100) + "'. Supported: " +
                    (metric.dimensions.empty() ? "none" : std::string(metric.dimensions)));
  if (query.filters.size() > 20) return faulty("filters may have 20 entries");
  if (query.interval < 0 || query.interval > 366 * 86'400)
    return faulty("time_interval_seconds must be from 1 to a year");
  if (query.interval > 0 && (!query.from || !query.to))
    return faulty("start_time_ms and end_time_ms are required if time_interval_seconds is set");
  if (query.limit < 1 || query.limit > 10'000)
    return faulty("Invalid value " + std::to_string(query.limit) +
                  " for parameter 'max_results' supplied: it must be from 1 to 10000");
  return {};
}

class Statement {
 public:
  Statement(const KnownMetric& metric, const TraceMetricQuery& query)
      : metric_(metric), query_(query) {}

  // What both statements share. Before them.
  Result<void> prepare() {
    columns_ = time() + ", " + std::string(metric_.column);
    if (metric_.column == "x.body" || metric_.column == "x.usage") weigh(metric_.column);
    for (const std::string& one : query_.dimensions)
      for (const Dimension& dimension : dimensions) {
        if (dimension.name != one) continue;
        columns_ += ", " + std::string(dimension.column);
        if (dimension.column == "x.body") weigh(dimension.column);
      }
    std::string from = "traces t";
    const auto join = [&](const char* table, const char* name, const char* key) {
      from += std::string(" JOIN ") + table + " " + name + " ON " + name +
              ".trace = t.number AND " + name + ".key = " + conditions_.mark(std::string(key));
    };
    if (query_.view == MetricView::SPANS) from += " JOIN trace_spans x ON x.trace = t.number";
    if (query_.view == MetricView::ASSESSMENTS) {
      from += " JOIN assessments x ON x.trace = t.number";
      conditions_.add("x.is_valid");
    }
    if (has(query_.dimensions, "trace_name")) join("trace_tags", "named", "mlflow.traceName");
    if (metric_.column == usage) join("trace_metadata", "usage", "mlflow.trace.tokenUsage");
    if (metric_.name == "session_count") join("trace_metadata", "session", "mlflow.trace.session");
    TRY(narrow());
    rest_ = " FROM " + from + " WHERE " + clauses_.where;
    return {};
  }
  // One row: how many values there are, and the letters of what they are read from.
  std::string size_text() const {
    return "SELECT count(*), CAST(coalesce(sum(" + (weight_.empty() ? "0" : weight_) +
           "), 0) AS BIGINT)" + rest_;
  }
  // Rows of: the time of a bucket, the value or what has it, each dimension or what has it.
  std::string text() const { return "SELECT " + columns_ + rest_; }
  const sql::Row& parameters() const { return clauses_.parameters; }
  void own(const std::string& project) {
    conditions_.add("t.project = " + conditions_.mark(project));
    std::string marks;
    for (const std::int64_t id : query_.experiments)
      marks += (marks.empty() ? "" : ", ") + conditions_.mark(id);
    conditions_.add("t.experiment IN (" + marks + ")");
  }

 private:
  void weigh(std::string_view column) {
    weight_ += (weight_.empty() ? "length(" : " + length(") + std::string(column) + ")";
  }
  static bool has(const std::vector<std::string>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
  // Milliseconds. Spans stand in the buckets of their own beginning, but only their costs are
  // chosen by it: all else is chosen by the time of its trace, as MLflow does.
  std::string time() const {
    return query_.view == MetricView::SPANS ? "x.start_time / 1000000" : "t.request_time";
  }
  std::string range_time() const {
    return metric_.column == "x.usage" ? "x.start_time / 1000000" : "t.request_time";
  }

  Result<void> narrow() {
    if (query_.from) conditions_.add(range_time() + " >= " + conditions_.mark(*query_.from));
    if (query_.to) conditions_.add(range_time() + " <= " + conditions_.mark(*query_.to));
    for (const std::string& filter : query_.filters) {
      int comparisons = 0;
      TRY(each_comparison(filter, [&](const Token& first, const Comparison& comparison) {
        return ++comparisons > 1 ? Result<void>(unreadable("'" + filter.substr(0, 100) +
                                                           "' must be one comparison"))
                                 : add(first, comparison);
      }));
      if (comparisons == 0) return unreadable("a filter is empty");
    }
    return {};
  }

  Result<void> add(const Token& first, const Comparison& comparison) {
    if (comparison.op != "=" || comparison.is_number)
      return unreadable("'" + first.text + "' goes with = and a text in quotes");
    const std::string& word = first.text;
    const auto below = [&](std::string_view prefix) {
      return word.size() > prefix.size() && word.starts_with(prefix);
    };
    const std::string value = conditions_.mark(comparison.values.front());
    if (word == "trace.status") {
      conditions_.add("t.state = " + value);
    } else if (below("trace.tag.")) {
      add_pair("trace_tags", word.substr(10), value);
    } else if (word == "trace.metadata.mlflow.sourceRun") {
      conditions_.add(
          "EXISTS (SELECT 1 FROM trace_runs r WHERE r.trace = t.number AND r.run = " + value + ")");
    } else if (below("trace.metadata.")) {
      add_pair("trace_metadata", word.substr(15), value);
    } else if (query_.view == MetricView::SPANS && below("span.") &&
               has({"span.name", "span.status", "span.type"}, word)) {
      conditions_.add("x." + word.substr(5) + " = " + value);
    } else if (query_.view == MetricView::ASSESSMENTS &&
               (word == "assessment.name" || word == "assessment.type")) {
      conditions_.add(std::string(word == "assessment.name" ? "x.key" : "x.kind") + " = " + value);
    } else {
      return unreadable("'" + word.substr(0, 100) +
                        "' must be trace.status, trace.tag.KEY or trace.metadata.KEY; of spans "
                        "also span.name, span.status and span.type; of assessments also "
                        "assessment.name and assessment.type");
    }
    return {};
  }
  void add_pair(const std::string& table, const std::string& key, const std::string& value) {
    conditions_.add("EXISTS (SELECT 1 FROM " + table + " p WHERE p.trace = t.number AND p.key = " +
                    conditions_.mark(key) + " AND p.value = " + value + ")");
  }

  const KnownMetric& metric_;
  const TraceMetricQuery& query_;
  Clauses clauses_;
  Conditions conditions_{clauses_};
  std::string columns_, rest_, weight_;
};

json::value parsed(const std::string& text) {
  boost::system::error_code fault;
  json::value out = json::parse(text, fault);
  return fault ? json::value() : out;
}

const json::value* member(const json::value& value, std::string_view name) {
  return value.is_object() ? value.as_object().if_contains(name) : nullptr;
}

std::optional<double> number_in(const json::value* value) {
  return value && value->is_number() ? std::optional(value->to_number<double>()) : std::nullopt;
}

// The value of an assessment, which stands under the name of its kind.
const json::value* judged(const json::value& body) {
  for (const char* kind : {"feedback", "expectation", "issue"})
    if (const json::value* said = member(body, kind)) return member(*said, "value");
  return nullptr;
}

// As MLflow counts them: numbers, true and "yes" are 1, false and "no" are 0.
std::optional<double> score(const json::value* value) {
  if (!value) return {};
  if (value->is_bool()) return value->as_bool() ? 1.0 : 0.0;
  if (value->is_string()) {
    const std::string word = lower(std::string(value->as_string()));
    if (word == "yes") return 1.0;
    if (word == "no") return 0.0;
    return {};
  }
  return number_in(value);
}

// A text attribute of OTLP's JSON.
std::optional<std::string> attribute(const json::value& body, std::string_view name) {
  const json::value* list = member(body, "attributes");
  if (!list || !list->is_array()) return {};
  for (const json::value& one : list->as_array()) {
    const json::value* key = member(one, "key");
    if (!key || !key->is_string() || std::string_view(key->as_string()) != name) continue;
    const json::value* value = member(one, "value");
    const json::value* text = value ? member(*value, "string_value") : nullptr;
    if (!text || !text->is_string()) return {};
    // MLflow's client writes attributes as JSON; others write them as they are.
    const json::value inner = parsed(std::string(text->as_string()));
    return std::string(inner.is_string() ? inner.as_string() : text->as_string());
  }
  return {};
}

std::optional<double> value_of(const KnownMetric& metric, const Scalar& cell) {
  if (const auto* whole = std::get_if<std::int64_t>(&cell)) return static_cast<double>(*whole);
  if (const auto* real = std::get_if<double>(&cell)) return *real;
  const auto* text = std::get_if<std::string>(&cell);
  if (!text) return {};
  if (metric.name == "session_count") return 0;
  const json::value said = parsed(*text);
  if (metric.column == "x.body") return score(judged(said));
  if (metric.column == "x.usage") {
    const json::value* cost = member(said, "cost");
    return cost ? number_in(member(*cost, metric.name)) : std::nullopt;
  }
  return number_in(member(said, metric.name));
}

std::optional<std::string> dimension_of(const std::string& name, const Scalar& cell) {
  const auto* text = std::get_if<std::string>(&cell);
  if (!text) return {};
  for (const Dimension& one : dimensions) {
    if (one.name != name || one.word.empty()) continue;
    const json::value body = parsed(*text);
    if (one.word != "value") return attribute(body, one.word);
    const json::value* value = judged(body);
    return value ? std::optional(json::serialize(*value)) : std::nullopt;
  }
  return *text;
}

double percentile(std::vector<double>& values, double percent) {
  std::sort(values.begin(), values.end());
  const double place = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - static_cast<double>(below));
}

double aggregated(const Aggregate& aggregate, std::vector<double>& values) {
  const auto sum = [&] {
    double total = 0;
    for (const double value : values) total += value;
    return total;
  };
  switch (aggregate.type) {
    case Aggregation::COUNT: return static_cast<double>(values.size());
    case Aggregation::SUM: return sum();
    case Aggregation::AVG: return sum() / static_cast<double>(values.size());
    case Aggregation::MIN: return *std::min_element(values.begin(), values.end());
    case Aggregation::MAX: return *std::max_element(values.begin(), values.end());
    case Aggregation::PERCENTILE: return percentile(values, aggregate.percentile);
  }
  return 0;
}

// The bucket's beginning in milliseconds, then the dimensions in the order asked for.
using GroupKey = std::pair<std::int64_t, std::vector<std::string>>;
struct Group {
  std::vector<double> values;
  std::map<std::string, bool> sessions;
};

// As Python's isoformat writes UTC.
std::string iso_time(std::int64_t milliseconds) {
  std::string text = to_rfc3339(Timestamp(std::chrono::milliseconds(milliseconds)));
  text.pop_back();
  return text + "+00:00";
}

std::int64_t bucket_of(std::int64_t time, std::int64_t seconds) {
  if (seconds == 0) return 0;
  const std::int64_t size = seconds * 1'000;
  return time / size * size - (time % size < 0 ? size : 0);
}

}  // namespace

std::string Aggregate::name() const {
  if (type != Aggregation::PERCENTILE) return std::string(name_of(type));
  std::string number = json::serialize(json::value(percentile));
  // As Python writes it: 50 is "50.0", and no exponent.
  if (percentile == std::floor(percentile))
    number = std::to_string(static_cast<int>(percentile)) + ".0";
  return "P" + number;
}

Result<Found<MetricGroup>> Traces::metrics(const Call& call, const TraceMetricQuery& query) {
  const KnownMetric& metric = *TRY(known(query));
  TRY(check(metric, query));
  const std::int64_t offset = TRY(offset_page::begin(query.page_token));
  Statement statement(metric, query);
  statement.own(call.project);
  TRY(statement.prepare());
  const auto rows = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<sql::Row>> {
    const auto size = TRY(tx.run(statement.size_text(), statement.parameters()));
    const auto values = std::get<std::int64_t>(size.at(0).at(0));
    const auto bytes = std::get<std::int64_t>(size.at(0).at(1));
    if (values > query.values_max || bytes > query.bytes_max)
      return Error{Code::resource_exhausted,
                   std::to_string(values) + " values match, read from " + std::to_string(bytes) +
                       " letters; at most " + std::to_string(query.values_max) + " and " +
                       std::to_string(query.bytes_max) +
                       " are: narrow start_time_ms and end_time_ms, or filter"};
    return tx.run(statement.text(), statement.parameters());
  }));
  std::map<GroupKey, Group> groups;
  for (const sql::Row& row : rows) {
    const auto value = value_of(metric, row.at(1));
    if (!value) continue;
    GroupKey key{bucket_of(std::get<std::int64_t>(row.at(0)), query.interval), {}};
    for (std::size_t i = 0; i < query.dimensions.size(); ++i) {
      auto said = dimension_of(query.dimensions[i], row.at(i + 2));
      if (said) key.second.push_back(std::move(*said));
    }
    if (key.second.size() < query.dimensions.size()) continue;
    Group& group = groups[std::move(key)];
    // Sessions are counted once, however many traces they have.
    if (metric.name == "session_count" &&
        !group.sessions.emplace(std::get<std::string>(row.at(1)), true).second)
      continue;
    group.values.push_back(*value);
  }
  // Counting nothing is 0, where there is nothing to tell groups apart by.
  if (groups.empty() && metric.offers == Offers::count && query.dimensions.empty() &&
      query.interval == 0)
    groups[{}];
  Found<MetricGroup> out;
  std::int64_t place = 0;
  for (auto& [key, group] : groups) {
    if (place++ < offset) continue;
    if (std::ssize(out.items) > query.limit) break;
    MetricGroup& one = out.items.emplace_back();
    if (query.interval > 0) one.dimensions["time_bucket"] = iso_time(key.first);
    for (std::size_t i = 0; i < query.dimensions.size(); ++i)
      one.dimensions[query.dimensions[i]] = key.second[i];
    for (const Aggregate& aggregate : query.aggregates)
      one.values[aggregate.name()] = aggregated(aggregate, group.values);
  }
  out.next_page_token = offset_page::next(out.items, query.limit, offset);
  return out;
}

}  // namespace penstock::tracking
