#pragma once

#include "tracking/tracking.h"

namespace penstock::api::mlflow {

// A point as MLflow writes it: NaN is a text.
inline json::object metric_json(const tracking::Metric& metric) {
  json::object out{{"key", metric.key}, {"timestamp", metric.at}, {"step", metric.step}};
  if (metric.is_nan)
    out["value"] = "NaN";
  else
    out["value"] = metric.value;
  return out;
}

}  // namespace penstock::api::mlflow
