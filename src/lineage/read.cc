// The graph in the words of Marquez's API, which the tools of OpenLineage expect.
#include <algorithm>
#include <set>

#include "lineage/names.h"
#include "lineage/service.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

constexpr std::size_t nodes_max = 2'000;

struct NodeName {
  std::string kind;  // "dataset" or "job"
  Name name;

  std::string id() const { return kind + ":" + name.space + ":" + name.name; }
};

Error unknown_node(const std::string& id) {
  return {Code::not_found,
          "there is no node " + id.substr(0, 500) +
              "; write dataset:<namespace>:<name> or job:<namespace>:<name>, as its events do",
          {{"nodeId", "is no node that an event named"}}};
}

// Namespaces hold colons themselves, so each colon may be the one in the middle.
Result<std::string> urn_of_node(sql::Tx& tx, const Call& call, const std::string& id) {
  for (const std::string kind : {"dataset", "job"}) {
    if (!id.starts_with(kind + ":")) continue;
    const std::string rest = id.substr(kind.size() + 1);
    for (std::size_t at = rest.rfind(':'); at != rest.npos && at > 0;
         at = rest.rfind(':', at - 1)) {
      const Name name{rest.substr(0, at), rest.substr(at + 1)};
      if (const auto urn = TRY(store::urn_of(tx, call.project, kind, name))) return *urn;
      if (name.space == own_namespace && Urn::parse(name.name)) return name.name;
    }
  }
  return unknown_node(id);
}

// The field is what stands behind the last colon after which the rest is a dataset.
Result<std::string> urn_of_field(sql::Tx& tx, const Call& call, const std::string& id) {
  constexpr std::string_view lead = "datasetField:";
  if (!id.starts_with(lead)) return urn_of_node(tx, call, id);
  const std::string rest = id.substr(lead.size());
  for (std::size_t at = rest.rfind(':'); at != rest.npos && at > 0; at = rest.rfind(':', at - 1)) {
    const auto dataset = urn_of_node(tx, call, "dataset:" + rest.substr(0, at));
    if (dataset) return catalog::column_urn(*dataset, rest.substr(at + 1));
    if (dataset.error().code != Code::not_found) return dataset.error();
  }
  return unknown_node(id);
}

// A part of the graph, copied out of its lock.
struct Part {
  std::vector<std::string> nodes;
  std::set<std::pair<std::string, std::string>> edges;  // from what was read to what was made
};

Part part_of(const catalog::Graph& graph, const std::vector<catalog::NodeId>& start, bool columns,
             std::int64_t depth, bool up, bool down) {
  std::vector<catalog::WalkInput::Start> starts;
  for (const catalog::NodeId id : start)
    starts.push_back(
        {.id = id, .object = graph.node(id).is_column ? graph.node(id).parent : catalog::no_node});
  Part part;
  std::set<std::string> seen;
  const auto shown = [&](catalog::NodeId id) {
    const std::string_view urn = graph.node(id).urn;
    return columns ? graph.node(id).is_column
                   : !graph.node(id).is_column &&
                         (graph.node(id).is_job || urn.starts_with("dataset:") ||
                          urn.starts_with("source:"));
  };
  for (const auto direction : {catalog::Direction::upstream, catalog::Direction::downstream}) {
    if (direction == catalog::Direction::upstream ? !up : !down) continue;
    const auto walked = walk(
        graph, {.start = starts, .direction = direction, .depth = depth, .nodes_max = nodes_max});
    for (const auto& [id, at] : walked.nodes)
      if (shown(id) && seen.emplace(graph.node(id).urn).second)
        part.nodes.emplace_back(graph.node(id).urn);
    for (const auto& step : walked.steps)
      if (step.from != catalog::asked_node && step.to != catalog::asked_node && shown(step.from) &&
          shown(step.to))
        part.edges.emplace(graph.node(step.to).urn, graph.node(step.from).urn);
  }
  return part;
}

class Ids {
 public:
  static Result<Ids> of(sql::Tx& tx, const Call& call, const std::vector<std::string>& urns) {
    Ids ids;
    std::vector<std::string> objects;
    for (const std::string& urn : urns) objects.push_back(catalog::column_urn(urn).object);
    std::sort(objects.begin(), objects.end());
    objects.erase(std::unique(objects.begin(), objects.end()), objects.end());
    for (const store::StoredName& name : TRY(store::names_of(tx, call.project, objects)))
      ids.names_.emplace(name.urn, NodeName{name.kind, {name.namespace_, name.name}});
    return ids;
  }
  NodeName name(const std::string& object) const {
    if (const auto found = names_.find(object); found != names_.end()) return found->second;
    return {"dataset", {std::string(own_namespace), object}};
  }
  std::string id(const std::string& urn) const {
    const catalog::ColumnUrn parts = catalog::column_urn(urn);
    const NodeName object = name(parts.object);
    if (parts.column.empty()) return object.id();
    return "datasetField:" + object.name.space + ":" + object.name.name + ":" + parts.column;
  }

 private:
  std::map<std::string, NodeName> names_;
};

json::object named(const Name& name) { return {{"namespace", name.space}, {"name", name.name}}; }

json::array fields_in(const std::vector<store::Facet>& facets, const std::string& urn) {
  json::array fields;
  for (const store::Facet& facet : facets) {
    if (facet.subject != urn || facet.name != "schema" || !facet.body.is_object()) continue;
    const json::value* list = facet.body.get_object().if_contains("fields");
    if (!list || !list->is_array()) continue;
    for (const json::value& field : list->get_array()) {
      if (!field.is_object()) continue;
      json::object said{{"tags", json::array()}};
      for (const char* key : {"name", "type", "description"})
        if (const json::value* found = field.get_object().if_contains(key)) said[key] = *found;
      fields.push_back(std::move(said));
    }
  }
  return fields;
}

json::array edges_at(const Part& part, const Ids& ids, const std::string& urn, bool in) {
  json::array edges;
  for (const auto& [origin, destination] : part.edges)
    if ((in ? destination : origin) == urn)
      edges.push_back({{"origin", ids.id(origin)}, {"destination", ids.id(destination)}});
  return edges;
}

json::object answer_of(const Part& part, const Ids& ids,
                       const std::function<json::object(const std::string&)>& data,
                       std::string_view field_type) {
  json::array graph;
  for (const std::string& urn : part.nodes)
    graph.push_back({{"id", ids.id(urn)},
                     {"type", !field_type.empty()       ? field_type
                              : urn.starts_with("job:") ? "JOB"
                                                        : "DATASET"},
                     {"data", data(urn)},
                     {"inEdges", edges_at(part, ids, urn, true)},
                     {"outEdges", edges_at(part, ids, urn, false)}});
  return {{"graph", std::move(graph)}};
}

}  // namespace

Result<json::object> Service::graph(const Call& call, const GraphQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    const std::string urn = TRY(urn_of_node(tx, call, query.nodeId));
    Part part;
    TRY(catalog_.ask_graph(tx, call, [&](const catalog::Graph& graph) -> Result<void> {
      const catalog::NodeId id = graph.find(urn);
      if (id != catalog::no_node) part = part_of(graph, {id}, false, query.depth, true, true);
      return {};
    }));
    if (part.nodes.empty()) part.nodes.push_back(urn);
    const Ids ids = TRY(Ids::of(tx, call, part.nodes));
    const auto facets = TRY(store::facets(tx, call.project, part.nodes,
                                          {"schema", "documentation", "sourceCodeLocation"}));
    const auto data = [&](const std::string& node) {
      const NodeName name = ids.name(node);
      json::object out{{"id", named(name.name)},
                       {"name", name.name.name},
                       {"namespace", name.name.space},
                       {"urn", node}};
      if (name.kind == "job") {
        json::array inputs, outputs;
        for (const auto& [origin, destination] : part.edges) {
          if (destination == node) inputs.push_back(named(ids.name(origin).name));
          if (origin == node) outputs.push_back(named(ids.name(destination).name));
        }
        out["type"] = "BATCH";
        out["inputs"] = std::move(inputs);
        out["outputs"] = std::move(outputs);
      } else {
        out["type"] = "DB_TABLE";
        out["physicalName"] = name.name.name;
        out["sourceName"] = name.name.space;
        out["fields"] = fields_in(facets, node);
      }
      for (const store::Facet& facet : facets)
        if (facet.subject == node && facet.name == "documentation" && facet.body.is_object())
          if (const json::value* text = facet.body.get_object().if_contains("description"))
            out["description"] = *text;
      return out;
    };
    return answer_of(part, ids, data, "");
  });
}

Result<json::object> Service::column_graph(const Call& call, const ColumnQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    const std::string urn = TRY(urn_of_field(tx, call, query.nodeId));
    Part part;
    TRY(catalog_.ask_graph(tx, call, [&](const catalog::Graph& graph) -> Result<void> {
      const catalog::NodeId id = graph.find(urn);
      if (id == catalog::no_node) return {};
      const auto start = graph.node(id).is_column ? std::vector{id} : graph.columns_of(id);
      part = part_of(graph, start, true, query.depth, true, query.withDownstream);
      return {};
    }));
    const Ids ids = TRY(Ids::of(tx, call, part.nodes));
    const auto data = [&](const std::string& node) {
      const catalog::ColumnUrn parts = catalog::column_urn(node);
      const NodeName object = ids.name(parts.object);
      json::array inputs;
      for (const auto& [origin, destination] : part.edges) {
        if (destination != node) continue;
        const catalog::ColumnUrn from = catalog::column_urn(origin);
        const NodeName dataset = ids.name(from.object);
        inputs.push_back({{"namespace", dataset.name.space},
                          {"dataset", dataset.name.name},
                          {"field", from.column}});
      }
      return json::object{{"namespace", object.name.space},
                          {"dataset", object.name.name},
                          {"field", parts.column},
                          {"inputFields", std::move(inputs)}};
    };
    return answer_of(part, ids, data, "DATASET_FIELD");
  });
}

Result<json::object> Service::events(const Call& call, const EventsQuery& query) {
  if (query.sortDirection != "asc" && query.sortDirection != "desc")
    return Error{Code::invalid_argument,
                 "sortDirection must be asc or desc",
                 {{"sortDirection", "must be asc or desc"}}};
  const store::EventQuery wanted{.after = query.after,
                                 .before = query.before,
                                 .limit = query.limit,
                                 .offset = query.offset,
                                 .newest_first = query.sortDirection == "desc"};
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    json::array events;
    for (const std::string& body : TRY(store::events(tx, call.project, wanted)))
      events.push_back(json::parse(body));
    return json::object{{"events", std::move(events)},
                        {"totalCount", TRY(store::count_events(tx, call.project, wanted))}};
  });
}

// Each dataset that a run read, by the run that wrote it last before that one began.
Result<json::object> Service::upstream_runs(const Call& call, const UpstreamQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    const auto first = TRY(store::run(tx, call.project, query.runId));
    if (!first)
      return Error{Code::not_found,
                   "there is no run " + query.runId + " in project " + call.project,
                   {{"runId", "is no run that an event named"}}};
    std::vector<std::pair<store::Run, std::int64_t>> open{{*first, 0}};
    std::set<std::string> seen{first->id};
    json::array runs;
    for (std::size_t i = 0; i < open.size() && open.size() <= nodes_max; ++i) {
      const auto [run, depth] = open[i];
      const auto datasets = TRY(store::run_datasets(tx, call.project, run.id));
      std::vector<std::string> urns{run.job};
      for (const auto& one : datasets) urns.push_back(one.dataset);
      const Ids ids = TRY(Ids::of(tx, call, urns));
      json::array inputs, outputs;
      for (const auto& one : datasets) {
        json::object said = named(ids.name(one.dataset).name);
        if (one.direction == "input") {
          if (const auto writer =
                  TRY(store::writer_of(tx, call.project, one.dataset, run.started_at));
              writer && writer->id != run.id) {
            said["producingRunId"] = writer->id;
            if (depth < query.depth && seen.insert(writer->id).second)
              open.emplace_back(*writer, depth + 1);
          }
          inputs.push_back(std::move(said));
        } else {
          outputs.push_back(std::move(said));
        }
      }
      json::object said{
          {"id", run.id}, {"start", to_rfc3339(run.started_at)}, {"status", run.state}};
      if (run.ended_at) said["end"] = to_rfc3339(*run.ended_at);
      runs.push_back({{"depth", depth},
                      {"job", named(ids.name(run.job).name)},
                      {"run", std::move(said)},
                      {"inputs", std::move(inputs)},
                      {"outputs", std::move(outputs)}});
    }
    return json::object{{"runs", std::move(runs)}};
  });
}

Result<json::object> Service::namespaces(const Call& call) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    json::array out;
    for (const std::string& space : TRY(store::namespaces(tx, call.project)))
      out.push_back({{"name", space}, {"isHidden", false}});
    return json::object{{"namespaces", std::move(out)}};
  });
}

Result<json::object> Service::list(const Call& call, const std::string& kind,
                                   const NamesQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<json::object> {
    json::array out;
    for (const store::StoredName& name :
         TRY(store::names(tx, call.project, kind, query.space, query.limit, query.offset)))
      out.push_back({{"id", named({name.namespace_, name.name})},
                     {"name", name.name},
                     {"namespace", name.namespace_},
                     {"urn", name.urn},
                     {"createdAt", to_rfc3339(name.seen_at)}});
    return json::object{{kind + "s", std::move(out)}};
  });
}

}  // namespace penstock::lineage
