#include "api/mlflow/trace_json.h"

#include "api/mlflow/pair.h"

#include <charconv>
#include <cmath>

namespace penstock::api::mlflow {
namespace {

// Bodies are our own, and deeper than the parser's first choice.
json::value parsed(const std::string& text) {
  json::parse_options options;
  options.max_depth = 2'000;
  return json::parse(text, {}, options);
}

json::object map_of(const std::vector<tracking::Pair>& pairs) {
  json::object out;
  for (const tracking::Pair& one : pairs) out[one.key] = one.value;
  return out;
}

std::string time_of(std::int64_t milliseconds) {
  return to_rfc3339(Timestamp(std::chrono::milliseconds(milliseconds)));
}

std::string duration_of(std::int64_t milliseconds) {
  const std::string thousandths = std::to_string(std::abs(milliseconds) % 1'000);
  return (milliseconds < 0 ? "-" : "") + std::to_string(std::abs(milliseconds) / 1'000) + "." +
         std::string(3 - thousandths.size(), '0') + thousandths + "s";
}

const json::value& at(const json::value& object, const char* name) {
  static const json::value none;
  const json::object* fields = object.if_object();
  const json::value* found = fields ? fields->if_contains(name) : nullptr;
  return found ? *found : none;
}

json::object plain_map(const json::value& attributes);

// {"int_value": "5"} is 5.
json::value plain(const json::value& any) {
  const json::object* fields = any.if_object();
  if (!fields || fields->empty()) return nullptr;
  const auto& [kind, value] = *fields->begin();
  if (kind == "int_value" && value.is_string()) {
    const json::string& text = value.as_string();
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
  }
  if (kind == "array_value") {
    json::array out;
    if (const json::array* values = at(value, "values").if_array())
      for (const json::value& one : *values) out.push_back(plain(one));
    return out;
  }
  if (kind == "kvlist_value") return plain_map(at(value, "values"));
  return value;
}

json::object plain_map(const json::value& attributes) {
  json::object out;
  if (const json::array* list = attributes.if_array())
    for (const json::value& one : *list)
      if (const json::string* key = at(one, "key").if_string())
        out[std::string(*key)] = plain(at(one, "value"));
  return out;
}

// Values stand as JSON texts there, once encoded.
json::object encoded_map(const json::value& attributes) {
  json::object out;
  for (const auto& [key, value] : plain_map(attributes)) {
    const bool is_json = value.is_string() && value.as_string().starts_with('"');
    out[key] = is_json ? std::string(value.as_string()) : json::serialize(value);
  }
  return out;
}

std::int64_t whole_of(const json::value& text) {
  std::int64_t number = 0;
  if (const json::string* digits = text.if_string())
    std::from_chars(digits->data(), digits->data() + digits->size(), number);
  return number;
}

json::object span_data(const json::value& body) {
  json::array events, links;
  if (const json::array* list = at(body, "events").if_array())
    for (const json::value& one : *list)
      events.push_back(json::object{{"name", at(one, "name")},
                                    {"time_unix_nano", whole_of(at(one, "time_unix_nano"))},
                                    {"attributes", plain_map(at(one, "attributes"))}});
  if (const json::array* list = at(body, "links").if_array())
    for (const json::value& one : *list)
      links.push_back(json::object{{"trace_id", at(one, "trace_id")},
                                   {"span_id", at(one, "span_id")},
                                   {"attributes", plain_map(at(one, "attributes"))}});
  const json::value& message = at(at(body, "status"), "message");
  return {{"trace_id", at(body, "trace_id")},
          {"span_id", at(body, "span_id")},
          {"parent_span_id", at(body, "parent_span_id")},
          {"name", at(body, "name")},
          {"start_time_unix_nano", whole_of(at(body, "start_time_unix_nano"))},
          {"end_time_unix_nano", whole_of(at(body, "end_time_unix_nano"))},
          {"events", std::move(events)},
          {"status", json::object{{"code", at(at(body, "status"), "code")},
                                  {"message", message.is_null() ? json::value("") : message}}},
          {"attributes", encoded_map(at(body, "attributes"))},
          {"links", std::move(links)}};
}

Result<std::vector<tracking::Pair>> pairs_of(const Arguments& in, std::string_view name) {
  std::vector<tracking::Pair> out;
  const Arguments map = TRY(in.object(name));
  for (const auto& [key, value] : map.fields()) {
    if (!value.is_string())
      return Error{Code::invalid_argument, "Invalid value for parameter '" + std::string(name) +
                                               "." + std::string(key) + "': it must be a string"};
    out.push_back({std::string(key), std::string(value.as_string())});
  }
  return out;
}

Error no_time(const std::string& field, const std::string& text, const char* form) {
  return {Code::invalid_argument, "Invalid value '" + text.substr(0, 50) + "' for parameter '" +
                                      field + "': it must be " + form};
}

Result<std::vector<tracking::Pair>> list_of(const Arguments& in, std::string_view name) {
  std::vector<tracking::Pair> out;
  for (const Arguments& one : TRY(in.objects(name))) out.push_back(TRY(mlflow::pair_of(one)));
  return out;
}

Result<tracking::TraceState> state_of(const std::string& word, const char* field) {
  tracking::TraceState state{};
  if (Kind<tracking::TraceState>::hear(word, state)) return state;
  return Error{Code::invalid_argument, "Invalid value '" + word.substr(0, 50) +
                                           "' for parameter '" + field +
                                           "': it must be OK, ERROR, IN_PROGRESS or "
                                           "STATE_UNSPECIFIED"};
}

}  // namespace

Result<std::int64_t> milliseconds_of_time(const std::string& text, const std::string& field) {
  const auto time = from_rfc3339(text);
  if (!time) return no_time(field, text, "a time, as 2026-05-01T12:00:00.123Z");
  return std::chrono::floor<std::chrono::milliseconds>(time->time_since_epoch()).count();
}

Result<std::int64_t> milliseconds_of_duration(const std::string& text, const std::string& field) {
  double seconds = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (text.empty() || read.ec != std::errc() || std::string_view(read.ptr) != "s" ||
      !(std::abs(seconds) < 1e12))
    return no_time(field, text, "a duration in seconds, as 1.5s");
  return std::llround(seconds * 1'000);
}

json::object trace_info(const tracking::TraceDetail& detail) {
  const tracking::Trace& trace = detail.trace;
  json::array assessments;
  for (const std::string& one : detail.assessments) assessments.push_back(parsed(one));
  json::object out{
      {"trace_id", trace.id},
      {"trace_location",
       json::object{{"type", "MLFLOW_EXPERIMENT"},
                    {"mlflow_experiment",
                     json::object{{"experiment_id", std::to_string(trace.experiment)}}}}},
      {"request_time", time_of(trace.request_time)},
      {"state", name_of(trace.state)},
      {"trace_metadata", map_of(detail.metadata)},
      {"tags", map_of(detail.tags)},
      {"assessments", std::move(assessments)}};
  if (trace.duration) out["execution_duration"] = duration_of(*trace.duration);
  for (const auto& [name, text] : {std::pair("client_request_id", &trace.client_request_id),
                                   std::pair("request_preview", &trace.request_preview),
                                   std::pair("response_preview", &trace.response_preview)})
    if (!text->empty()) out[name] = *text;
  return out;
}

json::object old_trace_info(const tracking::TraceDetail& detail) {
  const tracking::Trace& trace = detail.trace;
  json::object out{{"request_id", trace.id},
                   {"experiment_id", std::to_string(trace.experiment)},
                   {"timestamp_ms", trace.request_time},
                   {"status", name_of(trace.state)},
                   {"request_metadata", encode(detail.metadata)},
                   {"tags", encode(detail.tags)}};
  if (trace.duration) out["execution_time_ms"] = *trace.duration;
  return out;
}

json::object trace_with_spans(const tracking::TraceDetail& detail,
                              const std::vector<tracking::Span>& spans) {
  json::array said;
  for (const tracking::Span& span : spans) said.push_back(parsed(span.body));
  return {{"trace_info", trace_info(detail)}, {"spans", std::move(said)}};
}

json::object trace_data(const std::vector<tracking::Span>& spans) {
  json::array said;
  for (const tracking::Span& span : spans) said.push_back(span_data(parsed(span.body)));
  return {{"spans", std::move(said)}};
}

bool is_whole(const tracking::TraceDetail& detail, std::size_t spans) {
  for (const tracking::Pair& one : detail.metadata) {
    if (one.key != "mlflow.trace.sizeStats") continue;
    boost::system::error_code fault;
    const json::value stats = json::parse(one.value, fault);
    const json::value& expected = at(stats, "num_spans");
    return fault || !expected.is_int64() ||
           spans >= static_cast<std::size_t>(std::max<std::int64_t>(expected.as_int64(), 0));
  }
  return spans > 0;
}

Result<tracking::StartTrace> start_of(const Arguments& in) {
  auto metadata = TRY(pairs_of(in, "trace_metadata"));
  auto tags = TRY(pairs_of(in, "tags"));
  tracking::StartTrace out{.metadata = std::move(metadata), .tags = std::move(tags)};
  const Arguments place = TRY(in.object("trace_location"));
  const Arguments location = TRY(place.object("mlflow_experiment"));
  const std::string began = TRY(in.text("request_time"));
  auto id = TRY(in.text("trace_id"));
  const auto experiment = TRY(location.whole_or("experiment_id", 0));
  auto request_time = TRY(milliseconds_of_time(began, "request_time"));
  auto client_request_id = TRY(in.text_or("client_request_id", ""));
  auto request_preview = TRY(in.text_or("request_preview", ""));
  auto response_preview = TRY(in.text_or("response_preview", ""));
  out.trace = {.id = std::move(id),
               .experiment = experiment,
               .request_time = std::move(request_time),
               .client_request_id = std::move(client_request_id),
               .request_preview = std::move(request_preview),
               .response_preview = std::move(response_preview)};
  if (const std::string took = TRY(in.text_or("execution_duration", "")); !took.empty())
    out.trace.duration = TRY(milliseconds_of_duration(took, "execution_duration"));
  const std::string state = TRY(in.text_or("state", "STATE_UNSPECIFIED"));
  out.trace.state = TRY(state_of(state, "state"));
  for (const Arguments& one : TRY(in.objects("assessments")))
    out.assessments.push_back(one.fields());
  return out;
}

Result<tracking::StartTrace> old_start_of(const Arguments& in, const std::string& id) {
  auto metadata = TRY(list_of(in, "request_metadata"));
  auto tags = TRY(list_of(in, "tags"));
  tracking::StartTrace out{.metadata = std::move(metadata), .tags = std::move(tags)};
  const auto experiment = TRY(in.whole_or("experiment_id", 0));
  const auto request_time = TRY(in.whole_or("timestamp_ms", 0));
  out.trace = {.id = id, .experiment = experiment, .request_time = request_time};
  return out;
}

Result<tracking::StartTrace> old_end_of(const Arguments& in, const tracking::TraceDetail& before) {
  auto metadata = TRY(list_of(in, "request_metadata"));
  auto tags = TRY(list_of(in, "tags"));
  tracking::StartTrace out{
      .trace = before.trace, .metadata = std::move(metadata), .tags = std::move(tags)};
  const std::int64_t end = TRY(in.whole_or("timestamp_ms", before.trace.request_time));
  out.trace.duration = end - before.trace.request_time;
  const std::string status = TRY(in.text_or("status", "OK"));
  out.trace.state = TRY(state_of(status, "status"));
  return out;
}

}  // namespace penstock::api::mlflow
