// The seams of serving, joined to the neighbours that fill them.
#pragma once

#include "features/service.h"
#include "registry/artifacts.h"
#include "registry/signatures.h"
#include "serving/seams.h"

namespace penstock::serving {

SchemaOpener schemas_of(features::Service& features);
HistoricalJoin historical_of(features::Service& features);
// The version's record names an artifact; its model.onnx is what is loaded.
// Its signature is verified before, where the model's declaration asks for one.
ArtifactFinder artifacts_of(registry::Artifacts& artifacts, registry::Signatures& signatures);

}  // namespace penstock::serving
