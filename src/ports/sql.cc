#include "ports/sql.h"

#include <cmath>

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
  const auto rows =
      TRY(tx.run("SELECT digest FROM migrations WHERE name = $1", {std::string(migration.name)}));
  if (!rows.empty()) {
    if (std::get<std::string>(rows.front().at(0)) == digest) return {};
    return Error{Code::failed_precondition,
                 "migration " + std::string(migration.name) +
                     " was changed after this database ran it; restore the program that wrote "
                     "this data directory"};
  }
  for (const std::string& statement : statements_of(migration.text))
    if (const auto done = tx.run(statement, {}); !done)
      return Error{done.error().code,
                   "migration " + std::string(migration.name) + ": " + done.error().message};
  TRY(tx.run("INSERT INTO migrations (name, digest, applied_at) VALUES ($1, $2, $3)",
             {std::string(migration.name), digest, to_sql(now)}));
  return {};
}

}  // namespace

Result<void> check_parameter(const Scalar& parameter) {
  if (const auto* text = std::get_if<std::string>(&parameter);
      text && text->find('\0') != text->npos)
    return Error{Code::invalid_argument, "a text must not hold a zero byte"};
  if (const auto* real = std::get_if<double>(&parameter); real && std::isnan(*real))
    return Error{Code::invalid_argument, "a number must not be NaN"};
  return {};
}

Error stopped_after(Micros time_limit) {
  return {Code::deadline_exceeded,
          "it was stopped after " + std::get<std::string>(Kind<Micros>::say(time_limit))};
}

Result<void> migrate(Database& db, const std::vector<Migration>& migrations, Timestamp now) {
  const Call call{.actor = "service:migrate"};
  TRY(db.write(call, [](Tx& tx) {
    return tx.run(
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, digest TEXT NOT NULL, "
        "applied_at BIGINT NOT NULL)",
        {});
  }));
  for (const Migration& migration : migrations)
    TRY(db.write(call, [&](Tx& tx) { return apply(tx, migration, now); }));
  return {};
}

}  // namespace penstock::sql
