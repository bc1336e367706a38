#include "audit/audit.h"

#include "audit/merkle.h"

namespace penstock::audit {
namespace {

// A row as it stands. The detail is its text: a number that was read and written again may differ
// in its last bit, and then an untouched event would look changed.
struct Row {
  std::int64_t number = 0;
  Timestamp at;
  std::string project, tenant, actor, request_id, action, subject, detail, leaf;
};
BOOST_DESCRIBE_STRUCT(Row, (),
                      (number, at, project, tenant, actor, request_id, action, subject, detail,
                       leaf))

// What the leaf hash covers: everything that was said, and its place.
std::string entry_of(const Row& row) {
  json::object fields = encode(row).as_object();
  fields.erase("leaf");
  fields["at"] = row.at.time_since_epoch().count();
  return canonical(fields);
}

Frontier frontier_of(std::int64_t size, const std::string& text) {
  std::vector<Sha256> roots;
  const json::value list = json::parse(text);
  for (const json::value& root : list.as_array())
    roots.push_back(sha256_from_hex(root.as_string()));
  return {size, std::move(roots)};
}

std::string text_of(const Frontier& frontier) {
  json::array roots;
  for (const Sha256& root : frontier.roots()) roots.push_back(json::value(to_hex(root)));
  return json::serialize(roots);
}

}  // namespace

Result<void> record(sql::Tx& tx, const Call& call, Timestamp at, const Event& event) {
  // The update comes first: on PostgreSQL it makes writers of the log wait for each other until
  // they commit, so numbers have no gaps and the head is never stale.
  const auto rows = TRY(
      tx.run("UPDATE audit_head SET size = size + 1 WHERE id = 1 RETURNING size, frontier", {}));
  if (rows.empty()) return Error{Code::data_loss, "the audit log has lost its head"};
  Row stored{.number = std::get<std::int64_t>(rows[0].at(0)) - 1,
             .at = at,
             .project = call.project,
             .tenant = call.tenant,
             .actor = call.actor,
             .request_id = call.request_id,
             .action = event.action,
             .subject = event.subject,
             .detail = canonical(event.detail)};
  const Sha256 leaf = leaf_hash(entry_of(stored));
  stored.leaf = to_hex(leaf);
  Frontier frontier = frontier_of(stored.number, std::get<std::string>(rows[0].at(1)));
  frontier.append(leaf);
  TRY(tx.run("UPDATE audit_head SET frontier = $1 WHERE id = 1", {text_of(frontier)}));
  return sql::insert(tx, "audit_events", stored);
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

Result<Verification> Service::verify(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Verification> {
    const auto head = TRY(tx.run("SELECT size, frontier FROM audit_head WHERE id = 1", {}));
    if (head.empty()) return Verification{.intact = false, .fault = "the log has lost its head"};
    static const std::string text =
        "SELECT " + columns<Row>() +
        " FROM audit_events WHERE number >= $1 ORDER BY number LIMIT 10000";
    Frontier frontier;
    Verification out;
    const auto fault = [&](const std::string& what) {
      if (out.intact) out.fault = what;
      out.intact = false;
    };
    for (bool more = true; more;) {
      const auto events = TRY(sql::select<Row>(tx, text, {frontier.size()}));
      for (const Row& event : events) {
        if (event.number != frontier.size()) {
          fault("event " + std::to_string(frontier.size()) + " is missing");
          out.events = frontier.size();
          return out;
        }
        const Sha256 leaf = leaf_hash(entry_of(event));
        if (to_hex(leaf) != event.leaf)
          fault("event " + std::to_string(event.number) + " was changed");
        frontier.append(leaf);
      }
      more = events.size() == 10'000;
    }
    out.events = frontier.size();
    out.root = to_hex(frontier.root());
    if (std::get<std::int64_t>(head[0].at(0)) != frontier.size())
      fault("the head counts " + std::to_string(std::get<std::int64_t>(head[0].at(0))) +
            " events, but there are " + std::to_string(frontier.size()));
    else if (std::get<std::string>(head[0].at(1)) != text_of(frontier))
      fault("the head's root is not the root of the events");
    return out;
  });
}

}  // namespace penstock::audit
