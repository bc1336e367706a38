#include <gtest/gtest.h>

#include <random>

#include "api/openai/relay.h"
#include "tests/support/fixture.h"
#include "tests/unit/openai/world.h"

namespace penstock::api::openai {
namespace {

using test::chunk;
using test::done_chunk;
using test::must;
using test::usage_chunk;

std::vector<std::string> events_of(const std::vector<std::string>& pieces,
                                   std::size_t most = 1000) {
  EventReader reader(most);
  std::vector<std::string> out;
  for (const std::string& piece : pieces) {
    std::string_view bytes = piece;
    for (EventReader::Got got; (got = reader.next(bytes)) != EventReader::Got::more;) {
      if (got == EventReader::Got::too_long) {
        out.push_back("too long");
        return out;
      }
      std::string text;
      write_event(text, reader.event());
      out.push_back(text);
    }
  }
  if (reader.finish()) out.push_back("rest " + reader.event().data);
  return out;
}

TEST(EventStream, ReadsWhatTheStandardSays) {
  EXPECT_EQ(events_of({"data: a\n\ndata:b\r\n\r\n\rdata: c\rdata: d\r\r"}),
            (std::vector<std::string>{"data: a\n\n", "data: b\n\n", "data: c\ndata: d\n\n"}));
  EXPECT_EQ(events_of({"\xEF\xBB\xBF"
                       "data: a\n\n: ping\n\nevent: x\nid: 7\ndata\n\n\n\n"}),
            (std::vector<std::string>{"data: a\n\n", ": ping\n\n", "event: x\nid: 7\ndata: \n\n"}));
  EXPECT_EQ(events_of({"data: a"}), (std::vector<std::string>{"rest a"}));
  EXPECT_EQ(events_of({"data: a\n\n", "data: " + std::string(2000, 'x'), "data: b\n\n"}),
            (std::vector<std::string>{"data: a\n\n", "too long"}));
}

// However the bytes were cut, the events are the same.
TEST(EventStream, ReadsTheSameFromEverySplit) {
  std::mt19937 random(11);
  const std::string parts[] = {"data: x",      "data:",    "\n",      "\r\n",  "\r",
                               "\n\n",         "\r\n\r\n", ": note",  "id: 1", "data",
                               "\xEF\xBB\xBF", " y",       "event: z"};
  for (int turn = 0; turn < 3'000; ++turn) {
    std::string text;
    for (auto left = random() % 20; left > 0; --left) text += parts[random() % std::size(parts)];
    const auto whole = events_of({text}, 40);
    for (std::size_t cut = 0; cut <= text.size(); ++cut)
      ASSERT_EQ(events_of({text.substr(0, cut), text.substr(cut)}, 40), whole) << text;
    std::vector<std::string> letters;
    for (const char letter : text) letters.emplace_back(1, letter);
    ASSERT_EQ(events_of(letters, 40), whole) << text;
  }
}

class RelayTest : public ::testing::Test {
 protected:
  Relay relay(const std::string& more = "") {
    body_ = test::chat_body(R"(,"stream":true)" + more);
    asked_ = must(read_request(Task::chat, body_));
    return Relay(asked_, "helper", endpoint_);
  }
  static std::string send(Relay& relay, const std::vector<std::string>& pieces,
                          bool broke = false) {
    std::string out;
    for (const std::string& piece : pieces) relay.piece(piece, out);
    relay.last(broke, out);
    return out;
  }

  std::string body_;
  Asked asked_;
  std::shared_ptr<const http::Endpoint> endpoint_ = std::make_shared<const http::Endpoint>(
      http::Endpoint{.name = "first", .host = "llm.internal", .authorization = "Bearer sk-abcdef"});
};

std::string seen_by_caller(std::string text) {
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{"real-1", "helper"}, {",\"usage\":null", ""}})
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos;)
      text.replace(at, from.size(), to);
  return text;
}

TEST_F(RelayTest, GivesTheCallerTheStreamWithoutUsageItDidNotAskFor) {
  const std::string sent = chunk("Good ") + ": ping\n\n" + chunk("day") + chunk("", "\"stop\"");
  Relay hidden = relay();
  EXPECT_EQ(send(hidden, {sent + usage_chunk + done_chunk}), seen_by_caller(sent) + done_chunk);
  const auto count = hidden.tally().count(asked_, 1000);
  EXPECT_EQ(count.usage.output, 3);
  EXPECT_FALSE(count.estimated);
  EXPECT_EQ(hidden.tally().finish_reason(), "stop");

  Relay wanted = relay(R"(,"stream_options":{"include_usage":true})");
  std::string all = sent + usage_chunk + done_chunk;
  for (std::size_t at = 0; (at = all.find("real-1", at)) != std::string::npos;)
    all.replace(at, 6, "helper");
  EXPECT_EQ(send(wanted, {sent + usage_chunk + done_chunk}), all);
}

TEST_F(RelayTest, SaysTheSameForEverySplit) {
  const std::string sent = chunk("Gr\xc3\xbc\xc3\x9f") + "\r\n" + chunk("a\\\"b") +
                           chunk("", "\"stop\"") + usage_chunk + done_chunk;
  Relay one = relay();
  const std::string whole = send(one, {sent});
  for (std::size_t cut = 0; cut <= sent.size(); ++cut) {
    Relay other = relay();
    ASSERT_EQ(send(other, {sent.substr(0, cut), sent.substr(cut)}), whole) << cut;
    ASSERT_EQ(other.tally().count(asked_, 1000).usage.output, 3);
  }
}

TEST_F(RelayTest, TellsInTheStreamWhatBrokeIt) {
  struct Case {
    std::string what, sent, says;
    bool broke = false;
  };
  const Case cases[] = {
      {"no JSON", chunk("a") + "data: oops\n\n" + chunk("b"), "cannot be read"},
      {"half a JSON", chunk("a") + "data: {\"choices\":\n\n", "cannot be read"},
      {"broke", chunk("a"), "ended before the answer did", true},
      {"ended early", chunk("a"), "ended before the answer did"},
      {"nothing", "", "ended before the answer did"},
      {"its own error",
       R"(data: {"error":{"message":"out of memory at llm.internal sk-abcdef"}})"
       "\n\n",
       "broke off: out of memory at *** ***"},
      {"too long", "data: " + std::string(9 << 20, 'x'), "more than 8 MB"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    Relay one = relay();
    const std::string out = send(one, {c.sent}, c.broke);
    ASSERT_TRUE(one.failure());
    EXPECT_EQ(one.failure()->status, 502);
    EXPECT_NE(out.find("data: {\"error\":{\"message\":\""), std::string::npos) << out;
    EXPECT_NE(out.find(c.says), std::string::npos) << out;
    EXPECT_EQ(out.find("[DONE]"), std::string::npos);
    EXPECT_LT(out.size(), 2'000u);
  }
}

TEST_F(RelayTest, AddsTheEndThatSomeForget) {
  Relay one = relay();
  const std::string out = send(one, {chunk("a", "\"stop\"")});
  EXPECT_FALSE(one.failure());
  EXPECT_TRUE(out.ends_with(done_chunk)) << out;
  // One of two choices is at its end, and the other is not.
  Relay two = relay(R"(,"n":2)");
  send(two, {chunk("a", "\"stop\"")});
  EXPECT_TRUE(two.failure());
}

TEST_F(RelayTest, LetsNothingThroughBehindTheEnd) {
  Relay one = relay();
  const std::string out =
      send(one, {chunk("a", "\"stop\"") + done_chunk + chunk("b") + "data: oops\n\n"});
  EXPECT_FALSE(one.failure());
  EXPECT_TRUE(out.ends_with(done_chunk));
}

TEST_F(RelayTest, RefusesWhatIsNoAnswer) {
  for (const std::string body : {"", "oops", "{", "[]", "{}", R"({"choices":{}})", "<html>"}) {
    Relay one = relay();
    EXPECT_TRUE(std::holds_alternative<Failure>(one.whole(body))) << body;
  }
}

TEST(LanguageUsage, ReadsEveryShape) {
  struct Case {
    std::string text;
    std::int64_t prompt, cached, write, output, reasoning;
  };
  const Case cases[] = {
      {R"({"prompt_tokens":9,"completion_tokens":3,"total_tokens":12})", 9, 0, 0, 3, 0},
      {R"({"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},)"
       R"("completion_tokens_details":{"reasoning_tokens":2}})",
       9, 4, 0, 3, 2},
      {R"({"prompt_tokens":9,"total_tokens":12,"completion_tokens":3,"prompt_tokens_details":null})",
       9, 0, 0, 3, 0},
      {R"({"prompt_tokens":9,"total_tokens":9})", 9, 0, 0, 0, 0},
      {R"({"input_tokens":9,"input_tokens_details":{"cached_tokens":1},"output_tokens":3,)"
       R"("output_tokens_details":{"reasoning_tokens":1},"total_tokens":12})",
       9, 1, 0, 3, 1},
      {R"({"prompt_tokens":9,"completion_tokens":3,"cache_creation_input_tokens":5,"cache_read_input_tokens":2})",
       9, 2, 5, 3, 0},
      {R"({"prompt_tokens":9,"completion_tokens":3,"prompt_cache_hit_tokens":2})", 9, 2, 0, 3, 0},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const auto got = usage_of(c.text);
    ASSERT_TRUE(got);
    EXPECT_EQ(got->prompt, c.prompt);
    EXPECT_EQ(got->cached.value_or(0), c.cached);
    EXPECT_EQ(got->cache_write.value_or(0), c.write);
    EXPECT_EQ(got->output, c.output);
    EXPECT_EQ(got->reasoning.value_or(0), c.reasoning);
  }
  for (
      const std::string wrong :
      {"7", "{}", R"({"prompt_tokens":-1,"completion_tokens":3})",
       R"({"prompt_tokens":"9","completion_tokens":3})",
       R"({"prompt_tokens":9.5,"completion_tokens":3})",
       R"({"prompt_tokens":99999999999999999999,"completion_tokens":3})",
       R"({"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":10}})",
       R"({"prompt_tokens":9,"completion_tokens":3,"completion_tokens_details":{"reasoning_tokens":4}})"})
    EXPECT_FALSE(usage_of(wrong)) << wrong;
  const auto timings =
      timings_usage(R"({"prompt_n":5,"cache_n":4,"predicted_n":3,"prompt_ms":1.5})");
  ASSERT_TRUE(timings);
  EXPECT_EQ(timings->prompt, 9);
  EXPECT_EQ(timings->cached, 4);
}

}  // namespace
}  // namespace penstock::api::openai
