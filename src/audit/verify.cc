// The log in the database, against itself and against what was signed.
#include <algorithm>
#include <map>

#include "audit/rows.h"

namespace penstock::audit {
namespace {

// Everything that must agree, read while the events pass by once.
class LogVerifier {
 public:
  LogVerifier(sql::Tx& tx, const std::vector<PublicKey>& keys) : tx_(tx), keys_(keys) {}

  Result<Verification> run() {
    for (const rows::StoredNode& node : TRY(rows::nodes(tx_)))
      nodes_[{node.level, node.idx}] = node.hash;
    checkpoints_ = TRY(rows::checkpoints(tx_, -1, std::numeric_limits<std::int64_t>::max()));
    check_checkpoints();
    for (bool more = true; more && out_.intact;) {
      const auto events = TRY(rows::events(tx_, frontier_.size(), export_page));
      for (const rows::Row& event : events) {
        if (!out_.intact) break;
        take(event);
      }
      more = static_cast<std::int64_t>(events.size()) == export_page;
    }
    if (out_.intact) TRY(check_end());
    out_.events = frontier_.size();
    out_.root = to_hex(frontier_.root());
    return out_;
  }

 private:
  void fault(const std::string& what, std::optional<std::int64_t> number = {}) {
    if (!out_.intact) return;
    out_.intact = false;
    out_.fault = what;
    out_.first_wrong = number;
  }

  void take(const rows::Row& event) {
    const std::int64_t number = frontier_.size();
    if (event.number != number)
      return fault("event " + std::to_string(number) + " is missing", number);
    const Sha256 leaf = leaf_hash(rows::entry_of(event));
    if (to_hex(leaf) != event.leaf)
      return fault("event " + std::to_string(number) + " was changed", number);
    frontier_.append(leaf, [&](const Node& node) {
      if (node.level % rows::tile_height != 0) return;
      const auto kept = nodes_.find({node.level, node.index});
      const std::int64_t begin = node.index << node.level;
      if (kept == nodes_.end() || kept->second != to_hex(node.hash))
        fault("the events from " + std::to_string(begin) + " to " + std::to_string(number) +
                  " are not those of the tree",
              begin);
      else
        nodes_.erase(kept);
    });
    check_checkpoints();
  }

  // Those of as many events as have passed.
  void check_checkpoints() {
    for (; next_ < checkpoints_.size() && checkpoints_[next_].size <= frontier_.size(); ++next_) {
      const Checkpoint& kept = checkpoints_[next_];
      const std::string name = "the checkpoint of " + std::to_string(kept.size) + " events";
      // A key that only its own row names could be anybody's.
      const auto key = std::find_if(keys_.begin(), keys_.end(), [&](const PublicKey& known) {
        return known.text() == kept.key;
      });
      if (key == keys_.end())
        return fault(name + " is signed by a key that this server does not know: " + kept.key +
                     "; if it is a former one of yours, name it under audit.former_keys");
      const auto head = open_checkpoint(kept.note, *key);
      if (!head) return fault(name + ": " + head.error().message);
      if (head->size != kept.size) return fault(name + " signs another number of events");
      if (head->root != frontier_.root() || kept.root != to_hex(head->root))
        return fault(name + " does not sign the events from " + std::to_string(out_.signed_size) +
                         " to " + std::to_string(kept.size - 1) + " as they stand",
                     out_.signed_size);
      out_.signed_size = kept.size;
    }
  }

  Result<void> check_end() {
    const auto head = rows::head(tx_);
    if (!head && head.error().code != Code::data_loss) return head.error();
    if (next_ < checkpoints_.size())
      fault("there is a checkpoint of " + std::to_string(checkpoints_.back().size) +
                " events, but there are " + std::to_string(frontier_.size()),
            frontier_.size());
    else if (!head)
      fault("the log has lost its head");
    else if (head->size() != frontier_.size())
      fault("the head counts " + std::to_string(head->size()) + " events, but there are " +
                std::to_string(frontier_.size()),
            std::min(head->size(), frontier_.size()));
    else if (rows::text_of(*head) != rows::text_of(frontier_))
      fault("the head's root is not the root of the events", out_.signed_size);
    else if (!nodes_.empty())
      fault("the tree has nodes of events that are not there", frontier_.size());
    return {};
  }

  sql::Tx& tx_;
  const std::vector<PublicKey>& keys_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::string> nodes_;
  std::vector<Checkpoint> checkpoints_;
  std::size_t next_ = 0;
  Frontier frontier_;
  Verification out_;
};

}  // namespace

Result<Verification> Service::verify(const Call& call) {
  std::vector<PublicKey> keys = former_;
  keys.push_back(key_.public_key());
  return db_.read(call, [&](sql::Tx& tx) { return LogVerifier(tx, keys).run(); });
}

}  // namespace penstock::audit
