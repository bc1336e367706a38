#include "api/openai/request.h"

#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace penstock::api::openai {
namespace {

using test::must;

TEST(LanguageRequest, ReadsWhatItNeeds) {
  const std::string body = R"({"model":"helper","stream":true,"n":2,"max_tokens":50,
    "user":"u-7","messages":[{"role":"system","content":"Be brief."},
    {"role":"user","content":[{"type":"text","text":"What is this?"},
                              {"type":"image_url","image_url":{"url":"data:x"}}]}]})";
  const Asked asked = must(read_request(Task::chat, body));
  EXPECT_EQ(asked.model, "helper");
  EXPECT_EQ(asked.user, "u-7");
  EXPECT_TRUE(asked.stream);
  EXPECT_FALSE(asked.usage_wanted);
  EXPECT_EQ(asked.choices, 2);
  EXPECT_EQ(asked.output_bound, 50);
  EXPECT_TRUE(asked.media);
  ASSERT_EQ(asked.texts.size(), 2u);
  EXPECT_EQ(asked.texts[1], "\"What is this?\"");
  EXPECT_GE(asked.prompt_tokens, 6);
  EXPECT_EQ(asked.prompt_tokens_max, static_cast<std::int64_t>(body.size()));

  const Asked lists = must(read_request(
      Task::completions, R"({"model":"m","prompt":[[1,2,3],[4]],"best_of":3,"n":null})"));
  EXPECT_EQ(lists.choices, 6);
  EXPECT_EQ(lists.prompt_tokens, 4);
  EXPECT_EQ(must(read_request(Task::completions, R"({"model":"m","prompt":[1,2]})")).choices, 1);
  EXPECT_EQ(must(read_request(Task::embeddings, R"({"model":"m","input":["a","b"]})")).texts.size(),
            2u);
}

TEST(LanguageRequest, RefusesAndNamesTheField) {
  const std::string messages = R"("messages":[{"role":"user","content":"x"}])";
  struct Case {
    std::string body, field, says;
    Task task = Task::chat;
  };
  const Case cases[] = {
      {"", "", "cannot be read"},
      {"{", "", "byte 1"},
      {"[]", "", "object"},
      {"{" + messages + "}", "model", "is missing"},
      {"{\"model\":7," + messages + "}", "model", "name of a route"},
      {"{\"model\":\"\"," + messages + "}", "model", "name of a route"},
      {"{\"model\":\"" + std::string(400, 'a') + "\"," + messages + "}", "model", "300"},
      {R"({"model":"a","mod\u0065l":"b",)" + messages + "}", "model", "stands twice"},
      {R"({"model":"a","stream":1,)" + messages + "}", "stream", "true or false"},
      {R"({"model":"a","stream":true,"stream":false,)" + messages + "}", "stream", "stands twice"},
      {R"({"model":"a","stream_options":[],)" + messages + "}", "stream_options", "object"},
      {R"({"model":"a","stream_options":{"include_usage":"yes"},)" + messages + "}",
       "stream_options.include_usage", "true or false"},
      {R"({"model":"a","stream_options":{"a":1,"a":2},)" + messages + "}", "stream_options.a",
       "stands twice"},
      {R"({"model":"a","n":0,)" + messages + "}", "n", "1 to 128"},
      {R"({"model":"a","n":1.5,)" + messages + "}", "n", "whole number"},
      {R"({"model":"a","max_tokens":-1,)" + messages + "}", "max_tokens", "whole number"},
      {R"({"model":"a","max_completion_tokens":"9",)" + messages + "}", "max_completion_tokens",
       "whole number"},
      {R"({"model":"a","user":7,)" + messages + "}", "user", "must be a text"},
      {R"({"model":"a"})", "messages", "is missing"},
      {R"({"model":"a","messages":[]})", "messages", "at least one"},
      {R"({"model":"a","messages":"x"})", "messages", "list"},
      {R"({"model":"a","messages":[7]})", "messages[0]", "must be an object"},
      {R"({"model":"a","messages":[{"role":"user","content":7}]})", "messages[0].content", "text"},
      {R"({"model":"a","messages":[{"role":"user","content":[7]}]})", "messages[0].content[0]",
       "must be an object"},
      {R"({"model":"a","messages":[{"content":"a","content":"b"}]})", "messages[0].content",
       "stands twice"},
      {R"({"model":"a","messages":[{"content":[{"text":"a","text":"b"}]}]})",
       "messages[0].content[0].text", "stands twice"},
      {R"({"model":"a"})", "input", "is missing", Task::embeddings},
      {R"({"model":"a","input":[]})", "input", "not be empty", Task::embeddings},
      {R"({"model":"a","input":{}})", "input", "must be a text", Task::embeddings},
      {R"({"model":"a","prompt":[true]})", "prompt", "must be a text", Task::completions},
      // As some upstreams would read them.
      {R"({"model":"a","max_tokens":1,"Max_Tokens":9000,)" + messages + "}", "Max_Tokens",
       "must be written max_tokens"},
      {R"({"model":"a","MESSAGES":[],)" + messages + "}", "MESSAGES", "must be written messages"},
      {R"({"model":"a","messages":[{"content":"a","Content":"b"}]})", "messages[0].Content",
       "must be written content"},
      {R"({"model":"a","messages":[{"tool_calls":[{"function":{"arguments":"a","arguments":"b"}}]}]})",
       "messages[0].tool_calls.arguments", "stands twice"},
      {R"({"model":"a","input":"x","background":true})", "background", "metered nowhere",
       Task::responses},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body.substr(0, 90));
    const auto got = read_request(c.task, c.body);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::invalid_argument);
    EXPECT_EQ(got.error().violations.empty() ? "" : got.error().violations[0].field, c.field);
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
}

TEST(LanguageRequest, ChangesOnlyWhatItMust) {
  const std::string tail =
      R"("messages":[{"role":"user","content":"x"}], "seed":12345678901234567890,)"
      R"("temperature":0.10, "x":{"b":1,"a":[ ]}})";
  struct Case {
    std::string before, after;  // what stands before the tail
  };
  const Case cases[] = {
      {R"({"model":"a", )", R"({"model":"real", )"},
      {R"( {"stream" : false,"model" : "a", )", R"( {"stream" : false,"model" : "real", )"},
      {R"({"model":"a","stream":true,)",
       R"({"stream_options":{"include_usage":true},"model":"real","stream":true,)"},
      {R"({"model":"a","stream":true,"stream_options":null,)",
       R"({"model":"real","stream":true,"stream_options":{"include_usage":true},)"},
      {R"({"model":"a","stream":true,"stream_options":{},)",
       R"({"model":"real","stream":true,"stream_options":{"include_usage":true},)"},
      {R"({"model":"a","stream":true,"stream_options":{"other":1},)",
       R"({"model":"real","stream":true,"stream_options":{"include_usage":true,"other":1},)"},
      {R"({"stream_options":{"include_usage":false},"model":"a","stream":true,)",
       R"({"stream_options":{"include_usage":true},"model":"real","stream":true,)"},
      {R"({"stream_options":{"include_usage":true},"model":"a","stream":true,)",
       R"({"stream_options":{"include_usage":true},"model":"real","stream":true,)"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.before);
    const std::string body = c.before + tail;
    const Asked asked = must(read_request(Task::chat, body));
    EXPECT_EQ(changed(body, asked, {.model = "real"}), c.after + tail);
  }
}

TEST(LanguageRequest, BoundsTheOutputAndPutsTextsInPlace) {
  const std::string plain = R"({"model":"a","messages":[{"content":"one"},{"content":"two"}]})";
  const Asked asked = must(read_request(Task::chat, plain));
  const std::vector<std::optional<std::string>> texts = {std::nullopt, "a \"mask\""};
  EXPECT_EQ(
      changed(plain, asked, {.model = "r\"m", .output_bound = 64, .texts = &texts}),
      R"({"max_completion_tokens":64,"model":"r\"m","messages":[{"content":"one"},{"content":"a \"mask\""}]})");
  const std::string empty = R"({"model":"a","prompt":"x","max_tokens":null})";
  EXPECT_EQ(changed(empty, must(read_request(Task::completions, empty)),
                    {.model = "m", .output_bound = 64}),
            R"({"model":"m","prompt":"x","max_tokens":64})");
  const std::string own = R"({"model":"a","prompt":"x","max_tokens":7})";
  EXPECT_EQ(
      changed(own, must(read_request(Task::completions, own)), {.model = "m", .output_bound = 64}),
      R"({"model":"m","prompt":"x","max_tokens":7})");
}

TEST(LanguageRequest, IsBoundByWhatTheUpstreamReadsAlone) {
  struct Case {
    Task task;
    std::string body;
    std::optional<std::int64_t> bound;
    std::int64_t other = 0;
    bool media = false;
  };
  const std::string chat = R"({"model":"a","messages":[{"role":"user","content":"x"}],)";
  const std::string text = R"({"model":"a","prompt":"x",)", item = R"({"model":"a","input":"x",)";
  const Case cases[] = {
      {Task::chat, chat + R"("max_tokens":5,"max_completion_tokens":7})", 7},
      {Task::chat, chat + R"("max_output_tokens":5})", {}},
      {Task::chat, chat + R"("max_output_tokens":"of another task"})", {}},
      {Task::completions, text + R"("max_completion_tokens":5,"max_output_tokens":6})", {}},
      {Task::responses, item + R"("max_tokens":5,"max_completion_tokens":5})", {}},
      {Task::responses, item + R"("max_output_tokens":5})", 5},
      {Task::chat, chat + R"("n_predict":9,"max_tokens":5})", 5, 9},
      {Task::chat, chat + R"("n_predict":-1})", {}, 100'000'000},
      {Task::chat, chat + R"("n_predict":"x"})", {}},
      {Task::responses, item + R"("previous_response_id":"resp_1"})", {}, 0, true},
      {Task::responses, item + R"("previous_response_id":null})", {}},
      {Task::responses, item + R"("conversation":{"id":"c"}})", {}, 0, true},
      {Task::responses, item + R"("prompt":{"id":"p"}})", {}, 0, true},
      {Task::responses, item + R"("tools":[{"type":"function"},{"type":"custom"}]})", {}},
      {Task::responses, item + R"("tools":[{"type":"web_search"}]})", {}, 0, true},
      {Task::responses,
       R"({"model":"a","input":[{"type":"item_reference","id":"i"}]})",
       {},
       0,
       true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const Asked asked = must(read_request(c.task, c.body));
    EXPECT_EQ(asked.output_bound, c.bound);
    EXPECT_EQ(asked.other_bound, c.other);
    EXPECT_EQ(asked.media, c.media);
  }
}

TEST(LanguageRequest, FindsEveryTextThatTheModelReads) {
  struct Case {
    Task task;
    std::string body;
    std::vector<std::string_view> texts;
    bool numbers = false, sound = false;
  };
  const std::string words = R"({"model":"a","messages":[{"role":"user","content":"1"})";
  const Case cases[] = {
      {Task::chat,
       words +
           R"(,{"role":"assistant","content":null,"reasoning_content":"2","tool_calls":[)"
           R"({"function":{"name":"f","arguments":"3"}},{"custom":{"input":"4"}}]},)"
           R"({"role":"assistant","function_call":{"name":"g","arguments":"5"}},)"
           R"({"role":"tool","content":"6","name":"7"}],"prediction":{"content":[{"text":"8"}]}})",
       {"\"1\"", "\"2\"", "\"3\"", "\"4\"", "\"5\"", "\"6\"", "\"7\"", "\"8\""}},
      {Task::chat, words + R"(],"modalities":["text","audio"]})", {"\"1\""}, false, true},
      {Task::completions, R"({"model":"a","prompt":"1","suffix":"2"})", {"\"1\"", "\"2\""}},
      {Task::completions, R"({"model":"a","prompt":[1,2]})", {}, true},
      {Task::embeddings, R"({"model":"a","input":[[1],[2]]})", {}, true},
      {Task::responses,
       R"({"model":"a","instructions":"9","input":[{"role":"user","content":"1"},)"
       R"({"type":"function_call","arguments":"2"},{"type":"function_call_output","output":"3"},)"
       R"({"type":"custom_tool_call","input":"4"},{"type":"reasoning","summary":[{"text":"5"}]},)"
       R"({"type":"custom_tool_call_output","output":[{"type":"input_text","text":"6"}]}]})",
       {"\"1\"", "\"2\"", "\"3\"", "\"4\"", "\"5\"", "\"6\"", "\"9\""}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.body);
    const Asked asked = must(read_request(c.task, c.body));
    EXPECT_EQ(asked.texts, c.texts);
    EXPECT_EQ(asked.token_numbers, c.numbers);
    EXPECT_EQ(asked.sound, c.sound);
    EXPECT_EQ(asked.question_end - asked.question_from,
              c.task == Task::completions || c.task == Task::embeddings ? 0u : 1u);
  }
}

TEST(LanguageRequest, CutsALongUserBetweenLetters) {
  std::string user;
  for (int i = 0; i < 150; ++i) user += "\xc3\xa9";
  const std::string body = R"({"model":"a","input":"x","user":"u)" + user + "\"}";
  const std::string got = must(read_request(Task::embeddings, body)).user;
  EXPECT_EQ(got.size(), 199u);
}

}  // namespace
}  // namespace penstock::api::openai
