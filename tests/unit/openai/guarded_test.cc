#include "tests/unit/openai/world.h"

namespace penstock::test {
namespace {

using guardrails::Action;
using guardrails::Side;
using guardrails::What;

class GuardedTest : public ::testing::Test {
 protected:
  void serve(std::vector<guardrails::GuardrailDeclaration> declared) {
    serving::LiveRoute route = world_.route("helper", {{}});
    for (auto& one : declared) one.owner = "safety";
    route.guards = must(guardrails::Chain::make(declared));
    std::vector<serving::LiveRoute> routes;
    routes.push_back(std::move(route));
    world_.serve(std::move(routes));
  }
  static guardrails::GuardrailDeclaration mail(Side side, Action action) {
    return {
        .name = "mail", .side = side, .rule = What::pii, .action = action, .tags = {"pii.email"}};
  }
  static guardrails::GuardrailDeclaration secret(Action action) {
    return {.name = "words",
            .side = Side::output,
            .rule = What::deny_list,
            .action = action,
            .phrases = {"blue falcon"}};
  }
  // What a client puts together of a stream: the texts of its pieces.
  static std::string assembled(const std::string& body, const std::string& field = "content") {
    std::string out;
    EventReader reader;
    std::string_view bytes = body;
    while (reader.next(bytes) == EventReader::Got::event) {
      if (reader.event().data == "[DONE]") continue;
      const std::string& data = reader.event().data;
      EXPECT_FALSE(object_fault(data)) << data;
      for (Items choices(member(data, "choices")); choices.next();) {
        const std::string_view delta = member(choices.value(), "delta");
        out += text_or_empty(member(delta, field));
        const std::string_view calls = member(delta, "tool_calls");
        if (field == "arguments" && api::openai::is_list(calls))
          for (Items call(calls); call.next();)
            out += text_or_empty(member(member(call.value(), "function"), field));
      }
    }
    return out;
  }

  LanguageWorld world_;
};

const std::string mail_body =
    R"({"model":"helper","messages":[{"role":"system","content":"Be brief."},)"
    R"({"role":"user","content":[{"type":"text","text":"I am ana@example.com, \"yes\""}]}]})";

TEST_F(GuardedTest, MasksWhatGoesIn) {
  serve({mail(Side::input, Action::mask)});
  const Seen seen = world_.chat(mail_body, {json_reply(chat_answer)});
  EXPECT_EQ(seen.status, 200);
  const std::string& sent = seen.attempts.at(0).request.body;
  EXPECT_EQ(sent.find("ana@example.com"), std::string::npos) << sent;
  EXPECT_NE(sent.find(R"(, \"yes\"")"), std::string::npos) << sent;
  EXPECT_FALSE(object_fault(sent));
  EXPECT_EQ(world_.event().guardrails, (std::vector<std::string>{"mail:pii.email:mask"}));
}

TEST_F(GuardedTest, RefusesWhatMustNotGoIn) {
  serve({mail(Side::input, Action::block)});
  const Seen seen = world_.chat(mail_body, {});
  EXPECT_EQ(seen.status, 400);
  EXPECT_NE(seen.body.find("guardrail mail blocks pii.email"), std::string::npos) << seen.body;
  EXPECT_NE(seen.body.find("content_filter"), std::string::npos);
  EXPECT_EQ(seen.body.find("ana@"), std::string::npos);
  const auto event = world_.event();
  EXPECT_EQ(event.error, "invalid_argument");
  EXPECT_EQ(event.guardrails, (std::vector<std::string>{"mail:pii.email:block"}));
  EXPECT_FALSE(event.generation);
}

TEST_F(GuardedTest, MasksAndBlocksWholeAnswers) {
  const std::string answer =
      R"({"model":"real-1","choices":[{"index":0,"message":{"content":"write to bo@example.org","tool_calls":[)"
      R"({"function":{"name":"send","arguments":"{\"to\":\"eva@example.net\"}"}}]},"finish_reason":"stop"}]})";
  serve({mail(Side::output, Action::mask)});
  const Seen masked = world_.chat(chat_body(), {json_reply(answer)});
  EXPECT_EQ(masked.status, 200);
  EXPECT_EQ(masked.body.find("example."), std::string::npos) << masked.body;
  EXPECT_FALSE(object_fault(masked.body));
  EXPECT_EQ(world_.event().guardrails, (std::vector<std::string>{"mail:pii.email:mask"}));

  serve({mail(Side::output, Action::block)});
  const Seen blocked = world_.chat(chat_body(), {json_reply(answer)});
  EXPECT_EQ(blocked.status, 400);
  EXPECT_EQ(blocked.body.find("example."), std::string::npos) << blocked.body;
  EXPECT_TRUE(world_.event().generation) << "it was written, and costs";
}

TEST_F(GuardedTest, MasksAStreamWhereverItsTextIsCut) {
  serve({mail(Side::output, Action::mask)});
  const std::string text = "write to bo@example.org or call me";
  std::string masked;
  for (std::size_t cut = 1; cut < text.size(); ++cut) {
    SCOPED_TRACE(cut);
    const Seen seen = world_.chat(
        chat_body(R"(,"stream":true)"),
        {stream_reply({chunk(text.substr(0, cut)), chunk(text.substr(cut)),
                       R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"
                       "\n\n",
                       done_chunk})});
    EXPECT_EQ(seen.body.find("bo@"), std::string::npos) << seen.body;
    const std::string said = assembled(seen.body);
    if (masked.empty()) masked = said;
    EXPECT_EQ(said, masked);
    EXPECT_TRUE(seen.body.ends_with(done_chunk));
    EXPECT_EQ(world_.event().guardrails, (std::vector<std::string>{"mail:pii.email:mask"}));
  }
  EXPECT_TRUE(masked.starts_with("write to [")) << masked;
  EXPECT_TRUE(masked.ends_with("] or call me")) << masked;
}

TEST_F(GuardedTest, EndsAStreamAtWhatMustNotGoOut) {
  serve({secret(Action::block)});
  const Seen seen =
      world_.chat(chat_body(R"(,"stream":true)"),
                  {stream_reply({chunk("The name is blue"), chunk(" falcon, and more"),
                                 chunk("", "\"stop\""), done_chunk})});
  EXPECT_EQ(assembled(seen.body).find("falcon"), std::string::npos) << seen.body;
  EXPECT_NE(seen.body.find("content_filter"), std::string::npos) << seen.body;
  EXPECT_EQ(seen.body.find("[DONE]"), std::string::npos);
  EXPECT_EQ(world_.event().error, "invalid_argument");
}

TEST_F(GuardedTest, JudgesArgumentsOfToolsAsAWhole) {
  serve({mail(Side::output, Action::mask)});
  const auto arguments = [](const std::string& text) {
    return R"(data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":")" +
           text + R"("}}]},"finish_reason":null}]})" + "\n\n";
  };
  for (
      const std::string end :
      {R"({"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]})",
       R"({"choices":[{"index":0,"delta":{"tool_calls":[]},"finish_reason":"tool_calls"}]})",
       R"({"choices":[{"index":0,"delta":{"content":null,"tool_calls":null},"finish_reason":"tool_calls"}]})"}) {
    const Seen seen = world_.chat(
        chat_body(R"(,"stream":true)"),
        {stream_reply({arguments(R"({\"to\":\"bo@exam)"), arguments(R"(ple.org\",\"n\":1})"),
                       "data: " + end + "\n\n", done_chunk})});
    const std::string said = assembled(seen.body, "arguments");
    EXPECT_TRUE(said.starts_with(R"({"to":"[)")) << seen.body;
    EXPECT_TRUE(said.ends_with(R"(]","n":1})")) << said;
  }
}

TEST_F(GuardedTest, MasksWhatToolsWereGivenAndSaid) {
  serve({mail(Side::input, Action::mask)});
  const Seen seen = world_.chat(
      R"({"model":"helper","messages":[{"role":"user","content":"x"},{"role":"assistant","content":)"
      R"(null,"tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"to\":\"a@b.org\"}"}}]},)"
      R"({"role":"tool","tool_call_id":"1","content":"ok"}]})",
      {json_reply(chat_answer)});
  const std::string& sent = seen.attempts.at(0).request.body;
  EXPECT_EQ(sent.find("a@b.org"), std::string::npos) << sent;
  EXPECT_FALSE(object_fault(sent));
}

TEST_F(GuardedTest, RefusesWhatItCannotRead) {
  serve({mail(Side::both, Action::mask)});
  struct Case {
    Task task;
    std::string body, field;
  };
  for (const Case& c :
       {Case{Task::completions, R"({"model":"helper","prompt":[1,2]})", "prompt"},
        Case{Task::embeddings, R"({"model":"helper","input":[[1],[2]]})", "input"},
        Case{Task::chat, chat_body(R"(,"modalities":["text","audio"])"), "modalities"}}) {
    const Seen seen = world_.send(c.task, c.body, {});
    EXPECT_EQ(seen.status, 400);
    EXPECT_EQ(json::parse(seen.body).at("error").at("param").as_string(), c.field) << seen.body;
  }
  serve({secret(Action::block)});  // of the output alone: nobody has to read what goes in
  EXPECT_EQ(world_
                .send(Task::completions, R"({"model":"helper","prompt":[1,2]})",
                      {json_reply(R"({"choices":[{"text":"hello","index":0}]})")})
                .status,
            200);
}

TEST_F(GuardedTest, MasksWhereverTheModelMayWrite) {
  const std::string written = "bo@example.org";
  const std::string before = R"({"model":"real-1","choices":[{"index":0,"finish_reason":"stop",)";
  const std::pair<Task, std::string> answers[] = {
      {Task::chat,
       before + R"("message":{"content":[{"type":"text","text":"bo@example.org"}]}}]})"},
      {Task::chat,
       before + R"("message":{"function_call":{"name":"f","arguments":"bo@example.org"}}}]})"},
      {Task::chat,
       before + R"("message":{"tool_calls":[{"custom":{"input":"bo@example.org"}}]}}]})"},
      {Task::chat,
       before + R"("message":{"content":"x","audio":{"transcript":"bo@example.org"}}}]})"},
      {Task::chat,
       before +
           R"("logprobs":{"content":[{"token":"bo@example.org"}]},"message":{"content":"x"}}]})"},
      {Task::completions, before + R"("text":"x","logprobs":{"tokens":["bo@example.org"]}}]})"},
      {Task::responses, R"({"output":[{"type":"function_call","arguments":"bo@example.org"}]})"},
      {Task::responses,
       R"({"output":[{"type":"reasoning","summary":[{"text":"bo@example.org"}]}]})"},
      {Task::responses,
       R"({"output":[{"type":"message","content":[{"text":"x","logprobs":[{"token":"bo@example.org"}]}]}]})"},
  };
  serve({mail(Side::output, Action::mask)});
  for (const auto& [task, answer] : answers) {
    SCOPED_TRACE(answer);
    const std::string body = task == Task::chat          ? chat_body()
                             : task == Task::completions ? R"({"model":"helper","prompt":"x"})"
                                                         : R"({"model":"helper","input":"x"})";
    const Seen seen = world_.send(task, body, {json_reply(answer)});
    EXPECT_EQ(seen.status, 200) << seen.body;
    EXPECT_EQ(seen.body.find(written), std::string::npos) << seen.body;
    EXPECT_FALSE(object_fault(seen.body)) << seen.body;
  }
  // What is only flagged may be said twice.
  serve({mail(Side::output, Action::flag)});
  EXPECT_NE(world_.chat(chat_body(), {json_reply(answers[4].second)}).body.find(written),
            std::string::npos);
}

TEST_F(GuardedTest, StreamsNothingBesideTheTextThatItJudges) {
  serve({mail(Side::output, Action::mask)});
  const auto piece = [](const std::string& more) {
    return R"(data: {"choices":[{"index":0,)" + more + "}]}\n\n";
  };
  const Seen likely = world_.chat(
      chat_body(R"(,"stream":true)"),
      {stream_reply(
          {piece(R"("delta":{"content":"bo@exam"},"logprobs":{"content":[{"token":"bo@exam"}]})"),
           piece(R"("delta":{"content":"ple.org"},"finish_reason":"stop")"), done_chunk})});
  EXPECT_EQ(likely.body.find("bo@exam"), std::string::npos) << likely.body;
  EXPECT_TRUE(assembled(likely.body).starts_with("[")) << likely.body;

  const Seen parts =
      world_.chat(chat_body(R"(,"stream":true)"),
                  {stream_reply({piece(R"("delta":{"content":[{"type":"text","text":"bo@exam"}]})"),
                                 piece(R"("delta":{"content":[{"type":"text","text":"ple.org"}]})"),
                                 piece(R"("delta":{},"finish_reason":"stop")"), done_chunk})});
  EXPECT_EQ(parts.body.find("bo@exam"), std::string::npos) << parts.body;

  for (const std::string end :
       {R"("delta":{},"finish_reason":"function_call")",
        R"("delta":{"function_call":{"arguments":""}},"finish_reason":"stop")",
        R"("delta":{"function_call":null},"finish_reason":"stop")"}) {
    const Seen called = world_.chat(
        chat_body(R"(,"stream":true)"),
        {stream_reply(
            {piece(R"("delta":{"function_call":{"name":"f","arguments":"{\"a\":\"bo@exam"}})"),
             piece(R"("delta":{"function_call":{"arguments":"ple.org\"}"}})"), piece(end),
             done_chunk})});
    EXPECT_EQ(called.body.find("bo@exam"), std::string::npos) << called.body;
    EXPECT_NE(called.body.find(R"("arguments":"{\"a\":\"[)"), std::string::npos) << called.body;
    EXPECT_NE(called.body.find(R"("name":"f")"), std::string::npos);
  }
}

// Some servers end a stream without a word of why its choices end.
TEST_F(GuardedTest, GivesWhatItHeldBackWhereNoPieceEndsTheChoice) {
  serve({secret(Action::mask)});
  const Seen held = world_.chat(chat_body(R"(,"stream":true)"),
                                {stream_reply({chunk("I like the blue fal"), done_chunk})});
  EXPECT_EQ(assembled(held.body), "I like the blue fal") << held.body;
  EXPECT_TRUE(held.body.ends_with("data: [DONE]\n\n"));
  const Seen masked =
      world_.chat(chat_body(R"(,"stream":true)"),
                  {stream_reply({chunk("the blue fal"), chunk("con"), done_chunk})});
  EXPECT_EQ(masked.body.find("blue falcon"), std::string::npos) << masked.body;
  EXPECT_TRUE(assembled(masked.body).starts_with("the [")) << masked.body;

  const std::string call =
      R"(data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f",)"
      R"("arguments":"{}"}}]}}]})"
      "\n\n";
  const Seen called =
      world_.chat(chat_body(R"(,"stream":true)"), {stream_reply({call, done_chunk})});
  EXPECT_EQ(assembled(called.body, "arguments"), "{}") << called.body;

  serve({secret(Action::block)});
  const Seen blocked =
      world_.chat(chat_body(R"(,"stream":true)"),
                  {stream_reply({chunk("the blue fal"), chunk("con"), done_chunk})});
  EXPECT_EQ(blocked.body.find("[DONE]"), std::string::npos) << blocked.body;
  EXPECT_NE(blocked.body.find("blocks"), std::string::npos) << blocked.body;
}

TEST_F(GuardedTest, ReadsNoMoreOfAStreamThatItBlocked) {
  serve({secret(Action::block)});
  std::vector<std::string> pieces(500, chunk(" more"));
  pieces[3] = chunk(" blue falcon ");
  const Seen seen = world_.chat(chat_body(R"(,"stream":true)"), {stream_reply(pieces)});
  EXPECT_LT(seen.pieces, 10u) << "what nobody will see costs no more";
}

TEST_F(GuardedTest, LetsNoStreamThroughThatItCannotJudge) {
  serve({mail(Side::output, Action::mask)});
  const Seen seen =
      world_.send(Task::responses, R"({"model":"helper","input":"x","stream":true})", {});
  EXPECT_EQ(seen.status, 400);
  EXPECT_NE(seen.body.find("\"param\":\"stream\""), std::string::npos) << seen.body;
}

}  // namespace
}  // namespace penstock::test
