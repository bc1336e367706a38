#include "features/erasure.h"

#include <algorithm>

#include "base/digest.h"
#include "ports/olap.h"

namespace penstock::features {
namespace {

bool holds_for(const std::vector<std::string>& keys, const ViewHandle& view) {
  return std::all_of(keys.begin(), keys.end(), [&](const std::string& name) {
    return std::any_of(view.keys.begin(), view.keys.end(),
                       [&](const catalog::JoinKey& key) { return key.name == name; });
  });
}

catalog::ColumnType type_of(const ViewHandle& view, const std::string& name) {
  for (const catalog::JoinKey& key : view.keys)
    if (key.name == name) return key.type;
  return catalog::ColumnType::text;
}

// What entity_hash hashes, as SQL. Lengths stand before values, so that none can pretend to be two.
std::string hashed_sql(const ViewHandle& view, const std::vector<std::string>& keys,
                       const std::string& salt) {
  std::string text = olap::quoted_text(salt);
  for (const std::string& name : keys) {
    const catalog::ColumnType type = type_of(view, name);
    std::string value = "penstock_rows." + olap::quoted_name(name);
    if (type == catalog::ColumnType::bigint) value = "CAST(" + value + " AS BIGINT)";
    if (type == catalog::ColumnType::boolean) value = "CAST(" + value + " AS BOOLEAN)";
    value = "CAST(" + value + " AS VARCHAR)";
    text += " || " + olap::quoted_text("|" + name + "|") + " || strlen(" + value + ") || '|' || " +
            value;
  }
  return "sha256(" + text + ")";
}

}  // namespace

std::string entity_hash(const std::string& salt, const std::map<std::string, std::string>& values) {
  std::string text = salt;
  for (const auto& [name, value] : values)
    text += "|" + name + "|" + std::to_string(value.size()) + "|" + value;
  return sha256_hex(text);
}

Result<std::string> erasures_state(sql::Tx& tx, const std::string& project,
                                   const ViewHandle& view) {
  const auto rows = TRY(tx.run(
      "SELECT keys, count(*), max(number) FROM feature_erasures WHERE project = $1 AND (view = '' "
      "OR view = $2) GROUP BY keys ORDER BY keys",
      {project, view.view.name}));
  std::string state;
  for (const sql::Row& row : rows) {
    std::vector<std::string> keys;
    sql::from_sql(row.at(0), keys);
    if (!holds_for(keys, view)) continue;
    state += std::get<std::string>(row.at(0)) + std::to_string(std::get<std::int64_t>(row.at(1))) +
             "/" + std::to_string(std::get<std::int64_t>(row.at(2))) + "\n";
  }
  return state;
}

Result<Erasures> erasures_of(sql::Tx& tx, const std::string& project, const ViewHandle& view) {
  Erasures out;
  out.state = TRY(erasures_state(tx, project, view));
  if (out.state.empty()) return out;
  out.all = TRY(sql::select<Erasure>(tx,
                                     "SELECT " + columns<Erasure>() +
                                         " FROM feature_erasures WHERE project = $1 AND (view = '' "
                                         "OR view = $2) ORDER BY keys, entity, view",
                                     {project, view.view.name}));
  std::erase_if(out.all, [&](const Erasure& one) { return !holds_for(one.keys, view); });
  return out;
}

ViewHandle without_erased(const ViewHandle& view, const std::vector<Erasure>& erasures) {
  ViewHandle out = view;
  if (erasures.empty()) return out;
  std::map<std::vector<std::string>, std::string> gone;  // by keys: (hash, instant) pairs
  std::map<std::vector<std::string>, std::string> salts;
  for (const Erasure& one : erasures) {
    std::string& list = gone[one.keys];
    list += (list.empty() ? "(" : ", (") + olap::quoted_text(one.entity) + ", " +
            std::to_string(one.erased_at.time_since_epoch().count()) + "::BIGINT)";
    salts[one.keys] = one.salt;
  }
  std::string conditions;
  for (const auto& [keys, list] : gone)
    conditions += (conditions.empty() ? "" : " AND ") +
                  ("NOT EXISTS (SELECT 1 FROM (VALUES " + list +
                   ") AS penstock_gone(entity, until) WHERE penstock_gone.entity = ") +
                  hashed_sql(view, keys, salts[keys]) + " AND epoch_us(CAST(penstock_rows." +
                  olap::quoted_name(view.view.event_time) +
                  " AS TIMESTAMP)) <= penstock_gone.until)";
  out.view.sql = "SELECT * FROM (\n" + view.view.sql + "\n) AS penstock_rows WHERE " + conditions;
  return out;
}

}  // namespace penstock::features
