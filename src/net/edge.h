// What an answer looks like on the wire: the parts of the edge that need no connection.
#pragma once

#include <string>
#include <string_view>

#include "api/route.h"
#include "net/router.h"
#include "net/server.h"

namespace penstock::net {

// The Open Inference Protocol and OpenAI's have error bodies of their own.
api::Response error_response(std::string_view path, const Error& error);

// Fills what the target and headers say: path, query, values. invalid_argument where they cannot be read.
Result<void> read_target(std::string_view target, api::Request& request);

// The body as the handler sees it: decoded from its Content-Encoding.
Result<void> decode_body(api::Request& request, std::size_t body_max);

// "X-Request-Timeout: 2s" or the default, from now.
Timestamp deadline_of(const api::Request& request, const Clock& clock, Micros otherwise);

// Compresses where the caller accepts it and it pays.
void encode_body(const api::Request& request, api::Response& response);

// Runs the handler; what it throws becomes a 500 and a log line.
api::Response handle(const api::Route& route, const Call& call, const api::Request& request);

}  // namespace penstock::net
