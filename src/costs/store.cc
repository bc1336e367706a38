#include "costs/store.h"

#include <algorithm>
#include <array>

namespace penstock::costs::store {
namespace {

// How many rows one statement takes: few different texts, so that each stays prepared.
constexpr std::array<std::size_t, 4> row_counts = {256, 32, 4, 1};
constexpr std::array<std::size_t, 3> id_counts = {512, 32, 1};

constexpr std::size_t sums_max = 500'000;  // of one question

std::string marks(std::size_t from, std::size_t count) {
  std::string out;
  for (std::size_t at = 0; at < count; ++at)
    out += (at == 0 ? "$" : ", $") + std::to_string(from + at);
  return out;
}

template <class T>
constexpr std::size_t width = boost::mp11::mp_size<Members<T>>::value;

template <class T>
Result<void> insert_all(sql::Tx& tx, const char* table, std::span<const T> rows,
                        const std::string& suffix) {
  static std::map<std::size_t, std::string> texts = [&] {
    std::map<std::size_t, std::string> made;
    for (const std::size_t count : row_counts) {
      std::string text = "INSERT INTO " + std::string(table) + " (" + columns<T>() + ") VALUES ";
      for (std::size_t row = 0; row < count; ++row)
        text += (row == 0 ? "(" : ", (") + marks(row * width<T> + 1, width<T>) + ")";
      made[count] = text + suffix;
    }
    return made;
  }();
  sql::Row values;
  for (std::size_t at = 0; at < rows.size();) {
    const std::size_t count =
        *std::find_if(row_counts.begin(), row_counts.end(),
                      [&](std::size_t fits) { return fits <= rows.size() - at; });
    values.clear();
    values.reserve(count * width<T>);
    for (const T& row : rows.subspan(at, count))
      for_each_member(row, [&](auto, auto& field, auto&) { values.push_back(sql::to_sql(field)); });
    TRY(tx.run(texts.at(count), values));
    at += count;
  }
  return {};
}

const std::string stands =
    " AND entry % 2 = 0 AND NOT EXISTS (SELECT 1 FROM ledger_lines AS later WHERE later.project = "
    "ledger_lines.project AND later.source = ledger_lines.source AND later.id = ledger_lines.id "
    "AND later.meter = ledger_lines.meter AND later.entry > ledger_lines.entry)";

// Adds the row that was to be inserted to the one that is there.
std::string added_amount(const std::string& table) {
  const std::string fractions = "(" + table + ".fraction + excluded.fraction)";
  return "whole = " + table + ".whole + excluded.whole + " + fractions +
         " / 1000000000000, fraction = " + fractions + " % 1000000000000";
}

// A database's sum of many integers may come as text.
std::int64_t whole_number(const Scalar& scalar) {
  if (const auto* number = std::get_if<std::int64_t>(&scalar)) return *number;
  return 0;
}

// The sums of fractions are taken in two halves, so that no number of rows overflows.
constexpr std::string_view amount_columns =
    "SUM(quantity), SUM(whole), SUM(fraction / 1000000), SUM(fraction % 1000000)";

Money money_at(const sql::Row& row, std::size_t first) {
  Money amount = Money::whole(whole_number(row.at(first)));
  amount.units +=
      Wide{whole_number(row.at(first + 1))} * 1'000'000 + whole_number(row.at(first + 2));
  return amount;
}

}  // namespace

Money money_of(std::int64_t whole, std::int64_t fraction) {
  return {Wide{whole} * Money::per_whole + fraction};
}

Result<std::set<std::pair<std::string, Meter>>> known(sql::Tx& tx, const std::string& project,
                                                      const std::string& source,
                                                      std::span<const std::string> ids) {
  std::set<std::pair<std::string, Meter>> out;
  for (std::size_t at = 0; at < ids.size();) {
    const std::size_t left = ids.size() - at;
    std::size_t count = id_counts.front();
    for (const std::size_t fits : id_counts)
      if (fits >= left) count = fits;
    sql::Row values{project, source};
    // Where fewer are left than the statement takes, the last one is asked for again.
    for (std::size_t place = 0; place < count; ++place)
      values.emplace_back(ids[at + std::min(place, left - 1)]);
    for (const sql::Row& row :
         TRY(tx.run("SELECT id, meter FROM ledger_lines WHERE project = $1 AND source = $2 AND id "
                    "IN (" +
                        marks(3, count) + ") AND entry = 0",
                    values))) {
      Meter meter{};
      sql::from_sql(row.at(1), meter);
      out.emplace(std::get<std::string>(row.at(0)), meter);
    }
    at += std::min(count, left);
  }
  return out;
}

Result<void> insert_lines(sql::Tx& tx, std::span<const LedgerLine> lines) {
  return insert_all(tx, "ledger_lines", lines, "");
}

Result<std::vector<LedgerLine>> lines(sql::Tx& tx, const std::string& project,
                                      const std::string& source, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<LedgerLine>() +
      " FROM ledger_lines WHERE project = $1 AND source = $2 AND id = $3 ORDER BY meter, entry";
  return sql::select<LedgerLine>(tx, text, {project, source, id});
}

Result<std::vector<LedgerLine>> standing(sql::Tx& tx, const std::string& project, Timestamp from,
                                         Timestamp until, const std::optional<Position>& after,
                                         std::int64_t limit) {
  static const std::string text = "SELECT " + columns<LedgerLine>() +
                                  " FROM ledger_lines WHERE project = $1 AND at >= $2 AND at < $3 "
                                  "AND (at, source, id, meter) > "
                                  "($4, $5, $6, $7)" +
                                  stands + " ORDER BY at, source, id, meter LIMIT $8";
  const Position start = after.value_or(Position{.at = from});
  return sql::select<LedgerLine>(
      tx, text,
      {project, sql::to_sql(start.at), sql::to_sql(until), sql::to_sql(start.at), start.source,
       start.id, after ? sql::to_sql(start.meter) : Scalar(std::string()), limit});
}

Result<std::vector<LedgerLine>> standing_of(sql::Tx& tx, const std::string& project,
                                            const std::string& source, const std::string& id,
                                            std::int64_t limit) {
  static const std::string text = "SELECT " + columns<LedgerLine>() +
                                  " FROM ledger_lines WHERE project = $1 AND source = $2 AND ($3 = "
                                  "'' OR id = $3)" +
                                  stands + " ORDER BY id, meter LIMIT $4";
  return sql::select<LedgerLine>(tx, text, {project, source, id, limit});
}

Result<std::map<std::string, std::int64_t>> used_before(sql::Tx& tx, const LedgerLine& before,
                                                        Timestamp from) {
  std::map<std::string, std::int64_t> out;
  for (const sql::Row& row : TRY(tx.run(
           "SELECT tenant, SUM(quantity) FROM ledger_lines WHERE project = $1 AND at >= $2 AND at "
           "<= $3 AND (at, source, id) < ($3, $4, $5) AND meter = $6 AND model = $7 GROUP BY "
           "tenant",
           {before.project, sql::to_sql(from), sql::to_sql(before.at), before.source, before.id,
            sql::to_sql(before.meter), before.model})))
    out[std::get<std::string>(row.at(0))] = whole_number(row.at(1));
  return out;
}

Result<void> add(sql::Tx& tx, std::span<const HourSum> sums) {
  static const std::string suffix =
      " ON CONFLICT (project, hour, tenant, route, model, version, release, mode, user_tag, "
      "experiment, upstream, upstream_model, meter, pricing) DO UPDATE SET quantity = "
      "ledger_hours.quantity + excluded.quantity, " +
      added_amount("ledger_hours");
  return insert_all(tx, "ledger_hours", sums, suffix);
}

Result<void> add(sql::Tx& tx, std::span<const Spending> spending) {
  static const std::string suffix =
      " ON CONFLICT (project, hour, tenant, route, model) DO UPDATE SET " +
      added_amount("ledger_spending");
  return insert_all(tx, "ledger_spending", spending, suffix);
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
    sum.quantity = whole_number(row.at(keys.size()));
    sum.amount = money_at(row, keys.size() + 1);
    row.resize(keys.size());
    sum.keys = std::move(row);
  }
  return out;
}

}  // namespace penstock::costs::store
