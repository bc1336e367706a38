#include "serving/classes.h"

#include <cstring>
#include <limits>

#include "base/digest.h"

namespace penstock::serving {
namespace {

bool is_matrix_of(const std::vector<infer::Tensor>& tensors, std::size_t width) {
  if (tensors.size() != 1 || width == 0 || tensors[0].datatype != "FP32") return false;
  const infer::Tensor& tensor = tensors[0];
  return tensor.shape.size() == 2 && tensor.shape[1] == static_cast<std::int64_t>(width) &&
         tensor.bytes.size() % (width * sizeof(float)) == 0;
}

}  // namespace

bool redact(const Classes& classes, catalog::Classification most, InferenceEvent& event) {
  bool taken = false, entity_taken = false;
  for (std::size_t i = 0; i < event.features.size(); ++i) {
    // Features that a caller sent itself are of its own input, unless they are the schema's.
    const auto is =
        classes.features.size() == event.features.size() ? classes.features[i] : classes.input;
    if (is <= most || !event.features[i]) continue;
    event.features[i].reset();
    taken = true;
  }
  std::erase_if(event.entities, [&](const auto& entity) {
    const auto found = classes.entities.find(entity.first);
    const bool above = (found == classes.entities.end() ? catalog::Classification::restricted
                                                        : found->second) > most;
    entity_taken = entity_taken || above;
    return above;
  });
  if (entity_taken && !event.unit.empty()) event.unit = sha256_hex(event.unit).substr(0, 32);
  return taken || entity_taken;
}

std::optional<std::vector<infer::Tensor>> redacted(const Classes& classes,
                                                   catalog::Classification most,
                                                   const std::vector<infer::Tensor>& tensors) {
  const std::size_t width = classes.features.size();
  if (!is_matrix_of(tensors, width)) {
    if (classes.input > most) return std::nullopt;
    return tensors;
  }
  std::vector<infer::Tensor> out = tensors;
  const float missing = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t column = 0; column < width; ++column) {
    if (classes.features[column] <= most) continue;
    for (std::size_t at = column * sizeof missing; at < out[0].bytes.size();
         at += width * sizeof missing)
      std::memcpy(out[0].bytes.data() + at, &missing, sizeof missing);
  }
  return out;
}

}  // namespace penstock::serving
