#include "monitor/metering.h"

#include "serving/event_codec.h"

namespace penstock::monitor {
namespace {

constexpr std::string_view group = "penstock.metering";
constexpr std::size_t batch = 2'000;

}  // namespace

std::vector<costs::Usage> usages_of(const serving::InferenceEvent& event) {
  if (!event.error.empty()) return {};
  costs::Usage usage{.source = "inference",
                     .id = event.id,
                     .meter = costs::Meter::requests,
                     .quantity = 1,
                     .at = event.event_time,
                     .tenant = event.tenant,
                     .route = event.route,
                     .model = event.model,
                     .version = event.version,
                     .release = event.release};
  std::vector<costs::Usage> usages{usage};
  usage.meter = costs::Meter::compute_microseconds;
  usage.quantity = event.model_micros;
  usages.push_back(usage);
  return usages;
}

Result<bool> Metering::run_once() {
  const std::int64_t from = TRY(log_.position(group, serving::inference_topic));
  const auto stretch = TRY(serving::read_events(log_, from, batch));
  if (stretch.next == from) return false;
  // A post belongs to one project: prices and budgets are its own.
  std::map<std::string, std::vector<costs::Usage>> by_project;
  for (const serving::InferenceEvent& event : stretch.events)
    for (costs::Usage& usage : usages_of(event))
      by_project[event.project].push_back(std::move(usage));
  for (const auto& [project, usages] : by_project)
    TRY(costs_.post({.actor = "service:metering", .project = project}, usages));
  const events::Step step{.group = std::string(group),
                          .topic = std::string(serving::inference_topic),
                          .next_offset = stretch.next};
  TRY(log_.commit(step, from, kv::Durability::process));
  return stretch.more;
}

}  // namespace penstock::monitor
