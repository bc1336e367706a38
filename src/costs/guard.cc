#include "costs/guard.h"

#include <algorithm>

#include "costs/guard_state.h"

namespace penstock::costs {
namespace {

constexpr std::size_t notices_max = 1'000;
constexpr std::size_t posted_at_once = 32;
// After its deadline a call may take this long to say what it cost.
constexpr Micros grace = std::chrono::minutes(1);

Money share(Money limit, double part) {
  return price_of(static_cast<std::int64_t>(part * 1'000'000), limit, 1'000'000);
}

std::string left_of(const Node& node) {
  const Money left = node.budget.limit - node.used();
  return to_text(left < Money{} ? Money{} : left) + " of " + to_text(node.budget.limit);
}

Micros until(const Node& node, Timestamp now) {
  return Timestamp(std::chrono::hours(node.until)) - now;
}

// What one budget says of a call.
struct Opinion {
  Decision decision = Decision::allow;
  std::string message;
  std::optional<Micros> retry_after;
  bool passing = false;  // nothing is spent: other servers hold what the call would take
};

Opinion stop(const Node& node, Timestamp now, std::string why) {
  return {Decision::stop, "budget " + node.budget.name + " " + std::move(why), until(node, now)};
}

Opinion throttle(Node& node, Timestamp now) {
  const std::int64_t limit = node.budget.throttle_per_minute.value_or(1);
  node.throttled.turn_to(traffic::second_of(now));
  if (node.throttled.fits(1, limit)) return {};
  return {Decision::throttle,
          "budget " + node.budget.name + " is nearly spent and lets " + std::to_string(limit) +
              " calls a minute through",
          Timestamp(std::chrono::seconds(node.throttled.fits_at(1, limit))) - now};
}

Opinion wait_for_portion(Node& node, Money worst) {
  node.wanted = node.wanted + worst;
  node.wanted_most = std::max(node.wanted_most, worst);
  const Money left = std::max(node.portion - node.held(), Money{});
  return {.decision = Decision::throttle,
          .message = "budget " + node.budget.name +
                     " is shared by servers, and this one may spend " + to_text(left) +
                     " of it at this moment, where the call may cost " + to_text(worst) +
                     ": ask again",
          .retry_after = std::chrono::seconds(1),
          .passing = true};
}

Opinion judge(Node& node, const Spend& spend, const Held& one, Timestamp now, bool downgraded) {
  const Budget& budget = node.budget;
  const bool covers_its_own = node.covers(one, one.parts.front());
  if (budget.hard && covers_its_own && !spend.worst)
    return stop(node, now,
                "is hard, and no price covers a call of model " + std::string(spend.model) +
                    " as far as it may go: add one to a price_list");
  const Money worst = node.amount_of(one);
  const Money used = node.used();
  const bool cheaper = budget.action == BudgetAction::downgrade && covers_its_own && !downgraded &&
                       budget.downgrade_to.value_or(0) != spend.version;
  if (budget.hard && used + worst > budget.limit) {
    if (cheaper) return {.decision = Decision::downgrade};
    return stop(node, now,
                "has " + left_of(node) + " left, and this call may cost " + to_text(worst));
  }
  if (node.leased && node.held() + worst > node.portion) return wait_for_portion(node, worst);
  if (used < (budget.hard ? share(budget.limit, budget.warn_at) : budget.limit)) return {};
  switch (budget.action) {
    case BudgetAction::warn: return {};
    case BudgetAction::throttle: return throttle(node, now);
    case BudgetAction::downgrade:
      return cheaper ? Opinion{.decision = Decision::downgrade} : Opinion{};
    case BudgetAction::stop:
      if (!budget.hard) return stop(node, now, "is spent: " + left_of(node) + " is left");
  }
  return {};
}

}  // namespace

void Project::count(const Held& one, bool add) {
  for (Node& node : nodes) {
    if (!node.counts(one)) continue;
    Money& sum = one.expired ? node.pending : node.reserved;
    const Money amount = node.amount_of(one);
    sum = add ? sum + amount : sum - amount;
  }
}

// Out of all that knows it.
Held Project::take(std::map<std::uint64_t, Held>::iterator one) {
  count(one->second, false);
  const auto [first, last] = by_key.equal_range(one->second.key);
  for (auto it = first; it != last; ++it)
    if (it->second == one->first) {
      by_key.erase(it);
      break;
    }
  by_deadline.erase({one->second.deadline, one->first});
  Held taken = std::move(one->second);
  held.erase(one);
  return taken;
}

void Project::settle(std::uint64_t number, std::span<const Part> actual, std::string_view last,
                     Timestamp now) {
  const auto found = held.find(number);
  if (found == held.end()) return;
  Held one = take(found);
  if (!last.empty() && last != one.id) one.key = key_of(last);
  end(std::move(one), actual, now);
}

// From now on it counts by what it cost; more than there is a place for counts as spent.
void Project::end(Held one, std::span<const Part> actual, Timestamp now) {
  const auto hour = [](Timestamp at) { return static_cast<std::int32_t>(hour_of(at)); };
  Payer payer{.tenant = std::move(one.tenant), .route = std::move(one.route), .model = {}};
  for (const Part& part : actual) {
    if (part.amount <= Money{}) continue;
    payer.model = part.model;
    const bool kept = ended.add(payer, part.amount,
                                {.key = one.key,
                                 .at = hour(one.at),
                                 .began = hour(one.began),
                                 .ended = hour(now),
                                 .stage = one.read     ? Ended::Stage::read
                                          : one.posted ? Ended::Stage::posted
                                                       : Ended::Stage::waits});
    for (Node& node : nodes) {
      if (!node.covers(payer)) continue;
      Money& sum = kept ? node.pending : node.beyond;
      sum = sum + part.amount;
    }
  }
}

void Project::recount() {
  for (Node& node : nodes) node.pending = node.reserved = Money{};
  for (const auto& [ignored, one] : held) count(one, true);
  for (Node& node : nodes) {
    const auto covered = ended.places([&](const Payer& payer) { return node.covers(payer); });
    ended.for_each([&](const Ended& one) {
      if (covered[one.payer] && node.counts(one)) node.pending = node.pending + one.amount();
    });
  }
}

void Project::roll(Timestamp now) {
  const std::int64_t hour = hour_of(now);
  bool rolled = false;
  for (Node& node : nodes) {
    if (hour < node.until) continue;
    node.from = period_start(node.budget.period, hour);
    node.until = period_end(node.budget.period, hour);
    node.ledger = node.unsettled = node.beyond = node.portion = node.elsewhere = Money{};
    node.told.clear();
    rolled = true;
  }
  if (rolled) recount();
}

// A call whose deadline is long over and that never said what it cost: the worst.
void Project::expire(Timestamp now) {
  while (!by_deadline.empty() && by_deadline.begin()->first < now - grace) {
    Held& one = held.at(by_deadline.begin()->second);
    by_deadline.erase(by_deadline.begin());
    count(one, false);
    one.expired = true;
    one.expired_at = now;
    count(one, true);
  }
}

void Project::notice(Node& node, Decision decision) {
  if (!node.told.insert(decision).second || notices.size() >= notices_max) return;
  notices.push_back({.project = name,
                     .budget = node.budget,
                     .decision = decision,
                     .spent = node.used(),
                     .from = node.begins()});
}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  decision = other.decision;
  hard = other.hard;
  budget = std::move(other.budget);
  message = std::move(other.message);
  retry_after = other.retry_after;
  version = other.version;
  project_ = std::exchange(other.project_, nullptr);
  number_ = other.number_;
  return *this;
}

void Reservation::settle(Money actual, Timestamp now) {
  if (!project_) return;
  std::string model;
  {
    const std::lock_guard lock(project_->turn);
    if (const auto found = project_->held.find(number_);
        found != project_->held.end() && !found->second.parts.empty())
      model = found->second.parts.front().model;
  }
  settle({{std::move(model), actual}}, "", now);
}

void Reservation::settle(std::vector<Part> actual, std::string_view last, Timestamp now) {
  const auto project = std::exchange(project_, nullptr);
  if (!project) return;
  const std::lock_guard lock(project->turn);
  project->roll(now);
  project->settle(number_, actual, last, now);
}

bool Reservation::extend(const Part& more, Timestamp now) {
  if (!project_) return true;  // no budget covers the call
  const std::lock_guard lock(project_->turn);
  project_->roll(now);
  const auto found = project_->held.find(number_);
  if (found == project_->held.end()) return false;
  Held& one = found->second;
  for (Node& node : project_->nodes) {
    if (!node.budget.hard || !node.covers(one, more)) continue;
    if (node.used() + more.amount > node.budget.limit) {
      project_->notice(node, Decision::stop);
      return false;
    }
    if (!node.leased || node.held() + more.amount <= node.portion) continue;
    wait_for_portion(node, more.amount);
    return false;
  }
  project_->count(one, false);
  const auto known = std::find_if(one.parts.begin(), one.parts.end(),
                                  [&](const Part& part) { return part.model == more.model; });
  if (known != one.parts.end())
    known->amount = known->amount + more.amount;
  else
    one.parts.push_back(more);
  project_->count(one, true);
  for (Node& node : project_->nodes)
    if (node.leased && node.covers(one, more)) node.taken = node.taken + more.amount;
  return true;
}

std::shared_ptr<const PriceBook> Reservation::prices() const {
  return project_ ? project_->prices.load() : nullptr;
}

void Reservation::keep(std::vector<Part> used) {
  if (!project_) return;
  const std::lock_guard lock(project_->turn);
  const auto found = project_->held.find(number_);
  if (found == project_->held.end()) return;
  project_->count(found->second, false);
  found->second.parts = std::move(used);
  project_->count(found->second, true);
}

void Reservation::give_back() {
  const auto project = std::exchange(project_, nullptr);
  if (!project) return;
  const std::lock_guard lock(project->turn);
  const auto found = project->held.find(number_);
  if (found != project->held.end()) project->take(found);
}

Guard::Guard() = default;
Guard::~Guard() = default;

std::shared_ptr<Project> Guard::find(std::string_view project) const {
  const std::shared_lock lock(turn_);
  const auto found = projects_.find(project);
  return found == projects_.end() ? nullptr : found->second;
}

bool Guard::any(std::string_view project) const {
  if (!any_.load(std::memory_order_relaxed)) return false;
  const auto found = find(project);
  return found && found->has_nodes.load(std::memory_order_relaxed);
}

Result<Money> Guard::quote(std::string_view project, std::span<const Usage> usages) const {
  const auto known = prices(project);
  if (!known)
    return Error{Code::failed_precondition, "project " + std::string(project) + " has no prices"};
  return known->quote(usages);
}

std::shared_ptr<const PriceBook> Guard::prices(std::string_view project) const {
  const auto found = find(project);
  return found ? found->prices.load() : nullptr;
}

Reservation Guard::reserve(const Spend& spend, Timestamp now, bool downgraded) {
  Reservation out;
  if (!any_.load(std::memory_order_relaxed)) return out;
  const auto project = find(spend.project);
  if (!project) return out;
  const std::lock_guard lock(project->turn);
  project->roll(now);
  project->expire(now);
  Held one{.id = std::string(spend.id),
           .tenant = std::string(spend.tenant),
           .route = std::string(spend.route),
           .key = key_of(spend.id),
           .parts = {{std::string(spend.model), spend.worst.value_or(Money{})}},
           .at = spend.at,
           .began = now,
           .deadline = spend.deadline};
  one.parts.insert(one.parts.end(), spend.others.begin(), spend.others.end());
  bool covered = false;
  for (Node& node : project->nodes) {
    if (!node.covers(one)) continue;
    covered = true;
    out.hard = out.hard || node.budget.hard;
    Opinion opinion = judge(node, spend, one, now, downgraded);
    if (node.used() + node.amount_of(one) >= share(node.budget.limit, node.budget.warn_at))
      project->notice(node, Decision::allow);
    if (opinion.decision == Decision::allow) continue;
    if (opinion.passing)
      hungry_ = true;
    else
      project->notice(node, opinion.decision);
    if (opinion.decision < out.decision) continue;  // the strictest counts
    out.decision = opinion.decision;
    out.budget = node.budget.name;
    out.message = std::move(opinion.message);
    out.retry_after = opinion.retry_after;
    if (opinion.decision == Decision::downgrade) out.version = *node.budget.downgrade_to;
  }
  if (!covered || out.decision != Decision::allow) return out;
  for (Node& node : project->nodes) {
    if (!node.covers(one)) continue;
    if (node.leased) node.taken = node.taken + node.amount_of(one);
    if (node.budget.action == BudgetAction::throttle)
      node.throttled.add(1, node.throttled.turn_to(traffic::second_of(now)));
  }
  out.project_ = project;
  out.number_ = project->next++;
  project->count(one, true);
  project->by_deadline.emplace(one.deadline, out.number_);
  project->by_key.emplace(one.key, out.number_);
  project->held.emplace(out.number_, std::move(one));
  return out;
}

void Guard::posted(std::string_view name, std::span<const Usage> usages) {
  const auto project = find(name);
  if (!project) return;
  std::vector<CallKey> keys;
  const std::string* before = nullptr;
  for (const Usage& usage : usages) {
    if (before && *before == usage.id) continue;  // another meter of the same call
    before = &usage.id;
    keys.push_back(key_of(usage.id));
  }
  // A few at a time: calls that start and end have their turn in between.
  for (std::size_t at = 0; at < keys.size();) {
    const std::lock_guard lock(project->turn);
    for (const std::size_t end = std::min(at + posted_at_once, keys.size()); at < end; ++at) {
      project->ended.posted(keys[at]);
      const auto [first, last] = project->by_key.equal_range(keys[at]);
      for (auto it = first; it != last; ++it) project->held.at(it->second).posted = true;
    }
  }
}

std::vector<BudgetStatus> Guard::list(std::string_view name, Timestamp now) const {
  std::vector<BudgetStatus> out;
  const auto project = find(name);
  if (!project) return out;
  const std::lock_guard lock(project->turn);
  project->roll(now);
  for (const Node& node : project->nodes) {
    const Budget& budget = node.budget;
    out.push_back({.name = budget.name,
                   .parent = budget.parent,
                   .tenant = budget.tenant,
                   .route = budget.route,
                   .model = budget.model,
                   .period = budget.period,
                   .action = budget.action,
                   .hard = budget.hard,
                   .limit = budget.limit,
                   .spent = node.ledger + node.beyond,
                   .pending = node.pending,
                   .reserved = node.reserved,
                   .unsettled = node.unsettled,
                   .portion = node.leased ? std::optional(node.portion) : std::nullopt,
                   .elsewhere = node.leased ? std::optional(node.elsewhere) : std::nullopt,
                   .from = node.begins(),
                   .until = Timestamp(std::chrono::hours(node.until)),
                   .note = node.note});
  }
  return out;
}

std::vector<std::string> Guard::projects() const {
  std::vector<std::string> out;
  const std::shared_lock lock(turn_);
  for (const auto& [name, ignored] : projects_) out.push_back(name);
  return out;
}

std::vector<Notice> Guard::take_notices() {
  std::vector<Notice> out;
  const std::shared_lock lock(turn_);
  for (const auto& [ignored, project] : projects_) {
    const std::lock_guard project_lock(project->turn);
    std::move(project->notices.begin(), project->notices.end(), std::back_inserter(out));
    project->notices.clear();
  }
  return out;
}

}  // namespace penstock::costs
