// What one call leaves behind, and the calls of shadows that follow it.
#include <algorithm>

#include "api/openai/exchange.h"
#include "api/openai/similarity.h"
#include "base/log.h"

namespace penstock::api::openai {

void Exchange::fill_generation(serving::InferenceEvent& event, Ending ending) const {
  if (attempts_ == 0) return;  // nothing was sent, so nothing was read or written
  const Tally& tally = relay_->tally();
  const bool answered = relay_->began() || (!failure_ && relay_->complete());
  // A refusal costs nothing; a caller who left while the model was reading did cost it.
  if (failure_ && !answered) return;
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
  event.generation = std::move(out);
}

serving::InferenceEvent Exchange::event(Ending ending, Timestamp now) const {
  const serving::Deployment& by = deployment();
  const std::string& route = leg_.route->declaration.name;
  serving::InferenceEvent event{.id = id_,
                                .at = now,
                                .event_time = start_,
                                .project = call_.project,
                                .tenant = call_.tenant,
                                .actor = call_.actor,
                                .route = route,
                                .release = leg_.target->release,
                                .model = by.model,
                                .version = by.version,
                                .runtime = by.runtime_name,
                                .mode = serving::Mode::online,
                                .arm = leg_.target->arm,
                                .assignment_probability = leg_.probability,
                                .unit = mirrored_ ? mirrored_->event.unit : unit_of(*leg_.route),
                                .feature_micros = graph_time_.count(),
                                .total_micros = (now - start_).count(),
                                .request_bytes = static_cast<std::int64_t>(body_->size()),
                                .response_bytes = sent_,
                                .upstream_micros = upstream_time_.count(),
                                .attempts = attempts_,
                                .upstream = attempts_ > 0 ? endpoint().name : "",
                                .retrieval_calls = retrieval_calls_,
                                .reranker_calls = reranker_calls_,
                                .from_cache = from_cache_,
                                .guardrails = hits_,
                                .user = user_,
                                .fallback_of = route == asked_.model ? "" : asked_.model};
  if (relay_)
    for (std::string& hit : relay_->hits()) event.guardrails.push_back(std::move(hit));
  if (failure_) event.error = name_of(code_of(failure_->status));
  fill_generation(event, ending);
  if (event.generation) {
    const double gpus = by.remote->model.gpus;
    const auto told = relay_->tally().gpu_micros();
    // A runtime's own count is of one device's time, whatever its share of devices.
    if (told)
      event.gpu_micros = told;
    else if (gpus > 0)
      event.gpu_micros = static_cast<std::int64_t>(static_cast<double>(last_try_.count()) * gpus);
  }
  if (!mirrored_) return event;
  const serving::InferenceEvent& live = mirrored_->event;
  event.mode = serving::Mode::shadow;
  event.assignment_probability = leg_.route->declaration.shadow.sample;
  event.shadow_of = live.id;
  event.fallback_of.clear();
  auto& comparison = event.comparison;
  comparison["latency_difference_micros"] =
      static_cast<double>(event.total_micros - live.total_micros);
  if (event.generation && live.generation) {
    comparison["output_tokens_difference"] = static_cast<double>(
        event.generation->output_tokens.value_or(0) - live.generation->output_tokens.value_or(0));
    if (writes(task_))
      comparison["similarity"] = similarity(mirrored_->text, relay_->tally().text());
  }
  return event;
}

std::vector<std::unique_ptr<Forward>> Exchange::mirrors(
    const serving::InferenceEvent& event) const {
  std::vector<std::unique_ptr<Forward>> out;
  // What failed or was left half read says nothing to compare with.
  if (mirrored_ || !event.error.empty() || !event.generation ||
      event.generation->finish_reason == "hung_up")
    return out;
  const serving::ShadowLimits& limits = leg_.route->declaration.shadow;
  for (const serving::LiveTarget& target : leg_.route->targets) {
    const auto& remote = target.deployment->remote;
    if (target.arm != serving::Arm::shadow || !remote || !remote->endpoint ||
        remote->protocol != serving::UpstreamProtocol::openai || check_graph(*target.deployment))
      continue;
    if (serving::hash_share(event.id, target.seed) >= limits.sample) continue;
    std::atomic<std::int64_t>& running = *leg_.route->mirrors_running;
    if (running.fetch_add(1) >= limits.max_concurrency) {
      running.fetch_sub(1);
      ++target.counters->not_mirrored;
      continue;
    }
    std::shared_ptr<void> turn(
        nullptr, [counted = leg_.route->mirrors_running](void*) { counted->fetch_sub(1); });
    out.push_back(std::make_unique<Exchange>(
        *this, target, Mirrored{event, relay_->tally().text(), std::move(turn)}));
  }
  return out;
}

}  // namespace penstock::api::openai
