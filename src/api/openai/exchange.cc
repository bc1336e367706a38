#include "api/openai/exchange.h"

#include <algorithm>
#include <charconv>

#include "base/id.h"
#include "traffic/retry.h"

namespace penstock::api::openai {
namespace {

constexpr std::size_t text_kept = 64 << 10;  // of an answer that shadows are compared with
constexpr std::int64_t room_for_echo = 64;   // tokens that a template puts around a prompt

}  // namespace

Exchange::Exchange(const Plane& plane, Task task, const Call& call, Request& request)
    : plane_(plane),
      call_(call),
      task_(task),
      headers_(std::move(request.headers)),
      body_(std::make_shared<const std::string>(std::move(request.body))),
      id_(new_ulid(plane.clock.now())),
      start_(plane.clock.now()),
      deadline_(call.deadline) {}

Exchange::Exchange(const Exchange& live, Mirrored mirrored)
    : plane_(live.plane_),
      call_(live.call_),
      task_(live.task_),
      body_(live.body_),
      mirrored_(std::move(mirrored)),
      id_(mirrored_->event.id),
      start_(live.plane_.clock.now()),
      deadline_(start_ + time_max),
      asked_(live.asked_),
      user_(live.user_),
      leg_{.route = mirrored_->call.route, .target = mirrored_->call.target},
      texts_(live.texts_),
      // What was reserved of the day's cost is the most that the upstream may take.
      must_be_bounded_(mirrored_->call.spending != nullptr) {
  asked_.prompt_tokens -= live.front_tokens_;
}

std::string_view Exchange::header(std::string_view name) const {
  for (const auto& [key, value] : headers_)
    if (key == name) return value;
  return {};
}

Step Exchange::next() {
  if (!begun_) {
    begun_ = planned_ = true;
    if (mirrored_)
      entry_ = Entry::done;
    else if (auto refused = begin())
      return refuse(*refused);
  }
  if (graph_failure_) {
    close_try(traffic::Outcome::abandoned);
    failure_ = std::exchange(graph_failure_, {});
    planned_ = !mirrored_ && plan_fallback();
  }
  if (!planned_)
    return refuse(
        failure_.value_or(upstream_failure(502, "upstream_broken", "the upstream gave no answer")));
  if (auto step = enter()) return std::move(*step);
  if (deployment().graph && !front_)
    return Work([this]() -> std::optional<Response> {
      run_graph();
      return {};
    });
  planned_ = false;
  return attempt();
}

std::optional<Failure> Exchange::begin() {
  auto asked = read_request(task_, *body_);
  if (!asked) return failure_of(asked.error());
  asked_ = std::move(*asked);
  const std::string_view tag = header(serving::user_header);
  user_ = tag.empty() ? asked_.user : std::string(tag.substr(0, user_max));
  const auto table = plane_.table.get();
  const auto found = table->routes.find(serving::route_key(call_.project, asked_.model));
  if (found == table->routes.end()) {
    Failure none = failure_of(Error{
        Code::not_found, "the model " + asked_.model + " does not exist: no route of project " +
                             call_.project + " has this name; GET /v1/models lists them"});
    none.param = "model";
    none.code = "model_not_found";
    return none;
  }
  const serving::RouteDeclaration& declared = found->second->declaration;
  fallbacks_.assign(declared.fallbacks.rbegin(), declared.fallbacks.rend());
  const bool asked_for_time = !header("x-request-timeout").empty();
  if (declared.timeout)
    deadline_ = asked_for_time ? std::min(deadline_, start_ + *declared.timeout)
                               : start_ + *declared.timeout;
  else if (!asked_for_time)
    deadline_ = std::max(deadline_, start_ + time_max);
  plane_.controls.counts(*found->second);
  Leg leg{.route = found->second};
  if (auto refused = choose(leg)) return refused;
  leg_ = leg;  // a refused call has its event too
  return {};
}

// Where the route does not say what is sticky, or the caller does not send it, its user is.
std::string Exchange::unit_of(const serving::LiveRoute& route,
                              const serving::Caller& caller) const {
  std::string unit = serving::sticky_unit(route, caller);
  if (unit.empty()) unit = user_;
  return unit.empty() ? id_ : unit;
}

std::optional<Failure> Exchange::choose(Leg& leg) {
  const serving::LiveRoute& route = *leg.route;
  std::int64_t version = 0;
  if (std::string_view said = header("x-penstock-version"); !said.empty()) {
    if (said.starts_with('v')) said.remove_prefix(1);
    const char* end = said.data() + said.size();
    const auto read = std::from_chars(said.data(), end, version);
    if (read.ec != std::errc{} || read.ptr != end || version < 1)
      return failure_of(Error{Code::invalid_argument,
                              "X-Penstock-Version must be a version's number such as 3, not " +
                                  std::string(said.substr(0, 100))});
  }
  const serving::HeaderLookup lookup = [this](std::string_view name) { return header(name); };
  const serving::Caller caller{
      .tenant = call_.tenant, .actor = call_.actor, .user = user_, .header = &lookup};
  unit_ = unit_of(route, caller);
  auto choice = serving::choose_for(route, caller, unit_, version);
  if (!choice) return failure_of(choice.error());
  leg.target = choice->target;
  leg.probability = choice->probability;
  leg.experiment = std::move(choice->experiment);
  const serving::Deployment& found = *leg.target->deployment;
  if (found.remote && found.remote->protocol == serving::UpstreamProtocol::openai &&
      found.remote->endpoint)
    return check_graph(found);
  Failure wrong = failure_of(Error{
      Code::invalid_argument,
      "route " + route.declaration.name + " is answered by runtime " + found.runtime_name +
          ", which takes tensors; call POST /v2/models/" + route.declaration.name + "/infer"});
  wrong.param = "model";
  return wrong;
}

Exchange::Most Exchange::most_of(const serving::Deployment& by) const {
  const serving::RemoteModel& model = by.remote->model;
  // What a graph adds is not known before it ran, and it may not run before it is allowed.
  Most most{.prompt_tokens = asked_.media || by.graph
                                 ? model.context_tokens
                                 : std::min(asked_.prompt_tokens_max, model.context_tokens)};
  if (writes(task_))
    most.output_tokens =
        asked_.choices *
        std::max(asked_.output_bound.value_or(model.output_tokens_max), asked_.other_bound);
  return most;
}

bool Exchange::plan(std::optional<Micros> wanted_pause) {
  if (mirrored_) return false;
  return plan_retry(wanted_pause) || plan_fallback();
}

// The same target again, after a pause.
bool Exchange::plan_retry(std::optional<Micros> wanted_pause) {
  const serving::RetryOptions options =
      leg_.route->declaration.retries.value_or(serving::RetryOptions{});
  if (leg_.tried >= options.attempts) return false;
  const Timestamp now = plane_.clock.now();
  Micros pause = traffic::backoff(leg_.tried, options.pause,
                                  serving::hash_share(id_, static_cast<std::uint64_t>(attempts_)));
  if (wanted_pause) pause = std::max(pause, *wanted_pause);
  // A pause that leaves no time to answer is of no use; rather another route now.
  if (pause > (deadline_ - now) / 2) return false;
  if (!plane_.controls.may_retry(*leg_.route)) return false;
  if (given_up_ > 0 && pass_ && !pass_->may_repeat(now)) return false;
  if (reach()) return false;
  pause_ = pause;
  return true;
}

Attempt Exchange::attempt() {
  const serving::Remote& remote = *deployment().remote;
  Change change{.model = remote.model.model};
  if (!texts_.empty()) change.texts = &texts_;
  if (front_) change.front = *front_;
  if (must_be_bounded_) change.output_bound = remote.model.output_tokens_max;
  Attempt out{
      .endpoint = remote.endpoint,
      .request = {.target = std::string(path_of(task_)),
                  .headers = {{"content-type", "application/json"},
                              {"accept", asked_.stream ? "text/event-stream" : "application/json"},
                              {"x-request-id", id_}},
                  .body = changed(*body_, asked_, change)},
      .deadline = deadline_,
      .delay = std::exchange(pause_, {})};
  if (!call_.trace.empty()) out.request.headers.emplace_back("traceparent", call_.trace);
  const auto& retries = leg_.route->declaration.retries;
  if (!mirrored_ && retries && retries->hedge_after && plane_.controls.may_hedge(*leg_.route)) {
    if (pass_ && !pass_->may_repeat(plane_.clock.now())) {
      plane_.controls.did_not_hedge(*leg_.route);
    } else {
      out.hedge = std::make_shared<Attempt>(out);
      out.hedge_after = *retries->hedge_after;
      hedge_after_ = out.hedge_after;
    }
  }
  ++leg_.tried;
  ++attempts_;
  try_start_ = plane_.clock.now() + out.delay;
  relay_.emplace(asked_, asked_.model, remote.endpoint, leg_.route->guards, deadline_,
                 [this](const std::string& guardrail) { return may_judge(guardrail); });
  if (asked_.output_bound || must_be_bounded_)  // and what it echoes
    relay_->bound(most_of(deployment()).output_tokens +
                  asked_.choices * (asked_.prompt_tokens + room_for_echo));
  if (mirrored_ || has_shadows(*leg_.route)) relay_->tally().keep_text(text_kept);
  return out;
}

// Whether the second try beside a slow first one went out is seen by the time that the head took.
bool Exchange::settle_hedge() {
  const auto after = std::exchange(hedge_after_, {});
  if (!after || !try_start_) return false;
  const bool sent = plane_.clock.now() - *try_start_ >= *after;
  if (sent)
    ++attempts_;
  else
    plane_.controls.did_not_hedge(*leg_.route);
  return sent;
}

void Exchange::close_try(traffic::Outcome outcome) {
  if (settle_hedge() && outcome != traffic::Outcome::failed) ++given_up_;  // two, of which one
  const Timestamp now = plane_.clock.now();
  if (try_start_) {
    last_try_ = std::max(now - *try_start_, Micros(0));
    upstream_time_ += last_try_;
    try_start_.reset();
  }
  if (std::exchange(may_try_, false)) plane_.controls.tell(endpoint(), outcome, last_try_, now);
}

}  // namespace penstock::api::openai
