// Online features over gRPC: service penstock.features.v1.FeatureService.
#pragma once

#include <features.grpc.pb.h>

#include "api/grpc/calls.h"
#include "features/service.h"

namespace penstock::api::grpc {

class Features final : public penstock::features::v1::FeatureService::CallbackService {
 public:
  Features(const ServerOptions& options, penstock::features::Service& features, Authorize authorize,
           Post post, const Clock& clock)
      : features_(features),
        calls_(options, "/penstock.features.v1.FeatureService", std::move(authorize),
               std::move(post), clock) {}

 private:
  ::grpc::ServerUnaryReactor* GetOnlineFeatures(
      ::grpc::CallbackServerContext* context,
      const penstock::features::v1::GetOnlineFeaturesRequest* in,
      penstock::features::v1::GetOnlineFeaturesResponse* out) override;
  ::grpc::ServerUnaryReactor* Push(::grpc::CallbackServerContext* context,
                                   const penstock::features::v1::PushRequest* in,
                                   penstock::features::v1::PushResponse* out) override;

  penstock::features::Service& features_;
  const Calls calls_;
};

}  // namespace penstock::api::grpc
