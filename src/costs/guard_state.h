// What the guard keeps of one project. Private to guard*.cc.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>

#include "costs/budgets.h"
#include "costs/ended_calls.h"
#include "costs/guard.h"
#include "costs/posting.h"
#include "traffic/window.h"

namespace penstock::costs {

// A call that runs, or never said what it cost.
struct Held {
  std::string id, tenant, route;
  CallKey key = 0;  // of its id, or of the last of its lines
  std::vector<Part> parts;
  Timestamp at, began, deadline, expired_at;
  bool expired = false;  // counted at its worst, and may still say what it cost
  bool posted = false;   // the ledger has it
  bool read = false;     // and a refresh has begun since
};

struct Node {
  Budget budget;
  std::int64_t from = 0, until = 0;  // hours
  Money ledger;                      // as of the last refresh
  Money pending, reserved;           // of what ended, and of what runs
  Money beyond;                      // of what ended when too much had: until the period is over
  Money unsettled;                   // of calls that ended with their server, as leases.h has it
  // Of a hard budget that other servers spend from too: what calls here may take together.
  bool leased = false;
  Money portion;
  Money elsewhere;           // what the others hold, as of the last refresh
  bool others_want = false;  // one of them needs more than it can have
  // Since the last refresh: what was reserved, what was refused for want of a portion, and the
  // largest of that.
  Money taken, wanted, wanted_most;
  traffic::Window throttled;
  std::set<Decision> told;  // this period
  std::string note;

  Money held() const { return pending + reserved; }
  Money used() const { return ledger + unsettled + beyond + held(); }
  bool covers(const Held& held, const Part& part) const {
    return costs::covers(budget, held.tenant, held.route, part.model);
  }
  bool covers(const Held& held) const {
    return std::any_of(held.parts.begin(), held.parts.end(),
                       [&](const Part& part) { return covers(held, part); });
  }
  // Of what it costs, or may, what this budget covers.
  Money amount_of(const Held& held) const {
    Money sum;
    for (const Part& part : held.parts)
      if (covers(held, part)) sum = sum + part.amount;
    return sum;
  }
  Timestamp begins() const { return Timestamp(std::chrono::hours(from)); }
  // A call of a period before counts until it ends, since nobody knows on which side it will fall.
  bool counts(const Held& held) const {
    return covers(held) && (!held.expired || held.expired_at >= begins());
  }
  bool counts(const Ended& one) const { return one.ended >= from; }  // where it covers it
  bool covers(const Payer& payer) const {
    return costs::covers(budget, payer.tenant, payer.route, payer.model);
  }
};

struct Project {
  mutable std::mutex turn;
  std::string name;
  std::vector<Node> nodes;
  std::map<std::uint64_t, Held> held;  // by number: the oldest first
  std::unordered_multimap<CallKey, std::uint64_t> by_key;
  std::set<std::pair<Timestamp, std::uint64_t>> by_deadline;  // of those that have not expired
  EndedCalls ended;
  // Both are read without its turn, which calls that start and end wait for.
  std::atomic<std::shared_ptr<const PriceBook>> prices;
  std::atomic<bool> has_nodes{false};
  std::vector<Notice> notices;
  std::uint64_t next = 1;
  std::mutex refreshing;  // stands over what follows
  // What was true of the running calls that the database has: how many there were ever and now.
  std::optional<std::pair<std::uint64_t, std::size_t>> journal;
  std::set<std::string> silent;  // leases that an incident tells of

  // Moves sums of every node that counts it, one way or the other.
  void count(const Held& one, bool add);
  Held take(std::map<std::uint64_t, Held>::iterator one);
  void settle(std::uint64_t number, std::span<const Part> actual, std::string_view last,
              Timestamp now);
  void end(Held one, std::span<const Part> actual, Timestamp now);
  void roll(Timestamp now);
  void recount();
  void forget_read();
  void expire(Timestamp now);
  void notice(Node& node, Decision decision);
};

}  // namespace penstock::costs
