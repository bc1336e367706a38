#include <set>

#include "catalog/service.h"

namespace penstock::catalog {
namespace {

constexpr std::size_t rows_shown = 20;

// "$1" ... in the order in which the statement's parameters are numbered: engines refuse values
// that no parameter takes.
sql::Row parameters_of(const std::string& sql, const std::string& subject,
                       const std::string& project) {
  if (sql.find("$1") != std::string::npos) return {subject, project};
  return {project};
}

// A policy that does not look at its subject has no $1, so its $2 is the first.
std::string numbered(std::string sql) {
  if (sql.find("$1") != std::string::npos) return sql;
  for (std::size_t at = 0; (at = sql.find("$2", at)) != std::string::npos; at += 2)
    sql[at + 1] = '1';
  return sql;
}

}  // namespace

Result<std::vector<Broken>> Service::evaluate_policies(sql::Tx& tx, const Call& call,
                                                       AppliesTo applies_to,
                                                       const std::string& subject_urn) {
  std::vector<Broken> broken;
  for (const auto& resource : TRY(resources::list(tx, call.project, "policy"))) {
    const Policy policy = TRY(decode<Policy>(resource.declaration));
    if (policy.applies_to != applies_to) continue;
    TRY(check_select(policy.sql, "sql"));
    std::string sql = policy.sql;
    while (!sql.empty() &&
           (sql.back() == ';' || std::isspace(static_cast<unsigned char>(sql.back()))))
      sql.pop_back();
    const auto rows = tx.run("SELECT * FROM (\n" + numbered(sql) + "\n) AS violations LIMIT 1000",
                             parameters_of(policy.sql, subject_urn, call.project));
    if (!rows) {
      // A statement that failed ends the transaction, so nothing after it could be asked: the
      // change is refused either way.
      broken.push_back(
          {.policy = policy.name,
           .message = "the policy could not be evaluated, so it blocks: " + rows.error().message});
      break;
    }
    if (rows->empty()) continue;
    Broken& one = broken.emplace_back(
        Broken{.policy = policy.name, .severity = policy.severity, .message = policy.message});
    for (std::size_t i = 0; i < rows->size() && i < rows_shown; ++i) {
      json::array values;
      for (const Scalar& value : (*rows)[i]) values.push_back(to_json(value));
      one.rows.push_back(json::serialize(values));
    }
  }
  return broken;
}

}  // namespace penstock::catalog
