// The second half of an exchange: what comes back, and what is told of it.
#include "api/openai/exchange.h"

namespace penstock::api::openai {
namespace {

using traffic::Outcome;

bool may_pass(int status) { return status == 429 || status >= 500; }

bool is_stream(const http::Fields& headers) {
  for (const auto& [name, value] : headers)
    if (name == "content-type") return value.starts_with("text/event-stream");
  return false;
}

// An answer that a guardrail withheld was one: whoever has it written must not close the upstream
// to everybody.
Outcome outcome_of(const Failure& failure) {
  return failure.code == "upstream_broken" ? Outcome::failed : Outcome::answered;
}

Failure failure_of_fault(Fault fault, const std::string& upstream) {
  switch (fault) {
    case Fault::refused:
      return upstream_failure(502, "upstream_unreachable",
                              "upstream " + upstream + " cannot be reached");
    case Fault::timed_out:
      return upstream_failure(504, "upstream_timeout",
                              "upstream " + upstream + " did not answer in time");
    case Fault::broke:
      return upstream_failure(502, "upstream_broken",
                              "upstream " + upstream + " broke the connection before it answered");
    case Fault::too_large:
      return upstream_failure(502, "upstream_broken",
                              "the answer of upstream " + upstream + " is larger than it may be");
    case Fault::deadline:
      return upstream_failure(504, "deadline_exceeded",
                              "the deadline passed before upstream " + upstream +
                                  " answered; X-Request-Timeout or the route's timeout give more");
  }
  return upstream_failure(502, "upstream_broken", "upstream " + upstream + " failed");
}

}  // namespace

Reading Exchange::head(int status, const http::Fields& headers, bool /*hedged*/) {
  if (settle_hedge()) ++given_up_;  // the slower one of the two
  relay_->tally().head(headers);
  if (status >= 200 && status < 300) {
    streaming_ = asked_.stream && is_stream(headers);
    return streaming_ ? Reading::pieces : Reading::whole;
  }
  if (!may_pass(status)) return Reading::whole;
  // One that is busy works.
  close_try(status == 429 ? Outcome::answered : Outcome::failed);
  failure_ = upstream_failure(
      status, "upstream_failed",
      "upstream " + endpoint().name + " answered with status " + std::to_string(status));
  planned_ = plan(retry_after(headers));
  return planned_ ? Reading::retry : Reading::whole;
}

void Exchange::failed(Fault fault, std::string_view /*detail*/) {
  failure_ = failure_of_fault(fault, endpoint().name);
  const bool given_up = fault == Fault::timed_out || fault == Fault::deadline;
  close_try(given_up ? Outcome::timed_out : Outcome::failed);
  given_up_ += given_up;
  planned_ = fault != Fault::deadline && fault != Fault::too_large && plan({});
}

Response Exchange::whole(http::Answer answer) {
  if (answer.status < 200 || answer.status >= 300) {
    close_try(Outcome::answered);  // it said no, and said it well
    return refuse(failure_of(answer, endpoint()));
  }
  auto body = relay_->whole(answer.body);
  if (auto* broken = std::get_if<Failure>(&body)) {
    close_try(outcome_of(*broken));
    return refuse(*broken);
  }
  close_try(Outcome::answered);
  failure_.reset();
  Response response{.body = std::move(std::get<std::string>(body))};
  sent_ = static_cast<std::int64_t>(response.body.size());
  keep(response);
  keep_answer(response.body);
  add_headers(response);
  return response;
}

Response Exchange::started() {
  failure_.reset();
  Response response{.content_type = "text/event-stream",
                    .headers = {{"Cache-Control", "no-cache"}}};
  add_headers(response);
  return response;
}

void Exchange::piece(std::string_view bytes, std::string& out) {
  const std::size_t before = out.size();
  relay_->piece(bytes, out);
  keep_answer(std::string_view(out).substr(before));
  if (relay_->began() && !first_piece_) first_piece_ = (plane_.clock.now() - start_).count();
  sent_ += static_cast<std::int64_t>(out.size() - before);
}

void Exchange::last(bool broke, std::string& out) {
  const std::size_t before = out.size();
  relay_->last(broke, out);
  keep_answer(std::string_view(out).substr(before));
  sent_ += static_cast<std::int64_t>(out.size() - before);
  failure_ = relay_->failure();
  close_try(failure_ ? outcome_of(*failure_) : Outcome::answered);
}

Response Exchange::refuse(const Failure& failure) {
  failure_ = failure;
  Response response = response_of(failure);
  sent_ = static_cast<std::int64_t>(response.body.size());
  if (leg_.target) add_headers(response);
  return response;
}

void Exchange::add_headers(Response& response) const {
  Fields& headers = response.headers;
  headers.reserve(headers.size() + 5);  // with the request's id
  headers.emplace_back("x-penstock-prediction", id_);
  headers.emplace_back("x-penstock-model", deployment().model);
  headers.emplace_back("x-penstock-version", std::to_string(deployment().version));
  headers.emplace_back("x-penstock-route", leg_.route->declaration.name);
  if (!leg_.experiment.empty()) headers.emplace_back(serving::experiment_header, leg_.experiment);
}

// Of routes that another one stood in for: the events of those that failed.
std::vector<serving::InferenceEvent> Exchange::settle_left(Timestamp now) {
  std::vector<serving::InferenceEvent> events;
  for (Left& one : std::exchange(left_, {})) {
    if (!one.event) continue;
    if (one.pass && one.event->generation) one.pass->settle(*one.event, now);
    events.push_back(std::move(*one.event));
  }
  return events;
}

std::vector<std::unique_ptr<Forward>> Exchange::ended(Ending ending) {
  if (!leg_.target) return {};
  if (mirrored_ && attempts_ == 0 && !failure_) {  // there were too many
    ++leg_.target->counters->not_mirrored;
    return {};
  }
  turn_.reset();
  // Who leaves before anything was sent for him is no call that was answered.
  if (ending != Ending::answered && attempts_ == 0 && !failure_ && !from_cache_)
    failure_ = upstream_failure(408, "hung_up", "the caller left before the call was sent");
  // A caller may leave at once when it reads that something broke.
  if (streaming_ && relay_->failure()) failure_ = relay_->failure();
  close_try(ending == Ending::answered ? Outcome::answered : Outcome::abandoned);
  const Timestamp now = plane_.clock.now();
  serving::InferenceEvent told = event(ending, now);
  for (Left& one : left_)
    if (!pass_ && one.route == leg_.route) pass_ = std::move(one.pass);
  if (pass_) pass_->settle(told, now);
  pass_.reset();
  std::vector<serving::InferenceEvent> events = settle_left(now);
  if (mirrored_) {
    finish_shadow(std::move(told));
    return {};
  }
  auto& counters = *leg_.target->counters;
  ++(told.error.empty() ? counters.answered : counters.errors);
  if (leg_.route->seconds)
    leg_.route->seconds->observe(static_cast<double>(told.total_micros) * 1e-6);
  keep_payload(told);
  auto after = mirrors(told);
  events.push_back(std::move(told));
  plane_.put(std::move(events));
  return after;
}

}  // namespace penstock::api::openai
