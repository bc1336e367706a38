// Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include "api/route.h"
#include "ports/http.h"

namespace penstock::api::openai {

// Whether a path of the edge is one of these.
inline bool owns(std::string_view path) { return path == "/v1" || path.starts_with("/v1/"); }

struct Failure {
  int status = 500;
  std::string message;
  std::string type;   // "invalid_request_error", "rate_limit_error", ...
  std::string param;  // the field; empty: null
  std::string code;   // empty: null
  std::string retry_after;
};

Failure upstream_failure(int status, std::string code, std::string message);
// The first violation's field is `param`.
Failure failure_of(const Error& error, int status = 0);
Response error_response(const Error& error, int status = 0);
Response response_of(const Failure& failure);
// {"error": {...}}, as it stands in a body or in a stream.
std::string error_json(const Failure& failure);

// What an upstream's answer of 400 and more says, in whatever shape it says it. Addresses and
// secrets of `endpoint` are taken out, and a refusal of our own key is none of the caller's.
Failure failure_of(const http::Answer& answer, const http::Endpoint& endpoint);
// Takes out of a runtime's words where it is and what opens it.
void make_safe(std::string& text, const http::Endpoint& endpoint);
// The code under which an event keeps a failure.
Code code_of(int status);

// Seconds of a Retry-After that is a number, or milliseconds of retry-after-ms; nothing where there
// is none, or it is a date.
std::optional<Micros> retry_after(const http::Fields& headers);

}  // namespace penstock::api::openai
