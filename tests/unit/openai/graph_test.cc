// Versions whose graph runs before each call to their language model.
#include "api/openai/blocking.h"
#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

using api::Fault;
using serving::Arm;

// Answers by what it is asked, and remembers it.
class Library final : public graphs::Tools {
 public:
  Result<std::vector<float>> embed(const Call& call, const std::string& route,
                                   const std::string& text) override {
    asked.push_back(call.project + " embeds by " + route + ": " + text);
    if (fault) return *fault;
    return std::vector<float>{1, 2};
  }
  Result<json::array> retrieve(const Call&, const graphs::Node&,
                               const std::vector<float>&) override {
    return json::array{json::object{{"body", "Gates close \"early\"."}}};
  }
  Result<std::vector<double>> rerank(const Call&, const std::string&, const std::string&,
                                     const std::vector<std::string>& passages) override {
    return std::vector<double>(passages.size(), 1.0);
  }
  Result<json::object> features(const Call&, const std::string&,
                                const std::map<std::string, std::string>&) override {
    return json::object{};
  }
  std::vector<std::string> asked;
  std::optional<Error> fault;
};

constexpr const char* graph_yaml = R"(
nodes:
  - {name: vector, kind: embed, route: embedder, text: "{{question}}"}
  - {name: found, kind: retrieve, view: passages, feature: embedding, vector: vector, with: [body]}
  - {name: best, kind: rerank, route: reranker, query: "{{question}}", passages: found, count: 1}
messages:
  - {role: system, content: "VERSION {{user}}: {{best}}"}
)";

std::shared_ptr<const graphs::Plan> plan_of(const std::string& version) {
  std::string text = graph_yaml;
  text.replace(text.find("VERSION"), 7, version);
  return must(graphs::Plan::make(must(graphs::read_graph(text))));
}

class GraphTest : public LanguageTest {
 protected:
  GraphTest() { world_.plane.tools = &library_; }

  static void give_graph(serving::LiveTarget& target, const std::string& version) {
    serving::Deployment with = *target.deployment;
    with.graph = plan_of(version);
    target.deployment = std::make_shared<const serving::Deployment>(std::move(with));
  }
  serving::LiveRoute grounded(const std::string& name = "helper") {
    serving::LiveRoute route = world_.route(name, {{}});
    give_graph(route.targets[0], "v1");
    return route;
  }

  Library library_;
};

TEST_F(GraphTest, PutsItsMessagesBeforeTheCallersOwn) {
  serve(grounded());
  const std::string body =
      R"({"model":"helper","user":"u-7","messages":[ {"role":"user","content":"first"},)"
      R"({"role":"assistant","content":"aha"},{"role":"user","content":[{"type":"text","text":"When do"},)"
      R"({"type":"text","text":"gates close?"}]}],"seed":1.0})";
  const Seen seen = world_.chat(body, {json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200) << seen.body;
  EXPECT_EQ(library_.asked,
            (std::vector<std::string>{"p1 embeds by embedder: When do\ngates close?"}));
  std::string sent = body;
  sent.replace(sent.find("helper"), 6, "real-1");
  const std::string front = R"({"role":"system","content":"v1 u-7: [1] Gates close \"early\"."},)";
  sent.insert(sent.find("[ {") + 1, front);
  EXPECT_EQ(seen.attempts.at(0).request.body, sent);
  const auto event = world_.event();
  EXPECT_EQ(event.retrieval_calls, 1);
  EXPECT_EQ(event.reranker_calls, 1);
  EXPECT_EQ(event.error, "");
}

TEST_F(GraphTest, CountsItsTokensWhereTheUpstreamDoesNot) {
  const std::string silent = chat_answer.substr(0, chat_answer.find(",\"usage\"")) + "}";
  serve(world_.route("helper", {{}}));
  world_.chat(chat_body(), {json_reply(silent)});
  const auto bare = world_.event().generation->prompt_tokens;
  serve(grounded());
  world_.chat(chat_body(), {json_reply(silent)});
  const auto event = world_.event();
  EXPECT_TRUE(event.generation->estimated);
  EXPECT_GE(*event.generation->prompt_tokens, *bare + 8) << "about 30 letters more";
}

TEST_F(GraphTest, SaysWhichNodeFailedAndCallsNoUpstream) {
  serve(grounded());
  const std::pair<Code, int> cases[] = {{Code::unavailable, 503},
                                        {Code::deadline_exceeded, 504},
                                        {Code::invalid_argument, 502},
                                        {Code::not_found, 502}};
  for (const auto& [code, status] : cases) {
    library_.fault = Error{code, "there is no route embedder"};
    const Seen seen = world_.chat(chat_body(), {});
    EXPECT_EQ(seen.status, status) << seen.body;
    EXPECT_EQ(seen.attempts.size(), 0U);
    EXPECT_EQ(this->code(seen), "graph_failed");
    EXPECT_NE(message(seen).find("node vector: there is no route embedder"), std::string::npos);
    const auto event = world_.event();
    EXPECT_NE(event.error, "");
    EXPECT_EQ(event.version, 1);
    EXPECT_FALSE(event.generation);
  }
}

TEST_F(GraphTest, AFallbackAnswersWhereAGraphFails) {
  std::vector<serving::LiveRoute> routes;
  routes.push_back(grounded());
  routes.back().declaration.fallbacks = {"plain"};
  routes.push_back(world_.route("plain", {{}}));
  world_.serve(std::move(routes));
  library_.fault = Error{Code::unavailable, "away"};
  const Seen seen = world_.chat(chat_body(), {json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200) << seen.body;
  EXPECT_EQ(seen.header("x-penstock-route"), "plain");
  EXPECT_EQ(seen.attempts.at(0).request.body.find("system"), std::string::npos);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].route + " " + events[0].error, "helper unavailable");
  EXPECT_EQ(events[1].fallback_of, "helper");
}

TEST_F(GraphTest, AFallbackRunsItsOwnGraphAndARetryTheSameOnce) {
  std::vector<serving::LiveRoute> routes;
  routes.push_back(grounded());
  routes.back().declaration.fallbacks = {"spare"};
  routes.back().declaration.retries = serving::RetryOptions{.attempts = 2};
  routes.push_back(world_.route("spare", {{.upstream = "second"}}));
  give_graph(routes.back().targets[0], "spare");
  world_.serve(std::move(routes));
  const Seen seen = world_.chat(
      chat_body(), {fault_reply(Fault::refused), json_reply("{}", 503), json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200) << seen.body;
  ASSERT_EQ(seen.attempts.size(), 3U);
  EXPECT_EQ(seen.attempts[0].request.body, seen.attempts[1].request.body);
  EXPECT_NE(seen.attempts[2].request.body.find("spare :"), std::string::npos);
  EXPECT_EQ(seen.attempts[2].request.body.find("v1 :"), std::string::npos);
  EXPECT_EQ(library_.asked.size(), 2U);
  const auto events = world_.take_events();
  EXPECT_EQ(events.at(0).retrieval_calls, 0) << "they are told and paid once";
  EXPECT_EQ(events.at(1).retrieval_calls, 2) << "both were done for this call";
}

TEST_F(GraphTest, ShadowsRunTheirOwn) {
  serving::LiveRoute route =
      world_.route("helper", {{}, {.version = 2, .weight = 0, .arm = Arm::shadow}});
  give_graph(route.targets[0], "v1");
  give_graph(route.targets[1], "v2");
  route.declaration.shadow.sample = 1;
  serve(std::move(route));
  const Seen seen = world_.chat(chat_body(), {json_reply(chat_answer), json_reply(chat_answer)});
  ASSERT_EQ(seen.shadows.size(), 1U);
  const std::string& mirrored = seen.shadows[0].attempts.at(0).request.body;
  EXPECT_NE(mirrored.find("v2 :"), std::string::npos) << mirrored;
  EXPECT_EQ(mirrored.find("v1 :"), std::string::npos);
  for (const auto& event : world_.take_events()) EXPECT_EQ(event.retrieval_calls, 1) << event.id;

  // One whose graph fails has an event that says it.
  serving::LiveRoute half =
      world_.route("helper", {{}, {.version = 2, .weight = 0, .arm = Arm::shadow}});
  give_graph(half.targets[1], "v2");
  half.declaration.shadow.sample = 1;
  serve(std::move(half));
  library_.fault = Error{Code::unavailable, "away"};
  const Seen lone = world_.chat(chat_body(), {json_reply(chat_answer)});
  EXPECT_EQ(lone.status, 200);
  const auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[1].arm, Arm::shadow);
  EXPECT_NE(events[1].error, "");
}

TEST_F(GraphTest, SeesWhatGuardrailsMasked) {
  serving::LiveRoute route = grounded();
  guardrails::GuardrailDeclaration mask{.name = "no-pii",
                                        .owner = "privacy",
                                        .side = guardrails::Side::input,
                                        .rule = guardrails::What::pii,
                                        .action = guardrails::Action::mask};
  route.guards = must(guardrails::Chain::make({mask}));
  serve(std::move(route));
  const Seen seen = world_.chat(
      R"({"model":"helper","messages":[{"role":"user","content":"I am ana@example.org"}]})",
      {json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200) << seen.body;
  ASSERT_EQ(library_.asked.size(), 1U);
  EXPECT_EQ(library_.asked[0].find("ana@example.org"), std::string::npos) << library_.asked[0];
}

TEST_F(GraphTest, IsForChatsWithAQuestion) {
  serve(grounded());
  const Seen completion = world_.send(Task::completions, R"({"model":"helper","prompt":"x"})", {});
  EXPECT_EQ(completion.status, 400);
  EXPECT_NE(message(completion).find("/v1/chat/completions"), std::string::npos);
  EXPECT_EQ(world_.send(Task::embeddings, R"({"model":"helper","input":"x"})", {}).status, 400);
  const Seen mute =
      world_.chat(R"({"model":"helper","messages":[{"role":"system","content":"be brief"}]})", {});
  EXPECT_EQ(mute.status, 400);
  EXPECT_NE(message(mute).find("role user"), std::string::npos) << mute.body;
  EXPECT_TRUE(library_.asked.empty());
}

// One who asks a route from a worker: what upstreams say is a script.
class Script final : public http::Caller {
 public:
  Result<http::Answer> send(const std::shared_ptr<const http::Endpoint>&,
                            const http::Request& request, Timestamp deadline) override {
    sent.push_back(request.target + " " + request.body);
    deadlines.push_back(deadline);
    if (answers.empty()) return Error{Code::unavailable, "away"};
    auto answer = std::move(answers.front());
    answers.erase(answers.begin());
    return answer;
  }
  std::vector<http::Answer> answers;
  std::vector<std::string> sent;
  std::vector<Timestamp> deadlines;
};

TEST_F(GraphTest, NodesAskRoutesAsCallersDo) {
  serve(world_.route("helper", {{}}));
  Script script;
  script.answers.push_back({200,
                            {},
                            R"({"data":[{"embedding":[1,2]}],"model":"real-1",)"
                            R"("usage":{"prompt_tokens":3,"total_tokens":3}})"});
  script.answers.push_back({200,
                            {},
                            R"({"results":[{"index":0,"relevance_score":0.5}],)"
                            R"("usage":{"total_tokens":7}})"});
  Call call = test::call();
  call.deadline = world_.clock.now() + std::chrono::seconds(5);
  const auto embedded =
      ask_route(world_.plane, script, Task::embeddings, call, R"({"model":"helper","input":"x"})");
  EXPECT_NE(must(embedded).find("[1,2]"), std::string::npos);
  const auto ranked = ask_route(world_.plane, script, Task::rerank, call,
                                R"({"model":"helper","query":"q","documents":["a"]})");
  EXPECT_NE(must(ranked).find("0.5"), std::string::npos);
  EXPECT_EQ(script.sent, (std::vector<std::string>{
                             R"(/embeddings {"model":"real-1","input":"x"})",
                             R"(/rerank {"model":"real-1","query":"q","documents":["a"]})"}));
  for (const Timestamp deadline : script.deadlines) EXPECT_EQ(deadline, call.deadline);
  auto events = world_.take_events();
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(events[0].generation->prompt_tokens, 3);
  EXPECT_EQ(events[1].generation->prompt_tokens, 7);
  EXPECT_FALSE(events[1].generation->estimated);

  const auto away =
      ask_route(world_.plane, script, Task::embeddings, call, R"({"model":"helper","input":"x"})");
  ASSERT_FALSE(away);
  EXPECT_NE(away.error().message.find("cannot be reached"), std::string::npos);
  EXPECT_EQ(world_.take_events().size(), 1U) << "a failed call has its event too";
}

}  // namespace
}  // namespace penstock::test
