#include "serving/gateway.h"

#include <algorithm>

#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"
#include "guardrails/chain.h"
#include "serving/decide.h"
#include "serving/guarding.h"
#include "serving/retention.h"

namespace penstock::serving {
namespace {

// Of tensors; "" where there are none.
std::string digest_of(const std::vector<infer::Tensor>& tensors) {
  if (tensors.empty()) return "";
  Sha256Stream stream;
  // Each part behind its length, so that no two requests are one text.
  const auto add = [&](std::string_view part) {
    stream.update(std::to_string(part.size()) + ":");
    stream.update(part);
  };
  for (const infer::Tensor& tensor : tensors) {
    add(tensor.name);
    add(tensor.datatype);
    for (const std::int64_t size : tensor.shape) stream.update(std::to_string(size) + ",");
    add(tensor.bytes);
  }
  return to_hex(stream.finish());
}

// One event, however often its caller asks: what a repeat must agree with.
Result<void> check_same(const InferenceEvent& stored, const LiveRoute& route,
                        const InferRequest& request, std::size_t row) {
  const std::string& name = route.declaration.name;
  const bool same = (stored.route == name || stored.fallback_of == name) &&
                    (request.rows.empty() || stored.entities == request.rows[row]);
  if (same) return {};
  return Error{Code::already_exists,
               "id " + stored.id + " was used for another call; ids are for retries of one call"};
}

Prediction prediction_of(const InferenceEvent& event) {
  return {.id = event.id,
          .model = event.model,
          .version = event.version,
          .arm = event.arm,
          .score = event.score.value_or(0),
          .decision = event.decision.value_or(false)};
}

const LiveTarget* target_of(const LiveRoute& route, const InferenceEvent& event) {
  for (const LiveTarget& target : route.targets)
    if (target.deployment->version == event.version && target.deployment->model == event.model)
      return &target;
  return nullptr;
}

void add(std::atomic<std::int64_t>& counter, std::int64_t more) {
  counter.fetch_add(more, std::memory_order_relaxed);
}

// The call of a target's first row counts for the others too: they went through one run.
void count_call(Counters& counters, const InferenceEvent& first) {
  if (!first.error.empty()) {
    add(counters.failed_calls, 1);
    add(counters.failed_micros, first.total_micros);
    return;
  }
  add(counters.calls, 1);
  add(counters.micros, first.total_micros);
  add(counters.model_micros, first.model_micros);
  counters.last.store(first.at.time_since_epoch().count(), std::memory_order_relaxed);
}

void count(const LiveRoute& route, const std::vector<InferenceEvent>& events) {
  std::vector<const LiveTarget*> seen;
  for (const InferenceEvent& event : events) {
    const LiveTarget* target = target_of(route, event);
    if (!target) continue;
    Counters& counters = *target->counters;
    add(event.error.empty() ? counters.answered : counters.errors, 1);
    add(counters.feature_micros, event.feature_micros);
    if (std::find(seen.begin(), seen.end(), target) != seen.end()) continue;
    seen.push_back(target);
    count_call(counters, event);
  }
}

void set_ids(std::vector<InferenceEvent>& events, const std::vector<std::string>& ids) {
  for (std::size_t row = 0; row < events.size(); ++row) {
    if (events[row].unit == events[row].id) events[row].unit = ids[row];
    events[row].id = ids[row];
    if (!events[row].payload.empty()) events[row].payload = payload_urn(ids[row]);
  }
}

// The request as it is, or to the version that a budget sends it to.
InferRequest cheaper(const InferRequest& request, const Grant& grant) {
  InferRequest other = request;
  other.version = grant.instead->deployment->version;
  return other;
}

}  // namespace

Result<std::shared_ptr<const LiveRoute>> Gateway::route(const Call& call,
                                                        std::string_view name) const {
  const auto table = table_.get();
  const auto found = table->routes.find(route_key(call.project, name));
  if (found == table->routes.end())
    return Error{Code::not_found,
                 "there is no route " + std::string(name) + " in service; see GET /api/v1/routes"};
  if (takes_tensors(*found->second)) return found->second;
  return Error{Code::invalid_argument,
               "route " + std::string(name) +
                   " is a language model's: call POST /v1/chat/completions with it as the model"};
}

bool Gateway::is_brief(const Call& call, std::string_view name, bool has_id) const {
  if (telemetry_.is_crowded()) return false;  // its event may have to wait for the log
  if (has_id && asks_ledger()) return false;
  const auto table = table_.get();
  const auto found = table->routes.find(route_key(call.project, name));
  if (found == table->routes.end()) return true;  // a refusal
  const RouteDeclaration& declared = found->second->declaration;
  const auto& targets = found->second->targets;
  const auto& guards = found->second->guards;
  if (guards && (guards->asks_models(guardrails::Side::input) ||
                 guards->asks_models(guardrails::Side::output)))
    return false;
  return !declared.queue && declared.fallbacks.empty() &&
         std::all_of(targets.begin(), targets.end(), [](const LiveTarget& target) {
           return target.arm == Arm::shadow || target.deployment->runtime_name == "onnx";
         });
}

std::vector<std::shared_ptr<const LiveRoute>> Gateway::routes(const Call& call) const {
  std::vector<std::shared_ptr<const LiveRoute>> out;
  const auto table = table_.get();
  for (const auto& [key, route] : table->routes)
    if (route->project == call.project) out.push_back(route);
  std::sort(out.begin(), out.end(),
            [](const auto& a, const auto& b) { return a->declaration.name < b->declaration.name; });
  return out;
}

void Gateway::measure(Metrics& metrics) const {
  const auto table = table_.get();
  for (const auto& [key, route] : table->routes)
    for (const LiveTarget& target : route->targets) {
      const Deployment& deployment = *target.deployment;
      if (deployment.runtime)
        metrics
            .gauge("penstock_model_memory_bytes", "Memory that a loaded model takes, about",
                   {{"project", route->project},
                    {"model", deployment.model},
                    {"version", std::to_string(deployment.version)}})
            .set(static_cast<double>(deployment.runtime->memory_bytes()));
    }
}

Result<Gateway::Repeat> Gateway::repeated(const Call& call, const LiveRoute& route,
                                          const InferRequest& request, const std::string& digest,
                                          const std::vector<std::string>& ids) const {
  InferAnswer answer;
  for (std::size_t row = 0; row < ids.size(); ++row) {
    const auto stored = TRY(recorded(log_, gateway_group, route.project, ids[row]));
    if (!stored) return Repeat{};
    // Those of an older program have no digest, and those that named entities never have one.
    const bool is_other = stored->input_digest.empty()
                              ? !digest.empty() && !stored->entities.empty()
                              : stored->input_digest != digest;
    if (is_other || stored->tenant != call.tenant) return Repeat{.is_other = true};
    TRY(check_same(*stored, route, request, row));
    answer.predictions.push_back(prediction_of(*stored));
    answer.predictions.back().repeated = true;
    if (answer.experiment.empty()) answer.experiment = stored->experiment;
    if (const LiveTarget* target = target_of(route, *stored)) ++target->counters->repeated;
  }
  return Repeat{.answer = std::move(answer)};
}

bool Gateway::asks_ledger() const {
  if (!was_posted_) return false;
  const auto held = log_.extent(inference_topic);
  return held && held->start > 0;
}

bool Gateway::is_gone(const std::string& project, const std::string& id) const {
  if (!asks_ledger()) return false;
  const auto posted = was_posted_(project, id);
  if (!posted) log::warn("ledger_not_asked", {{"error", posted.error().message}});
  return posted && *posted;
}

// Prices go by the model, so any of its versions says what the call may cost.
Result<Grant> Gateway::admit(const Call& call, const LiveRoute& route, const InferRequest& request,
                             const std::vector<std::string>& ids, Timestamp now) const {
  if (!admission_ || route.targets.empty()) return Grant{};
  const auto judgements = judgements_of(route, request);
  return admission_->enter({.call = call,
                            .route = route,
                            .deployment = *route.targets.front().deployment,
                            .id = ids.back(),  // posted last, so all of them were posted by then
                            .user = user_of(request),
                            .priority = priority_of(request),
                            .rows = static_cast<std::int64_t>(ids.size()),
                            .judgements = judgements,
                            .at = request.event_time.value_or(now),
                            .deadline = call.deadline},
                           clock_);
}

// What the caller gets, and what is to be done once it has it. `by` may have stood in for `live`.
InferAnswer Gateway::answer_of(const std::shared_ptr<const LiveRoute>& live,
                               const std::shared_ptr<const LiveRoute>& by,
                               const InferRequest& request, Decided& decided) {
  InferAnswer answer;
  answer.predictions.reserve(decided.events.size());
  for (const InferenceEvent& event : decided.events) {
    answer.predictions.push_back(prediction_of(event));
    if (answer.experiment.empty()) answer.experiment = event.experiment;
  }
  const auto& seen = decided.seen ? *decided.seen : request.tensors;
  // Where another route stood in, there is no live answer of this one to compare with; nor where
  // no version was asked.
  if (by == live && decided.cached.empty()) answer.after = mirror(live, seen, decided.events);
  if (auto keep = keep_payloads(by, seen, decided.events))
    answer.after = [keep = std::move(keep), mirrors = std::move(answer.after)] {
      keep();
      if (mirrors) mirrors();
    };
  answer.outputs = std::move(decided.outputs);
  answer.cached = std::move(decided.cached);
  return answer;
}

Result<Decided> Gateway::run(const Call& call, const LiveRoute& route, const InferRequest& request,
                             const std::vector<std::string>& ids, Grant& grant) const {
  const guardrails::MayJudge may_judge = [&](const std::string& guardrail) {
    return grant.held.may_judge(guardrail, clock_.now());
  };
  if (!grant.instead) return decide(call, route, request, ids, Mode::online, may_judge);
  return decide(call, route, cheaper(request, grant), ids, Mode::online, may_judge);
}

Result<InferAnswer> Gateway::infer(const Call& call, const InferRequest& request) {
  const Timestamp start = clock_.now();
  const auto live = TRY(route(call, request.route));
  auto ids = TRY(ids_of(request, start));
  bool named = !request.id.empty();
  const std::string digest = named ? digest_of(request.tensors) : "";
  if (named) {
    Repeat known = TRY(repeated(call, *live, request, digest, ids));
    if (known.answer) {
      if (!request.tensors.empty())
        known.answer->outputs = TRY(outputs_again(call, live, request, digest, *known.answer));
      return std::move(*known.answer);
    }
    if (known.is_other) {
      named = false;
      ids = own_ids(ids.size(), start);
    } else if (is_gone(live->project, ids.front())) {
      return Error{Code::already_exists,
                   "id " + request.id + " is of a call that was answered before: its " +
                       TRY(gone_text(log_)) + "; take a new id for a new call"};
    }
  }

  Grant grant = TRY(admit(call, *live, request, ids, start));
  Decided decided = TRY(run(call, *live, request, ids, grant));
  std::vector<InferenceEvent> failed;
  const auto by = stand_in(call, live, request, ids, grant, decided, failed);
  // A retry has the id again, and is not paid by what this one used until it failed.
  if (named && decided.error) set_ids(decided.events, failed_ids(request.id, ids.size(), start));
  const Timestamp end = clock_.now();
  for (InferenceEvent& event : decided.events) {
    event.total_micros = (end - start).count();
    event.queue_micros = grant.waited.count();
    if (named) event.input_digest = digest;
    if (!decided.error && keeps_payload(*by, event.id)) event.payload = payload_urn(event.id);
  }
  grant.held.settle(decided.events, end);
  if (!failed.empty()) {
    count(*live, failed);
    telemetry_.put(std::move(failed));
  }
  if (named) {
    // Two retries at once have both decided; the first to come here is the one that counts.
    const std::lock_guard lock(turns_[std::hash<std::string>()(request.id) % turns_.size()]);
    Repeat known = TRY(repeated(call, *live, request, digest, ids));
    if (known.is_other) {
      named = false;
      set_ids(decided.events, own_ids(ids.size(), start));
    } else if (known.answer) {
      if (!decided.error &&
          known.answer->predictions.front().version == decided.events.front().version)
        known.answer->outputs = std::move(decided.outputs);
      if (decided.error) telemetry_.put(std::move(decided.events));
      return std::move(*known.answer);
    } else {
      TRY(telemetry_.put_now(decided.events));
      if (!decided.error) keep_outputs(call, request, digest, decided.outputs);
    }
  }
  count(*by, decided.events);
  live->seconds->observe(static_cast<double>((clock_.now() - start).count()) * 1e-6);
  InferAnswer answer;
  if (!decided.error) answer = answer_of(live, by, request, decided);
  if (!named) telemetry_.put(std::move(decided.events));
  if (decided.error) return *decided.error;
  return answer;
}

std::function<void()> Gateway::keep_payloads(const std::shared_ptr<const LiveRoute>& route,
                                             const std::vector<infer::Tensor>& given,
                                             const std::vector<InferenceEvent>& events) {
  const bool any = std::any_of(events.begin(), events.end(),
                               [](const auto& event) { return !event.payload.empty(); });
  if (!any) return {};
  return [this, route, tensors = given, events] {
    // Rows of tensors are one input: it is kept once.
    for (const InferenceEvent& event : events)
      if (!event.payload.empty())
        payloads_.put(payload_of(
            *route, event, &event == &events.front() ? tensors : std::vector<infer::Tensor>()));
  };
}

std::function<void()> Gateway::mirror(const std::shared_ptr<const LiveRoute>& route,
                                      const std::vector<infer::Tensor>& given,
                                      const std::vector<InferenceEvent>& events) {
  auto mirrored = mirrors_.pick(route, events, false);
  if (mirrored.empty()) return {};
  return [this, mirrored = std::move(mirrored), tensors = given, events] {
    for (const Mirrored& one : mirrored) mirrors_.run(one, tensors, events);
  };
}

}  // namespace penstock::serving
