#include <set>

#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

using api::Fault;
using serving::Arm;
using ExchangeTest = LanguageTest;

TEST_F(ExchangeTest, AnswersUnderTheRoutesNameAndSaysWhoDid) {
  serve(world_.route("helper", {{.version = 3}}));
  Reply reply = json_reply(chat_answer);
  reply.takes = std::chrono::milliseconds(40);
  reply.headers.emplace_back("x-gpu-micros", "31000");
  const std::string body = chat_body(R"(,"user":"u-7","logit_bias":{"50256":-100},"seed":1.0)");
  const Seen seen = world_.chat(body, {reply});
  EXPECT_EQ(seen.status, 200);
  EXPECT_EQ(seen.body, std::string(chat_answer).replace(chat_answer.find("real-1"), 6, "helper"));
  EXPECT_EQ(seen.header("x-penstock-model"), "helper");
  EXPECT_EQ(seen.header("x-penstock-version"), "3");
  EXPECT_EQ(seen.header("x-penstock-route"), "helper");

  ASSERT_EQ(seen.attempts.size(), 1u);
  const http::Request& sent = seen.attempts[0].request;
  EXPECT_EQ(sent.target, "/chat/completions");
  EXPECT_EQ(sent.body, std::string(body).replace(body.find("helper"), 6, "real-3"));
  for (const auto& [name, value] : sent.headers) EXPECT_NE(name, "authorization");

  const serving::InferenceEvent event = world_.event();
  EXPECT_EQ(event.id, seen.header("x-penstock-prediction"));
  EXPECT_EQ(event.route, "helper");
  EXPECT_EQ(event.version, 3);
  EXPECT_EQ(event.runtime, "openai");
  EXPECT_EQ(event.release, "r1");
  EXPECT_EQ(event.tenant, "t1");
  EXPECT_EQ(event.user, "u-7");
  EXPECT_EQ(event.unit, "u-7");
  EXPECT_EQ(event.error, "");
  EXPECT_EQ(event.upstream, "first");
  EXPECT_EQ(event.attempts, 1);
  EXPECT_EQ(event.upstream_micros, 40'000);
  EXPECT_EQ(event.total_micros, 40'000);
  EXPECT_EQ(event.gpu_micros, 31'000);
  EXPECT_EQ(event.response_bytes, static_cast<std::int64_t>(seen.body.size()));
  ASSERT_TRUE(event.generation);
  EXPECT_EQ(event.generation->prompt_tokens, 9);
  EXPECT_EQ(event.generation->output_tokens, 2);
  EXPECT_FALSE(event.generation->estimated);
  EXPECT_EQ(event.generation->finish_reason, "stop");
  EXPECT_EQ(event.generation->upstream_model, "real-3");
}

TEST_F(ExchangeTest, StreamsAndCountsWhatTheCallerDidNotAskFor) {
  serve(world_.route("helper", {{}}));
  const Seen seen = world_.chat(chat_body(R"(,"stream":true)"),
                                {stream_reply({chunk("Good "), chunk("day"),
                                               chunk("", "\"stop\"") + usage_chunk, done_chunk})});
  EXPECT_EQ(seen.status, 200);
  EXPECT_NE(seen.attempts[0].request.body.find(R"("stream_options":{"include_usage":true})"),
            std::string::npos);
  EXPECT_EQ(seen.body.find("usage"), std::string::npos) << seen.body;
  EXPECT_TRUE(seen.body.ends_with(done_chunk));
  const auto event = world_.event();
  ASSERT_TRUE(event.generation);
  EXPECT_TRUE(event.generation->streamed);
  EXPECT_EQ(event.generation->output_tokens, 3);
  EXPECT_TRUE(event.generation->first_piece_micros);
}

TEST_F(ExchangeTest, CountsWhatACallerGotThatHungUpHalfWay) {
  serve(world_.route("helper", {{}}));
  Reply reply = stream_reply({chunk("Good "), chunk("day and more of it")});
  reply.hang_up = true;
  world_.chat(chat_body(R"(,"stream":true)"), {reply});
  const auto event = world_.event();
  EXPECT_EQ(event.error, "");
  ASSERT_TRUE(event.generation);
  EXPECT_EQ(event.generation->finish_reason, "hung_up");
  EXPECT_TRUE(event.generation->estimated);
  EXPECT_EQ(event.generation->output_tokens, 6) << "a quarter of 23 letters";
  EXPECT_GT(*event.generation->prompt_tokens, 0);
}

TEST_F(ExchangeTest, CountsItselfWhereUsageIsMissingOrALie) {
  serve(world_.route("helper", {{}}));
  const std::string usage = chat_answer.substr(chat_answer.find(",\"usage\""));
  for (const std::string& said :
       {std::string("}"), std::string(R"(,"usage":null})"),
        std::string(R"(,"usage":{"prompt_tokens":-5,"completion_tokens":2}})"),
        std::string(R"(,"usage":{"prompt_tokens":9,"completion_tokens":900000000}})"),
        std::string(R"(,"usage":{"prompt_tokens":9,"completion_tokens":1e3}})"),
        std::string(R"(,"usage":"free"})")}) {
    SCOPED_TRACE(said);
    std::string answer = chat_answer;
    answer.replace(answer.find(usage), usage.size(), said);
    EXPECT_EQ(world_.chat(chat_body(), {json_reply(answer)}).status, 200);
    const auto event = world_.event();
    EXPECT_TRUE(event.generation->estimated);
    EXPECT_EQ(event.generation->output_tokens, 2) << "eight letters";
  }
}

TEST_F(ExchangeTest, PutsEachTokenInOnePlace) {
  serve(world_.route("helper", {{}}));
  std::string answer = chat_answer;
  answer.insert(answer.find(",\"total_tokens\""),
                R"(,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3},)"
                R"("completion_tokens_details":{"reasoning_tokens":1})");
  world_.chat(chat_body(), {json_reply(answer)});
  const auto used = *world_.event().generation;
  EXPECT_EQ(used.prompt_tokens, 2);
  EXPECT_EQ(used.cached_prompt_tokens, 4);
  EXPECT_EQ(used.cache_write_tokens, 3);
  EXPECT_EQ(used.output_tokens, 1);
  EXPECT_EQ(used.reasoning_tokens, 1);
}

TEST_F(ExchangeTest, SaysWhatIsWrongWithACall) {
  std::vector<serving::LiveRoute> routes;
  routes.push_back(world_.route("helper", {{}}));
  routes.push_back(world_.route("flights", {{.runtime = "onnx"}}));
  routes.push_back(world_.route("empty", {}));
  world_.serve(std::move(routes));
  struct Case {
    std::string body;
    int status;
    std::string code, says;
    api::Fields headers = {};
  };
  const Case cases[] = {
      {"{", 400, "", "cannot be read"},
      {chat_body("", "nobody"), 404, "model_not_found", "no route of project p1"},
      {chat_body("", "flights"), 400, "", "POST /v2/models/flights/infer"},
      {chat_body("", "empty"), 503, "unavailable", "no version that answers"},
      {chat_body(),
       404,
       "not_found",
       "does not serve version 9; it serves 1",
       {{"x-penstock-version", "v9"}}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.says);
    const Seen seen = world_.chat(c.body, {}, c.headers);
    EXPECT_EQ(seen.status, c.status);
    EXPECT_EQ(code(seen), c.code);
    EXPECT_NE(message(seen).find(c.says), std::string::npos) << seen.body;
    EXPECT_TRUE(seen.attempts.empty());
  }
}

TEST_F(ExchangeTest, TriesAgainBeforeAnythingWasSent) {
  serve(world_.route("helper", {{}}));
  const Reply bad[] = {json_reply("", 429),           json_reply("", 500),
                       json_reply("", 503),           fault_reply(Fault::refused),
                       fault_reply(Fault::timed_out), fault_reply(Fault::broke)};
  for (const Reply& first : bad) {
    const Seen seen = world_.chat(chat_body(), {first, json_reply(chat_answer)});
    EXPECT_EQ(seen.status, 200);
    ASSERT_EQ(seen.attempts.size(), 2u);
    EXPECT_LE(seen.attempts[1].delay, std::chrono::milliseconds(25));
    const auto event = world_.event();
    EXPECT_EQ(event.attempts, 2);
    EXPECT_EQ(event.error, "");
  }
  // A stream that has begun is the caller's, and cannot begin anew.
  Reply cut = stream_reply({chunk("a")});
  cut.fault = Fault::broke;
  const Seen seen = world_.chat(chat_body(R"(,"stream":true)"), {cut});
  EXPECT_EQ(seen.attempts.size(), 1u);
  EXPECT_NE(seen.body.find("ended before the answer did"), std::string::npos);
  const auto event = world_.event();
  EXPECT_EQ(event.error, "unavailable");
  EXPECT_TRUE(event.generation) << "what was read and written costs all the same";
}

TEST_F(ExchangeTest, WaitsAsLongAsTheUpstreamAsksForWithinTheDeadline) {
  serve(world_.route("helper", {{}}));
  Reply busy = json_reply(R"({"error":{"message":"slow down","code":"rate_limit_exceeded"}})", 429);
  busy.headers.emplace_back("retry-after", "7");
  const Seen waited = world_.chat(chat_body(), {busy, json_reply(chat_answer)});
  EXPECT_EQ(waited.attempts.at(1).delay, std::chrono::seconds(7));
  world_.take_events();

  busy.headers.back().second = "50";
  const Seen told = world_.chat(chat_body(), {busy}, {{"x-request-timeout", "60s"}});
  EXPECT_EQ(told.status, 429);
  EXPECT_EQ(told.header("Retry-After"), "50");
  EXPECT_EQ(message(told), "slow down");
  EXPECT_EQ(code(told), "rate_limit_exceeded");
  const auto event = world_.event();
  EXPECT_EQ(event.error, "resource_exhausted");
  EXPECT_FALSE(event.generation) << "nothing was read or written";
}

TEST_F(ExchangeTest, PassesErrorsOnWithoutSecrets) {
  serve(world_.route("helper", {{}}));
  struct Case {
    int status;
    std::string body;
    int told;
    std::string says, code;
  };
  const Case cases[] = {
      {400,
       R"({"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}})",
       400, "too long", "context_length_exceeded"},
      {400, R"({"object":"error","message":"bad","type":"BadRequestError","code":400})", 400, "bad",
       ""},
      {422, R"({"detail":"no"})", 422, "no", ""},
      {400, "<html>llm.internal:8443</html>", 400, "answered with status 400", ""},
      {400, R"({"error":{"message":"key sk-upstream-secret at llm.internal:8443"}})", 400,
       "key *** at ***", ""},
      {401, R"({"error":{"message":"Incorrect API key: sk-up***ret"}})", 502, "credentials",
       "upstream_refused"},
      {302, "", 502, "status 302", "upstream_broken"},
      {200, "garbage", 502, "cannot be read", "upstream_broken"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const Seen seen = world_.chat(chat_body(), {json_reply(c.body, c.status)});
    EXPECT_EQ(seen.status, c.told);
    EXPECT_NE(message(seen).find(c.says), std::string::npos) << seen.body;
    EXPECT_EQ(code(seen), c.code);
    for (const char* secret : {"sk-up", "llm.internal", "8443"})
      EXPECT_EQ(seen.body.find(secret), std::string::npos) << seen.body;
    EXPECT_NE(world_.event().error, "");
  }
}

TEST_F(ExchangeTest, FallsBackToTheNextRouteUnderTheNameThatWasAsked) {
  serving::LiveRoute asked = world_.route("helper", {{}});
  asked.declaration.fallbacks = {"nowhere", "flights", "spare"};
  std::vector<serving::LiveRoute> routes;
  routes.push_back(std::move(asked));
  routes.push_back(world_.route("flights", {{.runtime = "onnx"}}));
  routes.push_back(world_.route("spare", {{.version = 5, .upstream = "second"}}));
  world_.serve(std::move(routes));
  const Seen seen = world_.chat(
      chat_body(), {fault_reply(Fault::refused), json_reply("", 500), json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200);
  ASSERT_EQ(seen.attempts.size(), 3u);
  EXPECT_EQ(seen.attempts[2].endpoint->name, "second");
  EXPECT_NE(seen.attempts[2].request.body.find("real-5"), std::string::npos);
  EXPECT_NE(seen.body.find("\"model\":\"helper\""), std::string::npos);
  EXPECT_EQ(seen.header("x-penstock-route"), "spare");
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2u);
  const auto& event = events[1];
  EXPECT_EQ(event.route, "spare");
  EXPECT_EQ(event.fallback_of, "helper");
  EXPECT_EQ(event.version, 5);
  EXPECT_EQ(event.attempts, 3);
  // What watches the route that failed sees that it did.
  EXPECT_EQ(events[0].id, event.id + ".failed");
  EXPECT_EQ(events[0].route, "helper");
  EXPECT_EQ(events[0].version, 1);
  EXPECT_EQ(events[0].error, "unavailable");
  EXPECT_EQ(events[0].attempts, 2);
  EXPECT_EQ(events[0].fallback_of, "");
  EXPECT_FALSE(events[0].generation) << "nothing was read or written";
}

TEST_F(ExchangeTest, EachRouteThatFailedIsTold) {
  std::vector<serving::LiveRoute> routes;
  for (const char* name : {"helper", "spare", "last"})
    routes.push_back(world_.route(name, {{.upstream = name}}));
  routes[0].declaration.fallbacks = {"spare", "last"};
  world_.serve(std::move(routes));
  const auto told = [&](std::vector<Reply> replies) {
    world_.chat(chat_body(), std::move(replies));
    std::vector<std::string> out;
    auto events = world_.take_events();
    for (const auto& event : events)
      out.push_back(event.route + (event.error.empty() ? " answered" : " failed") +
                    event.id.substr(events.back().id.size()));
    return out;
  };
  const Reply no = json_reply("", 500);
  EXPECT_EQ(told({no, no, no, no, json_reply(chat_answer)}),
            (std::vector<std::string>{"helper failed.failed", "spare failed.failed.spare",
                                      "last answered"}));
  EXPECT_EQ(told({no, no, no, no, no, no}),
            (std::vector<std::string>{"helper failed.failed", "spare failed.failed.spare",
                                      "last failed"}));
}

TEST_F(ExchangeTest, TriesThatWereGivenUpCostWhatTheyRead) {
  serve(world_.route("helper", {{}}));
  const std::int64_t read = must(read_request(Task::chat, chat_body())).prompt_tokens;
  const Seen seen =
      world_.chat(chat_body(), {fault_reply(Fault::timed_out), json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200);
  auto event = world_.event();
  EXPECT_EQ(event.generation->prompt_tokens, 9 + read);
  EXPECT_EQ(event.generation->output_tokens, 2);
  EXPECT_TRUE(event.generation->estimated);
  // Where none answers, too: the caller gave it no more time.
  EXPECT_EQ(world_.chat(chat_body(), {fault_reply(Fault::deadline)}).status, 504);
  event = world_.event();
  EXPECT_EQ(event.error, "deadline_exceeded");
  ASSERT_TRUE(event.generation);
  EXPECT_EQ(event.generation->prompt_tokens, read);
  EXPECT_EQ(event.generation->output_tokens.value_or(0), 0);
  EXPECT_EQ(event.generation->finish_reason, "given_up");

  serving::LiveRoute hedged = world_.route("helper", {{}});
  hedged.declaration.retries =
      serving::RetryOptions{.attempts = 1, .hedge_after = std::chrono::milliseconds(5)};
  hedged.declaration.fallbacks = {"spare"};
  std::vector<serving::LiveRoute> routes;
  routes.push_back(std::move(hedged));
  routes.push_back(world_.route("spare", {{.upstream = "second"}}));
  world_.serve(std::move(routes));
  world_.chat(chat_body(), {slow_reply(json_reply(chat_answer), std::chrono::milliseconds(3))});
  EXPECT_EQ(world_.event().generation->prompt_tokens, 9) << "no second one went out";
  world_.chat(chat_body(), {slow_reply(json_reply(chat_answer), std::chrono::milliseconds(7))});
  EXPECT_EQ(world_.event().generation->prompt_tokens, 9 + read) << "the slower one read it too";
  world_.chat(chat_body(), {slow_reply(fault_reply(Fault::timed_out), std::chrono::milliseconds(7)),
                            json_reply(chat_answer)});
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].generation->prompt_tokens, 2 * read) << "of the route that they were made on";
  EXPECT_EQ(events[1].generation->prompt_tokens, 9);
  world_.chat(chat_body(), {slow_reply(fault_reply(Fault::refused), std::chrono::milliseconds(7)),
                            json_reply(chat_answer)});
  EXPECT_FALSE(world_.take_events().at(0).generation) << "nobody has read it";
}

TEST_F(ExchangeTest, DoesNotBelieveLessThanThereCanBe) {
  serve(world_.route("helper", {{}}));
  const std::string usage = chat_answer.substr(chat_answer.find(",\"usage\""));
  struct Case {
    std::string usage, content;
    bool believed;
    std::int64_t output;
  };
  const std::string longer(1'000, 'a');
  const Case cases[] = {
      {R"({"prompt_tokens":0,"completion_tokens":2,"total_tokens":2})", "Good day", false, 2},
      {R"({"prompt_tokens":9,"completion_tokens":0,"total_tokens":9})", "Good day", false, 2},
      {R"({"prompt_tokens":9,"completion_tokens":0,"total_tokens":9})", "", true, 0},
      {R"({"prompt_tokens":9,"completion_tokens":7,"total_tokens":16})", longer, false, 250},
      {R"({"prompt_tokens":9,"completion_tokens":8,"total_tokens":17})", longer, true, 8},
      {R"({"prompt_tokens":9,"total_tokens":12})", "Good day", true, 3},
      {R"({"prompt_tokens":9,"total_tokens":4})", "Good day", false, 2},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.usage + c.content.substr(0, 9));
    std::string answer = chat_answer;
    answer.replace(answer.find(usage), usage.size(), ",\"usage\":" + c.usage + "}");
    answer.replace(answer.find("Good day"), 8, c.content);
    EXPECT_EQ(world_.chat(chat_body(), {json_reply(answer)}).status, 200);
    const auto event = world_.event();
    EXPECT_EQ(event.generation->estimated, !c.believed);
    EXPECT_EQ(event.generation->output_tokens, c.output);
  }
}

TEST_F(ExchangeTest, AStreamThatGoesOnBehindItsBoundEndsThere) {
  serve(world_.route("helper", {{}}));
  const auto streamed = [&](const std::string& piece, const std::string& more) {
    return world_.chat(chat_body(R"(,"stream":true)" + more),
                       {stream_reply(std::vector<std::string>(10'000, chunk(piece)))});
  };
  const Seen words = streamed(" on and on", R"(,"max_tokens":10)");
  EXPECT_LT(words.pieces, 500u);
  EXPECT_NE(words.body.find("goes on behind the tokens"), std::string::npos);
  EXPECT_EQ(words.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(world_.event().error, "unavailable");
  EXPECT_LT(streamed(std::string(9'000, 'a'), R"(,"max_tokens":10)").pieces, 10u);
  world_.take_events();
  EXPECT_EQ(streamed(" on and on", R"(,"max_tokens":10000)").pieces, 10'000u);
  // Letter by letter it is no more than it may be.
  const Seen letters = world_.chat(chat_body(R"(,"stream":true,"max_tokens":300)"),
                                   {stream_reply(std::vector<std::string>(1'200, chunk("a")))});
  EXPECT_EQ(letters.pieces, 1'200u);
}

TEST_F(ExchangeTest, SaysWhoFailedWhereAllHave) {
  serve(world_.route("helper", {{}}));
  struct Case {
    Fault fault;
    int status;
    std::string code;
    std::size_t tries;
  };
  const Case cases[] = {{Fault::refused, 502, "upstream_unreachable", 2},
                        {Fault::timed_out, 504, "upstream_timeout", 2},
                        {Fault::broke, 502, "upstream_broken", 2},
                        {Fault::too_large, 502, "upstream_broken", 1},
                        {Fault::deadline, 504, "deadline_exceeded", 1}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.code);
    const Seen seen = world_.chat(chat_body(), {fault_reply(c.fault), fault_reply(c.fault)});
    EXPECT_EQ(seen.status, c.status);
    EXPECT_EQ(code(seen), c.code);
    EXPECT_EQ(seen.attempts.size(), c.tries);
    EXPECT_NE(message(seen).find("upstream first"), std::string::npos);
    world_.take_events();
  }
}

TEST_F(ExchangeTest, KeepsACallerOnOneVersion) {
  serve(world_.route("helper", {{.version = 1, .weight = 5000},
                                {.version = 2, .weight = 5000, .arm = Arm::canary}}));
  std::map<std::string, std::set<std::string>> versions;
  for (int turn = 0; turn < 40; ++turn) {
    const std::string user = "u" + std::to_string(turn % 20);
    const Seen seen =
        world_.chat(chat_body(R"(,"user":")" + user + "\""), {json_reply(chat_answer)});
    versions[user].insert(seen.header("x-penstock-version"));
  }
  std::set<std::string> all;
  for (const auto& [user, seen] : versions) {
    EXPECT_EQ(seen.size(), 1u) << user;
    all.insert(seen.begin(), seen.end());
  }
  EXPECT_EQ(all.size(), 2u);
  for (const auto& event : world_.take_events()) EXPECT_EQ(event.assignment_probability, 0.5);
  const Seen pinned =
      world_.chat(chat_body(), {json_reply(chat_answer)}, {{"x-penstock-version", "2"}});
  EXPECT_EQ(pinned.header("x-penstock-version"), "2");
}

TEST_F(ExchangeTest, MirrorsToShadowsThatNobodySees) {
  serving::LiveRoute route = world_.route(
      "helper", {{}, {.version = 2, .weight = 0, .arm = Arm::shadow, .upstream = "second"}});
  route.declaration.shadow.max_concurrency = 1;
  serve(std::move(route));
  std::string other = chat_answer;
  other.replace(other.find("Good day"), 8, "Good bye");
  const Seen seen = world_.chat(chat_body(), {json_reply(chat_answer), json_reply(other)});
  EXPECT_NE(seen.body.find("Good day"), std::string::npos);
  ASSERT_EQ(seen.shadows.size(), 1u);
  EXPECT_EQ(seen.shadows[0].attempts.at(0).endpoint->name, "second");
  EXPECT_NE(seen.shadows[0].attempts.at(0).request.body.find("real-2"), std::string::npos);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[1].shadow_of, events[0].id);
  EXPECT_EQ(events[1].mode, serving::Mode::shadow);
  EXPECT_EQ(events[1].version, 2);
  EXPECT_TRUE(events[1].comparison.contains("similarity"));
  EXPECT_TRUE(events[1].comparison.contains("latency_difference_micros"));

  // One that fails is not tried again, and its place is free for the next.
  const Seen again =
      world_.chat(chat_body(), {json_reply(chat_answer), fault_reply(Fault::refused)});
  EXPECT_EQ(again.shadows.at(0).attempts.size(), 1u);
  EXPECT_EQ(world_.take_events().at(1).error, "unavailable");
  // What failed is not mirrored.
  EXPECT_TRUE(world_.chat(chat_body(), {json_reply("{}", 400)}).shadows.empty());
}

TEST_F(ExchangeTest, ListsTheRoutesThatSpeak) {
  std::vector<serving::LiveRoute> routes;
  routes.push_back(world_.route("zeta", {{}}));
  routes.push_back(world_.route("alpha", {{}}));
  routes.push_back(world_.route("flights", {{.runtime = "onnx"}}));
  world_.serve(std::move(routes));
  const auto get = [&](const std::string& path, const std::string& model) {
    for (const api::Route& route : api::openai::routes(world_.plane))
      if (route.path == path) return route.handle(call(), {.path_values = {{"model", model}}});
    throw std::logic_error("no route " + path);
  };
  EXPECT_EQ(
      get("/v1/models", "").body,
      R"({"object":"list","data":[{"id":"alpha","object":"model","created":0,"owned_by":"assistants"},)"
      R"({"id":"zeta","object":"model","created":0,"owned_by":"assistants"}]})");
  EXPECT_EQ(json::parse(get("/v1/models/{model}", "zeta").body).at("id"), "zeta");
  EXPECT_EQ(get("/v1/models/{model}", "flights").status, 404);
}

}  // namespace
}  // namespace penstock::test
