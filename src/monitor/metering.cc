#include "monitor/metering.h"

#include <algorithm>

#include "base/digest.h"
#include "base/log.h"

namespace penstock::monitor {
namespace {

constexpr std::string_view group = "penstock.metering";
constexpr std::string_view node_source = "inference.node";
constexpr std::size_t id_max = 200;  // of a ledger line

costs::UsageMode mode_of(const serving::InferenceEvent& event) {
  if (event.arm == serving::Arm::shadow) return costs::UsageMode::shadow;
  switch (event.mode) {
    case serving::Mode::batch: return costs::UsageMode::batch;
    case serving::Mode::stream: return costs::UsageMode::stream;
    case serving::Mode::shadow: return costs::UsageMode::shadow;
    case serving::Mode::online: break;
  }
  return costs::UsageMode::online;
}

// Models that a call asked on its way have lines of their own.
void add_node(const serving::InferenceEvent& event, const serving::NodeUse& node,
              const costs::Usage& call, std::vector<costs::Usage>& usages) {
  if (node.model.empty()) return;
  costs::Usage usage = call;
  usage.source = node_source;
  usage.id = event.id + "#" + node.name + "#" + node.model + "@" + std::to_string(node.version);
  if (usage.id.size() > id_max) usage.id = sha256_hex(usage.id);
  usage.model = node.model;
  usage.version = node.version;
  usage.upstream = node.upstream;
  usage.upstream_model.clear();
  const auto put = [&](costs::Meter meter, std::int64_t quantity) {
    if (quantity <= 0) return;
    usage.meter = meter;
    usage.quantity = std::min(quantity, costs::quantity_max);
    usages.push_back(usage);
  };
  put(costs::Meter::requests, node.calls);
  put(costs::Meter::gpu_microseconds, node.gpu_micros.value_or(0));
  if (node.upstream.empty()) put(costs::Meter::compute_microseconds, node.micros);
}

void add_usages(const serving::InferenceEvent& event, std::vector<costs::Usage>& usages) {
  const std::size_t before = usages.size();
  const costs::Usage call{
      .source = "inference",
      .id = event.id,
      .at = event.event_time,
      .tenant = event.tenant,
      .route = event.route,
      .model = event.model,
      .version = event.version,
      .release = event.release,
      .mode = mode_of(event),
      .user_tag = event.user,
      .experiment = event.experiment,
      .upstream = event.upstream,
      .upstream_model = event.generation ? event.generation->upstream_model : ""};
  const auto add = [&](costs::Meter meter, std::int64_t quantity) {
    if (quantity <= 0) return;
    costs::Usage& usage = usages.emplace_back(call);
    usage.meter = meter;
    usage.quantity = std::min(quantity, costs::quantity_max);
  };
  using costs::Meter;
  if (!event.from_cache && event.generation) {
    const serving::Generation& said = *event.generation;
    add(Meter::prompt_tokens, said.prompt_tokens.value_or(0));
    add(Meter::cached_prompt_tokens, said.cached_prompt_tokens.value_or(0));
    add(Meter::cache_write_tokens, said.cache_write_tokens.value_or(0));
    add(Meter::output_tokens, said.output_tokens.value_or(0));
    add(Meter::reasoning_tokens, said.reasoning_tokens.value_or(0));
  }
  if (!event.from_cache) {
    add(Meter::gpu_microseconds, event.gpu_micros.value_or(0));
    add(Meter::retrieval_calls, event.retrieval_calls);
    add(Meter::reranker_calls, event.reranker_calls);
    // The time of another server is its own to bill.
    if (event.error.empty() && event.upstream.empty())
      add(Meter::compute_microseconds, event.model_micros);
  }
  // What failed before it used anything is no request that anybody pays.
  if (event.error.empty() || usages.size() > before) add(Meter::requests, 1);
  for (const serving::NodeUse& node : event.nodes) add_node(event, node, call, usages);
}

}  // namespace

std::vector<costs::Usage> usages_of(const serving::InferenceEvent& event) {
  std::vector<costs::Usage> usages;
  add_usages(event, usages);
  return usages;
}

Result<std::int64_t> Metering::position() const {
  return events_.log().position(group, serving::inference_topic);
}

Result<std::size_t> Metering::run_once() {
  const std::int64_t from = TRY(events_.log().position(group, serving::inference_topic));
  const auto stretch = TRY(events_.read(from));
  if (stretch.next == from) return 0;
  // A post belongs to one project: prices and budgets are its own.
  constexpr std::size_t usual_lines = 3;  // tokens of the prompt and of the output, the request
  std::map<std::string, std::vector<costs::Usage>> by_project;
  for (const serving::InferenceEvent* const event : stretch.events) {
    const auto [found, added] = by_project.try_emplace(event->project);
    if (added) found->second.reserve(stretch.events.size() * usual_lines);
    add_usages(*event, found->second);
  }
  for (const auto& [project, usages] : by_project)
    TRY(costs_.post({.actor = "service:metering", .project = project}, usages));
  const events::Step step{.group = std::string(group),
                          .topic = std::string(serving::inference_topic),
                          .next_offset = stretch.next};
  TRY(events_.log().commit(step, from, kv::Durability::process));
  return std::max<std::size_t>(stretch.events.size(), 1);
}

}  // namespace penstock::monitor
