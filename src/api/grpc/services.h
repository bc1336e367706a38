// What the gRPC port answers.
#pragma once

#include "api/rpc.h"

namespace penstock::features {
class Service;
}
namespace penstock::serving {
class Gateway;
class Service;
}  // namespace penstock::serving

namespace penstock::api::grpc {

// inference.GRPCInferenceService, the Open Inference Protocol.
std::vector<Rpc> inference_rpcs(serving::Gateway& gateway, serving::Service& service);
// penstock.features.v1.FeatureService, online features.
std::vector<Rpc> feature_rpcs(features::Service& features);

}  // namespace penstock::api::grpc
