#include "api/otlp/reader.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <otlp.pb.h>

#include <set>

#include "api/otlp/meaning.h"
#include "api/otlp/span_json.h"
#include "api/otlp/wire.h"

namespace penstock::api::otlp {
namespace {

constexpr std::size_t spans_max = 10'000, span_max = 1'000'000, resource_max = 100'000;
constexpr std::size_t json_max = 16 << 20;

Error malformed(std::string_view what, std::string_view problem) {
  std::string message = "Invalid OpenTelemetry format: ";
  message.append(what).append(" ").append(problem);
  return {Code::invalid_argument, std::move(message)};
}

// The spans of one request, as they come.
class Collector {
 public:
  Result<void> resource(const ::otlp::Resource& resource) {
    tags_ = tags_of(resource);
    tagged_.clear();
    return {};
  }
  Result<void> span(::otlp::Span& span) {
    if (spans_.size() == spans_max)
      return Error{Code::invalid_argument, "a request may hold " + std::to_string(spans_max) +
                                               " spans, and holds more; send several"};
    tracking::TracedSpan one = TRY(traced(span, span_max));
    // A resource says the same of each span: once for a trace is enough. What is the trace's own
    // comes after it, and stays.
    if (!tags_.empty() && tagged_.insert(one.trace).second)
      one.tags.insert(one.tags.begin(), tags_.begin(), tags_.end());
    spans_.push_back(std::move(one));
    return {};
  }
  std::vector<tracking::TracedSpan> take() { return std::move(spans_); }

 private:
  std::vector<tracking::Pair> tags_;
  std::set<std::string> tagged_;
  std::vector<tracking::TracedSpan> spans_;
};

Error too_large(std::string_view what, std::size_t size, std::size_t max) {
  return malformed(what,
                   "has " + std::to_string(size) + " bytes, and may have " + std::to_string(max));
}

template <class Message, class Take>
Result<void> parse(std::string_view bytes, std::string_view what, std::size_t max,
                   const Take& take) {
  if (bytes.size() > max) return too_large(what, bytes.size(), max);
  const google::protobuf::LogSilencer quiet;  // what a caller sends is no line of our log
  google::protobuf::Arena arena;
  auto& message = *google::protobuf::Arena::CreateMessage<Message>(&arena);
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return malformed(what, "cannot be read");
  return take(message);
}

// Calls visit(bytes) for each field `number` of a message.
template <class Visit>
Result<void> each(std::string_view message, std::uint32_t number, std::string_view what,
                  const Visit& visit) {
  for (WireReader reader(message); !reader.done();) {
    const auto field = reader.next();
    if (!field) return malformed(what, "is no protobuf message");
    if (field->number != number) continue;
    if (!field->bytes) return malformed(what, "holds a number for a message");
    TRY(visit(*field->bytes));
  }
  return {};
}

const json::array* list_of(const json::value& in, const char* camel, const char* snake) {
  const json::object* fields = in.if_object();
  if (!fields) return nullptr;
  const json::value* found = fields->if_contains(camel);
  if (!found) found = fields->if_contains(snake);
  return found ? found->if_array() : nullptr;
}

std::optional<std::string> unhex(std::string_view text) {
  std::string out;
  if (text.size() % 2) return {};
  for (std::size_t at = 0; at < text.size(); at += 2) {
    unsigned value = 0;
    for (const char digit : text.substr(at, 2)) {
      const std::size_t found = std::string_view("0123456789abcdefABCDEF").find(digit);
      if (found == std::string_view::npos) return {};
      value = value << 4 | static_cast<unsigned>(found < 16 ? found : found - 6);
    }
    out += static_cast<char>(value);
  }
  return out;
}

// OTLP writes ids in hex, where protobuf's own JSON has base64.
Result<void> mend_ids(json::object& fields) {
  for (const char* name :
       {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}) {
    json::value* id = fields.if_contains(name);
    if (!id) continue;
    if (!id->is_string()) return malformed(name, "must be a text of hex digits");
    const auto bytes = unhex(id->as_string());
    if (!bytes)
      return malformed(name, "is '" + std::string(id->as_string()).substr(0, 40) +
                                 "', which is no text of hex digits");
    *id = base64(*bytes);
  }
  return {};
}

template <class Message, class Take>
Result<void> parse_json(const json::value& value, std::string_view what, std::size_t max,
                        const Take& take) {
  const std::string text = json::serialize(value);
  if (text.size() > max) return too_large(what, text.size(), max);
  const google::protobuf::LogSilencer quiet;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  Message message;
  const auto read = google::protobuf::util::JsonStringToMessage(text, &message, options);
  if (!read.ok()) return malformed(what, "cannot be read: " + std::string(read.message()));
  return take(message);
}

Result<void> read_json_span(const json::value& said, Collector& out) {
  json::value span = said;
  if (!span.is_object()) return malformed("a span", "must be an object");
  TRY(mend_ids(span.as_object()));
  if (json::value* links = span.as_object().if_contains("links"); links && links->is_array())
    for (json::value& link : links->as_array())
      if (link.is_object()) TRY(mend_ids(link.as_object()));
  return parse_json<::otlp::Span>(span, "a span", 2 * span_max,
                                  [&](::otlp::Span& one) { return out.span(one); });
}

}  // namespace

Result<std::vector<tracking::TracedSpan>> read_protobuf(std::string_view body) {
  Collector out;
  TRY(each(body, 1, "the request", [&](std::string_view resource_spans) -> Result<void> {
    TRY(out.resource({}));
    // A message's fields come in any order, and tags are wanted before spans.
    TRY(each(resource_spans, 1, "a ResourceSpans", [&](std::string_view bytes) {
      return parse<::otlp::Resource>(bytes, "a resource", resource_max,
                                     [&](::otlp::Resource& one) { return out.resource(one); });
    }));
    return each(resource_spans, 2, "a ResourceSpans", [&](std::string_view scope_spans) {
      return each(scope_spans, 2, "a ScopeSpans", [&](std::string_view bytes) {
        return parse<::otlp::Span>(bytes, "a span", span_max,
                                   [&](::otlp::Span& one) { return out.span(one); });
      });
    });
  }));
  return out.take();
}

Result<std::vector<tracking::TracedSpan>> read_json(std::string_view body) {
  if (body.size() > json_max) return too_large("a request in JSON", body.size(), json_max);
  boost::system::error_code fault;
  json::parse_options options;
  options.max_depth = 100;
  const json::value request =
      json::parse(json::string_view(body.data(), body.size()), fault, {}, options);
  if (fault) return malformed("the body", "is no JSON: " + fault.message());
  Collector out;
  const json::array* resources = list_of(request, "resourceSpans", "resource_spans");
  if (!resources) return malformed("resourceSpans", "is missing, or no list");
  for (const json::value& one : *resources) {
    TRY(out.resource({}));
    const json::object* fields = one.if_object();
    if (!fields) return malformed("resourceSpans", "must be a list of objects");
    if (const json::value* resource = fields->if_contains("resource"))
      TRY(parse_json<::otlp::Resource>(*resource, "a resource", resource_max,
                                       [&](::otlp::Resource& r) { return out.resource(r); }));
    const json::array* scopes = list_of(one, "scopeSpans", "scope_spans");
    if (!scopes) continue;
    for (const json::value& scope : *scopes)
      if (const json::array* spans = list_of(scope, "spans", "spans"))
        for (const json::value& span : *spans) TRY(read_json_span(span, out));
  }
  return out.take();
}

}  // namespace penstock::api::otlp
