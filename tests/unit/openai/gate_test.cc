#include "api/openai/gate.h"

#include <set>

#include "serving/cache.h"
#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

using serving::Arm;
using traffic::Outcome;

// What limits and budgets see and decide.
class Ledger final : public Controls {
 public:
  struct Held final : Pass {
    explicit Held(Ledger& by) : gate(by) { ++gate.held; }
    ~Held() override { --gate.held; }
    void settle(const serving::InferenceEvent& event, Timestamp) override {
      gate.settled.push_back(event);
    }
    Ledger& gate;
  };

  Admittance admit(const Wanting& wanting, Timestamp) override {
    asked.push_back(wanting.prompt_tokens_max + wanting.output_tokens_max);
    if (refused) return *refused;
    return Granted{std::make_unique<Held>(*this), version, true};
  }
  bool may_try(const serving::LiveRoute&, const http::Endpoint& endpoint, Timestamp) override {
    return !broken.contains(endpoint.name);
  }
  void tell(const http::Endpoint& endpoint, Outcome outcome, Micros, Timestamp) override {
    told.emplace_back(endpoint.name, outcome);
  }
  bool may_retry(const serving::LiveRoute&) override { return retries; }

  std::vector<std::int64_t> asked;
  std::optional<Failure> refused;
  std::int64_t version = 0;
  std::set<std::string> broken;
  bool retries = true;
  int held = 0;
  std::vector<serving::InferenceEvent> settled;
  std::vector<std::pair<std::string, Outcome>> told;
};

class GateTest : public LanguageTest {
 protected:
  Seen chat(const std::string& body, std::vector<Reply> replies) {
    return world_.send(Task::chat, body, std::move(replies), {}, &gate_);
  }
  Ledger gate_;
};

TEST_F(GateTest, ReservesTheWorstAndSettlesWhatItWas) {
  serve(world_.route("helper", {{}}));
  const std::string body = chat_body(R"(,"n":2)");
  const Seen seen = chat(body, {json_reply(chat_answer)});
  EXPECT_EQ(gate_.asked.at(0), static_cast<std::int64_t>(body.size()) + 2 * 4'096);
  EXPECT_NE(seen.attempts.at(0).request.body.find(R"("max_completion_tokens":4096)"),
            std::string::npos)
      << "the worst case holds only where the upstream keeps to it";
  ASSERT_EQ(gate_.settled.size(), 1u);
  EXPECT_EQ(gate_.settled[0].generation->output_tokens, 2);
  EXPECT_EQ(gate_.held, 0);
  EXPECT_EQ(gate_.told,
            (std::vector<std::pair<std::string, Outcome>>{{"first", Outcome::answered}}));
}

TEST_F(GateTest, RefusesBeforeAnythingIsSent) {
  serve(world_.route("helper", {{}}));
  gate_.refused = Failure{.status = 429,
                          .message = "60 requests a minute",
                          .type = "rate_limit_error",
                          .code = "rate_limit_exceeded",
                          .retry_after = "12"};
  const Seen seen = chat(chat_body(), {});
  EXPECT_EQ(seen.status, 429);
  EXPECT_EQ(seen.header("Retry-After"), "12");
  EXPECT_EQ(world_.event().error, "resource_exhausted");
}

TEST_F(GateTest, GoesToTheCheaperVersionThatItIsTold) {
  serve(world_.route("helper", {{}, {.version = 2, .weight = 0, .arm = Arm::canary}}));
  gate_.version = 2;
  EXPECT_EQ(chat(chat_body(), {json_reply(chat_answer)}).header("x-penstock-version"), "2");
}

TEST_F(GateTest, LeavesAFailingUpstreamAlone) {
  serving::LiveRoute asked = world_.route("helper", {{}});
  serve(asked);
  gate_.broken = {"first"};
  const Seen alone = chat(chat_body(), {});
  EXPECT_EQ(alone.status, 503);
  EXPECT_EQ(alone.header("Retry-After"), "1");
  asked.declaration.fallbacks = {"spare"};
  std::vector<serving::LiveRoute> routes;
  routes.push_back(std::move(asked));
  routes.push_back(world_.route("spare", {{.upstream = "second"}}));
  world_.serve(std::move(routes));
  EXPECT_EQ(chat(chat_body(), {json_reply(chat_answer)}).header("x-penstock-route"), "spare");
  EXPECT_EQ(gate_.held, 0);
}

TEST_F(GateTest, DoesNotTryAgainWithoutBudget) {
  serve(world_.route("helper", {{}}));
  gate_.retries = false;
  const Seen seen = chat(chat_body(), {json_reply(R"({"error":{"message":"boom"}})", 500)});
  EXPECT_EQ(seen.status, 500);
  EXPECT_EQ(message(seen), "boom");
  EXPECT_EQ(gate_.told, (std::vector<std::pair<std::string, Outcome>>{{"first", Outcome::failed}}));
}

TEST_F(GateTest, HoldsCallersToTheLimitsOfTheRoute) {
  serving::LiveRoute route = world_.route("helper", {{}});
  route.declaration.limits = {{.per = serving::LimitScope::user, .requests_per_minute = 2},
                              {.per = serving::LimitScope::route, .tokens_per_minute = 9'000}};
  serve(std::move(route));
  traffic::Limiter limiter;
  traffic::Health health;
  costs::Guard guard;
  Metrics metrics;
  serving::Admission admission(guard, limiter, health, metrics, {});
  Gate gate(admission);
  const auto ask = [&](const std::string& user, const std::string& more = "") {
    return world_.send(Task::chat, chat_body(R"(,"user":")" + user + "\"" + more),
                       {json_reply(chat_answer)}, {}, &gate);
  };
  EXPECT_EQ(ask("ana").status, 200);
  EXPECT_EQ(ask("ana").status, 200);
  const Seen third = ask("ana");
  EXPECT_EQ(third.status, 429);
  EXPECT_EQ(code(third), "rate_limit_exceeded");
  EXPECT_GT(std::stoi(third.header("Retry-After")), 50);
  EXPECT_TRUE(third.attempts.empty());
  // The worst case counts while the call runs, what it took afterwards.
  EXPECT_EQ(ask("bo").status, 200);
  const Seen large = ask("eva", R"(,"max_tokens":9000)");
  EXPECT_EQ(large.status, 429);
  EXPECT_NE(message(large).find("fewer tokens"), std::string::npos) << large.body;
}

TEST_F(GateTest, GivesAnAnswerAgainToTheSameCallOfTheSameTenant) {
  serving::LiveRoute route = world_.route("helper", {{}});
  route.declaration.cache = serving::CacheOptions{};
  route.cache = std::make_shared<serving::AnswerCache>(1 << 20);
  serve(std::move(route));
  const Seen first = world_.chat(chat_body(), {json_reply(chat_answer)});
  const Seen again = world_.chat(chat_body(), {});
  EXPECT_EQ(again.body, first.body);
  EXPECT_EQ(again.header("x-penstock-cached"), first.header("x-penstock-prediction"));
  const auto events = world_.take_events();
  EXPECT_FALSE(events.at(0).from_cache);
  EXPECT_TRUE(events.at(1).from_cache);
  EXPECT_FALSE(events.at(1).generation) << "it costs nothing";
  // Another text, a failure and a stream are each asked for anew.
  EXPECT_EQ(world_.chat(chat_body(R"(,"n":1)"), {json_reply("{}", 400)}).status, 400);
  EXPECT_EQ(world_.chat(chat_body(R"(,"n":1)"), {json_reply(chat_answer)}).status, 200);
  const std::string stream = chat_body(R"(,"stream":true)");
  for (int turn = 0; turn < 2; ++turn)
    EXPECT_EQ(
        world_.chat(stream, {stream_reply({chunk("a", "\"stop\""), done_chunk})}).attempts.size(),
        1u);
  world_.clock.advance(std::chrono::minutes(6));
  EXPECT_EQ(world_.chat(chat_body(), {json_reply(chat_answer)}).attempts.size(), 1u);
}

}  // namespace
}  // namespace penstock::test
