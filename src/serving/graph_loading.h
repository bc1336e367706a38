// What is loaded once for all routes, and the parts of graphs among it.
#pragma once

#include "serving/service.h"

namespace penstock::serving {

StoredTarget part_target(const StoredTarget& graph, const PartArtifact& part);
Artifact part_artifact(const PartArtifact& part);
// One for what is loaded once; of remote ones also by how they are called, of graphs by their
// project, whose features they read.
std::string deployment_key(const StoredTarget& target, const Artifact& artifact);

}  // namespace penstock::serving
