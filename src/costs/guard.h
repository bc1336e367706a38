// What stands before a call that costs: budgets, in memory. Answers at once; safe from several
// threads.
//
// Of each budget the guard counts what the ledger has, what calls that ended cost that the ledger
// does not have yet, and what calls that run may cost. Those three together never pass the limit of
// a hard budget, whatever calls do meanwhile, as long as no call costs more than it said.
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>
#include <span>
#include <unordered_map>

#include "base/call.h"
#include "costs/ledger.h"
#include "costs/price_book.h"
#include "ports/sql.h"

namespace penstock::costs {

// What a call costs, or may, by one model.
struct Part {
  std::string model;
  Money amount;
};

struct Spend {
  std::string_view project, id;  // the call's, under which its usage is posted
  std::string_view tenant, route, model;
  std::int64_t version = 0;
  std::optional<Money> worst;  // the most that it may cost; none: not known, no price covers it
  Timestamp at;                // the instant that its lines will be of
  Timestamp deadline;          // it is certainly over then
  std::span<const Part> others = {};  // the most that it may cost by models that it asks on its way
};

enum class Decision { allow, throttle, downgrade, stop };
BOOST_DESCRIBE_ENUM(Decision, allow, throttle, downgrade, stop)

struct Project;  // its budgets and calls

// Held while a call runs, where it may. Destroyed without settle(), the call cost nothing.
class Reservation {
 public:
  Decision decision = Decision::allow;
  bool hard = false;            // the worst case is reserved: the call must keep to it
  std::string budget, message;  // of which one, and what to tell the caller; empty where allowed
  std::optional<Micros> retry_after;
  std::int64_t version = 0;  // to go to instead, and to reserve again for

  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { give_back(); }

  bool holds() const { return project_ != nullptr; }
  // Today's, where it holds something.
  std::shared_ptr<const PriceBook> prices() const;
  // What the call cost in the end. Counted until the ledger has it. Once.
  void settle(Money actual, Timestamp now);
  // By model. `last` is the id of the line that is posted last; empty: the call's own.
  void settle(std::vector<Part> actual, std::string_view last, Timestamp now);
  // More than was thought. False where a hard budget does not cover it: nothing is reserved then.
  bool extend(const Part& more, Timestamp now);
  // The call goes on under another reservation: of this one only what was used stays.
  void keep(std::vector<Part> used);

 private:
  friend class Guard;
  void give_back();
  std::shared_ptr<Project> project_;
  std::uint64_t number_ = 0;
};

struct BudgetStatus {
  std::string name, parent, tenant, route, model;
  Period period = Period::month;
  BudgetAction action = BudgetAction::warn;
  bool hard = false;
  Money limit;
  Money spent;      // as the ledger has it
  Money pending;    // of calls that ended, and are not in the ledger yet
  Money reserved;   // the most that calls which run may cost
  Money unsettled;  // the most that calls cost which ended with their server; counted as spent
  // Of a hard budget that servers share: what this one may spend without asking, pending and
  // reserved included, and what the others may.
  std::optional<Money> portion, elsewhere;
  Timestamp from, until;
  std::string note;  // "its limit is above that of its parent acme"
};
BOOST_DESCRIBE_STRUCT(BudgetStatus, (),
                      (name, parent, tenant, route, model, period, action, hard, limit, spent,
                       pending, reserved, unsettled, portion, elsewhere, from, until, note))

// What a person should hear of: once a period and budget.
struct Notice {
  std::string project;
  Budget budget;
  Decision decision = Decision::allow;  // allow: it is nearly spent
  Money spent;                          // with what is pending and reserved
  Timestamp from;                       // of the period
};

// On whose behalf a guard holds portions of hard budgets in the database.
struct Lessee {
  std::string holder;   // this life of the server
  std::string server;   // the same in its next life
  bool shared = false;  // other servers may spend from the same budgets
  bool closing = false;
};

// Where several servers share a database, each holds a portion of a hard budget and spends it
// without asking: portions and the ledger together never pass the limit. A portion that is too
// small for now is no verdict: such a call is throttled, and the next refresh asks for more.
class Guard {
 public:
  Guard();
  ~Guard();

  // Before the first refresh, if at all. Without it this is the only process, and what runs is
  // forgotten where it ends.
  void lease_as(Lessee lessee);
  // At start, once the ledger has all that this server logged: gives back what its former lives
  // held, but for calls that ran then and that the ledger has nothing of; these stay counted, and
  // an incident names their sum.
  Result<void> recover(sql::Database& db, Timestamp now);
  bool leases() const { return !lessee_.holder.empty(); }
  // At stop, when no call runs.
  Result<void> give_back(sql::Database& db, Timestamp now);
  // True where a call was refused since the last refresh, for want of a larger portion.
  bool hungry() const { return hungry_.load(std::memory_order_relaxed); }

  // With `downgraded`, the call goes to the cheapest there is, and is not sent further down.
  Reservation reserve(const Spend& spend, Timestamp now, bool downgraded = false);
  // True where a hard budget may cover calls of the project, so that their worst case matters.
  bool any(std::string_view project) const;
  // What usages cost at today's prices.
  Result<Money> quote(std::string_view project, std::span<const Usage> usages) const;
  // Today's prices; null where none were read yet.
  std::shared_ptr<const PriceBook> prices(std::string_view project) const;

  // After the commit of a post, before anyone else is told.
  void posted(std::string_view project, std::span<const Usage> usages);

  // Reads budgets, prices and what the ledger has. At start, after each change of budgets and
  // prices, and now and then: other servers post too.
  Result<void> refresh(sql::Database& db, const std::string& project, Timestamp now);
  // Every project that declares a budget.
  Result<void> refresh_all(sql::Database& db, Timestamp now);

  std::vector<BudgetStatus> list(std::string_view project, Timestamp now) const;
  std::vector<std::string> projects() const;
  std::vector<Notice> take_notices();

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  std::shared_ptr<Project> find(std::string_view project) const;

  mutable std::shared_mutex turn_;
  std::unordered_map<std::string, std::shared_ptr<Project>, Hash, std::equal_to<>> projects_;
  std::atomic<bool> any_{false};  // budgets at all
  std::atomic<bool> hungry_{false};
  PriceBooks books_;
  Lessee lessee_;
};

// Opens an incident for each and writes it to the audit log. Those that are told are taken out.
Result<void> tell_notices(sql::Database& db, std::vector<Notice>& notices, Timestamp now);

}  // namespace penstock::costs
