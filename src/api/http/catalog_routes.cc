#include "api/http/catalog_routes.h"

#include <map>

namespace penstock::api {
namespace {

struct ImpactInput {
  std::string urn;
  std::int64_t depth = 32;
};
BOOST_DESCRIBE_STRUCT(ImpactInput, (), (urn, depth))
constexpr auto rules_of(const ImpactInput&) {
  return std::array{Rule{.field = "urn", .min = 3, .max = 500},
                    Rule{.field = "depth", .min = 0, .max = 100, .may_miss = true}};
}
struct Affected {
  std::string owner;  // empty: nobody declared what is affected
  std::vector<std::string> urns;
};
BOOST_DESCRIBE_STRUCT(Affected, (), (owner, urns))
struct Impact {
  std::string urn;
  std::vector<Affected> owners;  // whom a change of `urn` concerns, by name
  std::vector<catalog::TraceNode> nodes;
};
BOOST_DESCRIBE_STRUCT(Impact, (), (urn, owners, nodes))

Result<Impact> impact_of(catalog::Service& catalog, const Call& call, const ImpactInput& in) {
  auto trace = TRY(catalog.trace(
      call, {.urn = in.urn, .direction = catalog::Direction::downstream, .depth = in.depth}));
  Impact impact{.urn = in.urn};
  std::map<std::string, std::vector<std::string>> owners;
  for (catalog::TraceNode& node : trace.nodes) {
    if (node.depth == 0) continue;
    owners[node.owner].push_back(node.urn);
    impact.nodes.push_back(std::move(node));
  }
  for (auto& [owner, urns] : owners) impact.owners.push_back({owner, std::move(urns)});
  return impact;
}

}  // namespace

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
      route<TraceInput, Trace>(
          "GET", "/api/v1/trace", "What a thing was made from, or what was made from it",
          Permission::read,
          [&](const Call& call, const TraceInput& in) { return catalog.trace(call, in); }),
      route<ImpactInput, Impact>(
          "GET", "/api/v1/impact", "Whom a change of a thing concerns", Permission::read,
          [&](const Call& call, const ImpactInput& in) { return impact_of(catalog, call, in); }),
  };
}

}  // namespace penstock::api
