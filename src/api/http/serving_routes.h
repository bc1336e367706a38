#pragma once

#include "api/route.h"
#include "serving/batch.h"
#include "serving/gateway.h"
#include "serving/retention.h"
#include "serving/stream.h"
#include "serving/topics.h"

namespace penstock::api {

// What the handlers call. All of it outlives the routes.
struct ServingParts {
  serving::Service& service;
  serving::Gateway& gateway;
  serving::BatchScorer& batch;
  serving::Streams& streams;
  events::Log& log;
  serving::Retention& retention;
};

std::vector<Route> serving_routes(ServingParts parts);

}  // namespace penstock::api
