#include "costs/leases.h"

#include "audit/audit.h"
#include "costs/service.h"
#include "costs/store.h"
#include "incidents/service.h"

namespace penstock::costs {
namespace {

constexpr std::size_t calls_max = 500;      // of one row, by id; the rest as a sum
constexpr std::int64_t standing_part = 50;  // of its limit a server holds without need
constexpr Micros written_at_least_every = std::chrono::minutes(1);
constexpr Micros silent_after = std::chrono::minutes(10);
constexpr std::size_t silent_max = 1'000;
constexpr std::size_t named_max = 50;  // calls in an incident

Money positive(Money money) { return std::max(money, Money{}); }

Money part_of(Money money, std::int64_t parts) { return {money.units / parts}; }

// What held calls count for one budget.
struct Count {
  Money all;      // that are not in the ledger as far as this process knows
  Money posted;   // of these, what the ledger has, and the caller is about to forget
  Money running;  // of these, what calls that run may cost
  std::vector<RunningCall> calls;
};

Count count_of(const Node& node, const std::vector<Node>& nodes, const Project& project) {
  Count count;
  for (const auto& [ignored, one] : project.held) {
    if (!node.counts(one)) continue;
    const Money amount = node.amount_of(one);
    count.all = count.all + amount;
    if (one.read && one.expired && was_read(nodes, one)) count.posted = count.posted + amount;
    count.running = count.running + amount;
    if (count.calls.size() < calls_max) count.calls.push_back({one.id, amount});
  }
  const Coverage coverage(nodes, project.ended);
  const auto covered = project.ended.places([&](const Payer& payer) { return node.covers(payer); });
  project.ended.for_each([&](const Ended& one) {
    if (!covered[one.payer] || !node.counts(one)) return;
    count.all = count.all + one.amount();
    if (one.stage == Ended::Stage::read && coverage.was_read(one))
      count.posted = count.posted + one.amount();
  });
  return count;
}

Node* same_in(std::vector<Node>& nodes, const Node& node) {
  for (Node& other : nodes)
    if (other.budget.name == node.budget.name && other.from == node.from && other.leased)
      return &other;
  return nullptr;
}

// Sets what this server may spend, and gives what a call needs that cannot be had now. A little is
// held without need, so that a call which comes finds it, but not where another server's call waits
// for it; more where more is spent; of what is left never more than half, unless a call needs it.
Money portion_out(Node& node, Node* old, const Count& count, const Lessee& me) {
  const Money bound = count.all - count.posted;
  const Money left =
      positive(node.budget.limit - node.ledger - node.unsettled - node.elsewhere - positive(bound));
  Money spare, wanted;
  const bool idle = !old || old->taken + old->wanted == Money{};
  if (!me.closing && !(idle && node.others_want)) {
    spare = part_of(node.budget.limit, standing_part);
    if (old) spare = spare + old->taken + old->wanted;
    spare = std::min(spare, part_of(left, 2));
    if (old) (old->wanted_most <= left ? spare : wanted) = std::max(spare, old->wanted_most);
  }
  if (old) {
    const Money kept = std::min(spare, positive(old->portion - old->held()));
    old->portion = old->held() + kept;
    old->taken = old->wanted = old->wanted_most = Money{};
  }
  node.leased = true;
  node.portion = bound + spare;
  return wanted;
}

bool has_ended(const std::vector<Node>& nodes, const Lease& lease, Timestamp now) {
  Period period = Period::month;
  for (const Node& node : nodes)
    if (node.budget.name == lease.budget) period = node.budget.period;
  // Other servers' clocks may be a little behind.
  return hour_of(now) > period_end(period, lease.period_from);
}

Result<void> remove(sql::Tx& tx, const Lease& lease) {
  TRY(
      tx.run("DELETE FROM budget_leases WHERE project = $1 AND budget = $2 AND period_from = $3 "
             "AND holder = $4",
             {lease.project, lease.budget, lease.period_from, lease.holder}));
  return {};
}

Result<void> put(sql::Tx& tx, const Lease& lease) {
  return sql::insert(tx, "budget_leases", lease,
                     "ON CONFLICT (project, budget, period_from, holder) DO UPDATE SET amount = "
                     "excluded.amount, running = excluded.running, wanted = excluded.wanted, calls "
                     "= excluded.calls, "
                     "renewed_at = excluded.renewed_at, unsettled = excluded.unsettled");
}

// What a server that is gone holds stays counted, or it could spend what others have spent as well.
Result<void> tell_silent(sql::Tx& tx, Project& project, const std::vector<Lease>& leases,
                         const Lessee& me, Timestamp now) {
  for (const Lease& lease : leases) {
    if (lease.holder == me.holder || lease.unsettled || lease.amount <= Money{} ||
        lease.renewed_at + silent_after > now || project.silent.size() >= silent_max ||
        !project.silent.insert(lease.holder + lease.budget).second)
      continue;
    const Call call{.actor = "service:budgets", .project = project.name};
    TRY(incidents::open(
        tx, call, now,
        {.dedup_key = "budget:" + lease.budget + ":silent:" + lease.holder,
         .title = "A server that was last heard of at " + to_rfc3339(lease.renewed_at) + " holds " +
                  to_text(lease.amount) + " of budget " + lease.budget +
                  ", which nobody else can spend until it is started again with its data "
                  "directory, or the budget's period ends; if it will not come back: penstock "
                  "budgets free " +
                  lease.server,
         .severity = incidents::Severity::warning,
         .subject = "budget:" + lease.budget,
         .detail = {{"amount", to_text(lease.amount)}, {"server", lease.server}}}));
  }
  return {};
}

// Of a server's life that is over. What it held is given back, but for calls of which the ledger
// has nothing: they ran when it ended, and whoever answers them bills them all the same. Their sum.
Result<Money> settle_former(sql::Tx& tx, Lease lease, Timestamp now) {
  std::vector<std::string_view> asked;
  Money listed;
  for (const RunningCall& one : lease.calls) {
    asked.push_back(one.id);
    listed = listed + one.worst;
  }
  std::set<std::string> posted;
  for (const auto& [id, ignored] : TRY(store::known(tx, lease.project, "inference", asked)))
    posted.insert(id);
  std::erase_if(lease.calls, [&](const RunningCall& one) { return posted.contains(one.id); });
  Money lost = positive(lease.running - listed);
  for (const RunningCall& one : lease.calls) lost = lost + one.worst;
  if (lost <= Money{}) {
    TRY(remove(tx, lease));
    return Money{};
  }
  const std::string heard = to_rfc3339(lease.renewed_at);
  std::vector<std::string> ids;
  for (const RunningCall& one : lease.calls)
    if (ids.size() < named_max) ids.push_back(one.id);
  lease.amount = lease.running = lost;
  lease.wanted = Money{};
  lease.unsettled = true;
  TRY(put(tx, lease));
  const Call call{.actor = "service:budgets", .project = lease.project};
  const std::string subject = "budget:" + lease.budget;
  TRY(incidents::open(
      tx, call, now,
      {.dedup_key = subject + ":unsettled:" + lease.holder,
       .title = "The server ended under calls that may have cost up to " + to_text(lost) +
                ": they are not in the ledger, and budget " + lease.budget +
                " counts them as spent until its period ends. Compare with what the providers "
                "report (penstock cost reconcile) and post what is missing",
       .severity = incidents::Severity::warning,
       .subject = subject,
       .detail = {{"amount", to_text(lost)}, {"heard_of_at", heard}, {"calls", encode(ids)}}}));
  TRY(audit::record(
      tx, call, now,
      {"costs.budget.unsettled", subject, {{"amount", to_text(lost)}, {"heard_of_at", heard}}}));
  return lost;
}

}  // namespace

Result<std::vector<Lease>> read_leases(sql::Tx& tx, const std::string& project) {
  static const std::string text = "SELECT " + columns<Lease>() +
                                  " FROM budget_leases WHERE project = $1 ORDER BY budget, "
                                  "period_from, holder";
  return sql::select<Lease>(tx, text, {project});
}

void note_leases(std::vector<Node>& nodes, const std::vector<Lease>& leases, const Lessee& me) {
  for (Node& node : nodes)
    for (const Lease& lease : leases) {
      if (lease.budget != node.budget.name || lease.period_from != node.from ||
          lease.holder == me.holder)
        continue;
      node.others_want = node.others_want || lease.wanted > Money{};
      Money& sum = lease.unsettled ? node.unsettled : node.elsewhere;
      sum = sum + lease.amount;
    }
}

bool was_read(const std::vector<Node>& nodes, const Held& one) {
  for (const Node& node : nodes)
    if (node.counts(one) && one.began >= node.begins() &&
        (hour_of(one.at) < node.from || hour_of(one.at) >= node.until))
      return false;
  return true;
}

Coverage::Coverage(const std::vector<Node>& nodes, const EndedCalls& calls) : nodes_(nodes) {
  for (const Node& node : nodes)
    covered_.push_back(calls.places([&](const Payer& payer) { return node.covers(payer); }));
}

bool Coverage::was_read(const Ended& one) const {
  for (std::size_t at = 0; at < nodes_.size(); ++at) {
    const Node& node = nodes_[at];
    if (covered_[at][one.payer] && node.counts(one) && one.began >= node.from &&
        (one.at < node.from || one.at >= node.until))
      return false;
  }
  return true;
}

Result<void> renew(sql::Tx& tx, Project& project, const Lessee& me, std::vector<Node>& nodes,
                   const std::vector<Lease>& leases, Timestamp now) {
  std::vector<Lease> mine;
  {
    const std::lock_guard lock(project.turn);
    for (Node& node : nodes) {
      if (!node.budget.hard) continue;
      Count count = count_of(node, nodes, project);
      Money wanted;
      if (me.shared) wanted = portion_out(node, same_in(project.nodes, node), count, me);
      mine.push_back({.project = project.name,
                      .budget = node.budget.name,
                      .period_from = node.from,
                      .holder = me.holder,
                      .server = me.server,
                      .amount = me.shared ? node.portion : count.running,
                      .running = count.running,
                      .wanted = wanted,
                      .calls = std::move(count.calls),
                      .renewed_at = now});
    }
  }
  for (const Lease& lease : leases)
    if (has_ended(nodes, lease, now)) TRY(remove(tx, lease));
  for (const Lease& lease : mine) {
    const Lease* before = nullptr;
    for (const Lease& known : leases)
      if (known.holder == me.holder && known.budget == lease.budget &&
          known.period_from == lease.period_from)
        before = &known;
    if (lease.amount + lease.running + lease.wanted <= Money{}) {
      if (before) TRY(remove(tx, *before));
      continue;
    }
    const bool same = before && before->amount == lease.amount && before->wanted == lease.wanted &&
                      encode(before->calls) == encode(lease.calls) &&
                      before->renewed_at + written_at_least_every > now;
    if (!same) TRY(put(tx, lease));
  }
  return me.shared ? tell_silent(tx, project, leases, me, now) : Result<void>{};
}

Result<FreedLeases> Service::free_leases(const Call& call, const FreeLeasesInput& input) {
  const Timestamp now = clock_.now();
  return db_.write(call, [&](sql::Tx& tx) -> Result<FreedLeases> {
    FreedLeases out;
    for (const Lease& lease : TRY(read_leases(tx, call.project))) {
      if (lease.server != input.server || lease.unsettled) continue;
      if (lease.renewed_at + silent_after > now)
        return Error{Code::failed_precondition,
                     "server " + lease.server + " was heard of at " + to_rfc3339(lease.renewed_at) +
                         "; what it holds can be given back once it was silent for ten minutes, "
                         "and it gives it back itself where it is stopped"};
      const Money kept = TRY(settle_former(tx, lease, now));
      out.leases.push_back({.budget = lease.budget,
                            .heard_of_at = lease.renewed_at,
                            .freed = positive(lease.amount - kept),
                            .unsettled = kept});
    }
    if (out.leases.empty())
      return Error{Code::not_found, "server " + input.server +
                                        " holds nothing of this project's budgets; the incident of "
                                        "its silence says its name"};
    TRY(audit::record(tx, call, now,
                      {"costs.budget.freed",
                       "server:" + input.server,
                       {{"reason", input.reason}, {"leases", encode(out.leases)}}}));
    return out;
  });
}

void Guard::lease_as(Lessee lessee) { lessee_ = std::move(lessee); }

Result<void> Guard::recover(sql::Database& db, Timestamp now) {
  if (lessee_.holder.empty()) return {};
  return db.write({.actor = "service:budgets"}, [&](sql::Tx& tx) -> Result<void> {
    static const std::string text = "SELECT " + columns<Lease>() +
                                    " FROM budget_leases WHERE server = $1 AND holder <> $2 AND "
                                    "unsettled = FALSE ORDER BY project, budget, period_from";
    for (Lease& lease : TRY(sql::select<Lease>(tx, text, {lessee_.server, lessee_.holder})))
      TRY(settle_former(tx, std::move(lease), now));
    return {};
  });
}

Result<void> Guard::give_back(sql::Database& db, Timestamp now) {
  if (lessee_.holder.empty()) return {};
  lessee_.closing = true;
  return refresh_all(db, now);
}

}  // namespace penstock::costs
