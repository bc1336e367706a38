#include "api/route.h"

#include <algorithm>
#include <charconv>

#include "base/json.h"
#include "traffic/ask.h"

namespace penstock::api {
namespace {

// A query or path value has no type of its own. Whole numbers and booleans are read as such in the
// query; path values are names and stay text ("2013" may be a name).
json::value query_scalar(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault == std::errc{} && end == text.data() + text.size()) return number;
  return json::value(text);
}

}  // namespace

int http_status(Code code) {
  switch (code) {
    case Code::invalid_argument: return 400;
    case Code::unauthenticated: return 401;
    case Code::permission_denied: return 403;
    case Code::not_found: return 404;
    case Code::already_exists:
    case Code::failed_precondition: return 409;
    case Code::resource_exhausted: return 429;
    case Code::unavailable: return 503;
    case Code::deadline_exceeded: return 504;
    case Code::data_loss:
    case Code::internal: return 500;
  }
  return 500;
}

Response problem(const Error& error, int status) {
  if (status == 0) status = http_status(error.code);
  json::array violations;
  const auto seconds = traffic::retry_after_of(error);
  if (!seconds)
    for (const Violation& violation : error.violations)
      violations.push_back({{"field", violation.field}, {"problem", violation.problem}});
  json::object body{{"type", "about:blank"},
                    {"title", name_of(error.code)},
                    {"status", status},
                    {"detail", error.message}};
  if (!violations.empty()) body["violations"] = std::move(violations);
  Response response{
      .status = status, .body = json::serialize(body), .content_type = "application/problem+json"};
  if (seconds) response.headers.emplace_back("Retry-After", std::to_string(*seconds));
  return response;
}

Response json_response(const json::value& body, int status) {
  return {.status = status, .body = json::serialize(body)};
}

Result<json::value> request_value(const Request& request,
                                  const std::vector<std::string_view>& texts) {
  json::value value = json::object{};
  if (!request.body.empty()) {
    boost::system::error_code fault;
    value = parse_json(request.body, fault, {}, {.max_depth = 64});
    if (fault)
      return Error{Code::invalid_argument, "the body is no valid JSON: " + fault.message()};
    if (!value.is_object()) return Error{Code::invalid_argument, "the body must be a JSON object"};
  }
  for (const auto& [name, text] : request.query)
    value.as_object()[name] = std::find(texts.begin(), texts.end(), name) == texts.end()
                                  ? query_scalar(text)
                                  : json::value(text);
  for (const auto& [name, text] : request.path_values) value.as_object()[name] = text;
  return value;
}

}  // namespace penstock::api
