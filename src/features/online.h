// Online rows: the latest of each entity, moved from the offline tables in the order in which they
// arrived.
#pragma once

#include <mutex>
#include <span>

#include "features/codec.h"
#include "features/erased_marks.h"
#include "features/offline.h"
#include "features/windows/verify.h"
#include "ports/kv.h"
#include "ports/lookup.h"

namespace penstock::features {

class Online {
 public:
  // Without `lookup` the rows come to one thread only.
  Online(kv::Store& kv, olap::Engine& olap, Offline& offline, ErasedMarks& erased,
         olap::Lookup* lookup)
      : kv_(kv),
        olap_(olap),
        offline_(offline),
        erased_(erased),
        lookup_(lookup),
        windows_(kv, olap) {}

  Result<std::optional<Watermark>> watermark(const ViewHandle& view);
  // Moves the rows that arrived after the watermark and not after `until`; of `given`, where
  // somebody looked at that table before.
  Result<Materialized> materialize(const Call& call, const BoundView& view, Timestamp until,
                                   const OfflineTable* given = nullptr);
  // The encoded rows of `keys`.
  Result<std::vector<std::optional<std::string>>> stored(const std::vector<std::string>& keys) {
    return kv_.multi_get(keys);
  }
  // At most `limit` keys of rows that are there.
  Result<std::vector<std::string>> keys_there(const ViewHandle& view, std::size_t limit);
  struct Written {
    std::int64_t written = 0, ignored = 0;
    bool overtaken = false;  // what was to be written after the rows was changed by somebody else
    std::int64_t late = 0;   // of those ignored: windows::Store::Written
    Timestamp watermark = Timestamp::min();
  };
  struct Row {
    std::string key;  // row_key
    StoredRow row;    // of a windowed view, the inputs of an event
    std::optional<std::string> event_id;
    bool deleted = false;  // the entity has no row from its event time on
    // When the offline side took it too: it is no older than that, on neither side.
    std::optional<Timestamp> kept_at;
  };
  // Rows of events that were erased are ignored.
  Result<Written> push(const Call& call, const ViewHandle& view, const std::vector<Row>& rows);
  // Compares a windowed view with its offline events.
  Result<void> verify_windows(const windows::VerifyInput& input, VerifyOutput& out,
                              const windows::Differs& differs) {
    return windows::verify(kv_, windows_, input, out, differs);
  }

  // A row that is to go, and up to which event no other may take its place. Tiles go without a
  // mark: no offline event brings them back, and ErasedMarks keep pushed ones away.
  using Gone = windows::Store::Gone;
  // How many rows stood there.
  Result<std::int64_t> erase(const ViewHandle& view, const std::vector<Gone>& gone);
  // Of the rows of `keys`, of windowed views of their newest events; nothing where there is none.
  Result<std::vector<std::optional<Timestamp>>> event_times(const ViewHandle& view,
                                                            const std::vector<std::string>& keys);
  // Those of rows that an erasure reached while they were on their way; how many.
  Result<std::int64_t> erase_again(const Call& call, const ViewHandle& view,
                                   const std::vector<std::string>& keys);
  // For those who write rows of a view: takes out what was erased since erased_state() was asked.
  Result<std::string> erased_state(const Call& call) { return erased_.state(call); }
  Result<void> keep_erased(const Call& call, const ViewHandle& view,
                           const std::string& state_before);
  // Writes anew what counts at the watermark by `table`, which the rows were moved from.
  Result<Materialized> repair(const ViewHandle& view, const OfflineTable& table);
  // Of every row of a view, until visit returns false.
  Result<void> for_each_key(const ViewHandle& view,
                            const std::function<bool(std::string_view key)>& visit);

  struct Pending {
    Timestamp arrived;
    RowTimes times;
    std::string key, value;
    std::int64_t place = 0;  // in the order of arrival
  };
  // Offline rows as they would be written; `statement` gives row_columns.
  Result<std::vector<Pending>> rows_of(const ViewHandle& view, const std::string& statement);

 private:
  // The rows of a chunk, added to `out`. A column behind row_columns is their place.
  static void add_rows(const ViewHandle& view, const olap::Chunk& chunk, std::vector<Pending>& out);
  // The same of a statement that gives places: in their order.
  Result<std::vector<Pending>> ordered_rows_of(const ViewHandle& view,
                                               const std::string& statement);

  // The rows that are read ahead of the watermark of one view, of one state of its table.
  struct Cursor {
    std::mutex turn;
    std::string digest;
    Timestamp from = Timestamp::min(), until = Timestamp::min();  // (from, until] is in `rows`
    bool at_end = false;
    std::vector<Pending> rows;
    std::size_t next = 0;  // those before it were moved

    bool empty() const { return next == rows.size(); }
    const Pending& front() const { return rows[next]; }
    // The next rows that arrived until then, as many as one write takes or, of a `fresh` view, all;
    // they are moved with that.
    std::span<Pending> take(Timestamp until, bool fresh);
  };
  Cursor& cursor_of(const ViewHandle& view);
  Result<Written> push_rows(const ViewHandle& view, const std::vector<Row>& rows);
  Result<void> erase_pushed(const Call& call, const ViewHandle& view, const std::vector<Row>& rows,
                            const std::string& state_before);
  Result<void> read_ahead(const ViewHandle& view, const OfflineTable& table, Timestamp after,
                          bool fresh, Cursor& cursor);
  // Writes the rows that are not older than what is there, in their order; then `more`. Whoever is
  // stopped in between does it again, and nothing is lost or other than it would have been. Where
  // the rows are likely `fresh`, what is there is only looked at once it is known to be there. What
  // the rows hold is gone afterwards.
  Result<Written> put(std::span<Pending> rows, std::optional<kv::Swap> more, bool fresh = false);
  Result<std::int64_t> put_together(std::vector<Pending*> rows, bool fresh);
  // `mark` is the watermark as it is stored, before and after; `out` is added to.
  Result<Written> renew(const ViewHandle& view, const OfflineTable& table,
                        const Watermark& watermark, std::string& mark, Materialized& out);
  Result<bool> move(const Call& call, const BoundView& bound, Timestamp until,
                    const OfflineTable* given, Cursor& cursor, Materialized& out);

  kv::Store& kv_;
  olap::Engine& olap_;
  Offline& offline_;
  ErasedMarks& erased_;
  olap::Lookup* const lookup_;
  windows::Store windows_;
  std::mutex cursors_turn_;
  std::map<std::string, std::unique_ptr<Cursor>> cursors_;  // by prefix
};

}  // namespace penstock::features
