// What stands between a call and its upstream: limits, budgets, breakers. Each answers at once; all
// may be asked from several threads.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <variant>

#include "api/openai/errors.h"
#include "api/openai/request.h"
#include "guardrails/classifier.h"
#include "serving/inference_event.h"
#include "serving/table.h"
#include "traffic/health.h"

namespace penstock::api::openai {

// A call that wants to go to a target, with the most that it may take.
struct Wanting {
  const Call& call;
  const serving::LiveRoute& route;
  const serving::LiveTarget& target;
  std::string_view id, user;
  int priority = 5;
  std::int64_t prompt_tokens_max = 0, output_tokens_max = 0;  // of all choices together
  std::int64_t retrieval_calls = 0, reranker_calls = 0;       // made already
  std::span<const serving::NodeUse> asked = {};               // models, already
  std::span<const guardrails::Judged> judgements = {};        // by guardrails of the route
  Timestamp deadline = Timestamp::max();                      // of the whole call
};

// Held while the call runs, settled once. An event without a generation says that it took nothing.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual void settle(const serving::InferenceEvent& event, Timestamp now) = 0;
  // The call goes on on another route, under another pass; this one keeps what it used until it is
  // settled, or gone.
  virtual void leave(const serving::InferenceEvent& /*used*/, Timestamp /*now*/) {}
  // Before one more try, beside one or behind one that may have cost what it could; false where no
  // hard budget covers both.
  virtual bool may_repeat(Timestamp /*now*/) { return true; }
  // Before a guardrail's model is asked; false where no budget covers it.
  virtual bool may_judge(const std::string& /*guardrail*/, Timestamp /*now*/) { return true; }
};

struct Granted {
  std::unique_ptr<Pass> pass;    // may be null
  std::int64_t version = 0;      // to go to in the place of the target; 0: none
  bool must_be_bounded = false;  // the worst case is reserved, so the upstream must keep to it
  Micros waited{};               // in a queue
};

// A call's turn in a queue. Gone, the call waits no longer.
class Queued {
 public:
  virtual ~Queued() = default;
  virtual Timestamp until() const = 0;
  // `wake` is called on any thread, also at once, where the wait is over before its time; not after
  // this is gone.
  virtual void on(std::function<void()> wake) = 0;
  // Nothing while it has to wait.
  virtual std::optional<std::variant<Granted, Failure>> take(Timestamp now) = 0;
};
using Admittance = std::variant<Granted, Failure, std::unique_ptr<Queued>>;

// Lets everything pass.
class Controls {
 public:
  virtual ~Controls() = default;
  virtual Admittance admit(const Wanting& /*wanting*/, Timestamp /*now*/) { return Granted{}; }
  // Whether a call may go to this upstream now. Where it may, tell() follows, whatever happens.
  virtual bool may_try(const serving::LiveRoute& /*route*/, const http::Endpoint& /*endpoint*/,
                       Timestamp /*now*/) {
    return true;
  }
  virtual void tell(const http::Endpoint& /*endpoint*/, traffic::Outcome /*outcome*/,
                    Micros /*took*/, Timestamp /*now*/) {}
  virtual void counts(const serving::LiveRoute& /*route*/) {
  }  // a call: retries are a share of them
  virtual bool may_retry(const serving::LiveRoute& /*route*/) { return true; }
  virtual bool may_hedge(const serving::LiveRoute& /*route*/) { return true; }
  virtual void did_not_hedge(const serving::LiveRoute& /*route*/) {}  // though it might have
};

}  // namespace penstock::api::openai
