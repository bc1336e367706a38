// One call to a language model, from the caller's body to the event: route, target, tries,
// fallbacks, the way back, what it took.
#pragma once

#include "api/forward.h"
#include "api/openai/controls.h"
#include "api/openai/relay.h"
#include "graphs/plan.h"
#include "serving/choose.h"
#include "serving/classifiers.h"
#include "serving/mirror.h"
#include "serving/payloads.h"

namespace penstock::api::openai {

// What all calls share; it outlives them.
struct Plane {
  const serving::TableHolder& table;
  const Clock& clock;
  Controls& controls;
  serving::Mirrors& mirrors;
  // Neither of them waits.
  std::function<void(std::vector<serving::InferenceEvent>)> put;
  std::function<void(serving::Payload)> keep;
  graphs::Tools* tools = nullptr;  // of versions with a graph; none: they are refused
};

// The longest that a call without a deadline of its own may take: what OpenAI's clients wait.
inline constexpr Micros time_max = std::chrono::minutes(10);

bool has_shadows(const serving::LiveRoute& route);

class Exchange final : public Forward {
 public:
  Exchange(const Plane& plane, Task task, const Call& call, Request& request);

  // What a shadow's call must know of the one that it mirrors.
  struct Mirrored {
    serving::Mirrored call;
    serving::InferenceEvent event, live;  // the shadow's own, still without an answer
    std::string text;                     // of the live answer, its beginning
  };
  Exchange(const Exchange& live, Mirrored mirrored);

  Step next() override;
  bool blocks() const override { return judged_by_models(guardrails::Side::output); }
  Reading head(int status, const http::Fields& headers, bool hedged) override;
  Response whole(http::Answer answer) override;
  Response started() override;
  void piece(std::string_view bytes, std::string& out) override;
  bool over() const override { return relay_->failure().has_value(); }
  void last(bool broke, std::string& out) override;
  void failed(Fault fault, std::string_view detail) override;
  std::vector<std::unique_ptr<Forward>> ended(Ending ending) override;

 private:
  // A route and what of it answers: the one that was asked for, then its fallbacks.
  struct Leg {
    std::shared_ptr<const serving::LiveRoute> route;
    const serving::LiveTarget* target = nullptr;
    double probability = 1;
    std::string experiment;  // where it was drawn
    int tried = 0;
  };

  // What a call may take, at the most, of all its choices together.
  struct Most {
    std::int64_t prompt_tokens = 0, output_tokens = 0;
  };
  Most most_of(const serving::Deployment& by) const;

  // How far a leg is from its first attempt (entering.cc).
  enum class Entry { admit, waiting, check, checked, done, refused };

  std::optional<Failure> begin();
  std::optional<Failure> choose(Leg& leg);
  std::optional<Step> enter();
  bool advance();
  void check();
  std::optional<Failure> cannot_judge() const;
  void admit();
  void accept(std::variant<Granted, Failure> answer);
  void refuse_entry(std::optional<Failure> failure);
  std::vector<guardrails::Judged> judgements(const Most& most) const;
  bool may_judge(const std::string& guardrail);
  void leave();
  void put_aside();
  std::optional<Failure> reach();
  bool judged_by_models(guardrails::Side side) const;
  std::optional<Failure> check_graph(const serving::Deployment& found) const;
  void run_graph();  // on a worker
  void forget_graph();
  std::optional<Response> cached();
  void keep(const Response& response) const;
  bool plan(std::optional<Micros> wanted_pause);
  bool plan_retry(std::optional<Micros> wanted_pause);
  bool plan_fallback();
  Attempt attempt();
  Response refuse(const Failure& failure);
  void add_headers(Response& response) const;
  bool settle_hedge();
  void close_try(traffic::Outcome outcome);

  serving::InferenceEvent event(Ending ending, Timestamp now) const;
  std::vector<serving::InferenceEvent> settle_left(Timestamp now);
  bool add_given_up(serving::Generation& out) const;
  void fill_new(serving::InferenceEvent& event) const;
  void fill_generation(serving::InferenceEvent& event, Ending ending) const;
  void finish_shadow(serving::InferenceEvent event);
  std::vector<std::unique_ptr<Forward>> mirrors(const serving::InferenceEvent& event) const;
  void keep_answer(std::string_view bytes);
  void keep_payload(serving::InferenceEvent& event) const;

  const serving::Deployment& deployment() const { return *leg_.target->deployment; }
  const http::Endpoint& endpoint() const { return *deployment().remote->endpoint; }
  std::string unit_of(const serving::LiveRoute& route, const serving::Caller& caller) const;
  std::int64_t context_tokens() const { return deployment().remote->model.context_tokens; }
  std::string_view header(std::string_view name) const;

  const Plane& plane_;
  const Call call_;
  const Task task_;
  const Fields headers_;
  const std::shared_ptr<const std::string> body_;
  const std::optional<Mirrored> mirrored_;
  const std::string id_;
  const Timestamp start_;
  Timestamp deadline_;

  Asked asked_;
  std::string user_, unit_;
  Leg leg_;                    // no target: nothing was found that could answer
  std::optional<Leg> before_;  // that failed, where a fallback is tried
  Entry entry_ = Entry::admit;
  std::optional<Failure> refused_;  // why leg_ cannot be entered
  bool may_stand_in_ = false;       // then: whether a fallback may
  std::unique_ptr<Queued> turn_;    // while it waits
  Micros waited_{};
  std::vector<std::string> fallbacks_;             // that are left, the next one last
  std::vector<std::optional<std::string>> texts_;  // masked by guardrails
  std::vector<std::string> hits_;                  // of guardrails on the input
  std::vector<serving::NodeUse> nodes_;            // models that judged it
  std::string cache_key_;                          // empty: the route keeps no answers
  // Of the graph of what was chosen: what goes before the caller's messages, and its tokens.
  std::optional<std::string> front_;
  std::int64_t front_tokens_ = 0;
  std::optional<Failure> graph_failure_;
  std::int64_t retrieval_calls_ = 0, reranker_calls_ = 0;  // of fallbacks too
  Micros graph_time_{};
  std::unique_ptr<Pass> pass_;
  // Routes that another one stood in for: their passes hold what was used there.
  struct Left {
    std::shared_ptr<const serving::LiveRoute> route;
    std::unique_ptr<Pass> pass;                    // may be null
    std::optional<serving::InferenceEvent> event;  // of a route that failed, and was not refused
    std::int64_t given_up = 0;
  };
  std::vector<Left> left_;
  bool begun_ = false, planned_ = false, may_try_ = false, must_be_bounded_ = false,
       from_cache_ = false;
  Micros pause_{};
  std::optional<Micros> hedge_after_;  // of the try that runs, until it is known whether it came
  std::int64_t attempts_ = 0;
  // Tries on this leg that were sent and not waited for: the upstream has read what they ask.
  std::int64_t given_up_ = 0;
  std::optional<Timestamp> try_start_;  // of the one that runs
  Micros upstream_time_{}, last_try_{};
  std::optional<Relay> relay_;
  bool streaming_ = false;
  std::optional<std::int64_t> first_piece_;
  std::int64_t sent_ = 0;
  std::string answer_;              // as it went out, its beginning, where the route may keep it
  std::optional<Failure> failure_;  // what the caller is told, if nothing comes after it
};

}  // namespace penstock::api::openai
