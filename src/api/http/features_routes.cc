#include "api/http/features_routes.h"

#include "api/http/feast.h"
#include "features/erasure.h"
#include "features/nearest/neighbours.h"

namespace penstock::api {
namespace {

// Short while the store is near, so it may run on the event loop. A small body is parsed into
// memory of the stack.
Route feast_online_route(features::Service& features) {
  return {.method = "POST",
          .path = "/get-online-features",
          .summary = "Feast: read features online",
          .permission = Permission::read,
          .handle =
              [&features](const Call& call, const Request& request) {
                unsigned char space[16 << 10];
                json::monotonic_resource memory(space);
                boost::system::error_code fault;
                const json::value body =
                    json::parse(request.body, fault, &memory, {.max_depth = 64});
                if (fault || !body.is_object())
                  return problem({Code::invalid_argument, "the body must be a JSON object"});
                auto out = feast_online(features, call, body.get_object());
                return out ? Response{.body = std::move(*out)} : problem(out.error());
              },
          .brief = true};
}

Route feast_push_route(features::Service& features) {
  return {.method = "POST",
          .path = "/push",
          .summary = "Feast: write rows of a view into the online store",
          .permission = Permission::write,
          .handle = [&features](const Call& call, const Request& request) {
            const auto value = request_value(request);
            if (!value) return problem(value.error());
            const auto out = feast_push(features, call, value->get_object());
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
      route<NearestInput, NearestOutput>(
          "POST", "/api/v1/features:nearest", "Find the entities whose embedding is nearest",
          Permission::read,
          [&](const Call& call, const NearestInput& in) { return features.nearest(call, in); }),
      route<PushInput, PushOutput>(
          "POST", "/api/v1/features:push", "Write rows of a view into the online store",
          Permission::write,
          [&](const Call& call, const PushInput& in) { return features.push(call, in); }),
      route<VerifyInput, VerifyOutput>(
          "POST", "/api/v1/features:verify", "Compare online values with the offline join",
          Permission::read,
          [&](const Call& call, const VerifyInput& in) { return features.verify(call, in); }),
      route<ViewProfileQuery, ViewProfileOutput>(
          "GET", "/api/v1/feature-views/{view}/profile",
          "What the values of a view look like on one day", Permission::read,
          [&](const Call& call, const ViewProfileQuery& in) { return features.profile(call, in); }),
      route<EraseInput, EraseOutput>(
          "POST", "/api/v1/features:erase",
          "Take entities out of the online store and the offline tables, and keep them out",
          Permission::operate,
          [&](const Call& call, const EraseInput& in) { return features.erase(call, in); }),
      feast_online_route(features),
      feast_push_route(features),
  };
}

std::vector<Route> feature_log_routes(serving::FeatureLog& log) {
  return {route<serving::FromPredictions, serving::PredictionDataset>(
      "POST", "/api/v1/features:from-predictions",
      "Make a dataset of the features that predictions were made from", Permission::write,
      [&](const Call& call, const serving::FromPredictions& in) { return log.dataset(call, in); })};
}

}  // namespace penstock::api
