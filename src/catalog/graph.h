// One project's lineage in memory: nodes are numbers, edges stand in two lists, by either end.
//
// A question of ten levels in a graph of a million edges is a few thousand steps here, and was a
// recursive query over texts before (bench/lineage_bench.cc). Classes and tags flow downstream
// along the edges that hold; they are kept up to date as edges come, and computed anew where one
// ends.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "catalog/lineage.h"
#include "catalog/source.h"

namespace penstock::catalog {

enum class Direction { upstream, downstream };
BOOST_DESCRIBE_ENUM(Direction, upstream, downstream)

using NodeId = std::uint32_t;
inline constexpr NodeId no_node = 0xffffffff;

// Sets of tags as numbers; 0 is the empty one. There are few, and the join of two is asked often.
class TagSets {
 public:
  std::uint32_t of(std::vector<std::string> tags);
  std::uint32_t join(std::uint32_t a, std::uint32_t b);
  const std::vector<std::string>& tags(std::uint32_t set) const { return sets_[set]; }

 private:
  std::vector<std::vector<std::string>> sets_{{}};
  std::map<std::vector<std::string>, std::uint32_t> numbers_{{{}, 0}};
  std::unordered_map<std::uint64_t, std::uint32_t> joins_;
};

// What flows along edges.
struct Label {
  std::optional<Classification> classification;
  std::uint32_t tags = 0;
  bool operator==(const Label&) const = default;
};

class Graph {
 public:
  struct Link {
    NodeId from, to;
    std::uint32_t next_out, next_in;  // of the same `from`, of the same `to`
    std::int64_t since, until;        // microseconds; until: the edge does not hold any more
    std::uint32_t relation;
    bool masking;
  };
  struct Node {
    std::string_view urn;
    std::uint32_t first_out, first_in;
    NodeId parent;  // of a column: its object; of a version: the name without it
    NodeId first_child, next_sibling;
    bool is_column, is_job;
  };
  static constexpr std::uint32_t none = 0xffffffff;
  static constexpr std::int64_t open = std::numeric_limits<std::int64_t>::max();
  // The instant of questions about what holds now.
  static constexpr std::int64_t now = open - 1;

  NodeId find(std::string_view urn) const;  // no_node where no edge names it
  const Node& node(NodeId id) const { return nodes_[id]; }
  const Link& link(std::uint32_t index) const { return links_[index]; }
  std::string_view relation(const Link& link) const { return relations_[link.relation]; }
  std::size_t node_count() const { return nodes_.size(); }
  std::size_t link_count() const { return links_.size(); }
  static bool holds(const Link& link, std::int64_t at) {
    return link.since <= at && at < link.until;
  }
  NodeId object_of(NodeId id) const { return nodes_[id].is_column ? nodes_[id].parent : id; }

  // `fresh`: the caller knows that the graph has no such edge yet (a first load).
  void add(const Edge& edge, bool fresh);
  void add_past(const Edge& edge, Timestamp removed_at, bool fresh);
  // Nodes that were added since the last call: someone must say their own labels.
  std::vector<NodeId> take_added();
  std::vector<NodeId> columns_of(NodeId object) const;
  void set_own(NodeId id, std::optional<Classification> classification,
               std::vector<std::string> tags);

  // Brings the labels of now up to date; then label() may be asked, by many threads at once.
  void settle();
  const Label& label(NodeId id) const { return labels_[id]; }
  const std::vector<std::string>& tags(std::uint32_t set) const { return sets_.tags(set); }
  // The labels of an instant; a walk over all that is downstream of classified things.
  std::vector<Label> labels_at(std::int64_t at, TagSets& sets) const;
  const TagSets& sets() const { return sets_; }

  // Whether edges of columns say what of `object` the thing `reader` uses.
  bool covers(NodeId reader, NodeId object, std::int64_t at) const;
  bool has_columns(NodeId reader, std::int64_t at) const;

 private:
  friend class Flow;
  NodeId intern(std::string_view urn);
  std::uint32_t intern_relation(const std::string& relation);
  std::uint32_t find_open(NodeId from, NodeId to, std::uint32_t relation) const;
  std::uint32_t append(const Edge& edge, std::int64_t until);
  void note_columns(std::uint32_t index);

  std::deque<std::string> texts_;
  std::unordered_map<std::string_view, NodeId> ids_;
  std::vector<Node> nodes_;
  std::vector<Link> links_;
  std::deque<std::string> relations_;
  // By reader and object: the links of columns between them.
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> covers_;
  std::unordered_map<NodeId, std::vector<std::uint32_t>> described_;  // by reader
  std::unordered_map<NodeId, Label> own_;
  std::vector<Label> labels_;
  TagSets sets_;
  std::vector<NodeId> added_;
  std::vector<std::uint32_t> fresh_;  // links that labels have not flowed along yet
  std::vector<NodeId> raised_;
  bool stale_ = false;  // a label may have to fall: all are computed anew
};

// Stands for the thing that was asked for where the graph has no node of its name.
inline constexpr NodeId asked_node = no_node - 1;

// What is reached from some nodes.
struct WalkInput {
  struct Start {
    NodeId id = asked_node;
    NodeId object = no_node;  // of a column: what it is a column of
    std::int64_t depth = 0;
    bool expand = true;
  };
  std::vector<Start> start;
  Direction direction = Direction::upstream;
  std::int64_t depth = 0;
  std::int64_t at = Graph::now;
  std::size_t nodes_max = 0;
};
struct Walked {
  struct Step {
    NodeId from, to;  // as edges are stored
    std::string_view relation;
    bool operator<(const Step& other) const {
      return std::tie(from, to, relation) < std::tie(other.from, other.to, other.relation);
    }
    bool operator==(const Step&) const = default;
  };
  std::vector<std::pair<NodeId, std::int64_t>> nodes;  // nearest first, at most nodes_max
  std::vector<Step> steps;                             // between these, at most 4 * nodes_max
  std::size_t total = 0;                               // of all nodes within the depth
};
Walked walk(const Graph& graph, const WalkInput& input);

}  // namespace penstock::catalog
