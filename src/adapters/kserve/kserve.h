#pragma once

#include <memory>
#include <string>

#include "ports/http.h"
#include "ports/infer.h"

namespace penstock::kserve {

// Asks the server what the model takes. `model` is "NAME" or "NAME/versions/2". unavailable where
// the server is away, failed_precondition where it does not know the model or refuses us. The
// caller and the clock outlive the model. A call without a deadline has the endpoint's times.
Result<std::shared_ptr<infer::Model>> connect(http::Caller& caller, const Clock& clock,
                                              std::shared_ptr<const http::Endpoint> endpoint,
                                              const std::string& model);
// The same by gRPC.
Result<std::shared_ptr<infer::Model>> connect_grpc(const Clock& clock,
                                                   std::shared_ptr<const http::Endpoint> endpoint,
                                                   const std::string& model);

}  // namespace penstock::kserve
