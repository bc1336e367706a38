// Calls to language models for callers that wait on a worker: nodes of graphs.
#pragma once

#include "api/openai/exchange.h"

namespace penstock::api::openai {

// Drives a Forward to its end, as the edge would. Shadows of such a call are not run: nobody waits
// behind it.
Response run_blocking(Forward& forward, http::Caller& caller, const Clock& clock);

// The answer's body; limits, retries, fallbacks and the event are those of any call to the route
// that `body` names. The error says what the caller of that route would be told.
Result<std::string> ask_route(const Plane& plane, http::Caller& caller, Task task, const Call& call,
                              std::string body);

}  // namespace penstock::api::openai
