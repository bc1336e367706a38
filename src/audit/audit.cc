#include "audit/follow.h"

#include "audit/rows.h"

namespace penstock::audit {

Result<void> record(sql::Tx& tx, const Call& call, Timestamp at, const Event& event) {
  // The update comes first: on PostgreSQL it makes writers of the log wait for each other until
  // they commit, so numbers have no gaps and the head is never stale.
  const auto found = TRY(
      tx.run("UPDATE audit_head SET size = size + 1 WHERE id = 1 RETURNING size, frontier", {}));
  if (found.empty()) return Error{Code::data_loss, "the audit log has lost its head"};
  rows::Row stored{.number = std::get<std::int64_t>(found[0].at(0)) - 1,
                   .at = at,
                   .project = call.project,
                   .tenant = call.tenant,
                   .actor = call.actor,
                   .request_id = call.request_id,
                   .action = event.action,
                   .subject = event.subject,
                   .detail = canonical(event.detail)};
  const Sha256 leaf = leaf_hash(rows::entry_of(stored));
  stored.leaf = to_hex(leaf);
  Frontier frontier = rows::frontier_of(stored.number, std::get<std::string>(found[0].at(1)));
  std::vector<Node> completed;
  frontier.append(leaf, [&](const Node& node) {
    if (node.level % rows::tile_height == 0) completed.push_back(node);
  });
  TRY(tx.run("UPDATE audit_head SET frontier = $1 WHERE id = 1", {rows::text_of(frontier)}));
  for (const Node& node : completed) TRY(rows::put(tx, node));
  return sql::insert(tx, "audit_events", stored);
}

Result<void> Service::ensure_nodes() {
  const Call call{.actor = "service:audit"};
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const std::int64_t size = TRY(rows::head(tx)).size();
    const auto kept = TRY(tx.run("SELECT count(*) FROM audit_nodes WHERE level = $1",
                                 {std::int64_t{rows::tile_height}}));
    if (std::get<std::int64_t>(kept.at(0).at(0)) >= size >> rows::tile_height) return {};
    TRY(tx.run("DELETE FROM audit_nodes", {}));
    Frontier frontier;
    std::vector<Node> completed;
    while (frontier.size() < size) {
      const auto leaves = TRY(rows::hashes(tx, 0, frontier.size(), frontier.size() + export_page));
      if (leaves.empty()) break;  // a cut log: verify says so
      for (const Sha256& leaf : leaves)
        frontier.append(leaf, [&](const Node& node) {
          if (node.level % rows::tile_height == 0) completed.push_back(node);
        });
    }
    for (const Node& node : completed) TRY(rows::put(tx, node));
    return {};
  });
}

Result<std::int64_t> size(sql::Tx& tx) { return TRY(rows::head(tx)).size(); }

Result<std::vector<Stored>> events_from(sql::Tx& tx, std::int64_t number, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<Stored>() +
                                  " FROM audit_events WHERE number >= $1 ORDER BY number LIMIT $2";
  return sql::select<Stored>(tx, text, {number, limit});
}

Result<std::int64_t> next_number(sql::Tx& tx) {
  const auto rows = TRY(tx.run("SELECT COALESCE(max(number) + 1, 0) FROM audit_events", {}));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

Result<std::vector<Touched>> subjects_from(sql::Tx& tx, std::int64_t number, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<Touched>() +
                                  " FROM audit_events WHERE number >= $1 ORDER BY number LIMIT $2";
  return sql::select<Touched>(tx, text, {number, limit});
}

Result<Page> Service::list(const Call& call, const Query& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Page> {
    static const std::string text = "SELECT " + columns<Stored>() +
                                    " FROM audit_events WHERE ($1 = '' OR subject = $1) AND "
                                    "number >= $2 AND project = $3 ORDER BY number LIMIT $4";
    return Page{
        TRY(sql::select<Stored>(tx, text, {query.subject, query.from, call.project, query.limit}))};
  });
}

}  // namespace penstock::audit
