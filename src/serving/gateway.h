// Answers calls on routes: route, arm, features, model, event. No SQL, no lock held over work.
#pragma once

#include <mutex>

#include "base/call.h"
#include "ports/log.h"
#include "serving/admission.h"
#include "serving/cache.h"
#include "serving/event_codec.h"
#include "serving/mirror.h"
#include "serving/payloads.h"
#include "serving/rule.h"
#include "serving/telemetry.h"

namespace penstock::serving {

// Either `rows` (join keys; features are read here) or `tensors` (the model's own inputs).
struct InferRequest {
  std::string route;
  std::int64_t version = 0;  // 0: the route chooses; else one of its targets
  // A repeat of the tenant's call is answered again and not logged again; empty: new ULIDs. What
  // has other tensors is another call, with ULIDs: by its protocol an id may be a mere tag.
  std::string id;
  std::string unit;                     // sticky key where it is not an entity key
  std::optional<Timestamp> event_time;  // none: now
  std::vector<Entities> rows;
  std::vector<infer::Tensor> tensors;
  std::int64_t request_bytes = 0;
  std::string user;     // the caller's tag of its own user; empty: of the header, if there is one
  HeaderLookup header;  // of the caller's, valid until infer() returns; none: there are no headers
  std::optional<int> priority;  // none: of the header, if there is one
};

struct Prediction {
  std::string id;
  std::string model;
  std::int64_t version = 0;
  Arm arm = Arm::live;
  double score = 0;
  bool decision = false;
  bool repeated = false;  // stored before; nothing was run or logged now
};

struct InferAnswer {
  std::vector<Prediction> predictions;  // one for each row, in order
  std::vector<infer::Tensor> outputs;   // the model's own, where the caller sent its inputs
  std::string experiment;               // that drew the version of a row; empty: none did
  std::string cached;                   // the prediction whose answer was given again
  std::function<void()> after;          // mirrors to shadows; run it once the answer was sent
};

inline constexpr std::size_t rows_max = 10'000;
inline constexpr std::size_t id_max = 200;

// What came of a request before anything was written of it.
struct Decided {
  std::vector<InferenceEvent>
      events;  // one for each row; each has the error's code where there is one
  std::vector<infer::Tensor> outputs;
  std::optional<Error> error;  // of the whole request: a row is never answered alone
  std::optional<std::vector<infer::Tensor>> seen;  // by the model, where guardrails look at texts
  std::string cached;                              // the prediction whose answer it is
};

class Gateway {
 public:
  Gateway(const TableHolder& table, Telemetry& telemetry, events::Log& log, const Clock& clock)
      : table_(table),
        telemetry_(telemetry),
        log_(log),
        clock_(clock),
        mirrors_(clock, [this](auto events) { telemetry_.put(std::move(events)); }) {}

  // Limits, budgets and queues of routes hold for infer(); none: no call is refused.
  void admit_by(Admission& admission) { admission_ = &admission; }
  // Which ids of callers were answered and paid once, also after the log has them no longer.
  using WasPosted = std::function<Result<bool>(const std::string& project, const std::string& id)>;
  void remember_by(WasPosted was_posted) { was_posted_ = std::move(was_posted); }
  // Whether a prediction of this id, which is not in the log, was older than the retention: then it
  // can neither be answered again nor made anew. No where nobody can say so at the moment: the
  // ledger counts no id twice.
  bool is_gone(const std::string& project, const std::string& id) const;

  // not_found for an unknown route or version, unavailable for a route without targets,
  // invalid_argument for wrong entities or tensors, already_exists for an id that was used for
  // other entities or another route.
  Result<InferAnswer> infer(const Call& call, const InferRequest& request);

  // For stream and batch: chooses, reads and runs, and writes nothing. Errors of the request itself
  // are returned; errors of features and models are in the answer. `ids` has one id for each row
  // (decide.h: ids_of).
  Result<Decided> decide(const Call& call, const LiveRoute& route, const InferRequest& request,
                         const std::vector<std::string>& ids, Mode mode,
                         const guardrails::MayJudge& may_judge = {}) const;
  // Of routes whose versions take tensors.
  Result<std::shared_ptr<const LiveRoute>> route(const Call& call, std::string_view name) const;
  // Whether a call of the route waits for nothing but its own model in this process; one with an id
  // may have to wait for the ledger (is_gone).
  bool is_brief(const Call& call, std::string_view name, bool has_id = false) const;
  // In service, of the call's project, by name.
  std::vector<std::shared_ptr<const LiveRoute>> routes(const Call& call) const;
  // Memory of the models that are loaded, as gauges.
  void measure(Metrics& metrics) const;
  Timestamp now() const { return clock_.now(); }
  std::int64_t table_number() const { return table_.get()->number; }
  Mirrors& mirrors() { return mirrors_; }
  PayloadLog& payloads() { return payloads_; }

 private:
  bool asks_ledger() const;  // of ids that the log does not have: it was shortened
  // What is known of a call that came under an id of the caller's.
  struct Repeat {
    std::optional<InferAnswer> answer;  // that it had
    bool is_other = false;              // another call had the id
  };
  Result<Repeat> repeated(const Call& call, const LiveRoute& route, const InferRequest& request,
                          const std::string& digest, const std::vector<std::string>& ids) const;
  // repeats.cc: the outputs of a call that was answered. As they were, where they are in memory or
  // follow from what was logged; else the version that answered first runs again, as a call of its
  // own. Nothing where it is no longer in service.
  Result<std::vector<infer::Tensor>> outputs_again(const Call& call,
                                                   const std::shared_ptr<const LiveRoute>& live,
                                                   const InferRequest& request,
                                                   const std::string& digest,
                                                   const InferAnswer& known);
  void keep_outputs(const Call& call, const InferRequest& request, const std::string& digest,
                    const std::vector<infer::Tensor>& outputs);
  InferAnswer answer_of(const std::shared_ptr<const LiveRoute>& live,
                        const std::shared_ptr<const LiveRoute>& by, const InferRequest& request,
                        Decided& decided);
  std::function<void()> mirror(const std::shared_ptr<const LiveRoute>& route,
                               const std::vector<infer::Tensor>& tensors,
                               const std::vector<InferenceEvent>& events);
  // For after the answer: the payloads of these calls, where the route keeps them.
  std::function<void()> keep_payloads(const std::shared_ptr<const LiveRoute>& route,
                                      const std::vector<infer::Tensor>& tensors,
                                      const std::vector<InferenceEvent>& events);
  // The call on a route that let it in, by the version that its grant says.
  Result<Decided> run(const Call& call, const LiveRoute& route, const InferRequest& request,
                      const std::vector<std::string>& ids, Grant& grant) const;
  // fallback.cc: where `decided` failed and it was not the caller's fault, the same call on the
  // routes that stand in and let it in, in their order and until the deadline. `decided` and
  // `grant` become the first one's that answers; the events of those that failed are appended to
  // `failed`. The route that answered, or failed, for the caller.
  std::shared_ptr<const LiveRoute> stand_in(const Call& call,
                                            const std::shared_ptr<const LiveRoute>& asked,
                                            const InferRequest& request,
                                            const std::vector<std::string>& ids, Grant& grant,
                                            Decided& decided,
                                            std::vector<InferenceEvent>& failed) const;

  Result<Grant> admit(const Call& call, const LiveRoute& route, const InferRequest& request,
                      const std::vector<std::string>& ids, Timestamp now) const;

  const TableHolder& table_;
  Telemetry& telemetry_;
  events::Log& log_;
  const Clock& clock_;
  Admission* admission_ = nullptr;
  WasPosted was_posted_;
  Mirrors mirrors_;
  AnswerCache answered_{8 << 20};  // outputs of calls with ids, for their retries
  PayloadLog payloads_{log_, clock_};
  std::array<std::mutex, 64> turns_;  // by id: of two retries at once one is logged
};

// Appends the events, each findable by its id from then on, in one write.
Result<std::vector<std::int64_t>> record(events::Log& log,  // their offsets, in their order
                                         std::span<const EventRecord* const> records);
Result<void> record(events::Log& log, std::span<const EventRecord> records);
Result<void> record(events::Log& log, const std::vector<InferenceEvent>& events);
// The answered prediction of this id, if there is one.
Result<std::optional<InferenceEvent>> recorded(events::Log& log, std::string_view group,
                                               std::string_view project, std::string_view id);
inline constexpr std::string_view gateway_group = "penstock.gateway";
// Of the state that finds a prediction.
std::string prediction_key(std::string_view project, std::string_view id);

}  // namespace penstock::serving
