#include "api/http/cost_events.h"

#include <charconv>

#include "costs/service.h"

namespace penstock::api {
namespace {

constexpr std::string_view attribute_prefix = "ce-";

Error unreadable(const std::string& why) {
  return {
      Code::invalid_argument, "the body is no JSON: " + why, {{"body", "must be JSON: " + why}}};
}

Result<json::value> parsed(std::string_view body) {
  boost::system::error_code fault;
  json::value value = json::parse(body, fault);
  if (fault) return unreadable(fault.message());
  return value;
}

// Header values of the binary mode are percent-encoded; what is no code stands for itself.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned code = 0;
    if (text[at] == '%' && at + 2 < text.size() &&
        std::from_chars(text.data() + at + 1, text.data() + at + 3, code, 16).ptr ==
            text.data() + at + 3) {
      out += static_cast<char>(code);
      at += 2;
    } else {
      out += text[at];
    }
  }
  return out;
}

// The event of a request in binary mode: attributes are headers, the body is the data.
Result<json::value> binary_event(const Request& request) {
  json::object event;
  for (const auto& [name, value] : request.headers)
    if (name.starts_with(attribute_prefix))
      event[name.substr(attribute_prefix.size())] = decoded(value);
  if (const std::string* type = request.header("content-type")) event["datacontenttype"] = *type;
  if (!request.body.empty()) event["data"] = TRY(parsed(request.body));
  return event;
}

Result<std::vector<json::value>> events_of(const Request& request) {
  const std::string* type = request.header("content-type");
  if (type && type->starts_with("application/cloudevents-batch+json")) {
    const json::value body = TRY(parsed(request.body));
    if (!body.is_array())
      return Error{
          Code::invalid_argument, "a batch is a list of events", {{"body", "must be a list"}}};
    return std::vector<json::value>(body.get_array().begin(), body.get_array().end());
  }
  if (type && type->starts_with("application/cloudevents+json"))
    return std::vector<json::value>{TRY(parsed(request.body))};
  if (request.header("ce-specversion")) return std::vector<json::value>{TRY(binary_event(request))};
  return Error{Code::invalid_argument,
               "this is no CloudEvent",
               {{"content-type",
                 "must be application/cloudevents+json or application/cloudevents-batch+json, or "
                 "the headers ce-specversion, ce-type, ce-source and ce-id must be there"}}};
}

json::value event_schema() {
  const auto text = json::object{{"type", "string"}};
  const json::object event{{"type", "object"},
                           {"properties",
                            {{"specversion", {{"type", "string"}, {"enum", {"1.0"}}}},
                             {"type", text},
                             {"source", text},
                             {"id", text},
                             {"time", {{"type", "string"}, {"format", "date-time"}}},
                             {"subject", text},
                             {"data", {{"type", "object"}}}}},
                           {"required", {"specversion", "type", "source", "id"}}};
  return json::object{
      {"oneOf",
       json::array{event, json::object{{"type", "array"}, {"items", event}, {"maxItems", 1000}}}}};
}

}  // namespace

Route cost_events_route(costs::Service& costs) {
  return {.method = "POST",
          .path = "/api/v1/costs/events",
          .summary = "Post usage as CloudEvents, one or a batch",
          .permission = Permission::write,
          .handle =
              [&costs](const Call& call, const Request& request) {
                const auto events = events_of(request);
                if (!events) return problem(events.error());
                const auto out = costs.post_events(call, *events);
                if (!out) return problem(out.error());
                return json_response(encode(*out));
              },
          .input_schema = event_schema,
          .output_schema = [] { return json::value(schema<costs::EventsOutput>()); }};
}

}  // namespace penstock::api
