#include "features/windows/store.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <xxhash.h>

#include "features/join.h"
#include "features/windows/events.h"

namespace penstock::features::windows {
namespace {

constexpr std::size_t batch_entities = 1'000, batch_bytes = std::size_t{8} << 20;
constexpr std::size_t read_ahead_events = 20'000;
constexpr int turns_max = 200;

// Where a call is heading that has not come to its end.
std::string goal_key(const ViewHandle& view) { return view.prefix + "b"; }

std::array<std::uint64_t, 2> hash_of(std::string_view key) {
  const XXH128_hash_t hash = XXH3_128bits(key.data(), key.size());
  return {hash.low64, hash.high64};
}

std::string between(Timestamp from, Timestamp until) {
  std::string text = "arrived_at <= " + timestamp_literal(until);
  if (from != Timestamp::min()) text += " AND arrived_at > " + timestamp_literal(from);
  return text;
}

std::string events_between(const ViewHandle& view, const Table& table, Timestamp from,
                           Timestamp until) {
  return "SELECT " + event_columns(view) + " FROM " + table.rows + " WHERE " +
         between(from, until) + " ORDER BY " + key_columns(view) + ", arrived_at";
}

Error too_large(const ViewHandle& view, std::size_t size) {
  return {Code::resource_exhausted,
          view.reference() + " takes " + std::to_string(size) +
              " bytes for one entity, more than " + std::to_string(value_max) +
              ": give its windows longer hops, or its texts fewer characters"};
}

Error too_many(const ViewHandle& view) {
  return {Code::resource_exhausted,
          view.reference() + " holds " + std::to_string(pushed_max) +
              " pushed events of one entity that its sources do not hold yet: run penstock "
              "features materialize, and push again; nothing was written",
          {{"rows", "hold too many events of one entity"}}};
}

}  // namespace

// Entities on their way into the store.
struct Store::Batch {
  Timestamp until;     // their tiles hold what arrived up to here
  bool whole = false;  // they are all that counts; else what came after what is there
  std::vector<Folded> entities;
  std::vector<kv::Batch::Write> more;  // in the same batch
  std::size_t bytes = 0;
  std::int64_t events = 0;  // written so far
};

Result<void> Store::fold(const ViewHandle& view, const std::string& statement,
                         const std::function<Result<void>(Folded)>& visit) {
  EventReader reader(view);
  Tiles tiles(*view.windows);
  Folded entity;
  const auto done = [&]() -> Result<void> {
    if (entity.events == 0) return {};
    entity.tiles = tiles.encode();
    tiles = Tiles(*view.windows);
    if (entity.tiles.size() > value_max) return too_large(view, entity.tiles.size());
    return visit(std::exchange(entity, {}));
  };
  const auto session = TRY(olap_.session());
  TRY(session->stream(statement, {}, [&](const olap::Chunk& chunk) -> Result<void> {
    for (std::size_t row = 0; row < chunk.rows; ++row) {
      const std::string& key = reader.key(chunk, row);
      if (key != entity.key) {
        TRY(done());
        entity.key = key;
      }
      TRY(tiles.add(reader.event(chunk, row)));
      ++entity.events;
    }
    return {};
  }));
  return done();
}

Store::Ahead& Store::ahead_of(const ViewHandle& view) {
  const std::lock_guard hold(ahead_turn_);
  auto& ahead = ahead_[view.prefix];
  if (!ahead) ahead = std::make_unique<Ahead>();
  return *ahead;
}

Result<void> Store::read_ahead(const ViewHandle& view, const Table& table, Timestamp from,
                               Ahead& ahead) {
  ahead = {.digest = table.digest, .from = from, .until = from};
  // The end of the stretch is an instant, so that events which arrived together stay together.
  std::string condition =
      from == Timestamp::min() ? "true" : "arrived_at > " + timestamp_literal(from);
  const auto session = TRY(olap_.session());
  const auto end = TRY(session->query("SELECT arrived_at FROM " + table.rows + " WHERE " +
                                      condition + " ORDER BY arrived_at LIMIT 1 OFFSET " +
                                      std::to_string(read_ahead_events)));
  ahead.at_end = end.rows.empty();
  if (!ahead.at_end) {
    ahead.until = Timestamp(Micros(std::get<std::int64_t>(end.rows[0].at(0))));
    condition += " AND arrived_at <= " + timestamp_literal(ahead.until);
  }
  EventReader reader(view);
  TRY(session->stream(
      "SELECT " + event_columns(view) + " FROM " + table.rows + " WHERE " + condition +
          " ORDER BY arrived_at",
      {}, [&](const olap::Chunk& chunk) -> Result<void> {
        for (std::size_t row = 0; row < chunk.rows; ++row)
          ahead.events.push_back({reader.key(chunk, row), reader.event(chunk, row)});
        return {};
      }));
  return {};
}

Result<void> Store::fold_between(const ViewHandle& view, const Table& table, Timestamp from,
                                 Timestamp until,
                                 const std::function<Result<void>(Folded)>& visit) {
  Ahead& ahead = ahead_of(view);
  const bool holds =
      ahead.digest == table.digest && ahead.from <= from && (ahead.at_end || from <= ahead.until);
  if (!holds) TRY(read_ahead(view, table, from, ahead));
  if (!ahead.at_end && ahead.until < until) {
    ahead = {};
    return fold(view, events_between(view, table, from, until), visit);
  }
  std::map<std::string, std::pair<Tiles, std::int64_t>> entities;
  for (; !ahead.events.empty() && ahead.events.front().event.arrived_at <= until;
       ahead.events.pop_front()) {
    const auto& [key, event] = ahead.events.front();
    if (event.arrived_at <= from) continue;
    auto& [tiles, events] = entities.try_emplace(key, Tiles(*view.windows), 0).first->second;
    TRY(tiles.add(event));
    ++events;
  }
  ahead.from = until;
  for (auto& [key, entity] : entities)
    TRY(visit({.key = key, .tiles = entity.first.encode(), .events = entity.second}));
  return {};
}

Result<void> Store::begin(const ViewHandle& view, const Watermark& goal) {
  kv::Batch batch;
  batch.put(goal_key(view), encode_watermark(goal));
  return kv_.write(batch, kv::Durability::process);
}

// Reads, changes and writes each key in one step of its own, whoever else writes it meanwhile.
Result<void> Store::update(const std::vector<std::string>& keys, const Change& change,
                           const std::function<void(std::size_t)>& written,
                           kv::Durability durability) {
  std::vector<std::size_t> open(keys.size());
  std::iota(open.begin(), open.end(), std::size_t{0});
  for (int turns = 0; !open.empty(); ++turns) {
    if (turns == turns_max)
      return Error{Code::unavailable, "others write the same entities all the time; ask again"};
    std::vector<std::string> asked;
    for (const std::size_t at : open) asked.push_back(keys[at]);
    auto there = TRY(kv_.multi_get(asked));
    std::vector<kv::Swap> swaps;
    std::vector<std::size_t> of;
    for (std::size_t i = 0; i < open.size(); ++i) {
      auto after = TRY(change(open[i], there[i] ? std::string_view(*there[i]) : ""));
      if (!after) continue;
      swaps.push_back({std::move(asked[i]), std::move(there[i]), std::move(*after)});
      of.push_back(open[i]);
    }
    open.clear();
    if (swaps.empty()) break;
    const auto lost = TRY(kv_.swap(swaps, durability));
    const std::set<std::size_t> missed(lost.begin(), lost.end());
    for (std::size_t i = 0; i < of.size(); ++i) {
      if (missed.contains(i))
        open.push_back(of[i]);
      else
        written(of[i]);
    }
  }
  return {};
}

// What stands of an entity afterwards; nothing where that is so already.
Result<Store::After> Store::merged(const ViewHandle& view, const Batch& batch, const Folded& entity,
                                   std::string_view stored) {
  Parts parts = TRY(parts_of(*view.windows, stored));
  std::string both;
  if (batch.whole) {
    if (parts.tiles == entity.tiles && parts.moved <= batch.until) return After();
    parts.tiles = entity.tiles;
  } else if (parts.moved >= batch.until) {
    return After();  // a call that was cut off had come so far
  } else if (parts.tiles.empty()) {
    parts.tiles = entity.tiles;
  } else {
    Tiles tiles = TRY(Tiles::decode(*view.windows, parts.tiles));
    TRY(tiles.merge(TRY(Tiles::decode(*view.windows, entity.tiles))));
    both = tiles.encode();
    parts.tiles = both;
  }
  if (parts.tiles.size() > value_max) return too_large(view, parts.tiles.size());
  parts.moved = batch.until;
  drop_moved(parts, batch.until);
  return After(joined(parts));
}

// First the entities, then what says that they are there: who is cut off in between does it again.
Result<void> Store::write(const ViewHandle& view, Batch& batch) {
  std::vector<std::string> keys;
  for (const Folded& entity : batch.entities) keys.push_back(entity.key);
  TRY(update(
      keys,
      [&](std::size_t at, std::string_view stored) {
        return merged(view, batch, batch.entities[at], stored);
      },
      [&](std::size_t at) { batch.events += batch.whole ? 1 : batch.entities[at].events; }));
  kv::Batch out;
  for (auto& write : batch.more) out.writes.push_back(std::move(write));
  if (!out.writes.empty()) TRY(kv_.write(out, kv::Durability::process));
  batch.entities.clear();
  batch.more.clear();
  batch.bytes = 0;
  return {};
}

Result<std::int64_t> Store::move(const ViewHandle& view, const Table& table, Timestamp from,
                                 Timestamp until) {
  Batch batch{.until = until};
  bool begun = false;
  const auto moved = [&]() -> Result<void> {
    TRY(fold_between(view, table, from, until, [&](Folded entity) -> Result<void> {
      batch.bytes += entity.tiles.size();
      batch.entities.push_back(std::move(entity));
      if (batch.entities.size() < batch_entities && batch.bytes < batch_bytes) return {};
      if (!begun) TRY(begin(view, {until, table.digest}));
      begun = true;
      return write(view, batch);
    }));
    batch.more.push_back({watermark_key(view), encode_watermark({until, table.digest})});
    batch.more.push_back({goal_key(view), std::nullopt});
    return write(view, batch);
  }();
  if (!moved) {
    ahead_of(view) = {};  // its events are taken and not written: read them again
    return moved.error();
  }
  return batch.events;
}

Result<std::int64_t> Store::renew(const ViewHandle& view, const Table& table, Timestamp at,
                                  bool materialized) {
  // Not at or after itself: the next call sees that this one did not come to its end.
  TRY(begin(view, {Timestamp::min(), ""}));
  Batch batch{.until = at, .whole = true};
  std::vector<std::array<std::uint64_t, 2>> known;
  if (materialized)
    TRY(fold(view, events_between(view, table, Timestamp::min(), at),
             [&](Folded entity) -> Result<void> {
               known.push_back(hash_of(entity.key));
               batch.bytes += entity.tiles.size();
               batch.entities.push_back(std::move(entity));
               if (batch.entities.size() < batch_entities && batch.bytes < batch_bytes) return {};
               return write(view, batch);
             }));
  TRY(write(view, batch));
  std::sort(known.begin(), known.end());
  const std::int64_t gone = TRY(sweep(view, at, known));
  if (materialized)
    batch.more.push_back({watermark_key(view), encode_watermark({at, table.digest})});
  batch.more.push_back({goal_key(view), std::nullopt});
  TRY(write(view, batch));
  return batch.events + gone;
}

// Takes the tiles from entities that are not known, as their events are no more in the sources.
Result<std::int64_t> Store::sweep(const ViewHandle& view, Timestamp at,
                                  const std::vector<std::array<std::uint64_t, 2>>& known) {
  std::int64_t gone = 0;
  std::string from = view.prefix + "r";
  for (bool more = true; more;) {
    std::vector<std::string> strange;
    TRY(kv_.scan(from, view.prefix + "s", [&](std::string_view key, std::string_view) {
      if (!std::binary_search(known.begin(), known.end(), hash_of(key))) strange.emplace_back(key);
      return strange.size() < batch_entities;
    }));
    more = strange.size() == batch_entities;
    if (strange.empty()) break;
    from = strange.back() + '\0';
    TRY(update(
        strange,
        [&](std::size_t, std::string_view stored) -> Result<After> {
          Parts parts = TRY(parts_of(*view.windows, stored));
          if (parts.tiles.empty()) return After();
          parts.tiles = {};
          parts.moved = at;
          drop_moved(parts, at);
          if (parts.pushed.empty()) return After(std::optional<std::string>());
          return After(joined(parts));
        },
        [&](std::size_t) { ++gone; }));
  }
  return gone;
}

Result<std::int64_t> Store::forget(const ViewHandle& view, const std::vector<Gone>& gone) {
  std::vector<std::string> keys;
  for (const Gone& one : gone) keys.push_back(one.key);
  std::int64_t had = 0;
  TRY(update(
      keys,
      [&](std::size_t at, std::string_view stored) -> Result<After> {
        if (stored.empty()) return After();
        Parts parts = TRY(parts_of(*view.windows, stored));
        const std::size_t dropped = std::erase_if(parts.pushed, [&](const Pushed& one) {
          return one.event.event_time <= gone[at].until;
        });
        const bool tiles =
            !parts.tiles.empty() &&
            !(gone[at].older_only &&
              TRY(Tiles::decode(*view.windows, parts.tiles)).newest_event() > gone[at].until);
        if (!tiles && dropped == 0) return After();
        if (tiles) parts.tiles = {};
        if (parts.tiles.empty() && parts.pushed.empty()) return After(std::optional<std::string>());
        return After(joined(parts));
      },
      [&](std::size_t) { ++had; }, kv::Durability::disk));
  return had;
}

Result<Materialized> Store::materialize(const ViewHandle& view, const Table& table,
                                        const std::optional<Watermark>& before, Timestamp until) {
  Materialized out{.view = view.reference()};
  Timestamp moved = before ? before->at : Timestamp::min();
  const auto stored = TRY(kv_.get(goal_key(view)));
  std::optional<Watermark> goal;
  if (stored) goal = TRY(decode_watermark(*stored));
  const bool other_sources = before && before->digest != table.digest;
  const bool stray = goal && (goal->digest != table.digest || goal->at <= moved);
  if (other_sources || stray) {
    out.rows += TRY(renew(view, table, moved, before.has_value()));
  } else if (goal) {
    out.rows += TRY(move(view, table, moved, goal->at));
    moved = goal->at;
  }
  if (until > moved) out.rows += TRY(move(view, table, moved, until));
  out.watermark = std::max(moved, until);
  return out;
}

Result<Store::Written> Store::push(const ViewHandle& view, const std::vector<PushedRow>& rows) {
  std::map<std::string_view, std::vector<const Pushed*>> by_key;
  for (const PushedRow& row : rows) by_key[row.key].push_back(&row.pushed);
  const auto stored = TRY(kv_.get(watermark_key(view)));
  const Timestamp watermark = stored ? TRY(decode_watermark(*stored)).at : Timestamp::min();
  std::vector<std::string> keys;
  std::vector<const std::vector<const Pushed*>*> pushed;
  for (const auto& [key, some] : by_key) {
    keys.emplace_back(key);
    pushed.push_back(&some);
  }
  Written out{.ignored = static_cast<std::int64_t>(rows.size()), .watermark = watermark};
  std::vector<std::int64_t> fresh(keys.size()), late(keys.size());
  const auto add = [&](std::size_t at, std::string_view there) -> Result<After> {
    Parts parts = TRY(parts_of(*view.windows, there));
    const Timestamp moved = std::max(parts.moved, watermark);
    drop_moved(parts, moved);
    fresh[at] = late[at] = 0;
    for (const Pushed* one : *pushed[at]) {
      if (one->event.arrived_at <= moved) {
        ++late[at];
        continue;
      }
      if (std::ranges::find(parts.pushed, one->id, &Pushed::id) != parts.pushed.end()) continue;
      parts.pushed.push_back(*one);
      ++fresh[at];
    }
    if (parts.pushed.size() > pushed_max) return too_many(view);
    return fresh[at] > 0 ? After(joined(parts)) : After();
  };
  TRY(update(keys, add, [&](std::size_t at) {
    out.written += fresh[at];
    out.ignored -= fresh[at];
  }));
  out.late = std::accumulate(late.begin(), late.end(), std::int64_t{0});
  return out;
}

}  // namespace penstock::features::windows
