// Online rows: the latest of each entity, moved from the offline tables in the order in which they
// arrived.
#pragma once

#include <deque>
#include <mutex>

#include "features/codec.h"
#include "features/offline.h"
#include "ports/kv.h"

namespace penstock::features {

class Online {
 public:
  Online(kv::Store& kv, olap::Engine& olap, Offline& offline)
      : kv_(kv), olap_(olap), offline_(offline) {}

  Result<std::optional<Watermark>> watermark(const ViewHandle& view);
  // Moves the rows that arrived after the watermark and not after `until`.
  Result<Materialized> materialize(const Call& call, const BoundView& view, Timestamp until);
  // The encoded rows of `keys`.
  Result<std::vector<std::optional<std::string>>> stored(const std::vector<std::string>& keys) {
    return kv_.multi_get(keys);
  }
  // At most `limit` keys of rows that are there.
  Result<std::vector<std::string>> keys_there(const ViewHandle& view, std::size_t limit);
  struct Written {
    std::int64_t written = 0, ignored = 0;
  };
  struct Row {
    std::string key;  // row_key
    StoredRow row;
  };
  Result<Written> push(const ViewHandle& view, const std::vector<Row>& rows);

  struct Pending {
    Timestamp arrived;
    RowTimes times;
    std::string key, value;
  };
  // Offline rows as they would be written; `statement` gives row_columns.
  Result<std::vector<Pending>> rows_of(const ViewHandle& view, const std::string& statement);

 private:
  // The rows that are read ahead of the watermark of one view, of one state of its table.
  struct Cursor {
    std::mutex turn;
    std::string digest;
    Timestamp from = Timestamp::min(), until = Timestamp::min();  // (from, until] is in `rows`
    bool at_end = false;
    std::deque<Pending> rows;
  };
  Cursor& cursor_of(const ViewHandle& view);
  Result<void> read_ahead(const ViewHandle& view, const OfflineTable& table, Timestamp after,
                          Cursor& cursor);
  // Writes the rows that are not older than what is there, in their order, with `more` in one
  // batch.
  Result<Written> put(std::vector<Pending> rows, std::optional<kv::Batch::Write> more);
  Result<Materialized> renew(const ViewHandle& view, const OfflineTable& table,
                             const Watermark& watermark);

  kv::Store& kv_;
  olap::Engine& olap_;
  Offline& offline_;
  std::mutex cursors_turn_;
  std::map<std::string, std::unique_ptr<Cursor>> cursors_;  // by prefix
  std::mutex writing_;  // comparing with what is there and writing is one step
};

}  // namespace penstock::features
