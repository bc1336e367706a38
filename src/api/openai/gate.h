// The limits, retry budgets and breakers of routes, as a call to a language model meets them.
#pragma once

#include <map>
#include <mutex>

#include "api/openai/controls.h"
#include "traffic/limiter.h"
#include "traffic/retry.h"

namespace penstock::api::openai {

traffic::RouteLimits limits_of(const serving::RouteDeclaration& declared);

class Gate : public Controls {
 public:
  Gate(traffic::Limiter& limiter, traffic::Health& health) : limiter_(limiter), health_(health) {}

  std::variant<Granted, Failure> admit(const Wanting& wanting, Timestamp now) override;
  bool may_try(const http::Endpoint& endpoint, Timestamp now) override {
    return health_.may_try(endpoint.name, now);
  }
  void tell(const http::Endpoint& endpoint, traffic::Outcome outcome, Micros took,
            Timestamp now) override {
    health_.tell(endpoint.name, outcome, took, now);
  }
  void counts(const serving::LiveRoute& route) override;
  bool may_retry(const serving::LiveRoute& route) override;
  bool may_hedge(const serving::LiveRoute& route) override;
  void did_not_hedge(const serving::LiveRoute& route) override;

 private:
  struct Budgets {
    explicit Budgets(const serving::RetryOptions& options)
        : retries(options.retry_share), hedges(options.hedge_share) {}
    traffic::RetryBudget retries, hedges;
  };
  Budgets& budgets_of(const serving::LiveRoute& route);

  traffic::Limiter& limiter_;
  traffic::Health& health_;
  std::mutex turn_;
  std::map<std::string, std::unique_ptr<Budgets>, std::less<>> budgets_;  // by route, for ever
};

}  // namespace penstock::api::openai
