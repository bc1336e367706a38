#include "api/http/features_routes.h"

#include "api/http/feast.h"

namespace penstock::api {
namespace {

// A route that speaks Feast's JSON in and out.
Route feast_route(std::string path, std::string summary, Permission permission,
                  std::function<Result<json::object>(const Call&, const json::object&)> serve) {
  return {.method = "POST",
          .path = std::move(path),
          .summary = std::move(summary),
          .permission = permission,
          .handle = [serve = std::move(serve)](const Call& call, const Request& request) {
            const auto value = request_value(request);
            if (!value) return problem(value.error());
            const auto out = serve(call, value->get_object());
            return out ? json_response(*out) : problem(out.error());
          }};
}

}  // namespace

std::vector<Route> features_routes(features::Service& features) {
  using namespace features;  // NOLINT(google-build-using-namespace): the types of one component
  return {
      route<Empty, ViewList>("GET", "/api/v1/feature-views",
                             "List feature views and how fresh they are", Permission::read,
                             [&](const Call& call, const Empty&) { return features.list(call); }),
      route<MaterializeInput, MaterializeOutput>("POST", "/api/v1/features:materialize",
                                                 "Move what arrived into the online store",
                                                 Permission::write,
                                                 [&](const Call& call, const MaterializeInput& in) {
                                                   return features.materialize(call, in);
                                                 }),
      route<HistoricalInput, HistoricalOutput>("POST", "/api/v1/features:historical",
                                               "Join features as of each row's instant",
                                               Permission::write,
                                               [&](const Call& call, const HistoricalInput& in) {
                                                 return features.historical(call, in);
                                               }),
      route<OnlineInput, OnlineOutput>(
          "POST", "/api/v1/features:online", "Read features as of now, or of an instant",
          Permission::read,
          [&](const Call& call, const OnlineInput& in) { return features.online(call, in); }),
      route<PushInput, PushOutput>(
          "POST", "/api/v1/features:push", "Write rows of a view into the online store",
          Permission::write,
          [&](const Call& call, const PushInput& in) { return features.push(call, in); }),
      route<VerifyInput, VerifyOutput>(
          "POST", "/api/v1/features:verify", "Compare online values with the offline join",
          Permission::read,
          [&](const Call& call, const VerifyInput& in) { return features.verify(call, in); }),
      feast_route("/get-online-features", "Feast: read features online", Permission::read,
                  [&](const Call& call, const json::object& in) {
                    return feast_online(features, call, in);
                  }),
      feast_route(
          "/push", "Feast: write rows of a view into the online store", Permission::write,
          [&](const Call& call, const json::object& in) { return feast_push(features, call, in); }),
  };
}

}  // namespace penstock::api
