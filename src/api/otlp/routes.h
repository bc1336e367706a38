#pragma once

#include <vector>

#include "api/route.h"

namespace penstock::tracking {
class Traces;
}  // namespace penstock::tracking

namespace penstock::api::otlp {

// POST /v1/traces: where MLflow's client and every OpenTelemetry exporter send their spans.
std::vector<Route> routes(tracking::Traces& traces);

}  // namespace penstock::api::otlp
