// Routes that stand in where another one fails.
#include "serving/gateway.h"

namespace penstock::serving {
namespace {

// What another runtime may do better. A wrong request is wrong everywhere.
bool is_of_the_runtime(Code code) {
  switch (code) {
    case Code::resource_exhausted:
    case Code::deadline_exceeded:
    case Code::unavailable:
    case Code::data_loss:
    case Code::internal: return true;
    default: return false;
  }
}

// The prediction's own id belongs to the event that answered.
void put_aside(std::vector<InferenceEvent> events, const std::string& suffix,
               std::vector<InferenceEvent>& failed) {
  for (InferenceEvent& event : events) {
    event.id += suffix;
    failed.push_back(std::move(event));
  }
}

}  // namespace

std::shared_ptr<const LiveRoute> Gateway::stand_in(const Call& call,
                                                   const std::shared_ptr<const LiveRoute>& asked,
                                                   const InferRequest& request,
                                                   const std::vector<std::string>& ids,
                                                   Decided& decided,
                                                   std::vector<InferenceEvent>& failed) const {
  // Who asks for a version wants that one.
  if (!decided.error || request.version != 0) return asked;
  const auto table = table_.get();
  for (const std::string& name : asked->declaration.fallbacks) {
    if (!is_of_the_runtime(decided.error->code) || clock_.now() >= call.deadline) break;
    const auto found = table->routes.find(route_key(call.project, name));
    if (found == table->routes.end()) continue;  // declared, and not in service
    const auto tried = decide(call, *found->second, request, ids, Mode::online);
    if (!tried) continue;  // it cannot take this call
    std::vector<InferenceEvent> events = tried->events;
    for (InferenceEvent& event : events) event.fallback_of = asked->declaration.name;
    if (tried->error) {
      put_aside(std::move(events), ".failed." + name, failed);
      continue;
    }
    put_aside(std::move(decided.events), ".failed", failed);
    decided = {.events = std::move(events), .outputs = tried->outputs, .error = {}};
    return found->second;
  }
  return asked;
}

}  // namespace penstock::serving
