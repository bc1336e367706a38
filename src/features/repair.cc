// Rows that the online store lost behind its watermark, written anew.
#include <algorithm>

#include "audit/audit.h"
#include "features/operations.h"

namespace penstock::features {
namespace {

constexpr std::size_t batch_rows = 5'000;

}  // namespace

// What is there already, or is newer, stays. The rows are those that were moved before, so no gate
// has to look at them again.
Result<Materialized> Online::repair(const ViewHandle& view, const OfflineTable& table) {
  Cursor& cursor = cursor_of(view);
  const std::lock_guard turn(cursor.turn);
  const auto mark = TRY(watermark(view));
  Materialized out{.view = view.reference()};
  if (!mark || mark->digest != table.digest)
    return Error{Code::unavailable,
                 "somebody moves rows of " + view.reference() + " right now; ask again"};
  out.watermark = mark->at;
  if (view.windows) {
    out.written = TRY(windows_.repair(view, {offline_.scan(table), table.digest}, mark->at));
    out.rows = out.written;
    return out;
  }
  const auto rows =
      TRY(rows_of(view, latest_statement({&view, offline_.scan(table), table.ties}, mark->at)));
  out.rows = static_cast<std::int64_t>(rows.size());
  for (std::size_t begin = 0; begin < rows.size(); begin += batch_rows) {
    const std::size_t end = std::min(rows.size(), begin + batch_rows);
    std::vector<std::string> keys;
    for (std::size_t i = begin; i < end; ++i) keys.push_back(rows[i].key);
    const auto there = TRY(kv_.multi_get(keys));
    std::vector<Pending> missing;
    for (std::size_t i = begin; i < end; ++i)
      if (there[i - begin] != rows[i].value) missing.push_back(rows[i]);
    out.written += TRY(put(missing, std::nullopt)).written;
  }
  out.ignored = out.rows - out.written;
  return out;
}

Result<Materialized> Operations::repair(const Call& call, const BoundView& bound) {
  return while_held(call, bound, [&](const states::Key& key) -> Result<Materialized> {
    const ViewHandle& view = *bound.handle;
    const auto mend = [&]() -> Result<Materialized> {
      const auto mark = TRY(parts_.online.watermark(view));
      std::optional<OfflineTable> table;
      if (mark) table = TRY(parts_.offline.table(call, bound));
      if (mark && table->digest != mark->digest)
        table = TRY(parts_.offline.kept_table(call, view, mark->digest));
      if (!table)
        return Error{Code::failed_precondition,
                     view.reference() +
                         (mark ? " cannot be repaired from the rows that it was moved from, which "
                                 "are gone: run penstock features materialize, which writes anew "
                                 "what counts"
                               : " was never materialized; run penstock features materialize")};
      const std::string erased = TRY(parts_.online.erased_state(call));
      auto out = TRY(parts_.online.repair(view, *table));
      TRY(parts_.online.keep_erased(call, view, erased));
      return out;
    };
    const auto mended = mend();
    Call late = call;
    late.deadline = Timestamp::max();  // the view is given back in any case
    TRY(parts_.db.write(late, [&](sql::Tx& tx) -> Result<void> {
      TRY(states::change(tx, key, [](ViewWork& work) {
        work.holder.clear();
        work.held_until.reset();
      }));
      if (!mended) return {};
      return audit::record(tx, late, parts_.clock.now(),
                           {"features.view.repaired",
                            view.urn(),
                            {{"rows", mended->rows}, {"written", mended->written}}});
    }));
    return mended;
  });
}

}  // namespace penstock::features
