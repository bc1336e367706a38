#include "catalog/graph.h"

#include <algorithm>

namespace penstock::catalog {
namespace {

std::uint64_t pair_of(NodeId a, NodeId b) { return std::uint64_t{a} << 32 | b; }

std::int64_t micros(Timestamp at) { return at.time_since_epoch().count(); }

}  // namespace

std::uint32_t TagSets::of(std::vector<std::string> tags) {
  std::sort(tags.begin(), tags.end());
  tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
  const auto [place, fresh] = numbers_.emplace(tags, static_cast<std::uint32_t>(sets_.size()));
  if (fresh) sets_.push_back(std::move(tags));
  return place->second;
}

std::uint32_t TagSets::join(std::uint32_t a, std::uint32_t b) {
  if (a == b || b == 0) return a;
  if (a == 0) return b;
  const std::uint64_t key = pair_of(std::min(a, b), std::max(a, b));
  if (const auto found = joins_.find(key); found != joins_.end()) return found->second;
  std::vector<std::string> both = sets_[a];
  both.insert(both.end(), sets_[b].begin(), sets_[b].end());
  return joins_[key] = of(std::move(both));
}

NodeId Graph::find(std::string_view urn) const {
  const auto found = ids_.find(urn);
  return found == ids_.end() ? no_node : found->second;
}

NodeId Graph::intern(std::string_view urn) {
  if (const NodeId known = find(urn); known != no_node) return known;
  const std::size_t hash = urn.find('#');
  const std::size_t at = urn.find('@');
  NodeId parent = no_node;
  if (hash != urn.npos)
    parent = intern(urn.substr(0, hash));
  else if (at != urn.npos)
    parent = intern(urn.substr(0, at));
  const auto id = static_cast<NodeId>(nodes_.size());
  const std::string& text = texts_.emplace_back(urn);
  ids_.emplace(text, id);
  nodes_.push_back({.urn = text,
                    .first_out = none,
                    .first_in = none,
                    .parent = parent,
                    .first_child = no_node,
                    .next_sibling = no_node,
                    .is_column = hash != urn.npos,
                    .is_job = urn.starts_with("job:")});
  labels_.emplace_back();
  added_.push_back(id);
  if (parent != no_node) {
    nodes_[id].next_sibling = nodes_[parent].first_child;
    nodes_[parent].first_child = id;
    if (nodes_[id].is_column) raised_.push_back(parent);
  }
  return id;
}

std::uint32_t Graph::intern_relation(const std::string& relation) {
  const auto found = std::find(relations_.begin(), relations_.end(), relation);
  if (found == relations_.end()) {
    relations_.push_back(relation);
    return static_cast<std::uint32_t>(relations_.size() - 1);
  }
  return static_cast<std::uint32_t>(found - relations_.begin());
}

std::uint32_t Graph::find_open(NodeId from, NodeId to, std::uint32_t relation) const {
  for (std::uint32_t i = nodes_[from].first_out; i != none; i = links_[i].next_out)
    if (links_[i].to == to && links_[i].relation == relation && links_[i].until == open) return i;
  return none;
}

std::uint32_t Graph::append(const Edge& edge, std::int64_t until) {
  const NodeId from = intern(edge.from_urn), to = intern(edge.to_urn);
  const auto index = static_cast<std::uint32_t>(links_.size());
  links_.push_back({.from = from,
                    .to = to,
                    .next_out = nodes_[from].first_out,
                    .next_in = nodes_[to].first_in,
                    .since = micros(edge.created_at),
                    .until = until,
                    .relation = intern_relation(edge.relation),
                    .masking = edge.masking});
  nodes_[from].first_out = index;
  nodes_[to].first_in = index;
  note_columns(index);
  if (until == open) fresh_.push_back(index);
  return index;
}

void Graph::note_columns(std::uint32_t index) {
  const Link& link = links_[index];
  if (!nodes_[link.from].is_column && !nodes_[link.to].is_column) return;
  const NodeId reader = object_of(link.from), object = object_of(link.to);
  covers_[pair_of(reader, object)].push_back(index);
  described_[reader].push_back(index);
  // What flowed as a whole before may now flow by columns, which is less.
  if (labels_[reader] != Label{} || labels_[link.from] != Label{}) stale_ = true;
}

void Graph::add(const Edge& edge, bool fresh) {
  if (!fresh) {
    const NodeId from = find(edge.from_urn), to = find(edge.to_urn);
    const std::uint32_t known = from == no_node || to == no_node
                                    ? none
                                    : find_open(from, to, intern_relation(edge.relation));
    if (known != none) {
      Link& link = links_[known];
      link.since = micros(edge.created_at);
      if (link.masking != edge.masking) stale_ = true;
      link.masking = edge.masking;
      return;
    }
  }
  append(edge, open);
}

void Graph::add_past(const Edge& edge, Timestamp removed_at, bool fresh) {
  if (!fresh) {
    const NodeId from = find(edge.from_urn), to = find(edge.to_urn);
    const std::uint32_t known = from == no_node || to == no_node
                                    ? none
                                    : find_open(from, to, intern_relation(edge.relation));
    if (known != none) {
      links_[known].since = micros(edge.created_at);
      links_[known].until = micros(removed_at);
      if (labels_[from] != Label{}) stale_ = true;
      return;
    }
  }
  append(edge, micros(removed_at));
}

std::vector<NodeId> Graph::take_added() { return std::exchange(added_, {}); }

std::vector<NodeId> Graph::columns_of(NodeId object) const {
  std::vector<NodeId> columns;
  for (NodeId child = nodes_[object].first_child; child != no_node;
       child = nodes_[child].next_sibling)
    if (nodes_[child].is_column) columns.push_back(child);
  return columns;
}

void Graph::set_own(NodeId id, std::optional<Classification> classification,
                    std::vector<std::string> tags) {
  const Label label{classification, sets_.of(std::move(tags))};
  const Label before = own_[id];
  if (label == before) return;
  own_[id] = label;
  const bool higher = label.classification >= before.classification &&
                      sets_.join(label.tags, before.tags) == label.tags;
  if (higher)
    raised_.push_back(id);
  else
    stale_ = true;
}

bool Graph::covers(NodeId reader, NodeId object, std::int64_t at) const {
  const auto found = covers_.find(pair_of(reader, object));
  return found != covers_.end() &&
         std::any_of(found->second.begin(), found->second.end(),
                     [&](std::uint32_t index) { return holds(links_[index], at); });
}

bool Graph::has_columns(NodeId reader, std::int64_t at) const {
  const auto found = described_.find(reader);
  return found != described_.end() &&
         std::any_of(found->second.begin(), found->second.end(),
                     [&](std::uint32_t index) { return holds(links_[index], at); });
}

// Labels as they run downstream from where they were declared. They only ever rise here, so the
// order does not matter and rings end.
class Flow {
 public:
  Flow(const Graph& graph, std::int64_t at, std::vector<Label>& labels, TagSets& sets)
      : graph_(graph), at_(at), labels_(labels), sets_(sets), queued_(graph.node_count()) {}

  void raise(NodeId id, const Label& by) {
    Label& label = labels_[id];
    const Label both{std::max(label.classification, by.classification),
                     sets_.join(label.tags, by.tags)};
    if (both == label) return;
    label = both;
    queue(id);
  }
  void queue(NodeId id) {
    if (queued_[id]) return;
    queued_[id] = true;
    waiting_.push_back(id);
  }
  void along(const Graph::Link& link) {
    const Label label = labels_[link.to];
    if (label == Label{} || link.masking || !Graph::holds(link, at_)) return;
    const Graph::Node& to = graph_.node(link.to);
    const Graph::Node& from = graph_.node(link.from);
    if (to.is_column || from.is_column) return raise(link.from, label);
    if (to.is_job && graph_.has_columns(link.from, at_))
      by_inputs(link.from, to);
    else if (!graph_.covers(link.from, link.to, at_))
      raise(link.from, label);
    if (from.is_job && !to.is_job) through_job(link.to, from, label);
  }
  void run() {
    while (!waiting_.empty()) {
      const NodeId id = waiting_.back();
      waiting_.pop_back();
      queued_[id] = false;
      const Graph::Node& node = graph_.node(id);
      for (std::uint32_t i = node.first_in; i != Graph::none; i = graph_.link(i).next_in)
        along(graph_.link(i));
      const Label label = labels_[id];
      if (node.is_column) raise(node.parent, label);
      for (const NodeId column : graph_.columns_of(id))
        if (hangs_on_the_whole(column)) raise(column, label);
    }
  }

 private:
  // A column of which nobody said what it was made from, nor what class it has.
  bool hangs_on_the_whole(NodeId column) const {
    if (graph_.own_.contains(column)) return false;
    for (std::uint32_t i = graph_.node(column).first_out; i != Graph::none;
         i = graph_.link(i).next_out)
      if (Graph::holds(graph_.link(i), at_)) return false;
    return true;
  }
  // `reader` says by columns what it took of some of the job's inputs; of the others it took all.
  void by_inputs(NodeId reader, const Graph::Node& job) {
    for (std::uint32_t i = job.first_out; i != Graph::none; i = graph_.link(i).next_out) {
      const Graph::Link& input = graph_.link(i);
      if (Graph::holds(input, at_) && !graph_.covers(reader, input.to, at_))
        raise(reader, labels_[input.to]);
    }
  }
  void through_job(NodeId object, const Graph::Node& job, const Label& label) {
    for (std::uint32_t i = job.first_in; i != Graph::none; i = graph_.link(i).next_in) {
      const Graph::Link& output = graph_.link(i);
      if (Graph::holds(output, at_) && graph_.has_columns(output.from, at_) &&
          !graph_.covers(output.from, object, at_))
        raise(output.from, label);
    }
  }

  const Graph& graph_;
  std::int64_t at_;
  std::vector<Label>& labels_;
  TagSets& sets_;
  std::vector<bool> queued_;
  std::vector<NodeId> waiting_;
};

void Graph::settle() {
  if (!stale_ && fresh_.empty() && raised_.empty()) return;
  if (own_.empty()) {
    fresh_.clear();
    raised_.clear();
    stale_ = false;
    return;
  }
  if (stale_) std::fill(labels_.begin(), labels_.end(), Label{});
  Flow flow(*this, now, labels_, sets_);
  if (stale_) {
    for (const auto& [id, label] : own_) flow.raise(id, label);
  } else {
    for (const NodeId id : raised_) {
      if (const auto own = own_.find(id); own != own_.end()) flow.raise(id, own->second);
      flow.queue(id);
    }
    for (const std::uint32_t index : fresh_) flow.along(links_[index]);
  }
  flow.run();
  stale_ = false;
  fresh_.clear();
  raised_.clear();
}

std::vector<Label> Graph::labels_at(std::int64_t at, TagSets& sets) const {
  std::vector<Label> labels(nodes_.size());
  Flow flow(*this, at, labels, sets);
  for (const auto& [id, label] : own_) flow.raise(id, label);
  flow.run();
  return labels;
}

}  // namespace penstock::catalog
