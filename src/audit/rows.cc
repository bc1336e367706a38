#include "audit/rows.h"

#include <algorithm>

namespace penstock::audit::rows {
namespace {

// As boost::json writes it. Most texts hold nothing to escape, and then this is a copy.
void quote(std::string& out, const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](char letter) {
    const auto code = static_cast<unsigned char>(letter);
    return code >= 0x20 && code != 0x7f && letter != '"' && letter != '\\';
  });
  if (plain)
    out.append("\"").append(text).append("\"");
  else
    out += json::serialize(json::value(text));
}

}  // namespace

std::string entry_of(const Row& row) {
  std::string out;
  out.reserve(row.detail.size() + 300);
  const auto text = [&](const char* before, const std::string& value) {
    out += before;
    quote(out, value);
  };
  text("{\"action\":", row.action);
  text(",\"actor\":", row.actor);
  out += ",\"at\":" + std::to_string(row.at.time_since_epoch().count());
  text(",\"detail\":", row.detail);
  out += ",\"number\":" + std::to_string(row.number);
  text(",\"project\":", row.project);
  text(",\"request_id\":", row.request_id);
  text(",\"subject\":", row.subject);
  text(",\"tenant\":", row.tenant);
  return out + "}";
}

Frontier frontier_of(std::int64_t size, const std::string& text) {
  std::vector<Sha256> roots;
  const json::value list = json::parse(text);
  for (const json::value& root : list.as_array())
    roots.push_back(sha256_from_hex(root.as_string()));
  return {size, std::move(roots)};
}

std::string text_of(const Frontier& frontier) {
  std::string text = "[";
  for (const Sha256& root : frontier.roots())
    text.append(text.size() > 1 ? ",\"" : "\"").append(to_hex(root)).append("\"");
  return text + "]";
}

Result<Frontier> head(sql::Tx& tx) {
  const auto found = TRY(tx.run("SELECT size, frontier FROM audit_head WHERE id = 1", {}));
  if (found.empty()) return Error{Code::data_loss, "the audit log has lost its head"};
  return frontier_of(std::get<std::int64_t>(found[0].at(0)), std::get<std::string>(found[0].at(1)));
}

Result<std::vector<Row>> events(sql::Tx& tx, std::int64_t from, std::int64_t limit) {
  static const std::string text =
      "SELECT " + columns<Row>() + " FROM audit_events WHERE number >= $1 ORDER BY number LIMIT $2";
  return sql::select<Row>(tx, text, {from, limit});
}

Result<std::vector<Sha256>> hashes(sql::Tx& tx, int level, std::int64_t begin, std::int64_t end) {
  const auto found =
      level == 0
          ? TRY(tx.run("SELECT leaf FROM audit_events WHERE number >= $1 AND number < $2 ORDER BY "
                       "number",
                       {begin, end}))
          : TRY(tx.run("SELECT hash FROM audit_nodes WHERE level = $3 AND idx >= $1 AND idx < $2 "
                       "ORDER BY idx",
                       {begin, end, std::int64_t{level}}));
  std::vector<Sha256> out;
  out.reserve(found.size());
  for (const sql::Row& row : found)
    out.push_back(sha256_from_hex(std::get<std::string>(row.at(0))));
  return out;
}

Result<void> put(sql::Tx& tx, const Node& node) {
  TRY(tx.run("INSERT INTO audit_nodes (level, idx, hash) VALUES ($1, $2, $3)",
             {std::int64_t{node.level}, node.index, to_hex(node.hash)}));
  return {};
}

Result<std::vector<StoredNode>> nodes(sql::Tx& tx) {
  static const std::string text =
      "SELECT " + columns<StoredNode>() + " FROM audit_nodes ORDER BY level, idx";
  return sql::select<StoredNode>(tx, text, {});
}

Result<std::vector<Checkpoint>> checkpoints(sql::Tx& tx, std::int64_t above, std::int64_t up_to) {
  static const std::string text =
      "SELECT " + columns<Checkpoint>() +
      " FROM audit_checkpoints WHERE size > $1 AND size <= $2 ORDER BY size, key";
  return sql::select<Checkpoint>(tx, text, {above, up_to});
}

Result<std::vector<Checkpoint>> latest(sql::Tx& tx) {
  static const std::string text = "SELECT " + columns<Checkpoint>() +
                                  " FROM audit_checkpoints ORDER BY size DESC, at DESC LIMIT 1";
  return sql::select<Checkpoint>(tx, text, {});
}

}  // namespace penstock::audit::rows
