#include "features/pushed_rows.h"

#include <charconv>

#include "audit/audit.h"
#include "base/digest.h"
#include "features/row_reader.h"
#include "features/windows/entity.h"

namespace penstock::features {
namespace {

constexpr std::int64_t page_rows = 5'000;
// Of one statement: so many or one, so that connections keep two of each kind and not hundreds.
constexpr std::size_t rows_at_once = 100;

std::string hex(std::uint64_t number) {
  char text[16];
  return {text, std::to_chars(text, text + sizeof text, number, 16).ptr};
}

// By the times that were given: those of a second call are the same.
std::optional<std::string> event_id_of(const ViewHandle& view, const Online::Row& row,
                                       const std::map<std::string, std::string>& keys) {
  if (!view.windows) return {};
  const windows::Event event{row.row.event_time, row.row.created_time,
                             std::max(row.row.event_time, row.row.created_time), row.row.values};
  const auto id = windows::id_of(event, row.event_id);
  return sha256_hex(json::serialize(encode(keys)) + " " + hex(id[0]) + " " + hex(id[1]));
}

// Of entities that were erased, by the truth of the database.
class Erased {
 public:
  static Result<Erased> open(sql::Tx& tx, const std::string& project, const ViewHandle& view) {
    Erased out(tx, project, view);
    const auto rows =
        TRY(tx.run("SELECT DISTINCT view, keys, salt FROM feature_erasures WHERE project = $1 AND "
                   "(view = '' OR view = $2)",
                   {project, view.view.name}));
    for (const sql::Row& row : rows) {
      Set& set = out.sets_.emplace_back();
      sql::from_sql(row.at(0), set.view);
      sql::from_sql(row.at(1), set.keys);
      sql::from_sql(row.at(2), set.salt);
    }
    return out;
  }

  Result<bool> holds(const std::map<std::string, std::string>& keys, Timestamp event_time) {
    for (const Set& set : sets_) {
      std::map<std::string, std::string> values;
      for (const std::string& name : set.keys)
        if (const auto found = keys.find(name); found != keys.end()) values.insert(*found);
      if (values.size() < set.keys.size()) continue;  // of entities with other keys
      const auto found =
          TRY(tx_.run("SELECT erased_at FROM feature_erasures WHERE project = $1 AND view = $2 AND "
                      "keys = $3 AND entity = $4",
                      {project_, set.view, sql::to_sql(set.keys), entity_hash(set.salt, values)}));
      if (found.empty()) continue;
      Timestamp until;
      sql::from_sql(found.front().at(0), until);
      if (event_time <= until) return true;
    }
    return false;
  }

 private:
  struct Set {
    std::string view;
    std::vector<std::string> keys;
    std::string salt;
  };
  Erased(sql::Tx& tx, std::string project, const ViewHandle&)
      : tx_(tx), project_(std::move(project)) {}

  sql::Tx& tx_;
  const std::string project_;
  std::vector<Set> sets_;
};

Result<void> put_counts(sql::Tx& tx, const PushedCounts& counts) {
  return sql::insert(tx, "feature_pushed_counts", counts,
                     "ON CONFLICT (project, view) DO UPDATE SET row_count = excluded.row_count, "
                     "last_number = excluded.last_number, last_at = excluded.last_at, changes = "
                     "excluded.changes");
}

Error too_many(const ViewHandle& view) {
  return {Code::resource_exhausted,
          "feature view " + view.view.name + " holds " + std::to_string(pushed_rows_max) +
              " rows that were pushed offline, which is the limit: write them to its sources, and "
              "push to online alone; nothing was written",
          {{"rows", "are more than a view keeps"}}};
}

// $1, $2, ...: `count` of them, from `first` on.
std::string marks(std::size_t first, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += (i == 0 ? "$" : ", $") + std::to_string(first + i);
  return out;
}

// Rows in the order in which they are kept: of two of one entity and event time the later one
// counts, as it does online, for it is kept a microsecond later.
class Keeper {
 public:
  Keeper(sql::Tx& tx, const Call& call, const ViewHandle& view, PushedCounts counts, Erased erased,
         Timestamp now)
      : tx_(tx),
        call_(call),
        view_(view),
        counts_(std::move(counts)),
        erased_(std::move(erased)),
        now_(std::max(now, counts_.last_at + Micros(1))) {}

  // When events that are there already were kept.
  Result<void> look_up(const std::vector<Online::Row>& rows) {
    std::vector<std::string> ids;
    for (const Online::Row& row : rows)
      if (auto id = event_id_of(view_, row, keys_of(row))) ids.push_back(std::move(*id));
    for (std::size_t begin = 0; begin < ids.size(); begin += rows_at_once) {
      const std::size_t count = ids.size() == 1 ? 1 : rows_at_once;
      sql::Row parameters{call_.project, view_.view.name};
      for (std::size_t i = begin; i < begin + count; ++i)
        parameters.emplace_back(ids[std::min(i, ids.size() - 1)]);
      for (const sql::Row& row : TRY(tx_.run(
               "SELECT id, pushed_at FROM feature_pushed_rows WHERE project = $1 AND view = $2 AND "
               "id IN (" +
                   marks(3, count) + ")",
               parameters)))
        sql::from_sql(row.at(1), first_[std::get<std::string>(row.at(0))]);
    }
    return {};
  }

  Result<std::optional<Timestamp>> keep(const Online::Row& row, const json::object& given) {
    std::map<std::string, std::string> keys = keys_of(row);
    if (TRY(erased_.holds(keys, row.row.event_time))) return std::optional<Timestamp>();
    auto id = event_id_of(view_, row, keys);
    if (id)
      if (const auto there = first_.find(*id); there != first_.end())
        return std::optional(there->second);
    if (counts_.row_count >= pushed_rows_max) return too_many(view_);
    ++counts_.row_count;
    ++kept;
    const Timestamp at = now_ + Micros(seen_[{row.key, row.row.event_time}]++);
    counts_.last_at = std::max(counts_.last_at, at);
    if (id) first_[*id] = at;
    fresh_.push_back({.project = call_.project,
                      .view = view_.view.name,
                      .number = ++counts_.last_number,
                      .id = std::move(id),
                      .keys = std::move(keys),
                      .event_time = row.row.event_time,
                      .pushed_at = at,
                      .row_text = json::serialize(given)});
    if (fresh_.size() == rows_at_once) TRY(insert(std::exchange(fresh_, {})));
    return std::optional(at);
  }

  Result<void> end() {
    if (kept == 0) return {};
    for (PushedRow& row : fresh_) TRY(insert({std::move(row)}));
    ++counts_.changes;
    TRY(put_counts(tx_, counts_));
    return audit::record(tx_, call_, now_,
                         {"features.rows.pushed",
                          view_.urn(),
                          {{"rows", kept}, {"last_number", counts_.last_number}}});
  }

  std::int64_t kept = 0;

 private:
  std::map<std::string, std::string> keys_of(const Online::Row& row) const {
    std::map<std::string, std::string> keys;
    const auto spelt_keys = keys_in(view_, row.key);
    for (std::size_t i = 0; i < view_.keys.size(); ++i) keys[view_.keys[i].name] = spelt_keys.at(i);
    return keys;
  }

  Result<void> insert(const std::vector<PushedRow>& rows) {
    std::string values;
    sql::Row parameters;
    for (const PushedRow& row : rows) {
      const std::size_t before = parameters.size();
      for_each_member(row,
                      [&](auto, auto& field, auto&) { parameters.push_back(sql::to_sql(field)); });
      values +=
          (values.empty() ? "(" : ", (") + marks(before + 1, parameters.size() - before) + ")";
    }
    TRY(tx_.run("INSERT INTO feature_pushed_rows (" + columns<PushedRow>() + ") VALUES " + values,
                parameters));
    return {};
  }

  sql::Tx& tx_;
  const Call& call_;
  const ViewHandle& view_;
  PushedCounts counts_;
  Erased erased_;
  const Timestamp now_;
  std::map<std::pair<std::string, Timestamp>, std::int64_t> seen_;
  std::map<std::string, Timestamp> first_;  // by id
  std::vector<PushedRow> fresh_;            // that are not inserted yet
};

}  // namespace

std::string PushedCounts::state() const {
  return row_count == 0 ? "" : "pushed " + std::to_string(changes);
}

Result<PushedCounts> pushed_counts(sql::Tx& tx, const std::string& project,
                                   const std::string& view) {
  auto rows = TRY(
      sql::select<PushedCounts>(tx,
                                "SELECT " + columns<PushedCounts>() +
                                    " FROM feature_pushed_counts WHERE project = $1 AND view = $2",
                                {project, view}));
  if (!rows.empty()) return std::move(rows.front());
  return PushedCounts{.project = project, .view = view};
}

Result<KeptRows> keep_pushed_rows(sql::Database& db, const Clock& clock, const Call& call,
                                  const ViewHandle& view, const std::vector<Online::Row>& rows,
                                  const std::vector<const json::object*>& given) {
  return db.write(call, [&](sql::Tx& tx) -> Result<KeptRows> {
    KeptRows out;
    Keeper keeper(tx, call, view, TRY(pushed_counts(tx, call.project, view.view.name)),
                  TRY(Erased::open(tx, call.project, view)), clock.now());
    TRY(keeper.look_up(rows));
    for (std::size_t i = 0; i < rows.size(); ++i)
      out.at.push_back(TRY(keeper.keep(rows[i], *given[i])));
    TRY(keeper.end());
    out.kept = keeper.kept;
    return out;
  });
}

Result<void> forget_pushed_rows(
    sql::Tx& tx, const std::string& project, const std::string& view,
    const std::function<std::optional<Timestamp>(const std::map<std::string, std::string>& keys)>&
        until) {
  PushedCounts counts = TRY(pushed_counts(tx, project, view));
  if (counts.row_count == 0) return {};
  const std::int64_t before = counts.row_count;
  for (std::int64_t after = 0;;) {
    const auto rows = TRY(tx.run(
        "SELECT number, keys, event_time FROM feature_pushed_rows WHERE project = $1 AND view = $2 "
        "AND number > $3 ORDER BY number LIMIT " +
            std::to_string(page_rows),
        {project, view, after}));
    for (const sql::Row& row : rows) {
      std::map<std::string, std::string> keys;
      Timestamp event_time;
      sql::from_sql(row.at(0), after);
      sql::from_sql(row.at(1), keys);
      sql::from_sql(row.at(2), event_time);
      const auto gone = until(keys);
      if (!gone || event_time > *gone) continue;
      TRY(tx.run("DELETE FROM feature_pushed_rows WHERE project = $1 AND view = $2 AND number = $3",
                 {project, view, after}));
      --counts.row_count;
    }
    if (static_cast<std::int64_t>(rows.size()) < page_rows) break;
  }
  if (counts.row_count == before) return {};
  ++counts.changes;
  return put_counts(tx, counts);
}

}  // namespace penstock::features
