// Registered versions that judge texts: guardrails of rule classifier.
#pragma once

#include "guardrails/chain.h"
#include "serving/table.h"

namespace penstock::serving {

// failed_precondition where the version does not take one text, or gives nothing to judge by.
Result<std::shared_ptr<const guardrails::Classifier>> classifier_of(
    const guardrails::GuardrailDeclaration& declared, std::shared_ptr<const Deployment> by,
    const Clock& clock);

// What models judged of a call on this route, as nodes of its event.
void add_nodes(std::vector<NodeUse>& nodes, const LiveRoute& route,
               const std::vector<guardrails::Judged>& judged);

}  // namespace penstock::serving
