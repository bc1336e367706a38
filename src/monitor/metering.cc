#include "monitor/metering.h"

#include "base/log.h"

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
  const auto records = TRY(log_.read(serving::inference_topic, from, batch));
  if (records.empty()) return false;
  // A post belongs to one project: prices and budgets are its own.
  std::map<std::string, std::vector<costs::Usage>> by_project;
  for (const events::Record& record : records) {
    boost::system::error_code fault;
    const json::value value = json::parse(record.value, fault);
    auto event = fault ? Result<serving::InferenceEvent>(Error{Code::data_loss, fault.message()})
                       : decode<serving::InferenceEvent>(value);
    if (!event) {
      log::error("event_unreadable", {{"offset", record.offset}, {"error", event.error().message}});
      continue;
    }
    for (costs::Usage& usage : usages_of(*event))
      by_project[event->project].push_back(std::move(usage));
  }
  for (const auto& [project, usages] : by_project)
    TRY(costs_.post({.actor = "service:metering", .project = project}, usages));
  const events::Step step{.group = std::string(group),
                          .topic = std::string(serving::inference_topic),
                          .next_offset = records.back().offset + 1};
  TRY(log_.commit(step, from, kv::Durability::process));
  return records.size() == batch;
}

}  // namespace penstock::monitor
