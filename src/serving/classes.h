// The classes of what a call holds, and what is left of it below one of them.
#pragma once

#include <functional>

#include "base/call.h"
#include "catalog/source.h"
#include "ports/infer.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct RouteDeclaration;
struct OpenSchema;

// As they stood when the table was made. What is not known is restricted.
struct Classes {
  using Class = catalog::Classification;

  std::vector<Class> features;            // in the schema's order
  std::map<std::string, Class> entities;  // by key
  Class input = Class::restricted;        // tensors and texts that callers send themselves

  friend bool operator==(const Classes&, const Classes&) = default;
};
using ClassFinder = std::function<Result<Classes>(const Call& call, const RouteDeclaration& route,
                                                  const OpenSchema& features)>;

// Features above `most` become null, entity keys are taken out, and a unit that may be one of them
// becomes its digest. True where something was taken.
bool redact(const Classes& classes, catalog::Classification most, InferenceEvent& event);

// The one matrix of a route's features: column by column, NaN in the place of what is above `most`.
// Anything else is the caller's own input, all of it or nothing: null where that is above `most`.
std::optional<std::vector<infer::Tensor>> redacted(const Classes& classes,
                                                   catalog::Classification most,
                                                   const std::vector<infer::Tensor>& tensors);

}  // namespace penstock::serving
