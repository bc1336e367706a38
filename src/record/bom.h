// CycloneDX 1.6 bill of materials of a model (ML-BOM).
#pragma once

#include "record/facts.h"

namespace penstock::record {

// The model with its card, its files, datasets, feature views, runtime and packages, and what hangs
// on what. The same facts give the same document, and its serial number is of its content.
json::object bom_of(const Facts& facts);

}  // namespace penstock::record
