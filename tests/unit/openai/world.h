// Calls through a table made by hand; what upstreams answer is a script, as the edge would see it.
#pragma once

#include <algorithm>
#include <gtest/gtest.h>

#include "api/openai/routes.h"
#include "tests/support/fixture.h"

namespace penstock::test {

using namespace api::openai;

// What one try comes to.
struct Reply {
  int status = 200;
  std::vector<std::string> pieces;  // of the body
  http::Fields headers = {{"content-type", "application/json"}};
  std::optional<api::Fault> fault;  // before the head where there are no pieces, else behind them
  bool hang_up = false;             // the caller leaves behind the pieces
  Micros takes{};
};

inline Reply slow_reply(Reply reply, Micros takes) {
  reply.takes = takes;
  return reply;
}

inline Reply json_reply(std::string body, int status = 200) { return {status, {std::move(body)}}; }
inline Reply stream_reply(std::vector<std::string> pieces) {
  return {200, std::move(pieces), {{"content-type", "text/event-stream; charset=utf-8"}}};
}
inline Reply fault_reply(api::Fault fault) { return {.fault = fault}; }

// What the caller saw, and what was sent for it.
struct Seen {
  int status = 0;
  std::string body;
  api::Fields headers;
  std::vector<api::Attempt> attempts;
  std::vector<Seen> shadows;
  std::size_t pieces = 0;  // that were read of a stream
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (key == name) return value;
    return "";
  }
};

struct TargetOf {
  std::int64_t version = 1, weight = serving::weight_total;
  serving::Arm arm = serving::Arm::live;
  std::string upstream = "first";
  std::string runtime = "openai";
};

class LanguageWorld {
 public:
  serving::LiveRoute route(const std::string& name, const std::vector<TargetOf>& targets) {
    serving::LiveRoute route{.project = "p1",
                             .declaration = {.name = name, .owner = "assistants", .model = name}};
    for (const TargetOf& target : targets) {
      serving::Deployment deployment{
          .model = name, .version = target.version, .runtime_name = target.runtime};
      if (target.runtime == "openai")
        deployment.remote = std::make_shared<const serving::Remote>(
            serving::Remote{.model = {.upstream = target.upstream,
                                      .model = "real-" + std::to_string(target.version)},
                            .endpoint = std::make_shared<const http::Endpoint>(
                                http::Endpoint{.name = target.upstream,
                                               .host = "llm.internal",
                                               .port = "8443",
                                               .authorization = "Bearer sk-upstream-secret"})});
      route.targets.push_back(
          {.arm = target.arm,
           .weight = target.weight,
           .release = "r1",
           .seed = serving::seed_of(name, "r1", name, target.version),
           .deployment = std::make_shared<const serving::Deployment>(std::move(deployment)),
           .counters = std::make_shared<serving::Counters>()});
    }
    route.mirrors_running = std::make_shared<std::atomic<std::int64_t>>(0);
    return route;
  }

  void serve(std::vector<serving::LiveRoute> routes) {
    auto next = std::make_shared<serving::RoutingTable>();
    for (serving::LiveRoute& route : routes) {
      const std::string key = serving::route_key("p1", route.declaration.name);
      next->routes[key] = std::make_shared<const serving::LiveRoute>(std::move(route));
    }
    table.set(std::move(next));
  }

  Seen send(Task task, const std::string& body, std::vector<Reply> replies,
            api::Fields headers = {}, Controls* controls = nullptr) {
    api::Request request{.headers = std::move(headers), .body = body};
    Call call = test::call();
    call.deadline = clock.now() + std::chrono::seconds(60);
    const Plane own{table,      clock,      controls ? *controls : open, mirrors, plane.put,
                    plane.keep, plane.tools};
    Exchange exchange(own, task, call, request);
    std::reverse(replies.begin(), replies.end());
    return drive(exchange, replies);
  }
  Seen chat(const std::string& body, std::vector<Reply> replies, api::Fields headers = {}) {
    return send(Task::chat, body, std::move(replies), std::move(headers));
  }

  // Of the events that were told since, in their order.
  std::vector<serving::InferenceEvent> take_events() { return std::exchange(events_, {}); }
  serving::InferenceEvent event() {
    auto events = take_events();
    if (events.size() != 1)
      throw std::logic_error("there are " + std::to_string(events.size()) + " events");
    return events.front();
  }

  ManualClock clock;
  serving::TableHolder table;
  Controls open;
  serving::Mirrors mirrors{clock, [this](auto events) { plane.put(std::move(events)); }};
  std::vector<serving::Payload> payloads;  // that were kept
  Plane plane{table,
              clock,
              open,
              mirrors,
              [this](std::vector<serving::InferenceEvent> events) {
                for (auto& event : events) events_.push_back(std::move(event));
              },
              [this](serving::Payload payload) { payloads.push_back(std::move(payload)); }};

 private:
  // In the order of api/forward.h. `replies` are taken from the back.
  Seen drive(api::Forward& forward, std::vector<Reply>& replies) {
    Seen seen;
    const auto answer = [&](const api::Response& response) {
      seen.status = response.status;
      seen.headers = response.headers;
      seen.body = response.body;
    };
    api::Ending ending = api::Ending::answered;
    while (seen.status == 0) {
      auto step = forward.next();
      if (auto* response = std::get_if<api::Response>(&step)) {
        answer(*response);
        break;
      }
      if (auto* work = std::get_if<api::Work>(&step)) {
        if (const auto response = (*work)()) answer(*response);
        continue;
      }
      seen.attempts.push_back(std::get<api::Attempt>(step));
      clock.advance(seen.attempts.back().delay);
      if (replies.empty()) throw std::logic_error("a try too many");
      const Reply reply = replies.back();
      replies.pop_back();
      clock.advance(reply.takes);
      if (reply.fault && reply.pieces.empty()) {
        forward.failed(*reply.fault, "");
        continue;
      }
      switch (forward.head(reply.status, reply.headers, false)) {
        case api::Reading::retry: continue;
        case api::Reading::whole: {
          if (reply.fault) {
            forward.failed(*reply.fault, "");
            continue;
          }
          std::string body;
          for (const std::string& piece : reply.pieces) body += piece;
          answer(forward.whole({reply.status, reply.headers, body}));
          break;
        }
        case api::Reading::pieces:
          answer(forward.started());
          for (const std::string& piece : reply.pieces) {
            ++seen.pieces;
            forward.piece(piece, seen.body);
            if (forward.over()) break;
          }
          if (reply.hang_up)
            ending = api::Ending::hung_up;
          else
            forward.last(reply.fault.has_value(), seen.body);
      }
    }
    for (auto& shadow : forward.ended(ending)) seen.shadows.push_back(drive(*shadow, replies));
    return seen;
  }

  std::vector<serving::InferenceEvent> events_;
};

class LanguageTest : public ::testing::Test {
 protected:
  static std::string code(const Seen& seen) {
    const json::value body = json::parse(seen.body);
    const json::value& said = body.at("error").at("code");
    return said.is_string() ? std::string(said.as_string()) : "";
  }
  static std::string message(const Seen& seen) {
    return std::string(json::parse(seen.body).at("error").at("message").as_string());
  }
  void serve(serving::LiveRoute route) {
    std::vector<serving::LiveRoute> routes;
    routes.push_back(std::move(route));
    world_.serve(std::move(routes));
  }

  LanguageWorld world_;
};

inline std::string chat_body(const std::string& more = "", const std::string& model = "helper") {
  return R"({"model":")" + model + R"(","messages":[{"role":"user","content":"Hello there"}])" +
         more + "}";
}
inline const std::string chat_answer =
    R"({"id":"chatcmpl-7","object":"chat.completion","created":1,"model":"real-1","choices":[{"index":0,)"
    R"("message":{"role":"assistant","content":"Good day"},"finish_reason":"stop"}],)"
    R"("usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}})";
inline std::string chunk(const std::string& content, const std::string& finish = "null") {
  return R"(data: {"id":"chatcmpl-7","object":"chat.completion.chunk","model":"real-1","choices":[{"index":0,)"
         R"("delta":{"content":")" +
         content + R"("},"finish_reason":)" + finish + R"(}],"usage":null})" + "\n\n";
}
inline const std::string usage_chunk =
    R"(data: {"id":"chatcmpl-7","object":"chat.completion.chunk","model":"real-1","choices":[],)"
    R"("usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}})"
    "\n\n";
inline const std::string done_chunk = "data: [DONE]\n\n";

}  // namespace penstock::test
