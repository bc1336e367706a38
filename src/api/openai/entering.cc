// What stands between a route and its first attempt: limits, budgets and the queue, guardrails on
// the input, the response cache, the upstream's breaker. Where it cannot be entered, a fallback
// may.
#include <algorithm>

#include "api/openai/exchange.h"
#include "guardrails/text_rules.h"
#include "serving/cache.h"

namespace penstock::api::openai {
namespace {

// For the news that is on its way to one whose time is over.
constexpr Micros told_soon = std::chrono::milliseconds(100);

// Of a token, for how much guardrails may have to judge of an answer: more than those of most
// languages have. What is beyond that is paid for when it comes.
constexpr std::int64_t characters_of_token = 8;

}  // namespace

bool Exchange::judged_by_models(guardrails::Side side) const {
  return leg_.route->guards && leg_.route->guards->asks_models(side);
}

// What it waits for, or the answer; nothing: an attempt may be made.
std::optional<Step> Exchange::enter() {
  while (entry_ != Entry::done) {
    if (!advance()) {
      if (may_stand_in_ && plan_fallback()) continue;
      return refuse(before_ ? failure_.value_or(*refused_) : *refused_);
    }
    if (entry_ == Entry::check)
      return Work([this]() -> std::optional<Response> {
        check();
        return {};
      });
    if (entry_ == Entry::waiting) {
      const Timestamp now = plane_.clock.now();
      return Wait{.until = turn_->until() > now ? turn_->until() : now + told_soon,
                  .on = [this](std::function<void()> wake) { turn_->on(std::move(wake)); }};
    }
    if (entry_ == Entry::checked) {
      if (!before_)
        if (auto known = cached()) return std::move(*known);
      may_stand_in_ = true;
      entry_ = Entry::done;
      if (auto closed = reach()) {
        if (!before_) failure_ = closed;
        refuse_entry(std::move(closed));
      }
    }
  }
  return {};
}

// As far as it goes without waiting. False where the leg cannot be entered.
bool Exchange::advance() {
  if (entry_ == Entry::admit) admit();
  if (entry_ == Entry::waiting)
    if (auto answer = turn_->take(plane_.clock.now())) {
      turn_.reset();
      accept(std::move(*answer));
    }
  if (entry_ == Entry::check && !judged_by_models(guardrails::Side::input)) check();
  return entry_ != Entry::refused;
}

void Exchange::refuse_entry(std::optional<Failure> failure) {
  refused_ = std::move(failure);
  entry_ = Entry::refused;
}

// What a guardrail cannot read must not pass it.
std::optional<Failure> Exchange::cannot_judge() const {
  const guardrails::Chain& guards = *leg_.route->guards;
  const auto refused = [&](const std::string& field, const std::string& what,
                           const std::string& instead) {
    return failure_of(Error{Code::invalid_argument,
                            field + ": guardrails of route " + leg_.route->declaration.name +
                                " cannot judge " + what + "; " + instead,
                            {{field, "cannot be judged on this route"}}});
  };
  if (guards.looks_at(guardrails::Side::input) && asked_.token_numbers)
    return refused(task_ == Task::embeddings ? "input" : "prompt", "numbers of tokens",
                   "send texts");
  if (!guards.looks_at(guardrails::Side::output)) return {};
  if (task_ == Task::responses && asked_.stream)
    return refused("stream", "a stream of responses",
                   "ask without stream, or call /v1/chat/completions");
  if (asked_.sound) return refused("modalities", "sound", "ask for text alone");
  return {};
}

// On a worker, where models judge.
void Exchange::check() {
  texts_.clear();
  entry_ = Entry::checked;
  const auto& guards = leg_.route->guards;
  if (!guards) return;
  if (auto unfit = cannot_judge()) return refuse_entry(std::move(unfit));
  CheckedInput checked =
      check_input(*guards, asked_, deadline_,
                  [this](const std::string& guardrail) { return may_judge(guardrail); });
  texts_ = std::move(checked.texts);
  for (std::string& hit : checked.hits)
    if (std::find(hits_.begin(), hits_.end(), hit) == hits_.end()) hits_.push_back(std::move(hit));
  serving::add_nodes(nodes_, *leg_.route, checked.runs);
  if (checked.blocked) refuse_entry(std::move(checked.blocked));
}

// Of the input as it came, and of the longest answer, in as many texts as there are choices.
std::vector<guardrails::Judged> Exchange::judgements(const Most& most) const {
  std::vector<guardrails::Judged> out;
  if (leg_.route->classifiers.empty()) return out;
  const guardrails::Chain& guards = *leg_.route->guards;
  for (const std::string_view text : asked_.texts)
    guards.add_most(guardrails::Side::input, guardrails::characters_of(text), out);
  const std::int64_t choices = writes(task_) ? asked_.choices : 0;
  for (std::int64_t i = 0; i < choices; ++i)
    guards.add_most(guardrails::Side::output, most.output_tokens / choices * characters_of_token,
                    out);
  return out;
}

bool Exchange::may_judge(const std::string& guardrail) {
  return !pass_ || pass_->may_judge(guardrail, plane_.clock.now());
}

// The prediction's own id belongs to the event that answers; monitors and guards of the route that
// failed see this one. What was used on the way is billed with what answers, but for tries that
// were given up.
void Exchange::put_aside() {
  serving::InferenceEvent event;
  fill_new(event);
  event.id += left_.empty() ? ".failed" : ".failed." + event.route;
  event.at = plane_.clock.now();
  event.total_micros = (event.at - start_).count();
  event.upstream_micros = upstream_time_.count();
  event.attempts = leg_.tried;
  if (leg_.tried > 0) event.upstream = endpoint().name;
  event.error = name_of(code_of(failure_->status));
  serving::Generation read;
  if (add_given_up(read)) event.generation = std::move(read);
  ++leg_.target->counters->errors;
  left_.push_back({.route = leg_.route, .event = std::move(event), .given_up = given_up_});
  given_up_ = 0;
}

// Nothing came of it but what was used on the way; that is billed with what answers in the end.
void Exchange::leave() {
  if (!pass_) return;
  serving::InferenceEvent used;
  fill_new(used);
  used.error = "unavailable";
  used.retrieval_calls = retrieval_calls_;
  used.reranker_calls = reranker_calls_;
  used.nodes = nodes_;
  Left& left = !left_.empty() && left_.back().route == leg_.route
                   ? left_.back()
                   : left_.emplace_back(Left{.route = leg_.route});
  if (left.event) used.generation = left.event->generation;
  pass_->leave(used, plane_.clock.now());
  left.pass = std::move(pass_);
}

void Exchange::admit() {
  const Timestamp now = plane_.clock.now();
  if (now >= deadline_)
    return refuse_entry(
        upstream_failure(504, "deadline_exceeded", "the deadline passed before the call was sent"));
  const Most most = most_of(deployment());
  const auto judged = judgements(most);
  const Wanting wanting{.call = call_,
                        .route = *leg_.route,
                        .target = *leg_.target,
                        .id = id_,
                        .user = user_,
                        .priority = serving::priority_of(header(serving::priority_header)),
                        .prompt_tokens_max = most.prompt_tokens,
                        .output_tokens_max = most.output_tokens,
                        .retrieval_calls = retrieval_calls_,
                        .reranker_calls = reranker_calls_,
                        .asked = nodes_,
                        .judgements = judged,
                        .deadline = deadline_};
  auto answer = plane_.controls.admit(wanting, now);
  if (auto* refused = std::get_if<Failure>(&answer)) return accept(std::move(*refused));
  if (auto* allowed = std::get_if<Granted>(&answer)) return accept(std::move(*allowed));
  turn_ = std::move(std::get<std::unique_ptr<Queued>>(answer));
  entry_ = Entry::waiting;
}

void Exchange::accept(std::variant<Granted, Failure> answer) {
  if (auto* refused = std::get_if<Failure>(&answer)) return refuse_entry(std::move(*refused));
  Granted& granted = std::get<Granted>(answer);
  entry_ = Entry::check;
  waited_ += granted.waited;
  pass_ = std::move(granted.pass);
  must_be_bounded_ = granted.must_be_bounded;
  if (granted.version == 0) return;
  for (const serving::LiveTarget& target : leg_.route->targets) {
    const serving::Deployment& other = *target.deployment;
    if (other.version == granted.version && other.remote && other.remote->endpoint &&
        other.remote->protocol == serving::UpstreamProtocol::openai && !check_graph(other)) {
      leg_.target = &target;
      // The budget chose it, and no draw.
      leg_.probability = 1;
      leg_.experiment.clear();
    }
  }
}

// From here on the upstream hears how it went.
std::optional<Failure> Exchange::reach() {
  may_try_ = plane_.controls.may_try(*leg_.route, endpoint(), plane_.clock.now());
  if (may_try_) return {};
  Failure failure = upstream_failure(
      503, "upstream_unavailable",
      "upstream " + endpoint().name + " is failing and gets no calls for a while; try again");
  failure.retry_after.assign(1, '1');
  return failure;
}

// The next route that can be entered, or may yet be: one whose queue is full, or whose guardrails
// take time.
bool Exchange::plan_fallback() {
  const auto table = plane_.table.get();
  bool ran = entry_ == Entry::done;
  if (!before_ || ran) before_ = leg_;
  may_stand_in_ = true;
  while (!fallbacks_.empty()) {
    const std::string name = std::move(fallbacks_.back());
    fallbacks_.pop_back();
    const auto found = table->routes.find(serving::route_key(call_.project, name));
    if (found == table->routes.end()) continue;
    if (std::exchange(ran, false)) put_aside();
    leave();
    Leg leg{.route = found->second};
    if (choose(leg)) continue;
    leg_ = std::move(leg);
    forget_graph();
    entry_ = Entry::admit;
    if (!advance()) continue;
    if (entry_ == Entry::checked) {
      if (reach()) continue;
      entry_ = Entry::done;
    }
    pause_ = {};
    return true;
  }
  if (leg_.route != before_->route) leave();
  leg_ = *before_;
  for (Left& one : left_) {  // it is what answers after all
    if (one.route != leg_.route || !one.event) continue;
    one.event.reset();
    given_up_ += std::exchange(one.given_up, 0);
    --leg_.target->counters->errors;
  }
  return false;
}

// A stream is not kept: what it says comes in pieces, and at times.
std::optional<Response> Exchange::cached() {
  const auto& cache = leg_.route->cache;
  if (!cache || asked_.stream) return {};
  cache_key_ =
      serving::AnswerCache::key_of(call_.tenant, deployment().digest, path_of(task_), *body_);
  const auto known = cache->find(cache_key_, plane_.clock.now());
  if (!known) return {};
  from_cache_ = true;
  Response response{.body = known->body, .content_type = known->content_type};
  sent_ = static_cast<std::int64_t>(response.body.size());
  keep_answer(response.body);
  add_headers(response);
  response.headers.emplace_back("x-penstock-cached", known->prediction);
  return response;
}

void Exchange::keep(const Response& response) const {
  if (cache_key_.empty() || mirrored_ || leg_.route->declaration.name != asked_.model) return;
  const auto keep = leg_.route->declaration.cache.value_or(serving::CacheOptions{}).keep;
  leg_.route->cache->put(
      cache_key_, {.content_type = response.content_type, .body = response.body, .prediction = id_},
      plane_.clock.now() + keep);
}

}  // namespace penstock::api::openai
