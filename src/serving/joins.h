// The seams of serving, joined to the neighbours that fill them.
#pragma once

#include "catalog/service.h"
#include "features/service.h"
#include "registry/artifacts.h"
#include "registry/signatures.h"
#include "serving/classes.h"
#include "serving/seams.h"

namespace penstock::serving {

SchemaOpener schemas_of(features::Service& features);
// A feature has the strictest class of the columns that it is made of; an entity key that of the
// columns of its name in all sources upstream.
ClassFinder classes_of(sql::Database& db, catalog::Service& catalog);
HistoricalJoin historical_of(features::Service& features);
// The version's record names an artifact; its model.onnx is what is loaded.
// Its signature is verified before, where the model's declaration asks for one.
ArtifactFinder artifacts_of(registry::Artifacts& artifacts, registry::Signatures& signatures);

}  // namespace penstock::serving
