// Guardrails and the response cache of calls with a model's own inputs, or with entity keys.
#pragma once

#include "guardrails/classifier.h"
#include "serving/gateway.h"

namespace penstock::serving {

// Who may be asked, and until when.
struct Judging {
  guardrails::Side side = guardrails::Side::input;
  Timestamp deadline = Timestamp::max();
  const guardrails::MayJudge& may_judge;
};
// The texts of BYTES tensors, each element judged alone: what is masked changes in `tensors`, and
// each row's event has its hits. invalid_argument where one is blocked, unavailable where it could
// not be judged and may not pass unjudged, resource_exhausted where no budget covers that.
Result<void> guard_texts(const LiveRoute& route, const Judging& judging,
                         std::vector<infer::Tensor>& tensors,
                         const std::vector<InferenceEvent*>& rows);
// The same of the rows' entities, which cannot be masked. Where one may not pass, none of them
// stands in an event.
Result<void> guard_entities(const LiveRoute& route, const Judging& judging,
                            std::vector<InferenceEvent>& rows);
// invalid_argument where a guardrail of a route that reads features by entity keys could never do
// what it says.
Result<void> check_on_entities(const guardrails::GuardrailDeclaration& declared,
                               const std::string& schema);
// The most that models judge of a call: all that it brings, and of each text of the answer one
// window.
std::vector<guardrails::Judged> judgements_of(const LiveRoute& route, const InferRequest& request);

// Of an answer to these tensors, in whatever order they come.
std::string cache_key(const Call& call, const Deployment& by, const InferRequest& request);
// Of an answer by the features that were read for these rows.
std::string cache_key(const Call& call, const Deployment& by, const InferRequest& request,
                      const std::vector<InferenceEvent*>& rows);
// True where the answer was given before: the rows are answered by it.
bool answer_again(const LiveRoute& route, const std::string& key, Timestamp now,
                  const std::vector<InferenceEvent*>& rows, Decided& out);
void keep_answer(const LiveRoute& route, const std::string& key, Timestamp now,
                 const std::vector<InferenceEvent*>& rows, const Decided& decided);

}  // namespace penstock::serving
