// What the guard keeps of one project. Private to guard*.cc.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

#include "costs/budgets.h"
#include "costs/guard.h"
#include "costs/posting.h"
#include "traffic/window.h"

namespace penstock::costs {

// A call that runs, or ended and is not in the ledger yet.
struct Held {
  std::string id, tenant, route;
  std::vector<Part> parts;
  Timestamp at, began, deadline, settled_at;
  bool settled = false;
  bool expired = false;  // settled by its deadline, and may still say what it cost
  bool posted = false;   // the ledger has it: the next refresh forgets it
};

struct Node {
  Budget budget;
  std::int64_t from = 0, until = 0;  // hours
  Money ledger;                      // as of the last refresh
  Money pending, reserved;           // of Held
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
  Money used() const { return ledger + unsettled + held(); }
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
    return covers(held) && (!held.settled || held.settled_at >= begins());
  }
};

struct Project {
  mutable std::mutex turn;
  std::string name;
  std::vector<Node> nodes;
  std::map<std::uint64_t, Held> held;  // by number: the oldest first
  std::unordered_multimap<std::string, std::uint64_t> by_id;
  std::set<std::pair<Timestamp, std::uint64_t>> by_deadline;  // of those that run
  std::shared_ptr<const PriceBook> prices;
  std::vector<Notice> notices;
  std::uint64_t next = 1;
  std::mutex refreshing;  // stands over what follows
  // What was true of the running calls that the database has: how many there were ever and now.
  std::optional<std::pair<std::uint64_t, std::size_t>> journal;
  std::set<std::string> silent;  // leases that an incident tells of

  // Both move sums of every node that counts it, one way or the other.
  void count(const Held& one, bool add);
  void forget(std::map<std::uint64_t, Held>::iterator one);
  void settle(std::uint64_t number, std::vector<Part> actual, std::string_view last, Timestamp now);
  void find_by(std::uint64_t number, Held& one, std::string id);
  void roll(Timestamp now);
  void recount();
  void expire(Timestamp now);
  void notice(Node& node, Decision decision);
};

}  // namespace penstock::costs
