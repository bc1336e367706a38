// How routing's rules, experiments, shadows and kept payloads act on calls to language models.
#include <set>

#include "serving/similarity.h"
#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

using catalog::Classification;
using serving::Arm;
constexpr Money cent{Money::per_whole / 100};

class LanguageRoutingTest : public LanguageTest {
 protected:
  serving::LiveRoute halves() {
    return world_.route("helper",
                        {{.weight = 5'000}, {.version = 2, .weight = 5'000, .arm = Arm::canary}});
  }
  serving::LiveRoute shadowed() {
    auto route = world_.route(
        "helper", {{}, {.version = 2, .weight = 0, .arm = Arm::shadow, .upstream = "second"}});
    route.declaration.input_class = Classification::internal;
    return route;
  }
  std::string version(api::Fields headers, const std::string& more = "") {
    const Reply reply = json_reply(chat_answer);
    return world_
        .chat(chat_body(more), {reply, reply}, std::move(headers))  // a shadow's, too
        .header("x-penstock-version");
  }
  // A shadow answers "Good bye".
  Seen mirrored(const std::string& more = "") {
    std::string other = chat_answer;
    other.replace(other.find("Good day"), 8, "Good bye");
    return world_.chat(chat_body(more), {json_reply(chat_answer), json_reply(other)});
  }
};

TEST_F(LanguageRoutingTest, SendsCallersWhereARuleSays) {
  auto route = world_.route("helper", {{},
                                       {.version = 2, .weight = 0, .arm = Arm::canary},
                                       {.version = 3, .weight = 0, .arm = Arm::shadow}});
  route.declaration.experiment = serving::Experiment{.id = "tone-1"};
  route.rules = must(serving::Rules::compile(
      {{R"(header("x-beta") == "1" && user.startsWith("ana") && tenant == "t1")", 2},
       {R"(cookie("group") == "eu")", 2},
       {R"(cookie("group") == "shadow")", 3}},
      {}));
  serve(std::move(route));
  EXPECT_EQ(version({}), "1");
  EXPECT_EQ(version({{"x-beta", "1"}}), "1") << "the rule is about a user, too";
  EXPECT_EQ(version({{"x-beta", "1"}}, R"(,"user":"ana.k")"), "2");
  EXPECT_EQ(version({{"cookie", "a=b; group=eu"}}), "2");
  EXPECT_EQ(version({{"cookie", "group=shadow"}}), "1") << "no rule names a shadow";
  world_.take_events();

  version({{"x-beta", "1"}, {"x-penstock-user", "ana"}});
  const auto ruled = world_.take_events().at(0);
  EXPECT_EQ(ruled.assignment_probability, 1);
  EXPECT_EQ(ruled.experiment, "") << "it was not drawn";
  EXPECT_EQ(ruled.arm, Arm::canary);
  version({});
  EXPECT_EQ(world_.take_events().at(0).experiment, "tone-1");
  // A version that was asked for comes before rules.
  EXPECT_EQ(version({{"x-penstock-version", "1"}, {"cookie", "group=eu"}}), "1");
  const Seen wrong = world_.chat(chat_body(), {}, {{"x-penstock-version", "latest"}});
  EXPECT_EQ(wrong.status, 400);
  EXPECT_NE(message(wrong).find("must be a version's number such as 3, not latest"),
            std::string::npos);
}

TEST_F(LanguageRoutingTest, DrawsOnceForEachUnitAndKeepsNoSecretOfIt) {
  auto route = halves();
  route.declaration.sticky = "header:X-Session";
  route.declaration.experiment = serving::Experiment{.id = "tone-1"};
  serve(std::move(route));
  std::set<std::string> seen;
  for (int one = 0; one < 30; ++one) {
    const std::string session = "session-" + std::to_string(one);
    const std::string first = version({{"x-session", session}});
    for (int more = 0; more < 3; ++more) EXPECT_EQ(version({{"x-session", session}}), first);
    seen.insert(first);
    for (const auto& event : world_.take_events()) {
      EXPECT_EQ(event.assignment_probability, 0.5);
      EXPECT_EQ(event.experiment, "tone-1");
      EXPECT_EQ(event.unit.size(), 32u);
      EXPECT_EQ(event.unit.find("session"), std::string::npos) << "a header may be a secret";
    }
  }
  EXPECT_EQ(seen, (std::set<std::string>{"1", "2"}));
  // Who does not send it is its user, and then its call.
  version({}, R"(,"user":"u-7")");
  EXPECT_EQ(world_.event().unit, "u-7");
  version({});
  const auto alone = world_.event();
  EXPECT_EQ(alone.unit, alone.id);

  auto baked = halves();
  baked.declaration.sticky = "cookie:visit";
  serve(std::move(baked));
  version({{"cookie", "visit=abc; other=1"}});
  const auto one = world_.event();
  version({{"cookie", "other=2; visit=abc"}});
  const auto other = world_.event();
  EXPECT_EQ(one.unit, other.unit);
  EXPECT_EQ(one.version, other.version);
  EXPECT_NE(one.unit, one.id);
}

TEST_F(LanguageRoutingTest, ComparesWhatAShadowSaidAndWhatItCost) {
  world_.mirrors.price_by([](const serving::InferenceEvent& event) {
    return std::optional(event.version == 2 ? Money{cent.units * 3} : cent);
  });
  auto route = shadowed();
  route.declaration.experiment = serving::Experiment{.id = "tone-1"};
  const auto counters = route.targets[1].counters;
  serve(std::move(route));
  const Seen seen = mirrored();
  EXPECT_EQ(seen.body.find("Good bye"), std::string::npos);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].id, events[0].id + ".shadow.v2");
  EXPECT_EQ(events[1].shadow_of, events[0].id);
  EXPECT_EQ(events[1].mode, serving::Mode::shadow);
  EXPECT_EQ(events[1].arm, Arm::shadow);
  EXPECT_EQ(events[1].upstream, "second");
  EXPECT_EQ(events[1].experiment, "");
  EXPECT_EQ(events[0].experiment, "tone-1");
  ASSERT_TRUE(events[1].generation);
  EXPECT_EQ(events[1].generation->upstream_model, "real-2");
  const auto& comparison = events[1].comparison;
  EXPECT_EQ(comparison.at("similarity"), serving::similarity("Good day", "Good bye"));
  EXPECT_EQ(comparison.at("output_tokens_difference"), 0);
  EXPECT_DOUBLE_EQ(comparison.at("cost_difference"), 0.02);
  EXPECT_TRUE(comparison.contains("latency_difference_micros"));
  EXPECT_EQ(counters->mirrored, 1);
  EXPECT_EQ(counters->answered, 0);
}

TEST_F(LanguageRoutingTest, ShowsAShadowNoWordsAboveItsClass) {
  auto route = shadowed();
  const auto counters = route.targets[1].counters;
  route.declaration.shadow.max_class = Classification::internal;
  serve(route);
  EXPECT_EQ(mirrored().shadows.size(), 1u);
  route.declaration.input_class = Classification::confidential;
  serve(route);
  EXPECT_TRUE(mirrored().shadows.empty());
  EXPECT_EQ(counters->withheld, 1);
}

TEST_F(LanguageRoutingTest, ReservesTheMostThatAShadowMayCostAndSettlesWhatItDid) {
  // A cent for a token of either side.
  world_.mirrors.price_by([](const serving::InferenceEvent& event) {
    const auto used = event.generation.value_or(serving::Generation{});
    return std::optional(
        Money{cent.units * (used.prompt_tokens.value_or(0) + used.output_tokens.value_or(0))});
  });
  auto route = shadowed();
  const auto counters = route.targets[1].counters;
  const std::int64_t most =
      must(read_request(Task::chat, chat_body(R"(,"max_tokens":50)"))).prompt_tokens_max + 50;
  // Enough for the worst case of the first call, and beside what that took not for another one.
  route.declaration.shadow.max_cost_per_day = Money{cent.units * (most + 10)};
  serve(route);
  const Seen first = mirrored(R"(,"max_tokens":50)");
  ASSERT_EQ(first.shadows.size(), 1u);
  EXPECT_EQ(world_.mirrors.spent_today("p1/helper"), Money{cent.units * 11}) << "9 and 2 tokens";
  EXPECT_TRUE(mirrored(R"(,"max_tokens":50)").shadows.empty());
  EXPECT_EQ(counters->capped, 1);
  EXPECT_EQ(world_.mirrors.take_capped().size(), 1u);

  // A call without a bound is sent to a shadow with one: that is what was reserved.
  route.declaration.shadow.max_cost_per_day = Money{cent.units * 10'000'000};
  serve(route);
  const Seen open = mirrored();
  ASSERT_EQ(open.shadows.size(), 1u);
  EXPECT_NE(open.shadows[0].attempts.at(0).request.body.find("max_completion_tokens"),
            std::string::npos);
  EXPECT_EQ(open.attempts.at(0).request.body.find("max_completion_tokens"), std::string::npos);
  EXPECT_EQ(world_.mirrors.spent_today("p1/helper"), Money{cent.units * 22});
}

TEST_F(LanguageRoutingTest, KeepsWhatWasAskedAndAnswered) {
  auto route = world_.route("helper", {{}});
  route.declaration.input_class = Classification::internal;
  route.declaration.payloads = serving::PayloadOptions{.sample = 1};
  serve(route);
  const Seen seen = world_.chat(chat_body(), {json_reply(chat_answer)});
  const auto event = world_.event();
  ASSERT_EQ(world_.payloads.size(), 1u);
  EXPECT_EQ(event.payload, "payload:" + event.id);
  EXPECT_EQ(world_.payloads[0].id, event.id);
  EXPECT_EQ(world_.payloads[0].request, chat_body());
  EXPECT_EQ(world_.payloads[0].answer, seen.body);
  EXPECT_FALSE(world_.payloads[0].cut);

  // A stream as it went out.
  const Seen stream = world_.chat(
      chat_body(R"(,"stream":true)"),
      {stream_reply({chunk("Good "), chunk("day", "\"stop\""), usage_chunk, done_chunk})});
  EXPECT_EQ(world_.payloads.at(1).answer, stream.body);
  // What failed has no answer to keep.
  world_.take_events();
  world_.chat(chat_body(), {json_reply("{}", 400)});
  EXPECT_EQ(world_.payloads.size(), 2u);
  EXPECT_EQ(world_.event().payload, "");

  route.declaration.payloads->max_bytes = 256;
  serve(route);
  std::string long_answer = chat_answer;
  long_answer.replace(long_answer.find("Good day"), 8, std::string(5'000, 'a'));
  world_.chat(chat_body(), {json_reply(long_answer)});
  EXPECT_TRUE(world_.payloads.at(2).cut);
  EXPECT_EQ(world_.payloads[2].answer.size(), 256u);

  route.declaration.input_class = Classification::confidential;
  serve(route);
  world_.chat(chat_body(), {json_reply(chat_answer)});
  EXPECT_EQ(world_.payloads.at(3).request, "");
  EXPECT_EQ(world_.payloads[3].answer, "");
  EXPECT_EQ(world_.payloads[3].withheld, (std::vector<std::string>{"request", "answer"}));

  route.declaration.payloads.reset();
  serve(route);
  world_.chat(chat_body(), {json_reply(chat_answer)});
  EXPECT_EQ(world_.payloads.size(), 4u);
}

TEST_F(LanguageRoutingTest, KeepsTheTextsAsGuardrailsLeftThem) {
  auto route = world_.route("helper", {{}});
  route.declaration.input_class = Classification::internal;
  route.declaration.payloads = serving::PayloadOptions{.sample = 1};
  route.guards = must(guardrails::Chain::make({{.name = "mail",
                                                .owner = "safety",
                                                .side = guardrails::Side::both,
                                                .rule = guardrails::What::pii,
                                                .action = guardrails::Action::mask,
                                                .tags = {"pii.email"}}}));
  serve(std::move(route));
  std::string asked = chat_body(), answered = chat_answer;
  asked.replace(asked.find("Hello there"), 11, "I am ana@example.com");
  answered.replace(answered.find("Good day"), 8, "You are ana@example.com");
  world_.chat(asked, {json_reply(answered)});
  ASSERT_EQ(world_.payloads.size(), 1u);
  EXPECT_EQ(world_.payloads[0].request.find("ana@"), std::string::npos);
  EXPECT_EQ(world_.payloads[0].answer.find("ana@"), std::string::npos);
  EXPECT_NE(world_.payloads[0].request.find("I am "), std::string::npos);
}

}  // namespace
}  // namespace penstock::test
