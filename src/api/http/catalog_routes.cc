#include "api/http/catalog_routes.h"

#include "catalog/contract.h"
#include "catalog/discovery.h"

namespace penstock::api {
namespace {

std::vector<Route> source_routes(const CatalogParts& parts) {
  using namespace catalog;  // NOLINT(google-build-using-namespace): the types of one component
  Service& service = parts.catalog;
  Quality& quality = parts.quality;
  return {
      route<Empty, SourceList>(
          "GET", "/api/v1/sources", "List sources", Permission::read,
          [&](const Call& call, const Empty&) { return service.list_sources(call); }),
      route<SourceName, SourceView>(
          "GET", "/api/v1/sources/{name}", "Show a source and what changed in it", Permission::read,
          [&](const Call& call, const SourceName& in) { return service.show_source(call, in); }),
      route<DiscoverInput, Discovery>(
          "POST", "/api/v1/sources:discover", "Propose a declaration from what is there",
          Permission::write,
          [&service, &olap = parts.olap](const Call& call, const DiscoverInput& in) {
            return discover(olap, service.snapshots(), call, in);
          }),
      route<SchemaQuery, SourceSchema>(
          "GET", "/api/v1/sources/{name}/schema", "Show a version of a source's schema",
          Permission::read,
          [&](const Call& call, const SchemaQuery& in) { return service.schema(call, in); }),
      route<CompatibilityInput, CompatibilityReport>(
          "POST", "/api/v1/sources/{name}:compatibility",
          "Which versions of a source read each other's rows", Permission::read,
          [&](const Call& call, const CompatibilityInput& in) {
            return service.compatibility(call, in);
          }),
      route<SourceName, Measure>(
          "POST", "/api/v1/sources/{name}:check",
          "Run the quality checks of a source and keep what they found", Permission::write,
          [&](const Call& call, const SourceName& in) { return quality.check(call, in); }),
      route<SourceName, Measure>(
          "POST", "/api/v1/sources/{name}:refresh", "Check a source and profile its columns",
          Permission::write,
          [&](const Call& call, const SourceName& in) { return quality.refresh(call, in); }),
      route<MeasureQuery, MeasureList>(
          "GET", "/api/v1/sources/{name}/measures", "What was measured of a source, newest first",
          Permission::read,
          [&](const Call& call, const MeasureQuery& in) { return quality.history(call, in); }),
      route<ProfileQuery, SourceProfile>(
          "GET", "/api/v1/sources/{name}/profile", "What the columns of a source look like",
          Permission::read,
          [&](const Call& call, const ProfileQuery& in) { return quality.profile(call, in); }),
      route<SearchQuery, SearchResult>(
          "GET", "/api/v1/search", "Find things by their words", Permission::read,
          [&search = parts.search](const Call& call, const SearchQuery& in) {
            return search.find(call, in);
          }),
  };
}

}  // namespace

std::vector<Route> catalog_routes(const CatalogParts& parts) {
  using namespace catalog;  // NOLINT(google-build-using-namespace): the types of one component
  Service& catalog = parts.catalog;
  std::vector<Route> all = source_routes(parts);
  std::vector<Route> rest{
      route<ContractInput, ContractSources>(
          "POST", "/api/v1/contracts:import",
          "Read an Open Data Contract as declarations of sources", Permission::read,
          [](const Call& call, const ContractInput& in) { return import_contract(call, in); }),
      route<SourceName, ContractOutput>(
          "GET", "/api/v1/sources/{name}/contract", "A source as an Open Data Contract",
          Permission::read,
          [&](const Call& call, const SourceName& in) { return catalog.contract(call, in); }),
      route<DatasetRequest, Dataset>(
          "POST", "/api/v1/datasets", "Make a dataset from a query", Permission::write,
          [&datasets = parts.datasets](const Call& call, const DatasetRequest& in) {
            return datasets.create(call, in);
          }),
      route<DatasetPair, DatasetDifference>(
          "GET", "/api/v1/datasets:diff", "What differs between two datasets", Permission::read,
          [&datasets = parts.datasets](const Call& call, const DatasetPair& in) {
            return datasets.diff(call, in);
          }),
      route<DatasetQuery, DatasetList>("GET", "/api/v1/datasets", "List datasets", Permission::read,
                                       [&](const Call& call, const DatasetQuery& in) {
                                         return catalog.list_datasets(call, in);
                                       }),
      route<DatasetName, Dataset>(
          "GET", "/api/v1/datasets/{name}/versions/{version}", "Show a dataset", Permission::read,
          [&](const Call& call, const DatasetName& in) { return catalog.show_dataset(call, in); }),
  };
  all.insert(all.end(), std::make_move_iterator(rest.begin()), std::make_move_iterator(rest.end()));
  return all;
}

}  // namespace penstock::api
