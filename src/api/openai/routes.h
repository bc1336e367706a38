// OpenAI's API: chat, completions, embeddings, responses, models. A route is a model.
#pragma once

#include "api/openai/exchange.h"

namespace penstock::api::openai {

// The plane outlives them.
std::vector<Route> routes(const Plane& plane);

}  // namespace penstock::api::openai
