#include "ports/sql.h"

#include "base/digest.h"

namespace penstock::sql {
namespace {

std::vector<std::string> statements_of(std::string_view text) {
  std::vector<std::string> out(1);
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("--")) continue;
    out.back() += std::string(line) + "\n";
    if (line.ends_with(";")) out.emplace_back();
  }
  if (out.back().find_first_not_of(" \n") == std::string::npos) out.pop_back();
  return out;
}

Result<void> apply(Tx& tx, const Migration& migration, Timestamp now) {
  const std::string digest = sha256_hex(migration.text);
  const auto rows = TRY(
      tx.run("SELECT digest FROM migrations WHERE name = $1", {std::string(migration.name)}));
  if (!rows.empty()) {
    if (std::get<std::string>(rows.front().at(0)) == digest) return {};
    return Error{Code::failed_precondition,
                 "migration " + std::string(migration.name) +
                     " was changed after this database ran it; restore the program that wrote "
                     "this data directory"};
  }
  for (const std::string& statement : statements_of(migration.text)) TRY(tx.run(statement, {}));
  TRY(tx.run("INSERT INTO migrations (name, digest, applied_at) VALUES ($1, $2, $3)",
             {std::string(migration.name), digest, to_sql(now)}));
  return {};
}

}  // namespace

Result<void> migrate(Database& db, const std::vector<Migration>& migrations, Timestamp now) {
  const Call call{.actor = "service:migrate"};
  return db.write(call, [&](Tx& tx) -> Result<void> {
    TRY(tx.run("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, digest TEXT NOT "
               "NULL, applied_at BIGINT NOT NULL)",
               {}));
    for (const Migration& migration : migrations) TRY(apply(tx, migration, now));
    return {};
  });
}

}  // namespace penstock::sql
