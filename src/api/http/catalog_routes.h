#pragma once

#include "api/route.h"
#include "catalog/dataset_builder.h"
#include "catalog/quality.h"
#include "catalog/search.h"

namespace penstock::api {

struct CatalogParts {
  catalog::Service& catalog;
  catalog::Quality& quality;
  catalog::Search& search;
  catalog::DatasetBuilder& datasets;
  olap::Engine& olap;
};
std::vector<Route> catalog_routes(const CatalogParts& parts);

}  // namespace penstock::api
