// What one call leaves behind, and the calls of shadows that follow it.
#include <algorithm>

#include "api/openai/exchange.h"
#include "base/log.h"
#include "serving/similarity.h"

namespace penstock::api::openai {

bool has_shadows(const serving::LiveRoute& route) {
  return std::any_of(route.targets.begin(), route.targets.end(),
                     [](const auto& target) { return target.arm == serving::Arm::shadow; });
}

// False where there were none. Nobody tells what they cost; they read the prompt.
bool Exchange::add_given_up(serving::Generation& out) const {
  if (given_up_ == 0) return false;
  out.prompt_tokens = out.prompt_tokens.value_or(0) + given_up_ * asked_.prompt_tokens;
  out.estimated = true;
  if (out.finish_reason.empty()) out.finish_reason = "given_up";
  out.upstream_model = deployment().remote->model.model;
  return true;
}

void Exchange::fill_generation(serving::InferenceEvent& event, Ending ending) const {
  if (attempts_ == 0) return;  // nothing was sent, so nothing was read or written
  const Tally& tally = relay_->tally();
  const bool answered = relay_->began() || (!failure_ && relay_->complete());
  // A refusal costs nothing; a caller who left while the model was reading did cost it.
  if (failure_ && !answered) {
    serving::Generation read;
    if (add_given_up(read)) event.generation = std::move(read);
    return;
  }
  serving::Generation out{.streamed = streaming_, .first_piece_micros = first_piece_};
  const auto most = std::max(context_tokens(),
                             static_cast<std::int64_t>(body_->size() + front_.value_or("").size()));
  const Tally::Count count = tally.count(asked_, most);
  // Of the ledger's meters no token counts twice.
  const Usage& usage = count.usage;
  out.cached_prompt_tokens = usage.cached;
  out.cache_write_tokens = usage.cache_write;
  out.reasoning_tokens = usage.reasoning;
  out.prompt_tokens =
      usage.prompt.value_or(0) - usage.cached.value_or(0) - usage.cache_write.value_or(0);
  out.output_tokens = usage.output.value_or(0) - usage.reasoning.value_or(0);
  out.estimated = count.estimated;
  if (count.disbelieved)
    log::warn("usage_not_believed",
              {{"upstream", endpoint().name}, {"prediction", id_}, {"route", event.route}});
  const bool left = ending != Ending::answered && !relay_->complete();
  out.finish_reason = left ? "hung_up" : tally.finish_reason();
  out.upstream_model = deployment().remote->model.model;
  add_given_up(out);
  event.generation = std::move(out);
}

void Exchange::fill_new(serving::InferenceEvent& event) const {
  const serving::Deployment& by = deployment();
  const std::string& route = leg_.route->declaration.name;
  event.id = id_;
  event.event_time = start_;
  event.project = call_.project;
  event.tenant = call_.tenant;
  event.actor = call_.actor;
  event.route = route;
  event.release = leg_.target->release;
  event.model = by.model;
  event.version = by.version;
  event.runtime = by.runtime_name;
  event.mode = serving::Mode::online;
  event.arm = leg_.target->arm;
  event.assignment_probability = leg_.probability;
  event.experiment = leg_.experiment;
  event.unit = unit_;
  event.request_bytes = static_cast<std::int64_t>(body_->size());
  event.from_cache = from_cache_;
  event.guardrails = hits_;
  event.user = user_;
  event.fallback_of = route == asked_.model ? "" : asked_.model;
}

serving::InferenceEvent Exchange::event(Ending ending, Timestamp now) const {
  serving::InferenceEvent event;
  if (mirrored_)
    event = mirrored_->event;
  else
    fill_new(event);
  event.at = now;
  event.total_micros = (now - start_).count();
  event.response_bytes = sent_;
  event.feature_micros = graph_time_.count();
  event.queue_micros = waited_.count();
  event.upstream_micros = upstream_time_.count();
  event.attempts = attempts_;
  if (attempts_ > 0) event.upstream = endpoint().name;
  event.retrieval_calls = retrieval_calls_;
  event.reranker_calls = reranker_calls_;
  event.nodes = nodes_;
  if (relay_) {
    for (std::string& hit : relay_->hits()) event.guardrails.push_back(std::move(hit));
    serving::add_nodes(event.nodes, *leg_.route, relay_->judged());
  }
  if (failure_) event.error = name_of(code_of(failure_->status));
  fill_generation(event, ending);
  if (event.generation) {
    const double gpus = deployment().remote->model.gpus;
    const auto told = relay_->tally().gpu_micros();
    // A runtime's own count is of one device's time, whatever its share of devices.
    if (told)
      event.gpu_micros = told;
    else if (gpus > 0)
      event.gpu_micros = static_cast<std::int64_t>(static_cast<double>(last_try_.count()) * gpus);
  }
  return event;
}

void Exchange::finish_shadow(serving::InferenceEvent event) {
  const serving::InferenceEvent& live = mirrored_->live;
  if (event.error.empty() && event.generation && live.generation) {
    event.comparison["output_tokens_difference"] = static_cast<double>(
        event.generation->output_tokens.value_or(0) - live.generation->output_tokens.value_or(0));
    if (writes(task_))
      event.comparison["similarity"] = serving::similarity(mirrored_->text, relay_->tally().text());
  }
  plane_.mirrors.finish(mirrored_->call, {std::move(event)}, {live});
}

std::vector<std::unique_ptr<Forward>> Exchange::mirrors(
    const serving::InferenceEvent& event) const {
  std::vector<std::unique_ptr<Forward>> out;
  // What failed or was left half read says nothing to compare with.
  if (!event.error.empty() || !event.generation || event.generation->finish_reason == "hung_up" ||
      !has_shadows(*leg_.route))
    return out;
  // The most that any of its shadows may use.
  serving::Generation worst{.prompt_tokens = 0, .output_tokens = 0};
  for (const serving::LiveTarget& target : leg_.route->targets) {
    const auto& remote = target.deployment->remote;
    if (target.arm != serving::Arm::shadow || !remote || check_graph(*target.deployment)) continue;
    const Most most = most_of(*target.deployment);
    worst.prompt_tokens = std::max(*worst.prompt_tokens, most.prompt_tokens);
    worst.output_tokens = std::max(*worst.output_tokens, most.output_tokens);
  }
  for (serving::Mirrored& one : plane_.mirrors.pick(leg_.route, {event}, true, worst)) {
    const auto& remote = one.target->deployment->remote;
    if (!remote || !remote->endpoint || remote->protocol != serving::UpstreamProtocol::openai ||
        check_graph(*one.target->deployment))
      continue;
    serving::InferenceEvent shadow = std::move(serving::Mirrors::prepare(one, {event}).front());
    shadow.fallback_of.clear();
    out.push_back(std::make_unique<Exchange>(
        *this, Mirrored{std::move(one), std::move(shadow), event, relay_->tally().text()}));
  }
  return out;
}

void Exchange::keep_answer(std::string_view bytes) {
  if (mirrored_ || !leg_.route || !serving::keeps_payload(*leg_.route, id_)) return;
  const auto& options = *leg_.route->declaration.payloads;
  if (leg_.route->declaration.input_class > options.max_class) return;
  // Past the bound by one letter, so that it is seen to be cut.
  const std::size_t most = static_cast<std::size_t>(options.max_bytes) + 4;
  if (answer_.size() < most) answer_.append(bytes.substr(0, most - answer_.size()));
}

// What guardrails masked is kept as the model saw it.
void Exchange::keep_payload(serving::InferenceEvent& event) const {
  if (!event.error.empty() || !serving::keeps_payload(*leg_.route, id_)) return;
  event.payload = serving::payload_urn(id_);
  const bool masked =
      std::any_of(texts_.begin(), texts_.end(), [](const auto& text) { return text.has_value(); });
  plane_.keep(serving::payload_of(
      *leg_.route, event,
      masked ? changed(*body_, asked_, {.model = asked_.model, .texts = &texts_}) : *body_,
      answer_));
}

}  // namespace penstock::api::openai
