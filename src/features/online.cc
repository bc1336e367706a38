#include "features/online.h"

#include <algorithm>

#include "features/values.h"

namespace penstock::features {
namespace {

constexpr std::size_t read_ahead_rows = 20'000;
constexpr std::size_t batch_rows = 5'000;

std::string spelt_value(catalog::ColumnType type, const olap::Chunk::Values& values,
                        std::size_t row) {
  if (type == catalog::ColumnType::bigint) return std::to_string(values.whole[row]);
  if (type == catalog::ColumnType::boolean) return values.whole[row] ? "true" : "false";
  return values.text[row];
}

Timestamp time_of(const olap::Chunk::Values& values, std::size_t row) {
  return Timestamp(Micros(values.whole[row]));
}

}  // namespace

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

Result<std::vector<Online::Pending>> Online::rows_of(const ViewHandle& view,
                                                     const std::string& statement) {
  const std::size_t times = view.keys.size();
  std::vector<Pending> out;
  const auto session = TRY(olap_.session());
  TRY(session->stream_lists(statement, {}, [&](const olap::Chunk& chunk) -> Result<void> {
    StoredRow row;
    std::vector<std::string> keys(times);
    row.values.resize(view.view.features.size());
    for (std::size_t at = 0; at < chunk.rows; ++at) {
      for (std::size_t i = 0; i < times; ++i)
        keys[i] = spelt_value(view.keys[i].type, chunk.columns[i], at);
      row.event_time = time_of(chunk.columns[times], at);
      row.created_time = time_of(chunk.columns[times + 1], at);
      for (std::size_t i = 0; i < row.values.size(); ++i)
        row.values[i] = value_at(view.view.features[i], chunk.columns[times + 2 + i], at);
      out.push_back({std::max(row.event_time, row.created_time),
                     {row.event_time, row.created_time},
                     row_key(view, keys),
                     encode_row(view, row)});
    }
    return {};
  }));
  return out;
}

Result<void> Online::read_ahead(const ViewHandle& view, const OfflineTable& table, Timestamp after,
                                Cursor& cursor) {
  cursor.rows.clear();
  cursor.digest = table.digest;
  cursor.from = cursor.until = after;
  // The end of the stretch is an instant, so that rows which arrived together stay together.
  const std::string later = "arrived_at > " + timestamp_literal(after);
  std::string condition = after == Timestamp::min() ? "true" : later;
  const auto session = TRY(olap_.session());
  const auto end =
      TRY(session->query("SELECT arrived_at FROM " + offline_.scan(table) + " WHERE " + condition +
                         " ORDER BY arrived_at LIMIT 1 OFFSET " + std::to_string(read_ahead_rows)));
  cursor.at_end = end.rows.empty();
  if (!cursor.at_end) {
    cursor.until = Timestamp(Micros(std::get<std::int64_t>(end.rows[0].at(0))));
    condition += " AND arrived_at <= " + timestamp_literal(cursor.until);
  }
  std::string file = offline_.scan(table);
  file.insert(file.size() - 1, ", file_row_number = true");
  auto rows = TRY(rows_of(view, "SELECT " + row_columns(view) + " FROM " + file + " WHERE " +
                                    condition + " ORDER BY file_row_number"));
  cursor.rows.assign(std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
  return {};
}

Result<Online::Written> Online::put(std::vector<Pending> rows,
                                    std::optional<kv::Batch::Write> more) {
  // The last of those that are the latest of their entity, as in the offline order.
  std::map<std::string_view, const Pending*> latest;
  for (const Pending& row : rows) {
    const Pending*& place = latest[row.key];
    if (!place || row.times >= place->times) place = &row;
  }
  std::vector<std::string> keys;
  keys.reserve(latest.size());
  for (const auto& [key, row] : latest) keys.emplace_back(key);

  Written out;
  kv::Batch batch;
  const std::lock_guard turn(writing_);
  const auto there = TRY(kv_.multi_get(keys));
  std::size_t at = 0;
  for (const auto& [key, row] : latest) {
    const auto& stored = there[at++];
    if (stored && TRY(times_of(*stored)) > row->times) continue;
    batch.put(std::string(key), row->value);
    ++out.written;
  }
  out.ignored = static_cast<std::int64_t>(rows.size()) - out.written;
  if (more) batch.writes.push_back(std::move(*more));
  if (!batch.writes.empty()) TRY(kv_.write(batch, kv::Durability::process));
  return out;
}

// The sources changed since rows were moved last: what counts for each entity may have another
// value now.
Result<Materialized> Online::renew(const ViewHandle& view, const OfflineTable& table,
                                   const Watermark& watermark) {
  const JoinedView latest{&view, offline_.scan(table), table.ties};
  const auto rows = TRY(rows_of(view, latest_statement(latest, watermark.at)));
  Materialized out{.view = view.reference(), .watermark = watermark.at};
  for (std::size_t begin = 0; begin < rows.size(); begin += batch_rows) {
    const auto end =
        rows.begin() + static_cast<std::ptrdiff_t>(std::min(begin + batch_rows, rows.size()));
    TRY(put({rows.begin() + static_cast<std::ptrdiff_t>(begin), end}, std::nullopt));
  }
  out.rows = static_cast<std::int64_t>(rows.size());
  kv::Batch batch;
  batch.put(watermark_key(view), encode_watermark({watermark.at, table.digest}));
  TRY(kv_.write(batch, kv::Durability::process));
  return out;
}

Result<Materialized> Online::materialize(const Call& call, const BoundView& bound,
                                         Timestamp until) {
  const ViewHandle& view = *bound.handle;
  Cursor& cursor = cursor_of(view);
  const std::lock_guard turn(cursor.turn);
  const auto before = TRY(watermark(view));
  Materialized out{.view = view.reference(), .watermark = until};
  if (before && until <= before->at) {
    out.watermark = before->at;
    return out;
  }
  const OfflineTable table = TRY(offline_.table(call, bound));
  if (before && before->digest != table.digest) out.rows += TRY(renew(view, table, *before)).rows;

  Timestamp moved = before ? before->at : Timestamp::min();
  if (cursor.digest != table.digest || cursor.from > moved || cursor.until < moved)
    TRY(read_ahead(view, table, moved, cursor));
  for (;;) {
    while (!cursor.rows.empty() && cursor.rows.front().arrived <= moved) cursor.rows.pop_front();
    std::vector<Pending> rows;
    while (!cursor.rows.empty() && cursor.rows.front().arrived <= until &&
           (rows.size() < batch_rows || cursor.rows.front().arrived == rows.back().arrived)) {
      rows.push_back(std::move(cursor.rows.front()));
      cursor.rows.pop_front();
    }
    const bool stretch_done = cursor.rows.empty() && !cursor.at_end && cursor.until < until;
    const bool done = (cursor.rows.empty() || cursor.rows.front().arrived > until) && !stretch_done;
    moved = done ? until : stretch_done ? cursor.until : rows.back().arrived;
    out.rows += static_cast<std::int64_t>(rows.size());
    const auto put_rows =
        put(std::move(rows),
            kv::Batch::Write{watermark_key(view), encode_watermark({moved, table.digest})});
    if (!put_rows) {
      cursor.digest.clear();  // the rows are taken and not written: read them again
      return put_rows.error();
    }
    if (done) break;
    if (stretch_done) TRY(read_ahead(view, table, moved, cursor));
  }
  cursor.from = moved;
  if (cursor.at_end) cursor.until = std::max(cursor.until, moved);
  return out;
}

Result<std::vector<std::string>> Online::keys_there(const ViewHandle& view, std::size_t limit) {
  std::vector<std::string> keys;
  TRY(kv_.scan(view.prefix + "r", view.prefix + "s", [&](std::string_view key, std::string_view) {
    if (keys.size() < limit) keys.emplace_back(key);
    return keys.size() < limit;
  }));
  return keys;
}

Result<Online::Written> Online::push(const ViewHandle& view, const std::vector<Row>& rows) {
  std::vector<Pending> pending;
  pending.reserve(rows.size());
  for (const Row& row : rows)
    pending.push_back({row.row.event_time,
                       {row.row.event_time, row.row.created_time},
                       row.key,
                       encode_row(view, row.row)});
  return put(std::move(pending), std::nullopt);
}

}  // namespace penstock::features
