#include "serving/event_reader.h"

#include <gtest/gtest.h>

#include <thread>

#include "serving/event_codec.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

class EventReaderTest : public testing::Test {
 protected:
  void append(int first, int count) {
    std::vector<events::Append> records;
    for (int number = first; number < first + count; ++number) {
      InferenceEvent event{.id = "e" + std::to_string(number), .project = "p1"};
      event.generation = Generation{.prompt_tokens = number, .finish_reason = "stop"};
      records.push_back({std::string(inference_topic), event.id, event_text(event)});
    }
    must(world_.log().append(records, kv::Durability::process));
  }
  std::vector<std::string> all(EventReader& reader, std::int64_t from) {
    std::vector<std::string> out;
    for (bool more = true; more;) {
      const auto stretch = must(reader.read(from));
      for (const InferenceEvent& event : stretch.events) out.push_back(event.id);
      from = stretch.next;
      more = stretch.more;
    }
    return out;
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
};

TEST_F(EventReaderTest, EachReaderGetsAllFromWhereItIs) {
  append(0, 2'500);
  EventReader reader(world_.log());
  EXPECT_EQ(all(reader, 0).size(), 2'500u);
  const auto later = all(reader, 1'234);
  ASSERT_EQ(later.size(), 1'266u);
  EXPECT_EQ(later.front(), "e1234");
  EXPECT_EQ(later.back(), "e2499");
  append(2'500, 3'000);
  EXPECT_EQ(all(reader, 2'499).size(), 3'001u);
  EXPECT_EQ(all(reader, 0).size(), 5'500u) << "what is kept no longer is read again";
}

TEST_F(EventReaderTest, WhatOneHasDecodedTheOthersGetAsItIs) {
  append(0, 100);
  EventReader reader(world_.log());
  const auto first = must(reader.read(0)), second = must(reader.read(40));
  EXPECT_EQ(&first.events[40], &second.events[0]);
  EXPECT_EQ(second.events[0].generation->prompt_tokens, 40);
  append(100, EventReader::kept_max + 1);
  all(reader, 100);
  EXPECT_EQ(first.events[99].id, "e99") << "who reads it holds it";
}

TEST_F(EventReaderTest, AStretchIsBoundedAndGoesPastWhatCannotBeRead) {
  must(world_.log().append({{std::string(inference_topic), "x", "{\"id\": 3"}},
                           kv::Durability::process));
  append(0, 2'500);
  EventReader reader(world_.log());
  const auto stretch = must(reader.read(0));
  EXPECT_LE(stretch.events.size(), EventReader::stretch_max);
  EXPECT_TRUE(stretch.more);
  EXPECT_EQ(all(reader, 0).size(), 2'500u);
  const auto end = must(reader.read(2'501));
  EXPECT_EQ(end.next, 2'501);
  EXPECT_FALSE(end.more);
}

TEST_F(EventReaderTest, ManyReadAtOnceWhileTheLogGrows) {
  append(0, 100);
  EventReader reader(world_.log());
  std::vector<std::size_t> seen(4);
  std::vector<std::jthread> threads;
  for (std::size_t& count : seen)
    threads.emplace_back([&] {
      for (std::int64_t from = 0; count < 5'000;) {
        const auto stretch = must(reader.read(from));
        count += stretch.events.size();
        from = stretch.next;
      }
    });
  append(100, 4'900);
  threads.clear();
  for (const std::size_t count : seen) EXPECT_EQ(count, 5'000u);
}

}  // namespace
}  // namespace penstock::serving
