#include "api/http/catalog_routes.h"

namespace penstock::api {

std::vector<Route> catalog_routes(catalog::Service& catalog) {
  using namespace catalog;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Empty, SourceList>(
          "GET", "/api/v1/sources", "List sources", Permission::read,
          [&](const Call& call, const Empty&) { return catalog.list_sources(call); }),
      route<SourceName, SourceView>(
          "GET", "/api/v1/sources/{name}", "Show a source and what changed in it", Permission::read,
          [&](const Call& call, const SourceName& in) { return catalog.show_source(call, in); }),
      route<SourceName, CheckReport>(
          "POST", "/api/v1/sources/{name}:check", "Run the quality checks of a source",
          Permission::write,
          [&](const Call& call, const SourceName& in) { return catalog.run_checks(call, in); }),
      route<DatasetQuery, DatasetList>("GET", "/api/v1/datasets", "List datasets", Permission::read,
                                       [&](const Call& call, const DatasetQuery& in) {
                                         return catalog.list_datasets(call, in);
                                       }),
      route<DatasetName, Dataset>(
          "GET", "/api/v1/datasets/{name}/versions/{version}", "Show a dataset", Permission::read,
          [&](const Call& call, const DatasetName& in) { return catalog.show_dataset(call, in); }),
  };
}

}  // namespace penstock::api
