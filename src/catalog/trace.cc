#include <algorithm>
#include <map>
#include <set>

#include "catalog/classes.h"
#include "catalog/store.h"

namespace penstock::catalog {
namespace {

std::optional<std::string> taken(json::object& object, std::string_view field) {
  const json::value* value = object.if_contains(field);
  if (!value) return {};
  std::optional<std::string> text;
  if (value->is_string()) text = std::string(value->get_string());
  object.erase(field);
  return text;
}

void fill(TraceNode& node, json::object said) {
  if (const auto owner = taken(said, "owner"); owner && !owner->empty()) node.owner = *owner;
  if (const auto text = taken(said, "summary"); text && !text->empty()) node.summary = *text;
  if (const auto cost = taken(said, "cost")) node.cost = money_from(*cost);
  for (const auto& entry : said) node.detail[entry.key()] = entry.value();
}

Result<void> from_dataset(sql::Tx& tx, const Call& call, TraceNode& node) {
  const auto dataset = TRY(find_dataset(tx, call.project, node.urn));
  if (!dataset) return {};
  if (node.owner.empty()) node.owner = dataset->created_by;
  node.summary = std::to_string(dataset->row_count) + " rows, " + to_rfc3339(dataset->created_at);
  node.detail["digest"] = dataset->digest;
  return {};
}

// Of a source's column: what was declared of it.
void from_source_column(const json::object& declaration, const std::string& name, TraceNode& node) {
  const json::value* columns = declaration.if_contains("columns");
  if (!columns || !columns->is_array()) return;
  for (const json::value& column : columns->get_array()) {
    if (column.at("name") != json::value(name)) continue;
    node.summary = std::string(column.at("type").as_string());
    if (const json::value& unit = column.at("unit"); unit.is_string())
      node.summary += " in " + std::string(unit.get_string());
    if (const json::value& text = column.at("description"); text.is_string())
      node.summary += ", " + std::string(text.get_string());
  }
}

// Where a question begins in the graph, and the edges from what was asked for to there.
struct Beginning {
  std::vector<WalkInput::Start> start;
  std::vector<TraceEdge> edges;
  std::vector<std::string> beside;  // nodes that the graph does not have
};

// A name without a version means every version: a change of "source:flights#dep_delay" concerns
// whoever reads any of them.
Beginning begin_at(const Graph& graph, const std::string& asked, Direction direction) {
  Beginning found;
  const std::string object = asked.substr(0, asked.find('#'));
  const std::string column = asked.substr(object.size());
  const auto add = [&](NodeId whole) {
    const NodeId id =
        column.empty() ? whole : graph.find(std::string(graph.node(whole).urn) + column);
    found.start.push_back(
        {.id = id == no_node ? asked_node : id, .object = column.empty() ? no_node : whole});
    if (id == no_node || graph.node(id).urn == asked) return;
    const std::string version(graph.node(id).urn);
    if (direction == Direction::upstream)
      found.edges.push_back({asked, version, "has_version"});
    else
      found.edges.push_back({version, asked, "version_of"});
  };
  const NodeId base = graph.find(object);
  if (base == no_node) return found;
  add(base);
  for (NodeId child = graph.node(base).first_child; child != no_node;
       child = graph.node(child).next_sibling)
    if (!graph.node(child).is_column) add(child);
  return found;
}

// A node as it is known inside the graph's lock, before the database is asked what it is.
struct Part {
  std::vector<TraceNode> nodes;
  std::vector<TraceEdge> edges;
  std::int64_t total = 0;
};

void label(TraceNode& node, const Label& label, const TagSets& sets) {
  if (label.classification)
    node.classification =
        std::max(node.classification.value_or(Classification::open), *label.classification);
  for (const std::string& tag : sets.tags(label.tags))
    if (std::find(node.tags.begin(), node.tags.end(), tag) == node.tags.end())
      node.tags.push_back(tag);
}

Part part_of(const Graph& graph, const TraceInput& input, const Beginning& beginning) {
  const std::int64_t at = input.as_of ? input.as_of->time_since_epoch().count() : Graph::now;
  const Walked walked = walk(graph, {.start = beginning.start,
                                     .direction = input.direction,
                                     .depth = input.depth,
                                     .at = at,
                                     .nodes_max = static_cast<std::size_t>(input.limit)});
  std::vector<Label> then;
  TagSets then_sets;
  if (input.as_of) {
    then_sets = graph.sets();
    then = graph.labels_at(at, then_sets);
  }
  const TagSets& sets = input.as_of ? then_sets : graph.sets();
  const auto label_of = [&](NodeId id) { return input.as_of ? then[id] : graph.label(id); };
  const auto name = [&](NodeId id) {
    return id == asked_node ? input.urn : std::string(graph.node(id).urn);
  };
  Part part{.total = static_cast<std::int64_t>(walked.total)};
  const NodeId root = graph.find(input.urn);
  const bool has_root = root != no_node && !walked.nodes.empty() && walked.nodes[0].first == root;
  if (!has_root) {
    TraceNode& node = part.nodes.emplace_back(TraceNode{.urn = input.urn});
    for (const WalkInput::Start& start : beginning.start)
      if (start.id != asked_node) label(node, label_of(start.id), sets);
    ++part.total;
  }
  for (const auto& [id, depth] : walked.nodes) {
    if (std::ssize(part.nodes) >= input.limit) break;
    TraceNode& node = part.nodes.emplace_back(TraceNode{.urn = name(id), .depth = depth});
    label(node, label_of(id), sets);
  }
  for (const Walked::Step& step : walked.steps)
    part.edges.push_back({name(step.from), name(step.to), std::string(step.relation)});
  return part;
}

}  // namespace

// Few statements for many nodes: what was declared and what is known of others' jobs and datasets
// is read at once; only the program's own few (models, releases) are asked one by one.
Result<void> Service::describe(sql::Tx& tx, const Call& call, std::vector<TraceNode>& nodes) {
  std::vector<std::pair<std::string, std::string>> names;
  std::vector<std::string> many;
  std::vector<std::optional<Urn>> urns;
  for (TraceNode& node : nodes) {
    const ColumnUrn parts = column_urn(node.urn);
    urns.push_back(Urn::parse(parts.object));
    node.kind = !urns.back() ? "" : parts.column.empty() ? urns.back()->kind : "column";
    if (!urns.back()) continue;
    if (urns.back()->name.find('/') == std::string::npos)
      names.emplace_back(urns.back()->kind, urns.back()->name);
    else
      many.push_back(parts.object);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::map<std::pair<std::string, std::string>, resources::Resource> declared;
  for (auto& resource : TRY(resources::get_many(tx, call.project, names))) {
    auto key = std::pair(resource.kind, resource.name);
    declared.emplace(std::move(key), std::move(resource));
  }
  std::map<std::string, json::object> others;
  if (describe_many_ && !many.empty()) others = TRY(describe_many_(tx, call, many));
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    TraceNode& node = nodes[i];
    if (!urns[i]) continue;
    const ColumnUrn parts = column_urn(node.urn);
    const auto resource = declared.find({urns[i]->kind, urns[i]->name});
    if (resource != declared.end()) {
      node.owner = resource->second.owner;
      if (!parts.column.empty())
        from_source_column(resource->second.declaration, parts.column, node);
      else if (const json::value* text = resource->second.declaration.if_contains("description"))
        if (text->is_string()) node.summary = std::string(text->get_string());
    }
    if (const auto other = others.find(parts.object); other != others.end()) {
      json::object said = other->second;
      if (!parts.column.empty()) said = {{"owner", said["owner"]}};
      fill(node, std::move(said));
    }
    if (!parts.column.empty()) continue;
    if (node.kind == "dataset" && !others.contains(node.urn)) TRY(from_dataset(tx, call, node));
    const auto describer = describers_.find(node.kind);
    if (describer != describers_.end()) fill(node, TRY(describer->second(tx, call, *urns[i])));
  }
  return {};
}

Result<TraceNode> Service::describe(sql::Tx& tx, const Call& call, const std::string& urn) {
  std::vector<TraceNode> nodes{{.urn = urn}};
  TRY(describe(tx, call, nodes));
  const ColumnUrn parts = column_urn(urn);
  if (const auto parsed = Urn::parse(parts.object))
    TRY(classify_root(tx, call, *parsed, parts.column, nodes.front()));
  return std::move(nodes.front());
}

Result<Trace> Service::trace(const Call& call, const TraceInput& input) {
  const ColumnUrn asked = column_urn(input.urn);
  const auto urn = Urn::parse(asked.object);
  if (!urn)
    return Error{Code::invalid_argument,
                 "\"" + input.urn + "\" is no URN; write kind:name@version",
                 {{"urn", "must be kind:name or kind:name@version, with #column for a column"}}};
  return db_.read(call, [&](sql::Tx& tx) -> Result<Trace> {
    std::vector<Edge> derived;
    const auto derive = derivers_.find(urn->kind);
    if (derive != derivers_.end() && input.direction == Direction::upstream && input.depth > 0)
      derived = TRY(derive->second(tx, call, *urn));
    Part part;
    TRY(graphs_.ask(tx, call.project, [&](const Graph& graph) -> Result<void> {
      Beginning beginning = begin_at(graph, input.urn, input.direction);
      for (const Edge& edge : derived) {
        beginning.edges.push_back({edge.from_urn, edge.to_urn, edge.relation});
        const NodeId id = graph.find(edge.to_urn);
        if (id == no_node)
          beginning.beside.push_back(edge.to_urn);
        else
          // A route has served many versions; which of them answered is an edge of its own.
          beginning.start.push_back(
              {.id = id, .depth = 1, .expand = !edge.to_urn.starts_with("route:")});
      }
      part = part_of(graph, input, beginning);
      for (const std::string& beside : beginning.beside)
        part.nodes.push_back({.urn = beside, .depth = 1});
      part.total += std::ssize(beginning.beside);
      part.edges.insert(part.edges.end(), beginning.edges.begin(), beginning.edges.end());
      return {};
    }));
    TRY(describe(tx, call, part.nodes));
    if (!derived.empty()) TRY(inherit(tx, call, derived, part.nodes));
    std::stable_sort(part.nodes.begin(), part.nodes.end(),
                     [](const TraceNode& a, const TraceNode& b) { return a.depth < b.depth; });
    Trace trace{.urn = input.urn,
                .direction = input.direction,
                .as_of = input.as_of,
                .nodes = std::move(part.nodes),
                .edges = std::move(part.edges),
                .total = part.total};
    trace.truncated = trace.total > std::ssize(trace.nodes);
    if (trace.truncated) {
      std::set<std::string_view> shown;
      for (const TraceNode& node : trace.nodes) shown.insert(node.urn);
      std::erase_if(trace.edges, [&](const TraceEdge& edge) {
        return !shown.contains(edge.from_urn) || !shown.contains(edge.to_urn);
      });
    }
    const TraceNode& root = trace.nodes.front();
    if (trace.edges.empty() && root.owner.empty() && root.summary.empty() && root.detail.empty())
      return Error{Code::not_found, "nothing is known of " + input.urn + " in project " +
                                        call.project + (input.as_of ? " at that instant" : "")};
    if (!root.classification) TRY(classify_root(tx, call, *urn, asked.column, trace.nodes.front()));
    return trace;
  });
}

// What edges that are never stored lead to gives its class to where they come from.
Result<void> Service::inherit(sql::Tx& tx, const Call& call, const std::vector<Edge>& derived,
                              std::vector<TraceNode>& nodes) {
  std::set<std::string_view> above;
  for (const Edge& edge : derived) above.insert(edge.to_urn);
  TraceNode& root = nodes.front();
  for (TraceNode& node : nodes) {
    if (!above.contains(node.urn)) continue;
    const auto urn = Urn::parse(node.urn);
    if (!node.classification && urn) TRY(classify_root(tx, call, *urn, "", node));
    TagSets sets;
    label(root, {node.classification, sets.of(node.tags)}, sets);
  }
  return {};
}

// A source that no edge names has a class all the same, and so has each of its columns.
Result<void> Service::classify_root(sql::Tx& tx, const Call& call, const Urn& urn,
                                    const std::string& column, TraceNode& node) {
  if (urn.kind != "source") return {};
  const std::int64_t version = std::strtoll(urn.version.c_str(), nullptr, 10);
  const auto source = resources::declared<Source>(tx, call.project, "source", urn.name, version);
  if (!source) return {};
  TagSets sets;
  for (const ColumnClass& one : TRY(column_classes(tx, call.project, *source)))
    if (column.empty() || one.column == column)
      label(node, {one.classification, sets.of(one.tags)}, sets);
  return {};
}

Result<Impact> Service::impact(const Call& call, const ImpactInput& input) {
  auto trace = TRY(this->trace(call, {.urn = input.urn,
                                      .direction = Direction::downstream,
                                      .depth = input.depth,
                                      .limit = input.limit,
                                      .as_of = input.as_of}));
  Impact impact{.urn = input.urn,
                .as_of = input.as_of,
                .edges = std::move(trace.edges),
                .total = trace.total,
                .truncated = trace.truncated};
  std::map<std::string, std::vector<std::string>> owners;
  for (TraceNode& node : trace.nodes) {
    if (node.depth == 0) {
      --impact.total;
      continue;
    }
    owners[node.owner].push_back(node.urn);
    impact.nodes.push_back(std::move(node));
  }
  for (auto& [owner, urns] : owners) impact.owners.push_back({owner, std::move(urns)});
  return impact;
}

Result<std::vector<SourceChange>> changes_upstream(sql::Tx& tx, const Call& call,
                                                   const std::string& urn, Timestamp since) {
  std::set<std::string> sources;
  for (const std::string& one : TRY(store::upstream(tx, call.project, urn)))
    if (const auto parsed = Urn::parse(column_urn(one).object); parsed && parsed->kind == "source")
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
