// What nodes of graphs ask for, answered by the routes and the feature store of this server.
#pragma once

#include "api/openai/blocking.h"
#include "features/service.h"
#include "graphs/plan.h"
#include "serving/gateway.h"

namespace penstock::app {

// A node's call to a route is a call like any other: it has its own event, limits and costs. All of
// it is done as the caller whom the graph answers. Outlived by what it refers to.
class GraphTools final : public graphs::Tools {
 public:
  GraphTools(const api::openai::Plane& plane, serving::Gateway& gateway, http::Caller& caller,
             features::Service& features)
      : plane_(plane), gateway_(gateway), caller_(caller), features_(features) {}

  // By a language route's upstream (/embeddings), or a model that takes one text and gives numbers.
  Result<std::vector<float>> embed(const Call& call, const std::string& route,
                                   const std::string& text) override;
  Result<json::array> retrieve(const Call& call, const graphs::Node& node,
                               const std::vector<float>& vector) override;
  // By a language route's upstream (/rerank), or a model that takes texts `query` and `passage`.
  Result<std::vector<double>> rerank(const Call& call, const std::string& route,
                                     const std::string& query,
                                     const std::vector<std::string>& passages) override;
  Result<json::object> features(const Call& call, const std::string& schema,
                                const std::map<std::string, std::string>& keys) override;

 private:
  // Null where the route is a language model's.
  Result<std::shared_ptr<const serving::LiveRoute>> tabular(const Call& call,
                                                            const std::string& route) const;

  const api::openai::Plane& plane_;
  serving::Gateway& gateway_;
  http::Caller& caller_;
  features::Service& features_;
};

}  // namespace penstock::app
