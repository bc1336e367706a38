#pragma once

#include "api/mlflow/protocol.h"
#include "tracking/tracking.h"

namespace penstock::api::mlflow {

// A tag or a parameter as MLflow writes it. The value may miss.
inline Result<tracking::Pair> pair_of(const Arguments& in) {
  auto key = TRY(in.text("key"));
  auto value = TRY(in.text_or("value", ""));
  return tracking::Pair{std::move(key), std::move(value)};
}

}  // namespace penstock::api::mlflow
