#include "api/openai/errors.h"

#include <charconv>

#include "api/openai/json_text.h"

namespace penstock::api::openai {
namespace {

constexpr std::size_t message_max = 2'000;

std::string_view type_of(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 504: return "timeout_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string or_null(const std::string& text) { return text.empty() ? "null" : literal_of(text); }

void take_out(std::string& text, std::string_view secret) {
  if (secret.size() < 4) return;
  for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at))
    text.replace(at, secret.size(), "***");
}

void cut(std::string& text, std::size_t most) {
  if (text.size() <= most) return;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  text.resize(most);
}

// {"error": {"message"}}, {"error": "text"}, {"message"} (vLLM), {"detail"} (FastAPI).
void read_failure(std::string_view body, Failure& out) {
  std::string_view said = member(body, "error");
  if (is_text(said)) out.message = text_of(said);
  if (!is_object(said)) said = body;
  for (const char* key : {"message", "detail"})
    if (out.message.empty()) out.message = text_or_empty(member(said, key));
  const std::string type = text_or_empty(member(said, "type"));
  if (!type.empty() && type.size() <= 100) out.type = type;
  out.param = text_or_empty(member(said, "param"));
  const std::string_view code = member(said, "code");
  out.code = is_text(code) ? text_of(code) : std::string();
}

}  // namespace

void make_safe(std::string& text, const http::Endpoint& endpoint) {
  take_out(text, endpoint.authorization);
  const std::size_t scheme = endpoint.authorization.find(' ');
  if (scheme != std::string::npos)
    take_out(text, std::string_view(endpoint.authorization).substr(scheme + 1));
  take_out(text, endpoint.host + ":" + endpoint.port);
  take_out(text, endpoint.host);
  cut(text, message_max);
}

std::string error_json(const Failure& failure) {
  return "{\"error\":{\"message\":" + literal_of(failure.message) +
         ",\"type\":" + or_null(failure.type) + ",\"param\":" + or_null(failure.param) +
         ",\"code\":" + or_null(failure.code) + "}}";
}

Response response_of(const Failure& failure) {
  Response response{.status = failure.status, .body = error_json(failure)};
  if (!failure.retry_after.empty())
    response.headers.emplace_back("Retry-After", failure.retry_after);
  return response;
}

Failure upstream_failure(int status, std::string code, std::string message) {
  return {.status = status,
          .message = std::move(message),
          .type = std::string(type_of(status)),
          .code = std::move(code)};
}

Failure failure_of(const Error& error, int status) {
  if (status == 0) status = http_status(error.code);
  Failure out{.status = status, .message = error.message, .type = std::string(type_of(status))};
  if (!error.violations.empty()) out.param = error.violations.front().field;
  if (error.code != Code::invalid_argument) out.code = name_of(error.code);
  return out;
}

Response error_response(const Error& error, int status) {
  return response_of(failure_of(error, status));
}

Failure failure_of(const http::Answer& answer, const http::Endpoint& endpoint) {
  Failure out{.status = answer.status, .type = std::string(type_of(answer.status))};
  if (answer.status == 401 || answer.status == 403 || answer.status == 407) {
    out.status = 502;
    out.type = "server_error";
    out.code = "upstream_refused";
    out.message = "upstream " + endpoint.name +
                  " refused the credentials that this server has for it; its owner must renew the "
                  "secret that api_key of the upstream names";
    return out;
  }
  if (answer.status < 400) {
    out.status = 502;
    out.type = "server_error";
    out.code = "upstream_broken";
    out.message = "upstream " + endpoint.name + " answered with status " +
                  std::to_string(answer.status) + ", which is no answer to such a call";
    return out;
  }
  if (!object_fault(answer.body)) read_failure(answer.body, out);
  if (out.message.empty())
    out.message =
        "upstream " + endpoint.name + " answered with status " + std::to_string(answer.status);
  for (std::string* text : {&out.message, &out.param, &out.code, &out.type})
    make_safe(*text, endpoint);
  for (const auto& [name, value] : answer.headers)
    if (name == "retry-after" && value.size() <= 40) out.retry_after = value;
  return out;
}

Code code_of(int status) {
  switch (status) {
    case 401: return Code::unauthenticated;
    case 403: return Code::permission_denied;
    case 404: return Code::not_found;
    case 409: return Code::failed_precondition;
    case 429: return Code::resource_exhausted;
    case 408:
    case 504: return Code::deadline_exceeded;
    default: return status >= 500 ? Code::unavailable : Code::invalid_argument;
  }
}

std::optional<Micros> retry_after(const http::Fields& headers) {
  std::optional<Micros> found;
  for (const auto& [name, value] : headers) {
    const bool in_millis = name == "retry-after-ms";
    if (!in_millis && name != "retry-after") continue;
    double number = 0;
    const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
    if (read.ec != std::errc{} || read.ptr != value.data() + value.size()) continue;
    if (!(number >= 0 && number <= 1e8)) continue;
    const auto micros = Micros(static_cast<std::int64_t>(number * (in_millis ? 1e3 : 1e6)));
    if (in_millis || !found) found = micros;
    if (in_millis) break;
  }
  return found;
}

}  // namespace penstock::api::openai
