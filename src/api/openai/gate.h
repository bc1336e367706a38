// The limits, budgets, queues and breakers of routes, as a call to a language model meets them.
#pragma once

#include "api/openai/controls.h"
#include "serving/admission.h"

namespace penstock::api::openai {

class Gate : public Controls {
 public:
  explicit Gate(serving::Admission& admission) : admission_(admission) {}

  Admittance admit(const Wanting& wanting, Timestamp now) override;
  bool may_try(const serving::LiveRoute& route, const http::Endpoint& endpoint,
               Timestamp now) override;
  void tell(const http::Endpoint& endpoint, traffic::Outcome outcome, Micros took,
            Timestamp now) override;
  void counts(const serving::LiveRoute& route) override;
  bool may_retry(const serving::LiveRoute& route) override;
  bool may_hedge(const serving::LiveRoute& route) override;
  void did_not_hedge(const serving::LiveRoute& route) override;

 private:
  serving::Admission& admission_;
};

}  // namespace penstock::api::openai
