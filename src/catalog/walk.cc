// From where to where a question leads, nearest first.
#include <algorithm>

#include "catalog/graph.h"

namespace penstock::catalog {
namespace {

class Walker {
 public:
  Walker(const Graph& graph, const WalkInput& input)
      : graph_(graph), input_(input), states_(graph.node_count()) {}

  Walked run() {
    for (const WalkInput::Start& start : input_.start) {
      if (start.id != asked_node) list(start.id, start.depth);
      if (!start.expand) continue;
      if (start.id != asked_node) states_[start.id] |= queued;
      waiting_.push_back(start);
    }
    // Starts may lie at two depths, the nearer first; after that the queue keeps the order.
    std::stable_sort(waiting_.begin(), waiting_.end(),
                     [](const auto& a, const auto& b) { return a.depth < b.depth; });
    for (std::size_t at = 0; at < waiting_.size(); ++at) {
      const WalkInput::Start item = waiting_[at];
      if (item.object != no_node)
        input_.direction == Direction::upstream ? column_up(item) : column_down(item);
      else if (item.id != asked_node)
        whole(item);
    }
    finish();
    return std::move(out_);
  }

 private:
  static constexpr std::uint8_t listed = 1, queued = 2;

  // At the last level nothing new is reached, but edges between what is there are still told.
  bool list(NodeId id, std::int64_t depth) {
    if (states_[id] & listed) return true;
    if (depth > input_.depth) return false;
    states_[id] |= listed;
    ++out_.total;
    if (out_.nodes.size() < input_.nodes_max) out_.nodes.emplace_back(id, depth);
    return true;
  }
  bool reach(NodeId id, std::int64_t depth) {
    if (!list(id, depth)) return false;
    if (states_[id] & queued) return true;
    states_[id] |= queued;
    waiting_.push_back({.id = id,
                        .object = graph_.node(id).is_column ? graph_.node(id).parent : no_node,
                        .depth = depth});
    return true;
  }
  void step(NodeId from, NodeId to, std::string_view relation) {
    if (out_.steps.size() < 8 * input_.nodes_max) out_.steps.push_back({from, to, relation});
  }

  template <class Visit>
  void each(NodeId id, Direction direction, Visit visit) {
    const bool up = direction == Direction::upstream;
    const Graph::Node& node = graph_.node(id);
    for (std::uint32_t i = up ? node.first_out : node.first_in; i != Graph::none;) {
      const Graph::Link& link = graph_.link(i);
      if (Graph::holds(link, input_.at)) visit(link, up ? link.to : link.from);
      i = up ? link.next_out : link.next_in;
    }
  }

  void whole(const WalkInput::Start& item) {
    each(item.id, input_.direction, [&](const Graph::Link& link, NodeId next) {
      // Columns are told where a column is asked for; the edges of their things say the same here.
      if (graph_.node(next).is_column && input_.direction == Direction::upstream) return;
      if (graph_.node(next).is_column) next = graph_.node(next).parent;
      if (next == item.id) return;
      if (reach(next, item.depth + 1))
        step(link.from == item.id ? item.id : next, link.to == item.id ? item.id : next,
             graph_.relation(link));
    });
  }

  void column_up(const WalkInput::Start& item) {
    bool said = false;
    if (item.id != asked_node)
      each(item.id, Direction::upstream, [&](const Graph::Link& link, NodeId next) {
        said = true;
        if (reach(next, item.depth + 1)) step(item.id, next, graph_.relation(link));
      });
    if (!said && reach(item.object, item.depth + 1)) step(item.id, item.object, "column_of");
  }

  void column_down(const WalkInput::Start& item) {
    if (item.id != asked_node)
      each(item.id, Direction::downstream, [&](const Graph::Link& link, NodeId reader) {
        if (!reach(reader, item.depth + 1)) return;
        step(reader, item.id, graph_.relation(link));
        const NodeId object = graph_.object_of(reader);
        if (object != reader && list(object, item.depth + 1)) step(object, reader, "has_column");
        name_jobs(item, object);
      });
    each(item.object, Direction::downstream, [&](const Graph::Link& link, NodeId reader) {
      if (graph_.node(reader).is_column) return;
      if (graph_.relation(link) == "follows")
        follow(item, reader);
      else if (graph_.node(reader).is_job)
        through_job(item, link, reader);
      else if (!graph_.covers(reader, item.object, input_.at) && reach(reader, item.depth + 1))
        step(reader, item.id, graph_.relation(link));
    });
  }

  // The next version of a thing has the column too, if it has one of that name.
  void follow(const WalkInput::Start& item, NodeId version) {
    const std::string_view urn = item.id == asked_node ? "" : graph_.node(item.id).urn;
    const std::size_t hash = urn.find('#');
    if (hash == urn.npos) return;
    const NodeId column =
        graph_.find(std::string(graph_.node(version).urn) + std::string(urn.substr(hash)));
    if (column != no_node && reach(column, item.depth + 1)) step(column, item.id, "follows");
  }

  // What a job makes of all that it reads, unless its outputs say of which columns.
  void through_job(const WalkInput::Start& item, const Graph::Link& link, NodeId job) {
    bool any = false, told = false;
    each(job, Direction::downstream, [&](const Graph::Link& made, NodeId output) {
      if (graph_.node(output).is_column) return;
      any = true;
      if (graph_.covers(output, item.object, input_.at)) return;
      if (!std::exchange(told, true) && list(job, item.depth + 1))
        step(job, item.id, graph_.relation(link));
      if (reach(output, item.depth + 2)) step(output, job, graph_.relation(made));
    });
    if (!any && list(job, item.depth + 1)) step(job, item.id, graph_.relation(link));
  }

  // The jobs between a column and what is made from it break as well.
  void name_jobs(const WalkInput::Start& item, NodeId made) {
    each(made, Direction::upstream, [&](const Graph::Link& link, NodeId job) {
      if (!graph_.node(job).is_job) return;
      bool reads = false;
      each(job, Direction::upstream,
           [&](const Graph::Link&, NodeId input) { reads = reads || input == item.object; });
      if (!reads || !list(job, item.depth + 1)) return;
      step(job, item.id, "reads");
      step(made, job, graph_.relation(link));
    });
  }

  void finish() {
    std::stable_sort(out_.nodes.begin(), out_.nodes.end(), [&](const auto& a, const auto& b) {
      return a.second != b.second ? a.second < b.second
                                  : graph_.node(a.first).urn < graph_.node(b.first).urn;
    });
    std::vector<bool> told(graph_.node_count());
    for (const auto& [id, depth] : out_.nodes) told[id] = true;
    const auto shown = [&](NodeId id) { return id == asked_node || told[id]; };
    std::erase_if(out_.steps,
                  [&](const Walked::Step& step) { return !shown(step.from) || !shown(step.to); });
    std::sort(out_.steps.begin(), out_.steps.end());
    out_.steps.erase(std::unique(out_.steps.begin(), out_.steps.end()), out_.steps.end());
  }

  const Graph& graph_;
  const WalkInput& input_;
  std::vector<std::uint8_t> states_;
  std::vector<WalkInput::Start> waiting_;
  Walked out_;
};

}  // namespace

Walked walk(const Graph& graph, const WalkInput& input) { return Walker(graph, input).run(); }

}  // namespace penstock::catalog
