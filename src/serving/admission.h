// What stands before every call on a route: its limits, budgets and queue, and the health of what
// answers it. The same for tabular models and language models.
#pragma once

#include <functional>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <variant>

#include "base/call.h"
#include "costs/guard.h"
#include "guardrails/classifier.h"
#include "serving/inference_event.h"
#include "serving/table.h"
#include "traffic/health.h"
#include "traffic/limiter.h"
#include "traffic/queue.h"
#include "traffic/retry.h"

namespace penstock::serving {

// The most of a runtime's time that a call may take, where its deadline is further away.
inline constexpr Micros runtime_max = std::chrono::minutes(10);

// A call that wants to go to a deployment, with the most that it may use.
struct Wish {
  const Call& call;
  const LiveRoute& route;
  const Deployment& deployment;
  std::string_view id, user;
  int priority = traffic::priority_default;
  std::int64_t rows = 1, prompt_tokens = 0, output_tokens = 0;
  // That graphs of routes made which this one stands in for; its own are counted here.
  std::int64_t retrieval_calls = 0, reranker_calls = 0;
  std::span<const NodeUse> asked = {};  // models, on those routes
  // The most that models of the route's guardrails are asked.
  std::span<const guardrails::Judged> judgements = {};
  Timestamp at;        // the instant that its lines will be of
  Timestamp deadline;  // it is over then
};

// What an event used, as the ledger will post it.
using MeteredOf = std::function<std::vector<costs::Metered>(const InferenceEvent&)>;

class Admission;

// Held while a call runs. Destroyed without settle(), the call cost nothing, and used no tokens.
class Admitted {
 public:
  Admitted() = default;
  Admitted(Admitted&&) noexcept = default;
  Admitted& operator=(Admitted&&) noexcept = default;
  ~Admitted();

  // What it used in the end, one event a row, in the order in which they will be logged. Once; it
  // holds its place no longer.
  void settle(std::span<const InferenceEvent> events, Timestamp now);
  // Another route stands in: it holds its place no longer, and of what was reserved only what it
  // has used, until it is settled.
  void leave(std::span<const InferenceEvent> used, Timestamp now);
  // Before the whole call is made once more: false where a hard budget does not cover that.
  bool may_repeat(Timestamp now);
  // Before a guardrail's model is asked: false where that is more than was reserved, and the budget
  // does not cover it.
  bool may_judge(const std::string& guardrail, Timestamp now);

 private:
  friend class Admission;
  friend class Turn;
  struct Judges;
  const Admission* admission_ = nullptr;
  std::shared_ptr<Judges> judges_;  // of a call whose budget is hard
  traffic::Permit permit_;
  traffic::Place place_;
  costs::Reservation reservation_;
  costs::Part once_;  // the most that its runtime costs once
};

struct Grant {
  Admitted held;
  const LiveTarget* instead = nullptr;  // a cheaper version, for the sake of a budget
  bool must_be_bounded =
      false;  // the worst case is counted: the upstream must be told to keep to it
  Micros waited{};
};

// A call that waits for a place in its route's queue. Gone, it waits no longer.
class Turn {
 public:
  Turn() = default;
  Turn(Turn&&) noexcept = default;
  Turn& operator=(Turn&&) = delete;
  ~Turn();

  Timestamp until() const { return waiting_.until(); }
  // `wake` is called where the wait is over before its time: on any thread, also at once, and
  // not after this is gone. It must be short.
  void on(std::function<void()> wake);
  // Nothing while it has to wait.
  std::optional<std::variant<Grant, traffic::Refusal>> take(Timestamp now);

 private:
  friend class Admission;
  struct News {
    std::mutex turn;
    std::optional<std::variant<traffic::Place, traffic::Refusal>> result;
    std::function<void()> wake;
  };
  Admission* admission_ = nullptr;
  std::string project_, route_;
  Grant grant_;
  std::shared_ptr<News> news_;
  traffic::Waiting waiting_;
  Timestamp since_{};
};

class Admission {
 public:
  Admission(costs::Guard& guard, traffic::Limiter& limiter, traffic::Health& health,
            Metrics& metrics, MeteredOf metered)
      : guard_(guard),
        limiter_(limiter),
        health_(health),
        metrics_(metrics),
        metered_(std::move(metered)) {}

  // Without waiting here: where the route's queue has no free place, the call's turn in it.
  std::variant<Grant, traffic::Refusal, Turn> admit(const Wish& wish, Timestamp now);
  // Waits for a place in the route's queue, on a worker.
  Result<Grant> enter(const Wish& wish, const Clock& clock);

  // Retries and hedges of remote runtimes, as shares of a route's calls.
  traffic::RetryBudget& retries(const LiveRoute& route);
  traffic::RetryBudget& hedges(const LiveRoute& route);
  // A call that retries and hedges are a share of.
  void counts(const LiveRoute& route);
  traffic::Health& health() { return health_; }

  // Of each table: which upstreams stand in for each other.
  void follow(const RoutingTable& table);
  // Gauges: queues, breakers, budgets.
  void measure(Timestamp now);

 private:
  friend class Admitted;
  friend class Turn;
  // A model that a call asks on its way.
  struct Aside {
    const Deployment& by;
    std::int64_t calls = 0;
    Micros time{};  // for all of them
  };
  struct RouteState {
    RouteState(const LiveRoute& route, Metrics& metrics);
    traffic::Queue queue;
    traffic::RetryBudget retries, hedges;
    Histogram& waited;
    Gauge &running, &waiting;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  using Refused = std::optional<traffic::Refusal>;
  RouteState& state_of(const LiveRoute& route);
  Histogram& waited(const std::string& project, const std::string& route) const;
  Refused limit(const Wish& wish, Grant& grant, Timestamp now);
  Refused budget(const Wish& wish, Grant& grant, Timestamp now);
  static std::optional<Money> worst_of(const Wish& wish, const Deployment& deployment,
                                       const costs::PriceBook& prices, Timestamp now);
  traffic::Refusal counted(const std::string& project, const std::string& route,
                           traffic::Refusal refusal);
  // What an event cost, by model; `last` becomes the id of the line that is posted last.
  void add_costs(const InferenceEvent& event, const costs::PriceBook& prices,
                 std::vector<costs::Part>& parts, std::string& last) const;
  // The most that models on the way cost.
  std::vector<costs::Part> asides_of(const Wish& wish, const Deployment& deployment,
                                     const costs::PriceBook& prices, Timestamp now) const;
  static Money cost_of(const costs::PriceBook& prices, const costs::PriceBook::Payer& payer,
                       const Aside& aside);
  static std::shared_ptr<Admitted::Judges> judges_of(const Wish& wish, Timestamp now);

  costs::Guard& guard_;
  traffic::Limiter& limiter_;
  traffic::Health& health_;
  Metrics& metrics_;
  const MeteredOf metered_;
  std::shared_mutex turn_;
  // By route_key; routes are declared, so there are never so many.
  std::unordered_map<std::string, std::unique_ptr<RouteState>, Hash, std::equal_to<>> states_;
};

traffic::RouteLimits limits_of(const std::vector<RateLimit>& limits);

}  // namespace penstock::serving
