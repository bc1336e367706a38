#include "api/openai/blocking.h"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace penstock::api::openai {
namespace {

constexpr int asks_max = 200;  // of one call: attempts, fallbacks, work

Fault fault_of(const Error& error, Timestamp deadline, Timestamp now) {
  if (error.code == Code::deadline_exceeded)
    return now >= deadline ? Fault::deadline : Fault::timed_out;
  return error.code == Code::resource_exhausted ? Fault::too_large : Fault::refused;
}

// Until it is woken or its time is over.
void wait_for(const api::Wait& pending, const Clock& clock) {
  struct Bell {
    std::mutex turn;
    std::condition_variable rang;
    bool woken = false;
  };
  const auto bell = std::make_shared<Bell>();
  pending.on([bell] {
    const std::lock_guard lock(bell->turn);
    bell->woken = true;
    bell->rang.notify_one();
  });
  std::unique_lock lock(bell->turn);
  bell->rang.wait_for(lock, pending.until - clock.now(), [&] { return bell->woken; });
}

// Nothing: ask again.
std::optional<Response> try_once(Forward& forward, const Attempt& attempt, http::Caller& caller,
                                 const Clock& clock) {
  if (attempt.delay > Micros(0)) std::this_thread::sleep_for(attempt.delay);
  auto answer = caller.send(attempt.endpoint, attempt.request, attempt.deadline);
  if (!answer) {
    forward.failed(fault_of(answer.error(), attempt.deadline, clock.now()), answer.error().message);
    return {};
  }
  switch (forward.head(answer->status, answer->headers, false)) {
    case Reading::retry: return {};
    case Reading::whole: return forward.whole(std::move(answer).take());
    case Reading::pieces: break;
  }
  Response response = forward.started();
  forward.piece(answer->body, response.body);
  forward.last(false, response.body);
  return response;
}

std::optional<Response> answer_of(Forward& forward, http::Caller& caller, const Clock& clock) {
  for (int asked = 0; asked < asks_max; ++asked) {
    auto step = forward.next();
    if (auto* response = std::get_if<Response>(&step)) return std::move(*response);
    if (const auto* pending = std::get_if<api::Wait>(&step)) {
      wait_for(*pending, clock);
      continue;
    }
    auto answer = std::holds_alternative<Work>(step)
                      ? std::get<Work>(step)()
                      : try_once(forward, std::get<Attempt>(step), caller, clock);
    if (answer) return answer;
  }
  return {};
}

}  // namespace

Response run_blocking(Forward& forward, http::Caller& caller, const Clock& clock) {
  std::optional<Response> answer;
  try {
    answer = answer_of(forward, caller, clock);
  } catch (...) {
    forward.ended(Ending::cut);
    throw;
  }
  for (const auto& shadow : forward.ended(answer ? Ending::answered : Ending::cut))
    shadow->ended(Ending::cut);
  if (answer) return std::move(*answer);
  return error_response({Code::internal, "a call asked for more attempts than one may have"});
}

Result<std::string> ask_route(const Plane& plane, http::Caller& caller, Task task, const Call& call,
                              std::string body) {
  Request request{.body = std::move(body)};
  // So that the call's deadline is kept, as where its own caller had set it.
  const auto left = std::chrono::ceil<std::chrono::seconds>(call.deadline - plane.clock.now());
  request.headers.emplace_back("x-request-timeout", std::to_string(left.count()) + "s");
  Exchange exchange(plane, task, call, request);
  Response response = run_blocking(exchange, caller, plane.clock);
  if (response.status == 200) return std::move(response.body);
  json::error_code fault;
  const json::value said = json::parse(response.body, fault);
  const json::value* message = fault ? nullptr : said.find_pointer("/error/message", fault);
  return Error{code_of(response.status), message && message->is_string()
                                             ? std::string(message->get_string())
                                             : "status " + std::to_string(response.status)};
}

}  // namespace penstock::api::openai
