// Rows that come one by one, as JSON.
#include <algorithm>

#include "features/operations.h"
#include "features/pushed_rows.h"
#include "features/row_reader.h"

namespace penstock::features {
namespace {

constexpr std::size_t rejects_max = 1'000;

// The rows that can be written, and which of the input's they are; the faults of the others.
struct Sorted {
  std::vector<Online::Row> rows;
  std::vector<std::size_t> places;
  std::vector<RejectedRow> rejects;
  std::int64_t rejected = 0;
};

Sorted sort(const ViewHandle& view, const PushInput& input, bool naive_times) {
  Sorted out;
  RowReader reader(view, naive_times);
  for (std::size_t i = 0; i < input.rows.size(); ++i) {
    auto row = reader.read(input.rows[i]);
    if (reader.faults.empty()) {
      out.rows.push_back(std::move(row));
      out.places.push_back(i);
      continue;
    }
    ++out.rejected;
    for (RejectedRow& fault : reader.faults) {
      if (out.rejects.size() >= rejects_max) break;
      fault.row = static_cast<std::int64_t>(i);
      out.rejects.push_back(std::move(fault));
    }
  }
  return out;
}

// An older version of the view may lack columns that the newest has, or need others: it takes what
// it can of the rows that the newest takes.
std::vector<Online::Row> of_older(const ViewHandle& view, const PushInput& input,
                                  const Sorted& good, bool naive_times) {
  std::vector<Online::Row> out;
  RowReader reader(view, naive_times);
  for (std::size_t i = 0; i < good.places.size(); ++i) {
    auto row = reader.read(input.rows[good.places[i]]);
    if (!reader.fits_but_for_columns()) continue;
    row.kept_at = good.rows[i].kept_at;
    out.push_back(std::move(row));
  }
  return out;
}

Error refusal(const std::vector<RejectedRow>& rejects, const std::string& of = "rows") {
  Error error{Code::invalid_argument};
  for (const RejectedRow& fault : rejects) {
    if (error.violations.size() >= 100) break;
    error.violations.push_back({of + "[" + std::to_string(fault.row) + "]" +
                                    (fault.field.empty() ? "" : "." + fault.field),
                                fault.reason});
  }
  error.message = error.violations.front().field + " " + error.violations.front().problem +
                  "; nothing was written";
  return error;
}

// All of them are good, or none is written.
Result<std::vector<Online::Row>> deletes_of(const ViewHandle& view, const PushInput& input,
                                            bool naive_times) {
  std::vector<Online::Row> out;
  std::vector<RejectedRow> rejects;
  RowReader reader(view, naive_times);
  for (std::size_t i = 0; i < input.deletes.size(); ++i) {
    out.push_back(reader.read_delete(input.deletes[i]));
    for (RejectedRow& fault : reader.faults) {
      if (rejects.size() >= rejects_max) break;
      fault.row = static_cast<std::int64_t>(i);
      rejects.push_back(std::move(fault));
    }
  }
  if (!rejects.empty()) return refusal(rejects, "deletes");
  return out;
}

// A deletion is no row that an offline table could be made of.
Result<void> check_deletes(const PushInput& input) {
  if (input.rows.empty() && input.deletes.empty())
    return Error{Code::invalid_argument,
                 "rows must have 1 to 10000 items, where there are no deletes",
                 {{"rows", "must have 1 to 10000 items"}}};
  if (input.to == PushTo::online || input.deletes.empty()) return {};
  return Error{Code::invalid_argument,
               "deletes go to online alone: push them in a call of their own, and take the rows "
               "out of the sources, or erase the entity; nothing was written",
               {{"deletes", "go to online alone"}}};
}

// How many are new; each row says from when on it counts.
Result<std::int64_t> keep(sql::Database& db, const Clock& clock, const Call& call,
                          const ViewHandle& view, const PushInput& input, Sorted& good) {
  std::vector<const json::object*> given;
  for (const std::size_t place : good.places) given.push_back(&input.rows[place]);
  const KeptRows kept = TRY(keep_pushed_rows(db, clock, call, view, good.rows, given));
  for (std::size_t i = 0; i < good.rows.size(); ++i) good.rows[i].kept_at = kept.at[i];
  return kept.kept;
}

}  // namespace

// Those that take pushed rows; the newest is the last.
Result<std::vector<std::shared_ptr<const ViewHandle>>> Service::pushed_views(
    const Call& call, const PushInput& input) {
  std::vector<std::shared_ptr<const ViewHandle>> out;
  if (input.to == PushTo::offline) {
    out.push_back(TRY(
        db_.read(call, [&](sql::Tx& tx) { return open_view(tx, call.project, input.view, 0); })));
    return out;
  }
  auto views = chosen(call, {input.view});
  if (!views) {
    Error error = views.error();
    for (Violation& fault : error.violations) fault.field = "view";  // here there is one
    return error;
  }
  for (const BoundView& view : *views) out.push_back(view.handle);
  return out;
}

// Offline first: what readers see is known there, whatever comes in between.
Result<PushOutput> Service::push(const Call& call, const PushInput& input, bool naive_times) {
  TRY(check_deletes(input));
  const auto views = TRY(pushed_views(call, input));
  const ViewHandle& newest = *views.back();
  auto deletes = TRY(deletes_of(newest, input, naive_times));
  Sorted good = sort(newest, input, naive_times);
  // That all are bad is most likely not what was meant, and must not look like success.
  if (good.rejected > 0 && (good.rows.empty() || input.all_or_nothing))
    return refusal(good.rejects);
  PushOutput out{.rejected = good.rejected, .rejects = std::move(good.rejects)};
  if (input.to != PushTo::online) {
    out.kept = TRY(keep(db_, clock_, call, newest, input, good));
    out.written = out.kept;
    out.ignored = static_cast<std::int64_t>(good.rows.size()) - out.kept;
  }
  if (input.to == PushTo::offline) return out;
  good.rows.insert(good.rows.end(), std::make_move_iterator(deletes.begin()),
                   std::make_move_iterator(deletes.end()));
  Result<Online::Written> written = Online::Written{};
  for (std::size_t v = 0; v < views.size() && written; ++v) {
    const ViewHandle& view = *views[v];
    std::vector<Online::Row> older;
    if (v + 1 < views.size()) {
      older = of_older(view, input, good, naive_times);
      RowReader reader(view, naive_times);
      for (const json::object& row : input.deletes)
        if (auto one = reader.read_delete(row); reader.faults.empty())
          older.push_back(std::move(one));
    }
    const auto& rows = v + 1 < views.size() ? older : good.rows;
    written = online_->push(call, view, rows);
    if (!written) break;
    if (input.to != PushTo::online) written->late = 0;  // it was kept before: it counts
    operations_->pushed(call.project, view, rows, *written);
  }
  if (!written && input.to == PushTo::online) return written.error();
  if (!written) {
    Error error = written.error();
    error.message +=
        "; the rows are kept offline, and the next materialize moves them online: to have them "
        "there before, push again";
    return error;
  }
  out.written = written->written;
  out.ignored = written->ignored;
  out.late = written->late;
  if (out.late > 0) out.watermark = written->watermark;
  return out;
}

}  // namespace penstock::features
