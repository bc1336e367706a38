#include "serving/graph_loading.h"

#include "serving/graph_model.h"
#include "serving/text.h"

namespace penstock::serving {

StoredTarget part_target(const StoredTarget& graph, const PartArtifact& part) {
  return {.project = graph.project, .model = part.model, .version = part.version};
}

Artifact part_artifact(const PartArtifact& part) {
  return {.path = part.path,
          .digest = part.digest,
          .runtime = part.runtime,
          .remote = part.remote,
          .upstream = part.upstream};
}

std::string deployment_key(const StoredTarget& target, const Artifact& artifact) {
  std::string key = target.model + "@" + std::to_string(target.version) + "#" + artifact.runtime +
                    "#" + artifact.digest;
  if (artifact.upstream) key += "#" + target.project + "#" + json_text(*artifact.upstream);
  if (artifact.table) key += "#" + target.project;
  for (const PartArtifact& part : artifact.parts)
    key += "#" + deployment_key(part_target(target, part), part_artifact(part));
  return key;
}

Result<std::shared_ptr<infer::Model>> Service::load_graph(const StoredTarget& target,
                                                          const Artifact& artifact,
                                                          const Tried& tried) {
  if (!options_.parse)
    return Error{Code::failed_precondition, "this server runs no models of runtime graph"};
  GraphParts parts{.graph = *artifact.table, .parse = options_.parse, .clock = clock_};
  for (const PartArtifact& part : artifact.parts) {
    const auto found = tried.find(deployment_key(part_target(target, part), part_artifact(part)));
    if (found == tried.end())
      return Error{Code::unavailable, "node " + part.node + " is not loaded yet; publish again"};
    if (!found->second)
      return Error{found->second.error().code,
                   "node " + part.node + ": " + found->second.error().message};
    parts.models[part.node] = *found->second;
  }
  const Call call{.actor = "service:serving", .tenant = "penstock", .project = target.project};
  for (const graphs::TableNode& node : artifact.table->nodes) {
    if (node.kind != graphs::TableNodeKind::features) continue;
    auto schema = schemas_(call, *node.feature_schema);
    if (!schema)
      return Error{schema.error().code, "node " + node.name + ": " + schema.error().message};
    parts.schemas[node.name] = std::move(schema).take();
  }
  return make_graph_model(std::move(parts));
}

}  // namespace penstock::serving
