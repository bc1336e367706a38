// The tables of the log. One function is one statement.
#pragma once

#include "audit/audit.h"

namespace penstock::audit::rows {

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
// What the leaf hash covers, canonical: everything that was said, and its place.
std::string entry_of(const Row& row);

// The head: how many events there are, and the frontier of their tree. data_loss where it is gone.
Result<Frontier> head(sql::Tx& tx);
std::string text_of(const Frontier& frontier);
Frontier frontier_of(std::int64_t size, const std::string& text);

Result<std::vector<Row>> events(sql::Tx& tx, std::int64_t from, std::int64_t limit);
// Leaves for level 0, else nodes of that level: of [begin, end), as many as there are.
Result<std::vector<Sha256>> hashes(sql::Tx& tx, int level, std::int64_t begin, std::int64_t end);
// Kept only of the levels 8, 16, ...: the rest is hashed from those again, at most 256 of each.
inline constexpr int tile_height = 8;
Result<void> put(sql::Tx& tx, const Node& node);
struct StoredNode {
  std::int64_t level = 0, idx = 0;
  std::string hash;
};
BOOST_DESCRIBE_STRUCT(StoredNode, (), (level, idx, hash))
Result<std::vector<StoredNode>> nodes(sql::Tx& tx);

// Those of more than `above` events and at most `up_to`, by size.
Result<std::vector<Checkpoint>> checkpoints(sql::Tx& tx, std::int64_t above, std::int64_t up_to);
Result<std::vector<Checkpoint>> latest(sql::Tx& tx);

}  // namespace penstock::audit::rows
