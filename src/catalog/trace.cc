#include <algorithm>
#include <map>
#include <set>

#include "catalog/classes.h"
#include "catalog/store.h"

namespace penstock::catalog {
namespace {

std::optional<Classification> classification_from(std::string_view text) {
  Classification found{};
  if (Kind<Classification>::hear(std::string(text), found)) return found;
  return {};
}

std::optional<std::string> taken(json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  if (!value) return {};
  std::optional<std::string> text;
  if (value->is_string()) text = std::string(value->get_string());
  object.erase(field);
  return text;
}

// Declared things say who owns them; versions are "@3" or "@v3".
Result<void> from_declaration(sql::Tx& tx, const Call& call, const Urn& urn, TraceNode& node) {
  const auto resource = resources::get(tx, call.project, urn.kind, urn.name);
  if (!resource) {
    if (resource.error().code == Code::not_found) return {};
    return resource.error();
  }
  node.owner = resource->owner;
  if (const json::value* text = resource->declaration.if_contains("description"))
    if (text->is_string()) node.summary = std::string(text->get_string());
  if (urn.kind != "source") return {};
  std::int64_t version = 0;
  if (!urn.version.empty()) version = std::strtoll(urn.version.c_str(), nullptr, 10);
  const auto source = resources::declared<Source>(tx, call.project, "source", urn.name, version);
  if (!source) return {};
  node.classification = Classification::open;
  for (const ColumnClass& column : TRY(column_classes(tx, call.project, *source)))
    node.classification = std::max(*node.classification, column.classification);
  return {};
}

Result<void> from_dataset(sql::Tx& tx, const Call& call, const Urn& urn, TraceNode& node) {
  const auto dataset = TRY(find_dataset(tx, call.project, urn.text()));
  if (!dataset) return {};
  if (node.owner.empty()) node.owner = dataset->created_by;
  node.summary = std::to_string(dataset->row_count) + " rows, " + to_rfc3339(dataset->created_at);
  node.detail["digest"] = dataset->digest;
  return {};
}

// The strictest class of each node and all upstream of it, along `edges`.
class Classes {
 public:
  Classes(const std::vector<TraceEdge>& edges,
          std::map<std::string, std::optional<Classification>> own)
      : own_(std::move(own)) {
    for (const TraceEdge& edge : edges) above_[edge.from_urn].push_back(edge.to_urn);
  }

  // Each walk is of its own: rings make the order of a shared one matter.
  std::optional<Classification> of(const std::string& urn) const {
    std::optional<Classification> strictest;
    std::set<std::string> seen{urn};
    std::vector<std::string> open{urn};
    while (!open.empty()) {
      const std::string at = open.back();
      open.pop_back();
      if (const auto own = own_.find(at); own != own_.end() && own->second)
        strictest = std::max(strictest.value_or(Classification::open), *own->second);
      const auto next = above_.find(at);
      if (next == above_.end()) continue;
      for (const std::string& up : next->second)
        if (seen.insert(up).second) open.push_back(up);
    }
    return strictest;
  }

 private:
  std::map<std::string, std::optional<Classification>> own_;
  std::map<std::string, std::vector<std::string>> above_;
};

// A part of the graph as it is gathered.
struct Gathered {
  std::map<std::string, std::int64_t> depths;
  std::set<std::tuple<std::string, std::string, std::string>> edges;
  bool truncated = false;

  Result<void> add(sql::Tx& tx, const Call& call, const std::string& start, Direction direction,
                   std::int64_t depth, std::int64_t offset) {
    const auto reached = TRY(store::reach(tx, call.project, start, direction, depth,
                                          static_cast<std::int64_t>(trace_nodes_max) + 1));
    for (const store::Reached& one : reached) {
      const auto [place, fresh] = depths.emplace(one.urn, one.depth + offset);
      if (!fresh) place->second = std::min(place->second, one.depth + offset);
    }
    for (const TraceEdge& edge : TRY(store::edges_above(tx, call.project, start, direction, depth)))
      edges.emplace(edge.from_urn, edge.to_urn, edge.relation);
    return {};
  }
};

}  // namespace

Result<TraceNode> Service::describe(sql::Tx& tx, const Call& call, const std::string& urn,
                                    std::int64_t depth) {
  TraceNode node{.urn = urn, .depth = depth};
  const auto parsed = Urn::parse(urn);
  if (!parsed) return node;
  node.kind = parsed->kind;
  TRY(from_declaration(tx, call, *parsed, node));
  if (node.kind == "dataset") TRY(from_dataset(tx, call, *parsed, node));
  const auto describer = describers_.find(node.kind);
  if (describer == describers_.end()) return node;
  json::object said = TRY(describer->second(tx, call, *parsed));
  if (const auto owner = taken(said, "owner"); owner && !owner->empty()) node.owner = *owner;
  if (const auto text = taken(said, "summary"); text && !text->empty()) node.summary = *text;
  if (const auto cost = taken(said, "cost")) node.cost = money_from(*cost);
  if (const auto text = taken(said, "classification"))
    node.classification = classification_from(*text);
  for (const auto& entry : said) node.detail[entry.key()] = entry.value();
  return node;
}

Result<Trace> Service::trace(const Call& call, const TraceInput& input) {
  const auto urn = Urn::parse(input.urn);
  if (!urn)
    return Error{Code::invalid_argument,
                 "\"" + input.urn + "\" is no URN; write kind:name@version",
                 {{"urn", "must be kind:name or kind:name@version"}}};
  return db_.read(call, [&](sql::Tx& tx) -> Result<Trace> {
    Gathered part;
    TRY(part.add(tx, call, input.urn, input.direction, input.depth, 0));
    const auto derive = derivers_.find(urn->kind);
    if (derive != derivers_.end() && input.direction == Direction::upstream && input.depth > 0)
      for (const Edge& edge : TRY(derive->second(tx, call, *urn))) {
        part.edges.emplace(edge.from_urn, edge.to_urn, edge.relation);
        // A route has served many versions; which of them answered is an edge of its own.
        const std::int64_t depth = edge.to_urn.starts_with("route:") ? 0 : input.depth - 1;
        TRY(part.add(tx, call, edge.to_urn, input.direction, depth, 1));
      }
    Trace trace{.urn = input.urn, .direction = input.direction};
    std::vector<TraceEdge> edges;
    for (const auto& [from, to, relation] : part.edges) edges.push_back({from, to, relation});

    std::set<std::string> all;
    for (const TraceEdge& edge : edges) all.insert({edge.from_urn, edge.to_urn});
    for (const auto& [node, depth] : part.depths) all.insert(node);
    std::map<std::string, TraceNode> nodes;
    std::map<std::string, std::optional<Classification>> own;
    for (const std::string& one : all) {
      if (nodes.size() >= trace_nodes_max) {
        trace.truncated = true;
        break;
      }
      const auto depth = part.depths.find(one);
      TraceNode node =
          TRY(describe(tx, call, one, depth == part.depths.end() ? -1 : depth->second));
      own[one] = node.classification;
      nodes.emplace(one, std::move(node));
    }
    const Classes classes(edges, std::move(own));
    for (auto& [name, node] : nodes) {
      if (node.depth < 0) continue;  // only its class was asked for
      node.classification = classes.of(name);
      trace.nodes.push_back(std::move(node));
    }
    std::stable_sort(trace.nodes.begin(), trace.nodes.end(),
                     [](const TraceNode& a, const TraceNode& b) { return a.depth < b.depth; });
    for (const TraceEdge& edge : edges)
      if (part.depths.contains(edge.from_urn) && part.depths.contains(edge.to_urn))
        trace.edges.push_back(edge);
    const bool known = !trace.edges.empty() || !trace.nodes.front().owner.empty() ||
                       !trace.nodes.front().summary.empty() || !trace.nodes.front().detail.empty();
    if (!known)
      return Error{Code::not_found,
                   "nothing is known of " + input.urn + " in project " + call.project};
    return trace;
  });
}

Result<std::vector<SourceChange>> changes_upstream(sql::Tx& tx, const Call& call,
                                                   const std::string& urn, Timestamp since) {
  std::set<std::string> sources;
  for (const store::Reached& one :
       TRY(store::reach(tx, call.project, urn, Direction::upstream, 100, trace_nodes_max)))
    if (const auto parsed = Urn::parse(one.urn); parsed && parsed->kind == "source")
      sources.insert(parsed->name);
  std::vector<SourceChange> changes;
  for (const std::string& source : sources) {
    auto of_source = TRY(store::changes(tx, call.project, source, since, 100));
    changes.insert(changes.end(), of_source.begin(), of_source.end());
  }
  std::stable_sort(changes.begin(), changes.end(),
                   [](const SourceChange& a, const SourceChange& b) { return a.at > b.at; });
  return changes;
}

}  // namespace penstock::catalog
