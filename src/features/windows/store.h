// Windowed views in the online store: moved there from the offline events, pushed, and compared.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "features/codec.h"
#include "features/service.h"
#include "features/windows/entity.h"
#include "ports/kv.h"

namespace penstock::features::windows {

// Where a view's events are, in one state of its sources.
struct Table {
  std::string rows;  // what to select them from
  std::string digest;
};

// Reading and writing an entity is one step, by compare-and-swap, whichever server does it.
class Store {
 public:
  Store(kv::Store& kv, olap::Engine& olap) : kv_(kv), olap_(olap) {}

  // Moves what arrived after the watermark up to `until`. Each entity is folded and written once,
  // with the instant up to which it is complete; the watermark follows with the last of them. So a
  // call that is cut off anywhere is taken up again by the next one, which first comes to the end
  // of the first. Where the sources changed, the entities that differ are written anew. Not for two
  // threads of one view at once.
  Result<Materialized> materialize(const ViewHandle& view, const Table& table,
                                   const std::optional<Watermark>& before, Timestamp until);

  struct PushedRow {
    std::string key;  // row_key
    Pushed pushed;
  };
  struct Written {
    std::int64_t written = 0, ignored = 0, late = 0;  // late are ignored ones, too
    Timestamp watermark = Timestamp::min();
  };
  // Each event once. Ignored are those that are there already, and late ones, which arrived up to
  // the watermark: from there on the sources alone say what happened. All or none;
  // resource_exhausted beyond pushed_max.
  Result<Written> push(const ViewHandle& view, const std::vector<PushedRow>& rows);

  // Takes entities' tiles away, and their pushed events up to an instant. How many had any.
  struct Gone {
    std::string key;
    Timestamp until;
    bool older_only = false;  // tiles with a later event stay
  };
  Result<std::int64_t> forget(const ViewHandle& view, const std::vector<Gone>& gone);
  // Writes the entities anew that are not as the events up to the watermark make them; how many.
  // As materialize, not for two threads of one view at once.
  Result<std::int64_t> repair(const ViewHandle& view, const Table& table, Timestamp watermark) {
    return renew(view, table, watermark, true);
  }

  struct Folded {
    std::string key, tiles;
    std::int64_t events = 0;
  };
  // The entities of the events that `statement` gives, which are event_columns in the order of the
  // keys; `visit` gets each of them once.
  Result<void> fold(const ViewHandle& view, const std::string& statement,
                    const std::function<Result<void>(Folded)>& visit);

 private:
  struct Batch;
  // Events that were read in the order of their arrival, ahead of the watermark: who materializes
  // often in small steps does not ask DuckDB each time.
  struct Ahead {
    struct Arrived {
      std::string key;
      Event event;
    };
    std::string digest;
    Timestamp from = Timestamp::min(), until = Timestamp::min();  // those in (from, until]
    bool at_end = false;                                          // there are none later
    std::deque<Arrived> events;
  };
  Ahead& ahead_of(const ViewHandle& view);
  Result<void> read_ahead(const ViewHandle& view, const Table& table, Timestamp from, Ahead& ahead);
  // The entities of what arrived in (from, until], from what was read ahead or else from DuckDB.
  Result<void> fold_between(const ViewHandle& view, const Table& table, Timestamp from,
                            Timestamp until, const std::function<Result<void>(Folded)>& visit);
  Result<std::int64_t> move(const ViewHandle& view, const Table& table, Timestamp from,
                            Timestamp until);
  Result<std::int64_t> renew(const ViewHandle& view, const Table& table, Timestamp at,
                             bool materialized);
  Result<std::int64_t> sweep(const ViewHandle& view, Timestamp at,
                             const std::vector<std::array<std::uint64_t, 2>>& known);
  // The new value of a key, its end (no text), or nothing where it stays.
  using After = std::optional<std::optional<std::string>>;
  using Change = std::function<Result<After>(std::size_t at, std::string_view stored)>;
  Result<void> update(const std::vector<std::string>& keys, const Change& change,
                      const std::function<void(std::size_t)>& written,
                      kv::Durability durability = kv::Durability::process);
  Result<After> merged(const ViewHandle& view, const Batch& batch, const Folded& entity,
                       std::string_view stored);
  Result<void> begin(const ViewHandle& view, const Watermark& goal);
  Result<void> write(const ViewHandle& view, Batch& batch);

  kv::Store& kv_;
  olap::Engine& olap_;
  std::mutex ahead_turn_;
  std::map<std::string, std::unique_ptr<Ahead>> ahead_;  // by prefix
};

}  // namespace penstock::features::windows
