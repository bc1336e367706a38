#include "costs/store.h"

namespace penstock::costs::store {

Result<bool> insert_line(sql::Tx& tx, const LedgerLine& line) {
  sql::Row row;
  std::string marks;
  for_each_member(line, [&](auto, auto& field, auto&) {
    row.push_back(sql::to_sql(field));
    marks += (marks.empty() ? "$" : ", $") + std::to_string(row.size());
  });
  static const std::string text =
      "INSERT INTO ledger_lines (" + columns<LedgerLine>() + ") VALUES (" + marks +
      ") ON CONFLICT (project, source, id, meter) DO NOTHING RETURNING id";
  return !TRY(tx.run(text, row)).empty();
}

Result<std::vector<LedgerLine>> lines(sql::Tx& tx, const std::string& project,
                                      const std::string& source, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<LedgerLine>() +
      " FROM ledger_lines WHERE project = $1 AND source = $2 AND id = $3 ORDER BY meter";
  return sql::select<LedgerLine>(tx, text, {project, source, id});
}

Result<void> add_total(sql::Tx& tx, const Total& total) {
  const sql::Row key{
      total.project,           total.hour, total.tenant, total.route, total.model, total.version,
      sql::to_sql(total.meter)};
  const std::string where =
      " WHERE project = $1 AND hour = $2 AND tenant = $3 AND route = $4 AND model = $5 AND version "
      "= $6 AND meter = $7";
  const auto rows = TRY(tx.run("SELECT quantity, amount FROM ledger_totals" + where, key));
  if (rows.empty()) return sql::insert(tx, "ledger_totals", total);
  Money amount;
  sql::from_sql(rows[0].at(1), amount);
  sql::Row changed = key;
  changed.emplace_back(std::get<std::int64_t>(rows[0].at(0)) + total.quantity);
  changed.push_back(sql::to_sql(amount + total.amount));
  TRY(tx.run("UPDATE ledger_totals SET quantity = $8, amount = $9" + where, changed));
  return {};
}

Result<std::vector<Total>> totals(sql::Tx& tx, const std::string& project, std::int64_t from,
                                  std::int64_t until) {
  static const std::string text =
      "SELECT " + columns<Total>() +
      " FROM ledger_totals WHERE project = $1 AND hour >= $2 AND hour < $3 ORDER BY hour";
  return sql::select<Total>(tx, text, {project, from, until});
}

}  // namespace penstock::costs::store
