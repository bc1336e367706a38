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
    void leave(const serving::InferenceEvent& used, Timestamp) override {
      gate.left.push_back(used);
    }
    bool may_repeat(Timestamp) override { return gate.repeats-- > 0; }
    bool may_judge(const std::string&, Timestamp) override { return gate.judgements-- > 0; }
    Ledger& gate;
  };

  Admittance admit(const Wanting& wanting, Timestamp) override {
    asked.push_back(wanting.prompt_tokens_max + wanting.output_tokens_max);
    spent.emplace_back(wanting.asked.begin(), wanting.asked.end());
    for (const guardrails::Judged& one : wanting.judgements) most_judged.push_back(one);
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
  std::int64_t judgements = 1'000;  // that may be made
  std::int64_t repeats = 1'000;     // of calls that may have cost what they could
  std::vector<guardrails::Judged> most_judged;
  std::vector<std::vector<serving::NodeUse>> spent;
  std::vector<serving::InferenceEvent> settled, left;
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

TEST_F(GateTest, AnAnswerThatWasWithheldIsNoFailureOfTheUpstream) {
  serving::LiveRoute route = world_.route("helper", {{}});
  guardrails::GuardrailDeclaration declared{.name = "words",
                                            .side = guardrails::Side::output,
                                            .rule = guardrails::What::deny_list,
                                            .action = guardrails::Action::block,
                                            .phrases = {"good day"}};
  route.guards = must(guardrails::Chain::make({declared}));
  serve(std::move(route));
  EXPECT_EQ(code(chat(chat_body(), {json_reply(chat_answer)})), "content_filter");
  chat(chat_body(R"(,"stream":true)"), {stream_reply({chunk("Good day "), done_chunk})});
  EXPECT_EQ(gate_.told, (std::vector<std::pair<std::string, Outcome>>{
                            {"first", Outcome::answered}, {"first", Outcome::answered}}));
  gate_.told.clear();
  chat(chat_body(), {json_reply("garbage")});
  EXPECT_EQ(gate_.told, (std::vector<std::pair<std::string, Outcome>>{{"first", Outcome::failed}}));
}

TEST_F(GateTest, AsksTheBudgetBeforeATryThatIsPaidTwice) {
  serving::LiveRoute route = world_.route("helper", {{}});
  route.declaration.fallbacks = {"spare"};
  std::vector<serving::LiveRoute> routes;
  routes.push_back(route);
  routes.push_back(world_.route("spare", {{.upstream = "second"}}));
  world_.serve(std::move(routes));
  gate_.repeats = 0;
  const auto tries = [&](Reply first) {
    const auto attempts = chat(chat_body(), {std::move(first), json_reply(chat_answer)}).attempts;
    world_.take_events();
    return std::pair(attempts.size(), attempts.back().endpoint->name);
  };
  EXPECT_EQ(tries(fault_reply(api::Fault::refused)),
            std::pair(std::size_t{2}, std::string("first")))
      << "nothing was read";
  EXPECT_EQ(tries(fault_reply(api::Fault::timed_out)),
            std::pair(std::size_t{2}, std::string("second")));
  ASSERT_EQ(gate_.left.size(), 1U);
  EXPECT_TRUE(gate_.left[0].generation) << "it stays reserved until it is settled";
  ASSERT_EQ(gate_.settled.size(), 3U);
  EXPECT_EQ(gate_.settled[1].route, "spare");
  EXPECT_EQ(gate_.settled[2].route, "helper");
  EXPECT_EQ(gate_.settled[2].id, gate_.settled[1].id + ".failed");
  EXPECT_EQ(gate_.held, 0);

  route.declaration.retries = serving::RetryOptions{.hedge_after = std::chrono::milliseconds(5)};
  serve(route);
  EXPECT_FALSE(chat(chat_body(), {json_reply(chat_answer)}).attempts.at(0).hedge);
  gate_.repeats = 1;
  EXPECT_TRUE(chat(chat_body(), {json_reply(chat_answer)}).attempts.at(0).hedge);
}

class WordModel final : public guardrails::Classifier {
 public:
  guardrails::Judgement judge(std::string_view text, Timestamp) const override {
    ++asked;
    return {.score = text.find("vile") != text.npos ? 1.0 : 0.0,
            .took = std::chrono::milliseconds(3)};
  }
  mutable int asked = 0;
};

class JudgedGateTest : public GateTest {
 protected:
  serving::LiveRoute judged(const std::string& name, const std::string& upstream) {
    serving::LiveRoute route = world_.route(name, {{.upstream = upstream}});
    const guardrails::GuardrailDeclaration declared{.name = "tox",
                                                    .rule = guardrails::What::classifier,
                                                    .action = guardrails::Action::block,
                                                    .model = "toxicity@1",
                                                    .threshold = 0.5};
    route.guards = must(guardrails::Chain::make({declared}, {{"tox", words_}}));
    route.classifiers["tox"] = std::make_shared<const serving::Deployment>(
        serving::Deployment{.model = "toxicity", .version = 1});
    return route;
  }
  const std::shared_ptr<WordModel> words_ = std::make_shared<WordModel>();
};

TEST_F(JudgedGateTest, AsksTheBudgetBeforeAModelIsAsked) {
  serve(judged("helper", "first"));
  gate_.refused = Failure{.status = 429, .message = "it is spent", .code = "insufficient_quota"};
  EXPECT_EQ(chat(chat_body(), {}).status, 429);
  EXPECT_EQ(words_->asked, 0);
  EXPECT_TRUE(world_.event().nodes.empty());
  gate_.refused.reset();
  EXPECT_EQ(chat(chat_body(), {json_reply(chat_answer)}).status, 200);
  ASSERT_EQ(gate_.most_judged.size(), 2U);
  // One window for each text of the call, and 8 * 4,096 characters of an answer, by windows of 400.
  EXPECT_EQ(gate_.most_judged.back().calls, gate_.settled.at(0).nodes.at(0).calls - 1 + 163);
  EXPECT_EQ(gate_.most_judged.back().micros, gate_.most_judged.back().calls * 5'000'000);
  EXPECT_EQ(gate_.settled.at(0).nodes.at(0).model, "toxicity");
  EXPECT_EQ(gate_.settled.at(0).nodes.at(0).calls, words_->asked);
}

TEST_F(JudgedGateTest, WhatNoBudgetCoversIsNotJudgedAndNotLetPass) {
  serve(judged("helper", "first"));
  gate_.judgements = 0;
  const Seen before = chat(chat_body(), {});
  EXPECT_EQ(before.status, 429);
  EXPECT_EQ(code(before), "insufficient_quota");
  EXPECT_NE(message(before).find("no hard budget covers one more judgement"), std::string::npos);
  EXPECT_EQ(world_.event().guardrails, std::vector<std::string>{"tox:classifier.unpaid:block"});
  gate_.judgements = 1;
  serving::LiveRoute outward = judged("helper", "first");
  guardrails::GuardrailDeclaration declared{.name = "tox",
                                            .side = guardrails::Side::output,
                                            .rule = guardrails::What::classifier,
                                            .model = "toxicity@1",
                                            .threshold = 0.5};
  outward.guards = must(guardrails::Chain::make({declared}, {{"tox", words_}}));
  serve(std::move(outward));
  EXPECT_EQ(chat(chat_body(), {json_reply(chat_answer)}).status, 200);
  const Seen after = chat(chat_body(), {json_reply(chat_answer)});
  EXPECT_EQ(after.status, 429) << after.body;
  EXPECT_EQ(words_->asked, 1);
  EXPECT_EQ(gate_.settled.back().generation->output_tokens, 2) << "the upstream bills it";
}

TEST_F(JudgedGateTest, WhatWasJudgedOnARouteThatFailedStaysHeldUntilTheEnd) {
  serving::LiveRoute asked = judged("helper", "first");
  asked.declaration.fallbacks = {"spare"};
  std::vector<serving::LiveRoute> routes;
  routes.push_back(std::move(asked));
  routes.push_back(judged("spare", "second"));
  world_.serve(std::move(routes));
  gate_.broken = {"first"};
  EXPECT_EQ(chat(chat_body(), {json_reply(chat_answer)}).header("x-penstock-route"), "spare");
  ASSERT_EQ(gate_.left.size(), 1U);
  const std::int64_t judged = gate_.left[0].nodes.at(0).calls;
  EXPECT_EQ(gate_.left[0].route, "helper");
  EXPECT_FALSE(gate_.left[0].error.empty()) << "nothing else of it is billed";
  EXPECT_EQ(gate_.spent.at(1).at(0).calls, judged) << "budgets of the spare route count it too";
  ASSERT_EQ(gate_.settled.size(), 1U);
  EXPECT_EQ(gate_.settled[0].nodes.at(0).calls, 2 * judged + 1);
  EXPECT_EQ(gate_.held, 0);
  // Where nobody stands in, what is left of the first pass is settled.
  gate_.broken = {"first", "second"};
  EXPECT_EQ(chat(chat_body(), {}).status, 503);
  EXPECT_EQ(gate_.settled.size(), 2U);
  EXPECT_EQ(gate_.held, 0);
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
