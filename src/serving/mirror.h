// Shadows: which calls they get, what of each, at what cost, and how their answers compare.
#pragma once

#include <mutex>

#include "base/call.h"
#include "base/money.h"
#include "serving/table.h"

namespace penstock::serving {

class ShadowSpending;
struct ShadowDay;

// One call that one shadow gets. Its place (and what was reserved for its cost) is free again when
// this is gone, run or dropped: waiting mirrors are bounded too.
struct Mirrored {
  std::shared_ptr<const LiveRoute> route;
  const LiveTarget* target = nullptr;
  std::shared_ptr<void> place;
  std::shared_ptr<ShadowSpending> spending;  // none: without a cap
};

// A route whose shadows reached their cap of the day.
struct Capped {
  std::string project, route, owner;
  std::int64_t day = 0;  // of the Unix epoch, UTC
  Money cap, spent;
  bool unpriced = false;  // not reached, but nobody can say what a call costs
};

class Mirrors {
 public:
  // Nothing where there is no price: such a call is not mirrored where there is a cap.
  using Price = std::function<std::optional<Money>(const InferenceEvent&)>;
  using Emit = std::function<void(std::vector<InferenceEvent>)>;
  // What the day's shadows of a route cost before this process began, as far as the log was read.
  using Before = std::function<Money(const std::string& key, std::int64_t day)>;

  Mirrors(const Clock& clock, Emit emit) : clock_(clock), emit_(std::move(emit)) {}
  // Before the first call.
  void price_by(Price price) { price_by(price, price); }
  // `most`: what a call costs at the most that uses what its event says.
  void price_by(Price price, Price most) {
    price_ = std::move(price);
    most_ = std::move(most);
  }
  void spent_before(Before before) { before_ = std::move(before); }

  // The shadows that get this call, one event for each row; counts those that do not. `own_input`:
  // what callers sent themselves is what the shadow would see. `worst`: of a language model, what
  // the call may use at most. Run them after the answer went out.
  std::vector<Mirrored> pick(const std::shared_ptr<const LiveRoute>& route,
                             const std::vector<InferenceEvent>& live, bool own_input,
                             const std::optional<Generation>& worst = {});
  // The shadow's events, still without an answer: redacted, each under an id of its own.
  static std::vector<InferenceEvent> prepare(const Mirrored& mirrored,
                                             const std::vector<InferenceEvent>& live);
  // Compares with what was answered, keeps the cost and gives the events to the log.
  void finish(const Mirrored& mirrored, std::vector<InferenceEvent> shadow,
              const std::vector<InferenceEvent>& live);
  // All of it, for models that take tensors. `tensors` is empty where features were read.
  void run(const Mirrored& mirrored, const std::vector<infer::Tensor>& tensors,
           const std::vector<InferenceEvent>& live);

  std::optional<Money> cost_of(const InferenceEvent& event) const;  // nothing: no price

  // Of a call that was logged before this process began and read only now.
  void remember(const InferenceEvent& shadow);
  Money spent_today(const std::string& key);  // by route_key; what is reserved counts
  // Those that reached their cap since the last time, each once a day.
  std::vector<Capped> take_capped();

 private:
  std::shared_ptr<ShadowDay> day_of(const LiveRoute& route);
  std::shared_ptr<ShadowSpending> reserve(const LiveRoute& route, Money worst);
  std::optional<Money> worst_of(const LiveTarget& target, const std::vector<InferenceEvent>& live,
                                const std::optional<Generation>& worst) const;
  void capped(const LiveRoute& route, ShadowDay& day, bool unpriced);

  const Clock& clock_;
  const Timestamp began_ = clock_.now();
  Emit emit_;
  Price price_, most_;
  Before before_;
  std::mutex turn_;
  std::map<std::string, std::shared_ptr<ShadowDay>> days_;  // by route_key
  std::vector<Capped> capped_;
};

// agreement (1 or 0, of decisions), score_difference, latency_difference_micros: the shadow's minus
// the live answer's; only what both have.
std::map<std::string, double> compare(const InferenceEvent& shadow, const InferenceEvent& live);

}  // namespace penstock::serving
