#include "features/online.h"

#include <algorithm>
#include <cstring>

#include "features/values.h"

namespace penstock::features {
namespace {

// How many rows are read ahead; of a view that is not there yet more, for a store has a faster way
// for many new rows whose keys lie together.
constexpr std::size_t read_ahead_rows = 20'000, fresh_ahead_rows = 250'000;
// What one write takes.
constexpr std::size_t batch_rows = 5'000;
constexpr std::size_t batch_bytes = std::size_t{16} << 20;
constexpr int turns_max = 200;
constexpr std::size_t key_room = 24;  // of a join key that is no long text

// The first bytes of a text behind `from` as a number of the same order: it tells most keys apart
// without a look at their bytes.
std::uint64_t number_of(std::string_view text, std::size_t from) {
  std::uint64_t out = 0;
  if (text.size() > from)
    std::memcpy(&out, text.data() + from, std::min(sizeof out, text.size() - from));
  return __builtin_bswap64(out);
}

// How many bytes all keys begin with.
template <class Pending>
std::size_t shared_bytes(std::span<Pending> rows) {
  std::string_view shared = rows.front().key;
  for (const Pending& row : rows) {
    if (row.key.starts_with(shared)) continue;
    const auto other = std::ranges::mismatch(shared, row.key);
    shared = shared.substr(0, static_cast<std::size_t>(other.in1 - shared.begin()));
  }
  return shared.size();
}

// Of the rows of each key the one that counts: the last of those that are the latest, as in the
// offline order. In the order of the keys, in which stores write fastest.
template <class Pending>
std::vector<Pending*> latest_of(std::span<Pending> rows) {
  if (rows.empty()) return {};
  struct Place {
    std::uint64_t first, second;
    Pending* row;
  };
  const auto before = [](const Place& a, const Place& b) {
    if (a.first != b.first) return a.first < b.first;
    if (a.second != b.second) return a.second < b.second;
    const int order = a.row->key.compare(b.row->key);
    return order != 0 ? order < 0 : a.row < b.row;
  };
  const std::size_t shared = shared_bytes(rows);
  std::vector<Place> places;
  places.reserve(rows.size());
  for (Pending& row : rows)
    places.push_back({number_of(row.key, shared), number_of(row.key, shared + 8), &row});
  if (!std::ranges::is_sorted(places, before)) std::ranges::sort(places, before);
  std::vector<Pending*> out;
  out.reserve(rows.size());
  for (const Place& place : places) {
    if (out.empty() || out.back()->key != place.row->key)
      out.push_back(place.row);
    else if (place.row->times >= out.back()->times)
      out.back() = place.row;
  }
  return out;
}

}  // namespace

std::span<Online::Pending> Online::Cursor::take(Timestamp until_then, bool fresh) {
  const std::size_t begin = next;
  std::size_t bytes = 0;
  for (; !empty() && front().arrived <= until_then; ++next) {
    if (fresh) continue;
    bytes += front().key.size() + front().value.size();
    if (next > begin && (bytes > batch_bytes || next - begin == batch_rows)) break;
  }
  return std::span(rows).subspan(begin, next - begin);
}

Online::Cursor& Online::cursor_of(const ViewHandle& view) {
  const std::lock_guard hold(cursors_turn_);
  auto& cursor = cursors_[view.prefix];
  if (!cursor) cursor = std::make_unique<Cursor>();
  return *cursor;
}

Result<std::optional<Watermark>> Online::watermark(const ViewHandle& view) {
  const auto stored = TRY(kv_.get(watermark_key(view)));
  if (!stored) return std::optional<Watermark>();
  return std::optional(TRY(decode_watermark(*stored)));
}

void Online::add_rows(const ViewHandle& view, const olap::Chunk& chunk, std::vector<Pending>& out) {
  const auto& features = view.view.features;
  const std::size_t times = view.keys.size(), place = times + 2 + features.size();
  const std::string begin = row_key(view, {});
  out.reserve(out.size() + chunk.rows);
  for (std::size_t at = 0; at < chunk.rows; ++at) {
    const Timestamp event = time_at(chunk.columns[times], at);
    const Timestamp created = time_at(chunk.columns[times + 1], at);
    Pending& row = out.emplace_back(Pending{std::max(event, created), {event, created}, {}, {}});
    if (place < chunk.columns.size()) row.place = chunk.columns[place].whole[at];
    row.key.reserve(begin.size() + key_room * times);
    row.key = begin;
    for (std::size_t i = 0; i < times; ++i)
      append_key(row.key, key_at(view.keys[i].type, chunk.columns[i], at));
    RowWriter value(features.size(), {event, created});
    for (std::size_t i = 0; i < features.size(); ++i)
      write_at(features[i], chunk.columns[times + 2 + i], at, value);
    row.value = value.take();
  }
}

Result<std::vector<Online::Pending>> Online::rows_of(const ViewHandle& view,
                                                     const std::string& statement) {
  std::vector<Pending> out, some;
  const auto session = TRY(olap_.session());
  TRY(session->stream_lists(statement, {}, [&](const olap::Chunk& chunk) -> Result<void> {
    add_rows(view, chunk, some);
    out.insert(out.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
    some.clear();
    return {};
  }));
  return out;
}

// Chunks come as the engine's threads have them, and each holds rows in their order: sorting the
// chunks takes nothing, and having the engine sort the rows takes longer than reading them.
Result<std::vector<Online::Pending>> Online::ordered_rows_of(const ViewHandle& view,
                                                             const std::string& statement) {
  std::mutex turn;
  std::vector<std::vector<Pending>> chunks;
  std::size_t count = 0;
  const auto visit = [&](const olap::Chunk& chunk) -> Result<void> {
    std::vector<Pending> some;
    add_rows(view, chunk, some);
    const std::lock_guard hold(turn);
    count += some.size();
    if (!some.empty()) chunks.push_back(std::move(some));
    return {};
  };
  const auto session = TRY(olap_.session());
  if (lookup_)
    TRY(lookup_->each(*session, statement, visit));
  else
    TRY(session->stream_lists(statement, {}, visit));
  std::ranges::sort(chunks, {}, [](const auto& some) { return some.front().place; });
  std::vector<Pending> out;
  out.reserve(count);
  for (auto& some : chunks) {
    out.insert(out.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
    some = {};
  }
  if (!std::ranges::is_sorted(out, {}, &Pending::place))
    std::ranges::sort(out, {}, &Pending::place);
  return out;
}

Result<void> Online::read_ahead(const ViewHandle& view, const OfflineTable& table, Timestamp after,
                                bool fresh, Cursor& cursor) {
  // Of no table until all of it is read: whoever finds it half read begins anew.
  cursor.rows = {};
  cursor.next = 0;
  cursor.digest.clear();
  cursor.from = cursor.until = after;
  // The end of the stretch is an instant, so that rows which arrived together stay together.
  const std::string later = "arrived_at > " + timestamp_literal(after);
  std::string condition = after == Timestamp::min() ? "true" : later;
  const auto session = TRY(olap_.session());
  const auto end = TRY(session->query("SELECT arrived_at FROM " + offline_.scan(table) + " WHERE " +
                                      condition + " ORDER BY arrived_at LIMIT 1 OFFSET " +
                                      std::to_string(fresh ? fresh_ahead_rows : read_ahead_rows)));
  cursor.at_end = end.rows.empty();
  if (!cursor.at_end) {
    cursor.until = Timestamp(Micros(std::get<std::int64_t>(end.rows[0].at(0))));
    condition += " AND arrived_at <= " + timestamp_literal(cursor.until);
  }
  std::string file = offline_.scan(table);
  file.insert(file.size() - 1, ", file_row_number = true");
  cursor.rows = TRY(ordered_rows_of(view, "SELECT " + row_columns(view) +
                                              ", CAST(file_row_number AS BIGINT) FROM " + file +
                                              " WHERE " + condition));
  cursor.digest = table.digest;
  return {};
}

// What others wrote between reading and writing is read and compared anew, on whichever server they
// are: a newer row never gives way to an older one. Gives how many were written.
Result<std::int64_t> Online::put_together(std::vector<Pending*> open, bool fresh) {
  std::int64_t written = 0;
  for (int turns = 0; !open.empty(); ++turns) {
    if (turns == turns_max)
      return Error{Code::unavailable, "others write the same entities all the time; ask again"};
    std::vector<std::optional<std::string>> there;
    if (!fresh || turns > 0) {
      std::vector<std::string> keys;
      keys.reserve(open.size());
      for (const Pending* row : open) keys.push_back(row->key);
      there = TRY(kv_.multi_get(keys));
    }
    std::vector<kv::Swap> swaps;
    swaps.reserve(open.size());
    std::vector<Pending*> of;  // the row of each swap
    of.reserve(open.size());
    for (std::size_t at = 0; at < open.size(); ++at) {
      std::optional<std::string> expected;
      if (!there.empty()) expected = std::move(there[at]);
      if (expected && TRY(times_of(*expected)) > open[at]->times) continue;
      swaps.push_back({std::move(open[at]->key), std::move(expected), std::move(open[at]->value)});
      of.push_back(open[at]);
    }
    open.clear();
    if (swaps.empty()) break;
    const auto lost = TRY(kv_.swap(swaps, kv::Durability::process));
    for (const std::size_t at : lost) {
      of[at]->key = std::move(swaps[at].key);
      of[at]->value = std::move(*swaps[at].value);
      open.push_back(of[at]);
    }
    written += static_cast<std::int64_t>(swaps.size() - lost.size());
  }
  return written;
}

// Many rows are written in stretches of their keys, which no other of their stretches reaches into.
Result<Online::Written> Online::put(std::span<Pending> rows, std::optional<kv::Swap> more,
                                    bool fresh) {
  const std::vector<Pending*> all = latest_of(rows);
  Written out;
  for (auto begin = all.begin(); begin != all.end();) {
    auto end = begin;
    for (std::size_t bytes = 0; end != all.end() && (bytes < batch_bytes || end == begin); ++end)
      bytes += (*end)->key.size() + (*end)->value.size();
    out.written += TRY(put_together({begin, end}, fresh));
    begin = end;
  }
  out.ignored = static_cast<std::int64_t>(rows.size()) - out.written;
  if (more) out.overtaken = !TRY(kv_.swap({std::move(*more)}, kv::Durability::process)).empty();
  return out;
}

// The sources changed since rows were moved last: what counts for each entity may have another
// value now.
Result<Online::Written> Online::renew(const ViewHandle& view, const OfflineTable& table,
                                      const Watermark& watermark, std::string& mark,
                                      Materialized& out) {
  const JoinedView latest{&view, offline_.scan(table), table.ties};
  Cursor all{.rows = TRY(rows_of(view, latest_statement(latest, watermark.at)))};
  while (!all.empty()) {
    const Written put_rows = TRY(put(all.take(Timestamp::max(), false), std::nullopt));
    out.written += put_rows.written;
    out.ignored += put_rows.ignored;
  }
  out.rows += static_cast<std::int64_t>(all.rows.size());
  const std::string now = encode_watermark({watermark.at, table.digest});
  const Written marked = TRY(put({}, kv::Swap{watermark_key(view), mark, now}));
  mark = now;
  return marked;
}

Result<Materialized> Online::materialize(const Call& call, const BoundView& bound, Timestamp until,
                                         const OfflineTable* given) {
  const ViewHandle& view = *bound.handle;
  Cursor& cursor = cursor_of(view);
  const std::lock_guard turn(cursor.turn);
  Materialized out{.view = view.reference()};
  for (int turns = 0; turns < turns_max; ++turns) {
    if (TRY(move(call, bound, until, given, cursor, out))) return out;
    // Another server moved rows of another state of the sources. Rows of both stand there now:
    // whoever comes next writes anew what counts.
    cursor.digest.clear();
    const auto mark = TRY(kv_.get(watermark_key(view)));
    if (!mark) continue;
    Watermark torn = TRY(decode_watermark(*mark));
    torn.digest.clear();
    TRY(kv_.swap({{watermark_key(view), mark, encode_watermark(torn)}}, kv::Durability::process));
  }
  return Error{Code::unavailable, "other servers move rows of " + view.reference() +
                                      " from other states of its sources; ask again"};
}

// False where another server moved rows of another state of the sources meanwhile.
Result<bool> Online::move(const Call& call, const BoundView& bound, Timestamp until,
                          const OfflineTable* given, Cursor& cursor, Materialized& out) {
  const ViewHandle& view = *bound.handle;
  auto mark = TRY(kv_.get(watermark_key(view)));  // as it was seen last
  std::optional<Watermark> before;
  if (mark) before = TRY(decode_watermark(*mark));
  if (before && until <= before->at) {
    out.watermark = before->at;
    return true;
  }
  const OfflineTable table = given ? *given : TRY(offline_.table(call, bound));
  if (view.windows) {
    out = TRY(windows_.materialize(view, {offline_.scan(table), table.digest}, before, until));
    out.written = out.rows;
    return true;
  }
  if (before && before->digest != table.digest) {
    const Written renewed = TRY(renew(view, table, *before, *mark, out));
    if (renewed.overtaken) return false;
  }

  // Most often nothing of a view stands there before it is moved for the first time.
  const bool fresh = !before;
  Timestamp moved = before ? before->at : Timestamp::min();
  if (cursor.digest != table.digest || cursor.from > moved || cursor.until < moved)
    TRY(read_ahead(view, table, moved, fresh, cursor));
  while (moved < until) {
    while (!cursor.empty() && cursor.front().arrived <= moved) ++cursor.next;
    const std::span<Pending> rows = cursor.take(until, fresh);
    const bool stretch_done = cursor.empty() && !cursor.at_end && cursor.until < until;
    const bool done = (cursor.empty() || cursor.front().arrived > until) && !stretch_done;
    // A batch may end amid rows that arrived together, as those of a backfill do: the watermark
    // stands before their instant until all of them are there.
    const bool amid =
        !rows.empty() && !cursor.empty() && cursor.front().arrived == rows.back().arrived;
    const Timestamp next = done           ? until
                           : stretch_done ? cursor.until
                           : amid         ? std::max(moved, rows.back().arrived - Micros(1))
                                          : rows.back().arrived;
    const auto count = static_cast<std::int64_t>(rows.size());
    std::string after = encode_watermark({next, table.digest});
    const auto put_rows = put(rows, kv::Swap{watermark_key(view), mark, after}, fresh);
    if (!put_rows) {
      cursor.digest.clear();  // the rows are taken and not written: read them again
      return put_rows.error();
    }
    out.rows += count;
    out.written += put_rows->written;
    out.ignored += put_rows->ignored;
    moved = next;
    mark = std::move(after);
    if (put_rows->overtaken) {
      // By one who moves the same rows: it goes on where that one is.
      mark = TRY(kv_.get(watermark_key(view)));
      if (!mark) return false;
      const Watermark theirs = TRY(decode_watermark(*mark));
      if (theirs.digest != table.digest) return false;
      moved = theirs.at;
    }
    if (!cursor.at_end && (stretch_done || cursor.until < moved) && moved < until)
      TRY(read_ahead(view, table, moved, fresh, cursor));
  }
  out.watermark = moved;
  cursor.from = moved;
  if (cursor.empty()) {
    cursor.rows = {};
    cursor.next = 0;
  }
  if (cursor.at_end) cursor.until = std::max(cursor.until, moved);
  return true;
}

Result<std::vector<std::string>> Online::keys_there(const ViewHandle& view, std::size_t limit) {
  std::vector<std::string> keys;
  TRY(kv_.scan(view.prefix + "r", view.prefix + "s",
               [&](std::string_view key, std::string_view row) {
                 if (keys.size() < limit && !is_erased(row)) keys.emplace_back(key);
                 return keys.size() < limit;
               }));
  return keys;
}

Result<Online::Written> Online::push_rows(const ViewHandle& view, const std::vector<Row>& rows) {
  if (view.windows) {
    std::vector<windows::Store::PushedRow> events;
    for (const Row& row : rows) {
      windows::Event event{row.row.event_time, row.row.created_time,
                           std::max(row.row.event_time, row.row.created_time), row.row.values};
      const auto id = windows::id_of(event, row.event_id);
      if (row.kept_at) event.created_time = std::max(event.created_time, *row.kept_at);
      event.arrived_at = std::max(event.event_time, event.created_time);
      events.push_back({row.key, {id, std::move(event)}});
    }
    const auto written = TRY(windows_.push(view, events));
    return Written{.written = written.written,
                   .ignored = written.ignored,
                   .late = written.late,
                   .watermark = written.watermark};
  }
  std::vector<Pending> pending;
  pending.reserve(rows.size());
  for (const Row& row : rows) {
    std::string value;
    if (row.deleted) {
      value = encode_erased(row.row.event_time);
    } else if (row.kept_at) {
      StoredRow kept = row.row;
      kept.created_time = std::max(kept.created_time, *row.kept_at);
      value = encode_row(view, kept);
    } else {
      value = encode_row(view, row.row);
    }
    const RowTimes times = TRY(times_of(value));
    pending.push_back({row.row.event_time, times, row.key, std::move(value)});
  }
  return put(pending, std::nullopt);
}

}  // namespace penstock::features
