// The seams of serving, joined to the neighbours that fill them.
#pragma once

#include "catalog/service.h"
#include "features/service.h"
#include "registry/artifacts.h"
#include "registry/service.h"
#include "registry/signatures.h"
#include "serving/classes.h"
#include "serving/seams.h"

namespace penstock::serving {

SchemaOpener schemas_of(features::Service& features);
// A feature has the strictest class of the columns that it is made of; an entity key that of the
// columns of its name in all sources upstream.
ClassFinder classes_of(sql::Database& db, catalog::Service& catalog);
HistoricalJoin historical_of(features::Service& features);
HistoricalReader historical_reader_of(features::Service& features);
// The version's record names an artifact; runtimes.h says what of it is loaded. Its signature is
// verified before, where the model's declaration asks for one.
ArtifactFinder artifacts_of(registry::Artifacts& artifacts, registry::Signatures& signatures);
// Refuses a record whose runtime its artifact is not for, and says the runtime of a remote version
// where its writer did not: policies ask whether rows leave this program.
registry::RecordCheck runtime_check_of(registry::Artifacts& artifacts);

}  // namespace penstock::serving
