// The seams of serving, joined to the neighbours that fill them.
#pragma once

#include "features/service.h"
#include "registry/artifacts.h"
#include "serving/seams.h"

namespace penstock::serving {

SchemaOpener schemas_of(features::Service& features);
HistoricalJoin historical_of(features::Service& features);
// The version's record names an artifact; its model.onnx is what is loaded.
ArtifactFinder artifacts_of(registry::Artifacts& artifacts);

}  // namespace penstock::serving
