// Guardrails and the response cache of calls with a model's own inputs.
#pragma once

#include "guardrails/guardrail.h"
#include "serving/gateway.h"

namespace penstock::serving {

// The texts of BYTES tensors, each element judged alone: what is masked changes in `tensors`, and
// each row's event has its hits. invalid_argument where one is blocked, unavailable where it could
// not be judged and may not pass unjudged.
Result<void> guard_texts(const LiveRoute& route, guardrails::Side side, Timestamp deadline,
                         std::vector<infer::Tensor>& tensors,
                         const std::vector<InferenceEvent*>& rows);

// Of an answer to these tensors, in whatever order they come.
std::string cache_key(const Call& call, const Deployment& by, const InferRequest& request);
// True where the answer was given before: the rows are answered by it.
bool answer_again(const LiveRoute& route, const std::string& key, Timestamp now,
                  const std::vector<InferenceEvent*>& rows, Decided& out);
void keep_answer(const LiveRoute& route, const std::string& key, Timestamp now,
                 const std::vector<InferenceEvent*>& rows, const Decided& decided);

}  // namespace penstock::serving
