// What the guard reads and writes of the database.
#include <algorithm>
#include <utility>

#include "audit/audit.h"
#include "costs/leases.h"
#include "costs/store.h"
#include "incidents/service.h"
#include "resources/projects.h"
#include "resources/service.h"

namespace penstock::costs {
namespace {

void add_notes(std::vector<Node>& nodes) {
  for (Node& node : nodes)
    for (const Node& other : nodes)
      if (other.budget.name == node.budget.parent && other.budget.period == node.budget.period &&
          other.budget.limit < node.budget.limit)
        node.note = "its limit is above that of its parent " + other.budget.name;
}

Result<std::vector<Node>> read_nodes(sql::Tx& tx, const std::string& project, Timestamp now) {
  std::vector<Node> nodes;
  const std::int64_t hour = hour_of(now);
  for (const resources::Resource& resource : TRY(resources::list(tx, project, "budget"))) {
    Node node{.budget = TRY(decode<Budget>(resource.declaration))};
    node.from = period_start(node.budget.period, hour);
    node.until = period_end(node.budget.period, hour);
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return nodes;
  for (const store::Total& total : TRY(store::totals(tx, project, period_start(Period::month, hour),
                                                     period_end(Period::month, hour))))
    for (Node& node : nodes)
      if (total.hour >= node.from && total.hour < node.until &&
          covers(node.budget, total.tenant, total.route, total.model))
        node.ledger = node.ledger + total.amount;
  add_notes(nodes);
  return nodes;
}

struct Words {
  std::string_view key, title, action;
  incidents::Severity severity;
};
Words words_of(Decision decision) {
  switch (decision) {
    case Decision::allow:
      return {"warned", " is nearly spent: ", "warned", incidents::Severity::warning};
    case Decision::throttle:
      return {"throttled", " lets only some calls through: ", "throttled",
              incidents::Severity::warning};
    case Decision::downgrade:
      return {"downgraded", " sends calls to a cheaper version: ", "downgraded",
              incidents::Severity::warning};
    case Decision::stop:
      return {"stopped", " stops calls: ", "stopped", incidents::Severity::critical};
  }
  return {"warned", "", "warned", incidents::Severity::warning};
}

// Whether this refresh writes what this server holds, or merely reads. Where no other server asks,
// it is written only when calls have come or gone since.
bool must_write(Project& project, const Lessee& me) {
  if (me.holder.empty()) return false;
  const std::lock_guard lock(project.turn);
  const bool any = std::any_of(project.nodes.begin(), project.nodes.end(),
                               [](const Node& node) { return node.budget.hard; });
  if (me.shared) return any || project.nodes.empty();
  const std::pair now_is(project.next, project.by_deadline.size());
  return any && std::exchange(project.journal, now_is) != now_is;
}

}  // namespace

// Lines of an instant outside of the period are not among what was read: such a call stays counted,
// or a caller could name another instant to spend more.
void Project::forget_read() {
  const Coverage coverage(nodes, ended);
  ended.forget([&](const Ended& one) { return coverage.was_read(one); });
  for (auto it = held.begin(); it != held.end();) {
    const auto one = it++;
    if (one->second.read && one->second.expired && was_read(nodes, one->second)) take(one);
  }
}

Result<void> Guard::refresh(sql::Database& db, const std::string& name, Timestamp now) {
  auto project = find(name);
  if (!project) {
    project = std::make_shared<Project>();
    project->name = name;
  }
  const std::lock_guard alone(project->refreshing);
  // What is marked now, the transaction below sees. What is marked later waits for the next time:
  // counted twice for that long, never not at all.
  hungry_ = false;
  {
    const std::lock_guard lock(project->turn);
    project->ended.begin_read();
    for (auto& [ignored, one] : project->held) one.read = one.posted;
  }
  const Call call{.actor = "service:budgets", .project = name};
  std::vector<Node> nodes;
  std::shared_ptr<const PriceBook> prices;
  std::vector<Lease> leases;
  const auto read = [&](sql::Tx& tx) -> Result<void> {
    nodes = TRY(read_nodes(tx, name, now));
    prices = TRY(books_.of(tx, call));
    if (lessee_.holder.empty()) return {};
    leases = TRY(read_leases(tx, name));
    note_leases(nodes, leases, lessee_);
    return {};
  };
  if (must_write(*project, lessee_)) {
    const auto done = db.write(call, [&](sql::Tx& tx) -> Result<void> {
      TRY(read(tx));
      return renew(tx, *project, lessee_, nodes, leases, now);
    });
    if (!done) {
      project->journal.reset();
      return done.error();
    }
  } else {
    TRY(db.read(call, read));
  }
  {
    const std::lock_guard lock(project->turn);
    for (Node& node : nodes)
      for (Node& old : project->nodes)
        if (old.budget.name == node.budget.name && old.from == node.from) {
          node.throttled = std::move(old.throttled);
          node.told = std::move(old.told);
          node.beyond = old.beyond;
          node.taken = old.taken;
          node.wanted = old.wanted;
          node.wanted_most = old.wanted_most;
        }
    // A budget that has just become hard has its portion with the next refresh.
    project->nodes = std::move(nodes);
    for (Node& node : project->nodes)
      node.leased = node.leased || (node.budget.hard && lessee_.shared);
    project->has_nodes = !project->nodes.empty();
    project->prices = std::move(prices);
    project->forget_read();
    project->recount();
    any_ = any_.load() || !project->nodes.empty();
  }
  const std::unique_lock lock(turn_);
  projects_.emplace(name, project);
  return {};
}

Result<void> Guard::refresh_all(sql::Database& db, Timestamp now) {
  const Call call{.actor = "service:budgets"};
  const auto declared = TRY(db.read(call, [&](sql::Tx& tx) -> Result<std::vector<std::string>> {
    return resources::projects_with(tx, "budget");
  }));
  for (const std::string& project : declared) TRY(refresh(db, project, now));
  return {};
}

Result<void> tell_notices(sql::Database& db, std::vector<Notice>& notices, Timestamp now) {
  while (!notices.empty()) {
    const Notice& notice = notices.back();
    const Call call{.actor = "service:budgets", .project = notice.project};
    const Words words = words_of(notice.decision);
    const std::string subject = "budget:" + notice.budget.name;
    const std::string spent = to_text(notice.spent), limit = to_text(notice.budget.limit);
    TRY(db.write(call, [&](sql::Tx& tx) -> Result<void> {
      const auto incident = TRY(incidents::open(
          tx, call, now,
          {.dedup_key = subject + ":" + std::string(words.key) + ":" + to_rfc3339(notice.from),
           .title = "Budget " + notice.budget.name + std::string(words.title) + spent + " of " +
                    limit + " is spent or reserved",
           .severity = words.severity,
           .subject = subject,
           .owner = notice.budget.owner,
           .detail = {{"spent", spent}, {"limit", limit}}}));
      if (incident.occurrences > 1) return {};
      return audit::record(tx, call, now,
                           {"costs.budget." + std::string(words.action),
                            subject,
                            {{"spent", spent},
                             {"limit", limit},
                             {"period", name_of(notice.budget.period)},
                             {"from", to_rfc3339(notice.from)}}});
    }));
    notices.pop_back();
  }
  return {};
}

}  // namespace penstock::costs
