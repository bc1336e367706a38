// Models that a call asks on its way, beside the one that answers: those of guardrails, and those
// of a graph. What they may cost is reserved with the call.
#include <algorithm>
#include <cmath>

#include "serving/admission.h"

namespace penstock::serving {
namespace {

void add(std::vector<costs::Part>& parts, const std::string& model, Money amount) {
  if (amount > Money{}) parts.push_back({model, amount});
}

}  // namespace

// What is reserved for the guardrails of a call, and how much of it is left.
struct Admitted::Judges {
  struct One {
    std::string guardrail;
    std::shared_ptr<const Deployment> by;
    std::int64_t most = 0, left = 0;
    Micros each{};  // for one judgement
  };
  std::string tenant;
  Timestamp at;
  Micros time{};  // until the call is over
  std::vector<One> each;

  costs::PriceBook::Payer payer() const { return {tenant, at}; }
  // Of the first so many judgements.
  Admission::Aside aside(const One& one, std::int64_t calls) const {
    return {*one.by, calls, std::min(one.each * calls, time)};
  }
};

// As the ledger will meter it: requests, and the time of a runtime here or of GPUs.
Money Admission::cost_of(const costs::PriceBook& prices, const costs::PriceBook::Payer& payer,
                         const Aside& aside) {
  const Deployment& by = aside.by;
  Money sum;
  const auto add = [&](costs::Meter meter, std::int64_t quantity) {
    if (quantity <= 0) return;
    const auto price = prices.cost(
        {.meter = meter, .quantity = std::min(quantity, costs::quantity_max), .model = by.model},
        payer);
    if (price) sum = sum + *price;
  };
  add(costs::Meter::requests, aside.calls);
  const std::int64_t time = std::max(aside.time, Micros(0)).count();
  if (!by.remote) add(costs::Meter::compute_microseconds, time);
  // Each call's share is rounded.
  if (by.gpus > 0)
    add(costs::Meter::gpu_microseconds,
        static_cast<std::int64_t>(std::ceil(static_cast<double>(time) * by.gpus)) + aside.calls);
  return sum;
}

std::shared_ptr<Admitted::Judges> Admission::judges_of(const Wish& wish, Timestamp now) {
  if (wish.route.classifiers.empty()) return nullptr;
  auto out = std::make_shared<Admitted::Judges>();
  out->tenant = wish.call.tenant;
  out->at = wish.at;
  out->time = wish.deadline - now;
  for (const auto& [guardrail, by] : wish.route.classifiers) {
    Admitted::Judges::One one{.guardrail = guardrail, .by = by, .each = guardrails::timeout_max};
    for (const guardrails::Judged& most : wish.judgements)
      if (most.guardrail == guardrail) {
        one.most = one.left = most.calls;
        one.each = Micros(most.micros / std::max<std::int64_t>(most.calls, 1));
      }
    out->each.push_back(std::move(one));
  }
  return out;
}

std::vector<costs::Part> Admission::asides_of(const Wish& wish, const Deployment& deployment,
                                              const costs::PriceBook& prices, Timestamp now) const {
  std::vector<costs::Part> out;
  if (wish.route.classifiers.empty() && deployment.parts.empty() && wish.asked.empty()) return out;
  if (const auto judges = judges_of(wish, now))
    for (const auto& one : judges->each)
      add(out, one.by->model, cost_of(prices, judges->payer(), judges->aside(one, one.most)));
  const Micros time = std::clamp<Micros>(wish.deadline - now, Micros(0), runtime_max);
  for (const auto& part : deployment.parts)
    add(out, part->model, cost_of(prices, {wish.call.tenant, wish.at}, {*part, 1, time}));
  if (wish.asked.empty()) return out;
  InferenceEvent used{.event_time = wish.at,
                      .project = wish.route.project,
                      .tenant = wish.call.tenant,
                      .route = wish.route.declaration.name,
                      .error = "elsewhere"};
  used.nodes.assign(wish.asked.begin(), wish.asked.end());
  std::string last;
  add_costs(used, prices, out, last);
  return out;
}

bool Admitted::may_judge(const std::string& guardrail, Timestamp now) {
  if (!judges_ || !reservation_.holds()) return true;
  for (Judges::One& one : judges_->each) {
    if (one.guardrail != guardrail) continue;
    if (one.left > 0) {
      --one.left;
      return true;
    }
    const auto prices = reservation_.prices();
    if (!prices) return true;
    const auto cost = [&](std::int64_t calls) {
      return Admission::cost_of(*prices, judges_->payer(), judges_->aside(one, calls));
    };
    if (!reservation_.extend({one.by->model, cost(one.most + 1) - cost(one.most)}, now))
      return false;
    ++one.most;
    return true;
  }
  return true;
}

}  // namespace penstock::serving
