#pragma once

#include "base/call.h"
#include "costs/corrections.h"
#include "costs/free_leases.h"
#include "costs/ledger.h"
#include "costs/posting.h"
#include "costs/reconcile.h"
#include "costs/reports.h"
#include "costs/shares.h"
#include "ports/sql.h"
#include "resources/service.h"

namespace penstock::costs {

struct PostInput {
  std::vector<Usage> usages;
};
BOOST_DESCRIBE_STRUCT(PostInput, (), (usages))
constexpr auto rules_of(const PostInput&) {
  return std::array{Rule{.field = "usages", .max = 10'000}};
}
struct RejectedEvent {
  std::int64_t index = 0;  // in the batch, from 0
  std::string id;          // as far as it could be read
  std::string problem;
};
BOOST_DESCRIBE_STRUCT(RejectedEvent, (), (index, id, problem))
struct EventsOutput {
  std::int64_t posted = 0, repeated = 0, unpriced = 0;
  std::vector<RejectedEvent> rejected;  // the others of the batch were kept
};
BOOST_DESCRIBE_STRUCT(EventsOutput, (), (posted, repeated, unpriced, rejected))
struct LinesInput {
  std::string source, id;
};
BOOST_DESCRIBE_STRUCT(LinesInput, (), (source, id))
struct Lines {
  std::vector<LedgerLine> lines;
  Money total;
};
BOOST_DESCRIBE_STRUCT(Lines, (), (lines, total))

class Guard;

class Service {
 public:
  // `guard`, where there is one, hears which calls were posted.
  Service(sql::Database& db, const Clock& clock, Guard* guard = nullptr)
      : db_(db), clock_(clock), guard_(guard) {}

  std::vector<resources::KindHandler> kinds() const;  // price_list, budget

  // Prices and posts usages in one transaction, keeps the hourly sums with them, and judges the
  // budgets: an unknown price, a passed limit and a surprise each open an incident.
  Result<PostOutput> post(const Call& call, const std::vector<Usage>& usages);
  // The same of meters that are not ours.
  Result<PostOutput> post_outside(const Call& call, const std::vector<Usage>& usages);
  // CloudEvents, each as JSON. What is wrong with one keeps none of the others out; where all are
  // wrong, that is the error. (source, id) is counted once, whatever the meter.
  Result<EventsOutput> post_events(const Call& call, const std::vector<json::value>& events);
  Result<Report> report(const Call& call, const ReportInput& input);
  Result<FocusOutput> focus(const Call& call, const PeriodInput& input);
  Result<Showback> showback(const Call& call, const PeriodInput& input);
  // Whether a call has lines.
  Result<bool> has(const Call& call, const LinesInput& input);
  // Gives back what a server holds of the project's hard budgets: not_found where it holds nothing,
  // failed_precondition where it was heard of within ten minutes. What its last calls cost that
  // only its own log has is counted no more until it comes back, so this is for one that will not.
  Result<FreedLeases> free_leases(const Call& call, const FreeLeasesInput& input);
  // The lines of one call, and all its corrections.
  Result<Lines> lines(const Call& call, const LinesInput& input);

  Result<CorrectOutput> correct(const Call& call, const CorrectInput& input);
  // One turn of it: `next` says where to go on.
  Result<RepriceOutput> reprice(const Call& call, const RepriceInput& input);
  Result<ShareOutput> share(const Call& call, const ShareInput& input);
  Result<Reconciliation> reconcile(const Call& call, const ReconcileInput& input);
  Result<Reconciliation> reconciliations(const Call& call, const ReconciliationsInput& input);

 private:
  sql::Database& db_;
  const Clock& clock_;
  Guard* guard_;
  PriceBooks books_;
};

}  // namespace penstock::costs
