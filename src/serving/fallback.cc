// Routes that stand in where another one fails.
#include "base/id.h"
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
void put_aside(std::vector<InferenceEvent> events, const std::string& suffix, Admitted& held,
               Timestamp now, std::vector<InferenceEvent>& failed) {
  for (InferenceEvent& event : events) event.id += suffix;
  held.settle(events, now);
  std::move(events.begin(), events.end(), std::back_inserter(failed));
}

}  // namespace

std::shared_ptr<const LiveRoute> Gateway::stand_in(const Call& call,
                                                   const std::shared_ptr<const LiveRoute>& asked,
                                                   const InferRequest& request,
                                                   const std::vector<std::string>& ids,
                                                   Grant& grant, Decided& decided,
                                                   std::vector<InferenceEvent>& failed) const {
  // Who asks for a version wants that one.
  if (!decided.error || request.version != 0) return asked;
  const auto table = table_.get();
  // A retry of the caller's is not paid by what failed before it.
  const std::string failed_as =
      (request.id.empty() ? "" : "!" + new_ulid(clock_.now())) + ".failed";
  for (const std::string& name : asked->declaration.fallbacks) {
    if (!is_of_the_runtime(decided.error->code) || clock_.now() >= call.deadline) break;
    const auto found = table->routes.find(route_key(call.project, name));
    if (found == table->routes.end()) continue;  // declared, and not in service
    grant.held.leave(decided.events, clock_.now());
    auto entered = admit(call, *found->second, request, ids, clock_.now());
    if (!entered) continue;  // its limits, budgets or queue do
    auto tried = run(call, *found->second, request, ids, *entered);
    if (!tried) continue;  // it cannot take this call
    for (InferenceEvent& event : tried->events) event.fallback_of = asked->declaration.name;
    if (tried->error) {
      put_aside(std::move(tried->events), failed_as + "." + name, entered->held, clock_.now(),
                failed);
      continue;
    }
    put_aside(std::move(decided.events), failed_as, grant.held, clock_.now(), failed);
    entered->waited += grant.waited;
    grant = std::move(*entered);
    decided = std::move(*tried);
    return found->second;
  }
  return asked;
}

}  // namespace penstock::serving
