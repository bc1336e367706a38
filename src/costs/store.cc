#include "costs/store.h"

#include <algorithm>
#include <array>
#include <limits>

#include "costs/packed_lines.h"

namespace penstock::costs::store {
namespace {

// How many rows one statement takes: few different texts, so that each stays prepared.
constexpr std::array<std::size_t, 4> row_counts = {256, 32, 4, 1};
constexpr std::array<std::size_t, 3> id_counts = {512, 32, 1};

constexpr std::size_t sums_max = 500'000;  // of one question
constexpr std::size_t rows_min = 64;       // of a turn of a walk
constexpr std::size_t meters_max =
    boost::mp11::mp_size<boost::describe::describe_enumerators<Meter>>::value;  // of a call

std::string marks(std::size_t from, std::size_t count) {
  std::string out;
  for (std::size_t at = 0; at < count; ++at)
    out += (at == 0 ? "$" : ", $") + std::to_string(from + at);
  return out;
}

// INSERT INTO `table`, for each count of rows.
using Inserts = std::map<std::size_t, std::string>;
Inserts inserts(const std::string& table, const std::string& columns, std::size_t width,
                const std::string& suffix = "") {
  Inserts made;
  for (const std::size_t count : row_counts) {
    std::string& text = made[count] = "INSERT INTO " + table + " (" + columns + ") VALUES ";
    for (std::size_t row = 0; row < count; ++row)
      text += (row == 0 ? "(" : ", (") + marks(row * width + 1, width) + ")";
    text += suffix;
  }
  return made;
}
template <Struct T>
Inserts inserts(const std::string& table, const std::string& suffix = "") {
  return inserts(table, columns<T>(), boost::mp11::mp_size<Members<T>>::value, suffix);
}

// `put` appends a row's values.
template <class T>
Result<void> insert_all(sql::Tx& tx, const Inserts& texts, std::span<T> rows, auto put) {
  sql::Row values;
  for (std::size_t at = 0; at < rows.size();) {
    const std::size_t count =
        *std::find_if(row_counts.begin(), row_counts.end(),
                      [&](std::size_t fits) { return fits <= rows.size() - at; });
    values.clear();
    for (T& row : rows.subspan(at, count)) put(row, values);
    TRY(tx.run(texts.at(count), values));
    at += count;
  }
  return {};
}

constexpr auto put_members = [](const auto& row, sql::Row& values) {
  for_each_member(row, [&](auto, auto& field, auto&) { values.push_back(sql::to_sql(field)); });
};

// Rows of both tables in the columns of LedgerLine and, last, what a call's row packs.
std::string from_both(const std::string& condition) {
  return "SELECT " + columns<LedgerLine>() + ", '' AS lines FROM ledger_lines WHERE " + condition +
         " UNION ALL SELECT project, source, id, meter, 0, 0, at, tenant, route, model, version, "
         "release, mode, user_tag, experiment, upstream, upstream_model, 0, 'unpriced', '0', 1, "
         "'0', '', -1, posted_at, '', lines FROM ledger_calls WHERE " +
         condition;
}

void append_lines(const LedgerLine& line, const sql::Row& row, std::vector<LedgerLine>& out) {
  const auto& packed = std::get<std::string>(row.back());
  if (packed.empty())
    out.push_back(line);
  else
    unpack(line, packed, out);
}

void sort_by_meter(std::vector<LedgerLine>& lines) {
  std::sort(lines.begin(), lines.end(), [](const LedgerLine& a, const LedgerLine& b) {
    return std::pair(name_of(a.meter), a.entry) < std::pair(name_of(b.meter), b.entry);
  });
}

// Of all that is there of some meters, the lines that stand: the last of each, but for one that
// only takes back.
void append_standing(std::vector<LedgerLine>& lines, std::vector<LedgerLine>& out) {
  sort_by_meter(lines);
  for (std::size_t at = 0; at < lines.size(); ++at) {
    const bool last = at + 1 == lines.size() || lines[at + 1].meter != lines[at].meter;
    if (last && lines[at].entry % 2 == 0) out.push_back(std::move(lines[at]));
  }
  lines.clear();
}

// At least `wanted` standing lines, if there are so many. `rows` gives at most so many rows, in the
// order of their groups, from the group of a line on; `same` says whether two are of one group. A
// group holds all that is there of its meters.
template <class Rows>
Result<std::vector<LedgerLine>> walk(LedgerLine place, std::size_t wanted, Rows rows, auto same) {
  std::vector<LedgerLine> out, group;
  for (auto rows_max = static_cast<std::int64_t>(std::max(wanted / 2, rows_min));;) {
    const std::vector<sql::Row> found = TRY(rows(place, rows_max));
    const bool more = static_cast<std::int64_t>(found.size()) == rows_max;
    bool moved = false;
    for (const sql::Row& row : found) {
      auto line = sql::read_row<LedgerLine>(row);
      if (!group.empty() && !same(group.front(), line)) {
        moved = true;
        append_standing(group, out);
        if (out.size() >= wanted) return out;
      }
      append_lines(line, row, group);
    }
    if (!more) break;
    // The last group may go on. One that fills all the rows needs more of them.
    place = std::move(group.front());
    group.clear();
    if (!moved) rows_max *= 2;
  }
  append_standing(group, out);
  return out;
}

// Adds the row that was to be inserted to the one that is there.
std::string added_amount(const std::string& table) {
  const std::string fractions = "(" + table + ".fraction + excluded.fraction)";
  return "whole = " + table + ".whole + excluded.whole + " + fractions +
         " / 1000000000000, fraction = " + fractions + " % 1000000000000";
}

std::int64_t whole_number(const Scalar& scalar) {
  if (const auto* number = std::get_if<std::int64_t>(&scalar)) return *number;
  return 0;
}

// Sums are taken in two halves, so that no number of rows overflows.
constexpr std::string_view amount_columns =
    "SUM(quantity / 1000000), SUM(quantity % 1000000), SUM(whole), SUM(fraction / 1000000), "
    "SUM(fraction % 1000000)";

Wide halves_at(const sql::Row& row, std::size_t first) {
  return Wide{whole_number(row.at(first))} * 1'000'000 + whole_number(row.at(first + 1));
}

// Of more than a whole number holds, the most that it does.
std::int64_t quantity_at(const sql::Row& row, std::size_t first) {
  using Limits = std::numeric_limits<std::int64_t>;
  return static_cast<std::int64_t>(
      std::clamp<Wide>(halves_at(row, first), Limits::min(), Limits::max()));
}

Money money_at(const sql::Row& row, std::size_t first) {
  Money amount = Money::whole(whole_number(row.at(first)));
  amount.units += halves_at(row, first + 1);
  return amount;
}

}  // namespace

Money money_of(std::int64_t whole, std::int64_t fraction) {
  return {Wide{whole} * Money::per_whole + fraction};
}

Result<std::vector<std::pair<std::string, Meter>>> known(sql::Tx& tx, const std::string& project,
                                                         const std::string& source,
                                                         std::span<const std::string_view> ids) {
  // A list that is joined: SQLite would sort the one of an IN first. And its bounds, which tell
  // nothing new: PostgreSQL, before it has statistics of a new table, reads all of the source else.
  // They are the database's own, since its order of texts may be another than ours.
  // SQLite, which would rather go by bounds than by the id itself, takes none of a NOT.
  static const auto within = [](const std::string& table) {
    return " AND NOT (" + table + ".id < (SELECT MIN(id) FROM asked)) AND NOT (" + table +
           ".id > (SELECT MAX(id) FROM asked))";
  };
  static const std::map<std::size_t, std::string> texts = [] {
    std::map<std::size_t, std::string> made;
    for (const std::size_t count : id_counts) {
      std::string asked = "($3)";
      for (std::size_t at = 1; at < count; ++at) asked += ", ($" + std::to_string(at + 3) + ")";
      made[count] = "WITH asked (id) AS (VALUES " + asked +
                    ") SELECT l.id, l.meter, '' FROM asked CROSS JOIN ledger_lines AS l WHERE "
                    "l.project = $1 AND l.source = $2 AND l.id = asked.id AND l.entry = 0" +
                    within("l") +
                    " UNION "
                    "ALL SELECT c.id, '', c.lines FROM asked CROSS JOIN ledger_calls AS c WHERE "
                    "c.project = $1 AND c.source = $2 AND c.id = asked.id" +
                    within("c");
    }
    return made;
  }();
  std::vector<std::pair<std::string, Meter>> out;
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t left = ids.size() - at;
    std::size_t count = id_counts.front();
    for (const std::size_t fits : id_counts)
      if (fits >= left) count = fits;
    sql::Row values{project, source};
    values.reserve(count + 2);
    // Where fewer are left than the statement takes, the last one is asked for again.
    for (std::size_t place = 0; place < count; ++place)
      values.emplace_back(std::string(ids[at + std::min(place, left - 1)]));
    for (const sql::Row& row : TRY(tx.run(texts.at(count), values))) {
      const auto& id = std::get<std::string>(row.at(0));
      const auto& packed = std::get<std::string>(row.at(2));
      if (packed.empty()) sql::from_sql(row.at(1), out.emplace_back(id, Meter{}).second);
      for (const Meter meter : packed.empty() ? std::vector<Meter>{} : packed_meters(packed))
        out.emplace_back(id, meter);
    }
    at += std::min(count, left);
  }
  return out;
}

Result<void> insert_calls(sql::Tx& tx, const std::string& project, Timestamp posted_at,
                          std::span<CallRow> rows) {
  static const Inserts texts =
      inserts("ledger_calls",
              "project, source, id, meter, at, tenant, route, model, version, release, mode, "
              "user_tag, experiment, upstream, upstream_model, posted_at, lines",
              17);
  return insert_all(tx, texts, rows, [&](CallRow& row, sql::Row& values) {
    const Usage& of = *row.usage;
    values.emplace_back(project);
    values.emplace_back(of.source);
    values.emplace_back(of.id);
    values.push_back(sql::to_sql(of.meter));
    values.push_back(sql::to_sql(of.at));
    for (const std::string* text : {&of.tenant, &of.route, &of.model}) values.emplace_back(*text);
    values.emplace_back(of.version);
    values.emplace_back(of.release);
    values.push_back(sql::to_sql(of.mode));
    for (const std::string* text : {&of.user_tag, &of.experiment, &of.upstream, &of.upstream_model})
      values.emplace_back(*text);
    values.push_back(sql::to_sql(posted_at));
    values.emplace_back(std::move(row.lines));
  });
}

Result<void> insert_lines(sql::Tx& tx, std::span<const LedgerLine> lines) {
  static const Inserts texts = inserts<LedgerLine>("ledger_lines");
  return insert_all(tx, texts, lines, put_members);
}

Result<std::vector<LedgerLine>> lines(sql::Tx& tx, const std::string& project,
                                      const std::string& source, const std::string& id) {
  static const std::string text = from_both("project = $1 AND source = $2 AND id = $3");
  std::vector<LedgerLine> out;
  for (const sql::Row& row : TRY(tx.run(text, {project, source, id})))
    append_lines(sql::read_row<LedgerLine>(row), row, out);
  sort_by_meter(out);
  return out;
}

Result<std::vector<LedgerLine>> standing(sql::Tx& tx, const std::string& project, Timestamp from,
                                         Timestamp until, const std::optional<Position>& after,
                                         std::int64_t limit) {
  static const std::string text = from_both(
                                      "project = $1 AND at >= $2 AND at < $3 AND (at, "
                                      "source, id) >= ($2, $4, $5)") +
                                  " ORDER BY at, source, id LIMIT $6";
  const Position start = after.value_or(Position{.at = from});
  const auto is_at = [](const LedgerLine& line, const auto& place) {
    return line.at == place.at && line.source == place.source && line.id == place.id;
  };
  auto out = TRY(walk(
      LedgerLine{.source = start.source, .id = start.id, .at = start.at},
      static_cast<std::size_t>(limit) + meters_max,
      [&](const LedgerLine& place, std::int64_t rows) {
        return tx.run(text, {project, sql::to_sql(place.at), sql::to_sql(until), place.source,
                             place.id, rows});
      },
      [&](const LedgerLine& a, const LedgerLine& b) { return is_at(a, b); }));
  // The walk begins with the call of `after`.
  if (after)
    std::erase_if(out, [&](const LedgerLine& line) {
      return is_at(line, *after) && name_of(line.meter) <= name_of(after->meter);
    });
  if (out.size() > static_cast<std::size_t>(limit)) out.resize(static_cast<std::size_t>(limit));
  return out;
}

Result<std::vector<LedgerLine>> standing_of(sql::Tx& tx, const std::string& project,
                                            const std::string& source, const std::string& id,
                                            std::int64_t limit) {
  static const std::string text =
      from_both("project = $1 AND source = $2 AND id >= $3") + " ORDER BY id LIMIT $4";
  std::vector<LedgerLine> out;
  if (!id.empty()) {
    auto all = TRY(lines(tx, project, source, id));
    append_standing(all, out);
  } else {
    out = TRY(walk(
        LedgerLine{}, static_cast<std::size_t>(limit),
        [&](const LedgerLine& place, std::int64_t rows) {
          return tx.run(text, {project, source, place.id, rows});
        },
        [](const LedgerLine& a, const LedgerLine& b) { return a.id == b.id; }));
  }
  if (out.size() > static_cast<std::size_t>(limit)) out.resize(static_cast<std::size_t>(limit));
  return out;
}

Result<std::map<std::string, std::int64_t>> used_before(sql::Tx& tx, const std::string& project,
                                                        const std::string& model,
                                                        const Position& before, Timestamp from) {
  std::map<std::string, std::int64_t> out;
  for (const sql::Row& row : TRY(tx.run(
           "SELECT tenant, SUM(quantity) FROM ledger_lines WHERE project = $1 AND at >= $2 AND at "
           "<= $3 AND (at, source, id) < ($3, $4, $5) AND meter = $6 AND model = $7 GROUP BY "
           "tenant",
           {project, sql::to_sql(from), sql::to_sql(before.at), before.source, before.id,
            sql::to_sql(before.meter), model})))
    out[std::get<std::string>(row.at(0))] = whole_number(row.at(1));
  // What is packed no database adds up.
  constexpr std::int64_t rows_max = 10'000;
  LedgerLine call{.at = from};
  std::string first_meter;
  std::vector<LedgerLine> lines;
  for (bool more = true; more;) {
    const auto rows = TRY(tx.run(
        "SELECT at, source, id, meter, tenant, lines FROM ledger_calls WHERE project = $1 AND at "
        ">= $2 AND at <= $3 AND (at, source, id) < ($3, $4, $5) AND (at, source, id, meter) > "
        "($2, $6, $7, $8) AND model = $9 ORDER BY at, source, id, meter LIMIT $10",
        {project, sql::to_sql(call.at), sql::to_sql(before.at), before.source, before.id,
         call.source, call.id, first_meter, model, rows_max}));
    for (const sql::Row& row : rows) {
      sql::from_sql(row.at(4), call.tenant);
      lines.clear();
      unpack(call, std::get<std::string>(row.at(5)), lines);
      for (const LedgerLine& line : lines)
        if (line.meter == before.meter) out[line.tenant] += line.quantity;
    }
    more = static_cast<std::int64_t>(rows.size()) == rows_max;
    if (rows.empty()) break;
    sql::from_sql(rows.back().at(0), call.at);
    sql::from_sql(rows.back().at(1), call.source);
    sql::from_sql(rows.back().at(2), call.id);
    sql::from_sql(rows.back().at(3), first_meter);
  }
  return out;
}

Result<void> add(sql::Tx& tx, std::span<const HourSum> sums) {
  static const std::string suffix =
      " ON CONFLICT (project, hour, tenant, route, model, version, release, mode, user_tag, "
      "experiment, upstream, upstream_model, meter, pricing) DO UPDATE SET quantity = "
      "ledger_hours.quantity + excluded.quantity, " +
      added_amount("ledger_hours");
  static const Inserts texts = inserts<HourSum>("ledger_hours", suffix);
  return insert_all(tx, texts, sums, put_members);
}

Result<void> add(sql::Tx& tx, std::span<const Spending> spending) {
  static const std::string suffix =
      " ON CONFLICT (project, hour, tenant, route, model) DO UPDATE SET " +
      added_amount("ledger_spending");
  static const Inserts texts = inserts<Spending>("ledger_spending", suffix);
  return insert_all(tx, texts, spending, put_members);
}

Result<std::vector<Total>> totals(sql::Tx& tx, const std::string& project, std::int64_t from,
                                  std::int64_t until) {
  static const std::string text =
      "SELECT " + columns<Spending>() +
      " FROM ledger_spending WHERE project = $1 AND hour >= $2 AND hour < $3 ORDER BY hour";
  std::vector<Total> out;
  for (Spending& one : TRY(sql::select<Spending>(tx, text, {project, from, until})))
    out.push_back({.project = project,
                   .hour = one.hour,
                   .tenant = std::move(one.tenant),
                   .route = std::move(one.route),
                   .model = std::move(one.model),
                   .amount = money_of(one.whole, one.fraction)});
  return out;
}

Result<std::vector<Sum>> sums(sql::Tx& tx, const std::string& project, std::int64_t from,
                              std::int64_t until, const std::vector<std::string>& keys,
                              std::string_view condition, const sql::Row& more) {
  std::string names;
  for (const std::string& key : keys) names += (names.empty() ? "" : ", ") + key;
  const std::string text =
      "SELECT " + (names.empty() ? "" : names + ", ") + std::string(amount_columns) +
      " FROM ledger_hours WHERE project = $1 AND hour >= $2 AND hour < $3" +
      std::string(condition) + (names.empty() ? "" : " GROUP BY " + names + " ORDER BY " + names);
  std::vector<Sum> out;
  sql::Row values{project, from, until};
  values.insert(values.end(), more.begin(), more.end());
  auto rows = TRY(tx.run(text, values));
  if (rows.size() > sums_max)
    return Error{Code::resource_exhausted, "the period has more than " + std::to_string(sums_max) +
                                               " sums of this kind: ask for a shorter one, or by "
                                               "other dimensions"};
  for (sql::Row& row : rows) {
    Sum& sum = out.emplace_back();
    sum.quantity = quantity_at(row, keys.size());
    sum.amount = money_at(row, keys.size() + 2);
    row.resize(keys.size());
    sum.keys = std::move(row);
  }
  return out;
}

}  // namespace penstock::costs::store
