// From inference events to lines of the ledger.
#include "monitor/metering.h"

#include <gtest/gtest.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock::monitor {
namespace {

using test::must;

serving::InferenceEvent chat(const std::string& id) {
  return {.id = id,
          .at = Timestamp(std::chrono::hours(400'000)),
          .event_time = Timestamp(std::chrono::hours(400'000)),
          .project = "p1",
          .tenant = "t1",
          .route = "chat",
          .model = "assistant",
          .version = 1,
          .runtime = "openai",
          .model_micros = 900,
          .generation = serving::Generation{.prompt_tokens = 10,
                                            .cached_prompt_tokens = 4,
                                            .output_tokens = 7,
                                            .upstream_model = "gpt-4o"},
          .upstream = "openai",
          .user = "u1"};
}

std::string said(const serving::InferenceEvent& event) {
  std::string text;
  for (const costs::Usage& usage : usages_of(event))
    text += std::string(name_of(usage.meter)) + "=" + std::to_string(usage.quantity) + " ";
  return text;
}

TEST(MeteringTest, MetersWhatACallUsed) {
  EXPECT_EQ(said(chat("a")), "prompt_tokens=10 cached_prompt_tokens=4 output_tokens=7 requests=1 ");
  serving::InferenceEvent own = chat("b");
  own.generation.reset();
  own.upstream = "";
  own.gpu_micros = 50;
  own.retrieval_calls = 2;
  own.reranker_calls = 1;
  EXPECT_EQ(said(own),
            "gpu_microseconds=50 retrieval_calls=2 reranker_calls=1 compute_microseconds=900 "
            "requests=1 ");
}

TEST(MeteringTest, MetersErrorsAndHangUpsForWhatTheyUsed) {
  serving::InferenceEvent failed = chat("a");
  failed.error = "unavailable";
  failed.generation.reset();
  EXPECT_EQ(said(failed), "");
  serving::InferenceEvent cut = chat("b");
  cut.error = "unavailable";
  cut.generation->finish_reason = "hung_up";
  cut.generation->estimated = true;
  EXPECT_EQ(said(cut), "prompt_tokens=10 cached_prompt_tokens=4 output_tokens=7 requests=1 ");
}

TEST(MeteringTest, AnAnswerOutOfTheCacheCostsNoTokens) {
  serving::InferenceEvent cached = chat("a");
  cached.from_cache = true;
  EXPECT_EQ(said(cached), "requests=1 ");
}

// Budgets count by one, the ledger by the other.
TEST(MeteringTest, WhatIsMeteredIsWhatIsPosted) {
  serving::InferenceEvent judged = chat("a");
  judged.nodes = {{.name = "tox", .model = "toxicity", .version = 3, .calls = 2, .micros = 80},
                  {.name = std::string(300, 'x'), .model = "far", .upstream = "u", .calls = 1},
                  {.name = "no model"}};
  serving::InferenceEvent cached = chat("b");
  cached.from_cache = true;
  for (const serving::InferenceEvent& event : {chat("c"), judged, cached}) {
    const auto usages = usages_of(event);
    const auto metered = metered_of(event);
    ASSERT_EQ(usages.size(), metered.size());
    for (std::size_t i = 0; i < usages.size(); ++i) {
      EXPECT_EQ(metered[i].meter, usages[i].meter);
      EXPECT_EQ(metered[i].quantity, usages[i].quantity);
      EXPECT_EQ(metered[i].model, usages[i].model);
      EXPECT_EQ(metered[i].upstream_model, usages[i].upstream_model);
      EXPECT_EQ(metered[i].line.empty() ? event.id : metered[i].line, usages[i].id);
      EXPECT_EQ(metered[i].call_tokens, costs::is_tokens(usages[i].meter) ? 14 : 0);
    }
  }
}

TEST(MeteringTest, PostsEachEventOnceAndShadowsAsTheirOwn) {
  const test::TempDir folder;
  const auto rocks = must(rocksdb::open(folder / "events"));
  const auto db = test::database();
  ManualClock clock;
  costs::Service costs(*db, clock);
  serving::InferenceEvent live = chat("a"), shadow = chat("a.shadow.v2"), poison = chat("b");
  shadow.arm = serving::Arm::shadow;
  shadow.mode = serving::Mode::shadow;
  shadow.version = 2;
  poison.id = std::string("b\0c", 3);
  std::vector<events::Append> appends;
  for (const serving::InferenceEvent& event : {live, shadow, poison, live, chat("last")})
    appends.push_back(
        {std::string(serving::inference_topic), event.id, json::serialize(encode(event))});
  appends.push_back({std::string(serving::inference_topic), "x", "no event"});
  must(rocks->log().append(appends, kv::Durability::process));
  serving::EventReader events(rocks->log());
  Metering metering(events, costs);
  EXPECT_TRUE(must(metering.run_once()));
  // As after a crash between the post and the position.
  Metering again(events, costs);
  EXPECT_FALSE(must(again.run_once()));
  EXPECT_EQ(test::count(*db, "ledger_calls"), 4);
  EXPECT_EQ(test::count(*db, "ledger_lines"), 0);
  const auto lines_of = [&](const std::string& id) {
    return must(costs.lines(test::call(), {"inference", id})).lines;
  };
  EXPECT_EQ(lines_of("a").size(), 4u);
  const auto of_shadow = lines_of("a.shadow.v2");
  ASSERT_EQ(of_shadow.size(), 4u);
  for (const costs::LedgerLine& line : of_shadow) {
    EXPECT_EQ(line.mode, costs::UsageMode::shadow);
    EXPECT_EQ(std::to_string(line.version) + line.user_tag + line.upstream_model, "2u1gpt-4o");
  }
  const auto lines = lines_of("last");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0].mode, costs::UsageMode::online);
  EXPECT_EQ(must(costs.lines(test::call(), {"inference",
                                            "b\xEF\xBF\xBD"
                                            "c"}))
                .lines.size(),
            4u);
}

}  // namespace
}  // namespace penstock::monitor
