// Checkpoints, and proofs from the leaves and nodes that are stored.
#include <bit>
#include <map>
#include <set>

#include "audit/about.h"
#include "audit/export.h"
#include "audit/rows.h"

namespace penstock::audit {
namespace {

using rows::tile_height;

// The stored tree, in tiles of 256 hashes. A proof reads a few of them, however long the log is.
class Tree {
 public:
  explicit Tree(sql::Tx& tx) : tx_(tx) {}

  // Depth is the logarithm of the range.
  Result<Sha256> hash_of(std::int64_t begin, std::int64_t end) {  // NOLINT(misc-no-recursion)
    const auto width = static_cast<std::uint64_t>(end - begin);
    if (std::has_single_bit(width) && begin % (end - begin) == 0)
      return full(std::countr_zero(width), begin / (end - begin));
    const auto left = static_cast<std::int64_t>(std::bit_floor(width - 1));
    const Sha256 first = TRY(hash_of(begin, begin + left));
    return node_hash(first, TRY(hash_of(begin + left, end)));
  }

 private:
  Result<Sha256> full(int level, std::int64_t index) {
    const int stored = level / tile_height * tile_height, above = level - stored;
    const std::int64_t begin = index << above, end = (index + 1) << above;
    const std::int64_t tile = begin >> tile_height;
    auto& hashes = tiles_[{stored, tile}];
    if (hashes.empty())
      hashes = TRY(rows::hashes(tx_, stored, tile << tile_height, (tile + 1) << tile_height));
    const std::int64_t offset = begin - (tile << tile_height);
    if (end - (tile << tile_height) > static_cast<std::int64_t>(hashes.size()))
      return Error{Code::data_loss,
                   "the audit log's tree has lost nodes; penstock audit verify says which event is "
                   "wrong"};
    Frontier part;
    for (std::int64_t i = 0; i < end - begin; ++i)
      part.append(hashes[static_cast<std::size_t>(offset + i)]);
    return part.root();
  }

  sql::Tx& tx_;
  std::map<std::pair<int, std::int64_t>, std::vector<Sha256>> tiles_;
};

std::vector<std::string> texts_of(const std::vector<Sha256>& path) {
  std::vector<std::string> out;
  for (const Sha256& hash : path) out.push_back(to_hex(hash));
  return out;
}

Result<Inclusion> prove(Tree& tree, const rows::Row& event, std::int64_t size) {
  const RangeHash hash_of = [&](std::int64_t begin, std::int64_t end) {
    return tree.hash_of(begin, end);
  };
  auto root = to_hex(TRY(tree.hash_of(0, size)));
  Inclusion out{.number = event.number,
                .size = size,
                .entry = rows::entry_of(event),
                .leaf = event.leaf,
                .root = std::move(root)};
  out.path = texts_of(TRY(inclusion_path(event.number, size, hash_of)));
  return out;
}

Result<void> check_size(const std::string& field, std::int64_t size, std::int64_t there) {
  if (size <= there) return {};
  return Error{Code::invalid_argument,
               "the log has " + std::to_string(there) + " events",
               {{field, "must be at most " + std::to_string(there)}}};
}

}  // namespace

Result<Checkpoint> checkpoint(sql::Tx& tx, const SigningKey& key, Timestamp now) {
  const Frontier frontier = TRY(rows::head(tx));
  const std::string name = key.public_key().text();
  for (Checkpoint& before : TRY(rows::checkpoints(tx, frontier.size() - 1, frontier.size())))
    if (before.key == name) return std::move(before);
  const Sha256 root = frontier.root();
  const Checkpoint made{
      .size = frontier.size(),
      .key = name,
      .root = to_hex(root),
      .at = now,
      .note = key.sign(checkpoint_text({key.public_key().name, frontier.size(), root}))};
  TRY(sql::insert(tx, "audit_checkpoints", made));
  return made;
}

Result<Inclusion> inclusion(sql::Tx& tx, const std::string& project, std::int64_t number,
                            std::int64_t size) {
  TRY(check_size("size", size, TRY(rows::head(tx)).size()));
  const auto found = TRY(rows::events(tx, number, 1));
  if (found.empty() || found[0].number != number || found[0].project != project)
    return Error{Code::not_found, "project " + project + " has no event " + std::to_string(number)};
  if (number >= size)
    return Error{
        Code::invalid_argument,
        "event " + std::to_string(number) + " came after the first " + std::to_string(size),
        {{"size", "must be more than " + std::to_string(number)}}};
  Tree tree(tx);
  return prove(tree, found[0], size);
}

Result<std::vector<Inclusion>> inclusions_about(sql::Tx& tx, const std::string& project,
                                                const std::vector<std::string>& subjects,
                                                std::int64_t size, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<rows::Row>() +
                                  " FROM audit_events WHERE project = $1 AND subject = $2 AND "
                                  "number < $3 ORDER BY number LIMIT $4";
  std::map<std::int64_t, Inclusion> found;
  Tree tree(tx);
  for (const std::string& subject : std::set<std::string>(subjects.begin(), subjects.end())) {
    for (const rows::Row& row :
         TRY(sql::select<rows::Row>(tx, text, {project, subject, size, limit + 1})))
      found.emplace(row.number, TRY(prove(tree, row, size)));
    if (static_cast<std::int64_t>(found.size()) > limit)
      return Error{Code::resource_exhausted, "the audit log holds more than " +
                                                 std::to_string(limit) +
                                                 " events about this; penstock audit export "
                                                 "writes them all"};
  }
  std::vector<Inclusion> out;
  out.reserve(found.size());
  for (auto& [number, proof] : found) out.push_back(std::move(proof));
  return out;
}

Result<bool> changed_since(sql::Tx& tx, const std::string& project,
                           const std::vector<std::string>& subjects, std::int64_t size) {
  for (const std::string& subject : std::set<std::string>(subjects.begin(), subjects.end())) {
    const auto newer = TRY(
        tx.run("SELECT number FROM audit_events WHERE project = $1 AND subject = $2 AND number >= "
               "$3 LIMIT 1",
               {project, subject, size}));
    if (!newer.empty()) return true;
  }
  return false;
}

Result<Consistency> consistency(sql::Tx& tx, std::int64_t from, std::int64_t to) {
  TRY(check_size("to", to, TRY(rows::head(tx)).size()));
  TRY(check_size("from", from, to));
  Tree tree(tx);
  const RangeHash hash_of = [&](std::int64_t begin, std::int64_t end) {
    return tree.hash_of(begin, end);
  };
  Consistency out{.from = from, .to = to};
  out.from_root = to_hex(TRY(tree.hash_of(0, from)));
  out.to_root = to_hex(TRY(tree.hash_of(0, to)));
  out.path = texts_of(TRY(consistency_path(from, to, hash_of)));
  return out;
}

Result<Checkpoint> Service::checkpoint(const Call& call) {
  return db_.write(call, [&](sql::Tx& tx) { return audit::checkpoint(tx, key_, clock_.now()); });
}

Result<Checkpoint> Service::latest(const Call& call) {
  auto found = TRY(db_.read(call, [&](sql::Tx& tx) { return rows::latest(tx); }));
  if (!found.empty()) return std::move(found.front());
  return checkpoint(call);
}

Result<Inclusion> Service::prove_inclusion(const Call& call, const InclusionInput& input) {
  const std::int64_t size = input.size > 0 ? input.size : TRY(latest(call)).size;
  return db_.read(call,
                  [&](sql::Tx& tx) { return inclusion(tx, call.project, input.number, size); });
}

Result<Consistency> Service::prove_consistency(const Call& call, const ConsistencyInput& input) {
  return db_.read(call, [&](sql::Tx& tx) { return consistency(tx, input.from, input.to); });
}

Result<std::string> Service::export_lines(const Call& call, const ExportInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<std::string> {
    const std::int64_t end =
        std::min({input.to, input.from + export_page, TRY(rows::head(tx)).size()});
    std::string out;
    if (end <= input.from) return out;
    const auto events = TRY(rows::events(tx, input.from, end - input.from));
    const auto checkpoints = TRY(rows::checkpoints(tx, input.from, end));
    auto checkpoint = checkpoints.begin();
    for (const rows::Row& event : events) {
      out += export_line(rows::entry_of(event), event.leaf);
      for (; checkpoint != checkpoints.end() && checkpoint->size <= event.number + 1; ++checkpoint)
        out += export_line(*checkpoint);
    }
    return out;
  });
}

}  // namespace penstock::audit
