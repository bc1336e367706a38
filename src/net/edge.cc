#include "net/edge.h"

#include <algorithm>
#include <chrono>
#include <new>

#include "api/forward.h"
#include "base/id.h"
#include "base/log.h"
#include "net/wire.h"

namespace penstock::net {
namespace {

// Beyond it reading or packing a body would hold up the other connections of the loop.
constexpr std::size_t short_body = 64 << 10;
// What comes with a few rows; more of them take longer than the mean says.
constexpr std::size_t brief_body = 32 << 10;

// An id goes to logs and the audit: letters that cannot be mistaken for anything else there.
bool is_plain(std::string_view id) {
  return !id.empty() && id.size() <= 200 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > ' ' && c < 127; });
}

Result<void> check_host(const api::Request& request, bool http_1_0) {
  const auto hosts = std::count_if(request.headers.begin(), request.headers.end(),
                                   [](const auto& field) { return field.first == "host"; });
  if (hosts == 1 || (hosts == 0 && http_1_0)) return {};
  return Error{Code::invalid_argument, "a request must have one Host header"};
}

api::Response no_route(const Match& match, const api::Request& request) {
  const std::string path(request.path);
  if (match.allowed.empty())
    return error_response(
        path, {Code::not_found, "there is nothing at " + path + "; see /api/v1/openapi.json"});
  api::Response response =
      error_response(path,
                     {Code::invalid_argument, std::string(request.method) + " is not allowed at " +
                                                  path + "; allowed are " + match.allowed},
                     405);
  response.headers.emplace_back("Allow", match.allowed);
  return response;
}

}  // namespace

Edge::Edge(ServerOptions given, std::vector<api::Route> routes, Authorize authorize,
           Metrics& metrics, const Clock& time)
    : options(std::move(given)),
      clock(time),
      router_(std::move(routes)),
      authorize_(std::move(authorize)),
      paces_(std::make_unique<Pace[]>(router_.routes().size())),
      measures(metrics, router_.routes()) {}

Admission Edge::admit(std::string_view target, bool http_1_0, api::Request& request) const {
  Admission admission;
  Call& call = admission.call;
  const std::string* id = request.header("x-request-id");
  call.request_id = id && is_plain(*id) ? *id : new_ulid(clock.now());
  const auto refuse = [&](const Error& error) -> Admission& {
    admission.refused = error_response(request.path, error);
    return admission;
  };
  if (const auto read = read_target(target, request); !read) return refuse(read.error());
  if (const auto host = check_host(request, http_1_0); !host) return refuse(host.error());
  Match match = router_.find(request.method, request.path);
  if (!match.route) {
    admission.refused = no_route(match, request);
    return admission;
  }
  admission.route = match.route;
  request.path_values = std::move(match.path_values);
  const auto deadline = deadline_of(request, clock, options.request_time, options.request_time_max);
  if (!deadline) return refuse(deadline.error());
  call.deadline = *deadline;
  if (const std::string* trace = request.header("traceparent"); trace && is_plain(*trace))
    call.trace = *trace;
  if (const auto allowed = authorize_(request, match.route->permission, call); !allowed) {
    refuse(allowed.error());
    if (allowed.error().code == Code::unauthenticated)
      admission.refused->headers.emplace_back("WWW-Authenticate", "Bearer realm=\"penstock\"");
  }
  return admission;
}

Pace& Edge::pace(const Admission& admission) const {
  return paces_[static_cast<std::size_t>(admission.route - router_.routes().data())];
}

bool Edge::is_short(const Admission& admission, const api::Request& request) const {
  if (request.header("content-encoding")) return false;
  if (admission.route->on_loop) return request.body.size() <= short_body;
  const api::Route& route = *admission.route;
  return route.brief && request.body.size() <= brief_body &&
         (!route.brief_for || route.brief_for(admission.call, request)) &&
         pace(admission).is_brief();
}

Error Edge::threw(const Admission& admission, const std::exception* fault) const {
  if (dynamic_cast<const std::bad_alloc*>(fault))
    return {Code::unavailable, "there is no memory for this request now"};
  log::error("handler_threw", {{"request_id", admission.call.request_id},
                               {"path", admission.route->path},
                               {"error", fault ? fault->what() : "no std::exception"}});
  return {Code::internal,
          "something broke inside; the log has it under request " + admission.call.request_id};
}

api::Response Edge::run(const Admission& admission, const api::Request& request) const {
  try {
    return admission.route->handle(admission.call, request);
  } catch (const std::exception& fault) {
    return error_response(request.path, threw(admission, &fault));
  } catch (...) {
    return error_response(request.path, threw(admission, nullptr));
  }
}

Result<std::unique_ptr<api::Intake>> Edge::open_intake(const Admission& admission,
                                                       const api::Request& request) const {
  try {
    return admission.route->receive(admission.call, request);
  } catch (const std::exception& fault) {
    return threw(admission, &fault);
  }
}

Result<void> Edge::take(const Admission& admission, api::Intake& intake,
                        std::string_view bytes) const {
  try {
    return intake.take(bytes);
  } catch (const std::exception& fault) {
    return threw(admission, &fault);
  }
}

api::Response Edge::finish_intake(Admission& admission, api::Intake& intake,
                                  const api::Request& request) const {
  // However long the body took, what is left to do has its usual time.
  admission.call.deadline = std::max(admission.call.deadline, clock.now() + options.request_time);
  try {
    return intake.finish(admission.call);
  } catch (const std::exception& fault) {
    return error_response(request.path, threw(admission, &fault));
  }
}

Result<std::size_t> Edge::read(const Admission& admission, api::Source& source, char* to,
                               std::size_t most) const {
  try {
    return source.read(to, most);
  } catch (const std::exception& fault) {
    return threw(admission, &fault);
  }
}

api::Response Edge::answer(const Admission& admission, api::Request& request) const {
  try {
    return unpack_run_pack(admission, request);
  } catch (const std::bad_alloc& fault) {
    return error_response(request.path, threw(admission, &fault));
  }
}

api::Response Edge::unpack_run_pack(const Admission& admission, api::Request& request) const {
  if (clock.now() > admission.call.deadline)
    return error_response(request.path,
                          {Code::deadline_exceeded, "the deadline passed in the queue"});
  if (auto refused = decode_body(request, options.body_max)) return std::move(*refused);
  if (admission.route->brief) {
    const auto start = std::chrono::steady_clock::now();
    api::Response response = run(admission, request);
    const auto took = std::chrono::steady_clock::now() - start;
    pace(admission).took(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
    if (response.body.size() <= short_body) encode_body(request, response);
    return response;
  }
  api::Response response = run(admission, request);
  if (!admission.route->on_loop || response.body.size() <= short_body)
    encode_body(request, response);
  return response;
}

std::shared_ptr<api::Forward> Edge::open_forward(const Admission& admission, api::Request& request,
                                                 api::Response& refused) const {
  try {
    return admission.route->forward(admission.call, request);
  } catch (const std::exception& fault) {
    refused = error_response(request.path, threw(admission, &fault));
  } catch (...) {
    refused = error_response(request.path, threw(admission, nullptr));
  }
  return nullptr;
}

api::Response Edge::busy(std::string_view path) const {
  api::Response response = error_response(
      path, {Code::unavailable, "too many requests are waiting; try again in a second"});
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

void Edge::finish(const Admission& admission, const api::Request& request, api::Response& response,
                  double seconds) {
  sign(admission, response);
  count(admission, request, response, seconds);
}

void Edge::sign(const Admission& admission, api::Response& response) const {
  response.headers.emplace_back("X-Request-Id", admission.call.request_id);
}

void Edge::count(const Admission& admission, const api::Request& request,
                 const api::Response& response, double seconds) {
  measures.count(admission.route, response.status, seconds);
  const log::Level level = response.status >= 500 ? log::Level::info : log::Level::debug;
  if (!log::enabled(level)) return;
  json::object line{{"request_id", admission.call.request_id},
                    {"method", request.method},
                    {"path", request.path},
                    {"status", response.status},
                    {"microseconds", static_cast<std::int64_t>(seconds * 1e6)},
                    {"actor", admission.call.actor}};
  if (!admission.call.trace.empty()) line["trace"] = admission.call.trace;
  if (response.status >= 500) line["answer"] = response.body.substr(0, 500);
  log::write(level, "request", line);
}

}  // namespace penstock::net
