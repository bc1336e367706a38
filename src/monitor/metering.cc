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
std::string line_of(const serving::InferenceEvent& event, const serving::NodeUse& node) {
  std::string id =
      event.id + "#" + node.name + "#" + node.model + "@" + std::to_string(node.version);
  return id.size() > id_max ? sha256_hex(id) : id;
}

template <class Put>
void meter_call(const serving::InferenceEvent& event, Put put) {
  bool used = false;
  const auto add = [&](costs::Meter meter, std::int64_t quantity) {
    if (quantity <= 0) return;
    used = true;
    put(meter, std::min(quantity, costs::quantity_max));
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
  if (event.error.empty() || used) add(Meter::requests, 1);
}

template <class Put>
void meter_node(const serving::NodeUse& node, Put put) {
  if (node.model.empty()) return;
  const auto add = [&](costs::Meter meter, std::int64_t quantity) {
    if (quantity > 0) put(meter, std::min(quantity, costs::quantity_max));
  };
  add(costs::Meter::requests, node.calls);
  add(costs::Meter::gpu_microseconds, node.gpu_micros.value_or(0));
  if (node.upstream.empty()) add(costs::Meter::compute_microseconds, node.micros);
}

void add_usages(const serving::InferenceEvent& event, std::vector<costs::Usage>& usages) {
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
  const auto put = [&](const costs::Usage& of) {
    return [&](costs::Meter meter, std::int64_t quantity) {
      costs::Usage& usage = usages.emplace_back(of);
      usage.meter = meter;
      usage.quantity = quantity;
    };
  };
  meter_call(event, put(call));
  for (const serving::NodeUse& node : event.nodes) {
    costs::Usage usage = call;
    usage.source = node_source;
    usage.id = line_of(event, node);
    usage.model = node.model;
    usage.version = node.version;
    usage.upstream = node.upstream;
    usage.upstream_model.clear();
    meter_node(node, put(usage));
  }
}

}  // namespace

std::vector<costs::Usage> usages_of(const serving::InferenceEvent& event) {
  std::vector<costs::Usage> usages;
  add_usages(event, usages);
  return usages;
}

std::vector<costs::Metered> metered_of(const serving::InferenceEvent& event) {
  std::vector<costs::Metered> out;
  std::int64_t prompt = 0;
  meter_call(event, [&](costs::Meter meter, std::int64_t quantity) {
    if (costs::is_prompt(meter)) prompt += quantity;
    out.push_back({.meter = meter, .quantity = quantity, .model = event.model});
    if (event.generation) out.back().upstream_model = event.generation->upstream_model;
  });
  for (costs::Metered& one : out)
    if (costs::is_tokens(one.meter)) one.call_tokens = prompt;
  for (const serving::NodeUse& node : event.nodes)
    meter_node(node, [&](costs::Meter meter, std::int64_t quantity) {
      out.push_back({.meter = meter,
                     .quantity = quantity,
                     .model = node.model,
                     .line = line_of(event, node)});
    });
  return out;
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
