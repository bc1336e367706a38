#include "serving/event_reader.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <thread>

#include "serving/event_codec.h"
#include "serving/telemetry.h"
#include "serving/text.h"
#include "tests/unit/serving/log_over.h"
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
      for (const InferenceEvent* const event : stretch.events) out.push_back(event->id);
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

TEST_F(EventReaderTest, GoesOnBehindWhatIsGone) {
  append(0, 100);
  EventReader reader(world_.log());
  must(world_.log().truncate(inference_topic, 60));
  EXPECT_EQ(all(reader, 10).size(), 40u);
  must(world_.log().truncate(inference_topic, 100));
  EventReader other(world_.log());
  const auto nothing = must(other.read(10));
  EXPECT_TRUE(nothing.events.empty());
  append(100, 1);
  EXPECT_EQ(all(other, 10), std::vector<std::string>{"e100"});
}

TEST_F(EventReaderTest, WhatOneHasDecodedTheOthersGetAsItIs) {
  append(0, 100);
  EventReader reader(world_.log());
  const auto first = must(reader.read(0)), second = must(reader.read(40));
  EXPECT_EQ(first.events[40], second.events[0]);
  EXPECT_EQ(second.events[0]->generation->prompt_tokens, 40);
  append(100, EventReader::kept_max + 1);
  all(reader, 100);
  EXPECT_EQ(first.events[99]->id, "e99") << "who reads it holds it";
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

class CountingLog final : public test::LogOver {
 public:
  using LogOver::LogOver;
  std::atomic<int> reads = 0;

  Result<std::vector<events::Record>> read(std::string_view topic, std::int64_t offset,
                                           std::size_t count) override {
    ++reads;
    return LogOver::read(topic, offset, count);
  }
};

class WrittenEventsTest : public EventReaderTest {
 protected:
  void write() {
    while (must(telemetry_.write(Micros(0)))) continue;
  }
  // As one who decodes the whole log sees it.
  std::vector<std::string> decoded() { return texts(plain_, 0); }
  static std::vector<std::string> texts(EventReader& reader, std::int64_t from) {
    std::vector<std::string> out;
    for (bool more = true; more;) {
      const auto stretch = must(reader.read(from));
      for (const InferenceEvent* const event : stretch.events) out.push_back(json_text(*event));
      from = stretch.next;
      more = stretch.more;
    }
    return out;
  }

  CountingLog log_{world_.log()};
  Metrics metrics_;
  EventReader reader_{log_}, plain_{world_.log()};
  Telemetry telemetry_{log_, metrics_};
  void SetUp() override { telemetry_.hands_to(reader_); }
};

TEST_F(WrittenEventsTest, ReadersGetThemFromMemory) {
  for (int number = 0; number < 1'200; ++number)
    telemetry_.put({InferenceEvent{.id = "e" + std::to_string(number), .project = "p1"}});
  write();
  const auto first = must(reader_.read(0));
  EXPECT_EQ(first.events.size(), EventReader::stretch_max);
  EXPECT_TRUE(first.more);
  EXPECT_EQ(must(reader_.read(700)).events.size(), 500u) << "of two that follow each other";
  EXPECT_EQ(all(reader_, 0).size(), 1'200u);
  EXPECT_EQ(log_.reads, 0);
  telemetry_.put({InferenceEvent{.id = "last", .project = "p1"}});
  write();
  EXPECT_EQ(all(reader_, 1'200), std::vector<std::string>{"last"});
  EXPECT_EQ(first.events[0]->id, "e0");
}

TEST_F(WrittenEventsTest, LargeOnesAreKeptWithinTheBytesThatTheyMayTake) {
  constexpr std::size_t size = 100'000, count = 3 * EventReader::written_max / size;
  for (std::size_t number = 0; number < count; ++number)
    telemetry_.put({InferenceEvent{
        .id = "e" + std::to_string(number), .project = "p1", .unit = std::string(size, 'u')}});
  write();
  EXPECT_EQ(must(reader_.read(count - 3)).events.size(), 3u);
  EXPECT_EQ(log_.reads, 0);
  EXPECT_EQ(all(reader_, 0).size(), count);
  EXPECT_GT(log_.reads, 0) << "the first ones have given way";
}

// Of any kind of call, with others that write to the log meanwhile, and beyond what is kept.
TEST_F(WrittenEventsTest, ReadersGetWhatTheyWouldDecode) {
  std::mt19937 random(7);
  std::int64_t from = 0;
  std::vector<std::string> followed;
  for (int call = 0; call < 4'000; ++call) {
    const std::size_t rows = random() % 5 ? 1 : 1 + random() % 12;
    std::vector<InferenceEvent> events(rows);
    for (std::size_t row = 0; row < rows; ++row) {
      InferenceEvent& event = events[row];
      const std::string base = "c" + std::to_string(call);
      event.id = rows == 1 ? base : row_id(base, row);
      event.project = "p" + std::to_string(call % 3);
      event.at = event.event_time = Timestamp(Micros(1'700'000'000'000'000 + random()));
      if (random() % 20 == 0) event.user = "bad\xff";
      if (random() % 20 == 0) event.user = std::string("zero\0", 5);
      if (random() % 3) event.score = static_cast<double>(random()) / 7;
      if (random() % 30 == 0) event.score = std::numeric_limits<double>::quiet_NaN();
      if (event.score) event.decision = *event.score > 1;
      event.features = {0.1, std::nullopt, -1e300};
      if (random() % 4 == 0) event.generation = Generation{.prompt_tokens = 3};
      if (random() % 9 == 0) event.error = "unavailable";
      if (random() % 50 == 0) event.unit = std::string(20'000, 'u');
    }
    if (random() % 3 == 0)  // rows of one call, which are one record
      for (std::size_t row = 0; row < rows; ++row) {
        const std::string id = row_id("g" + std::to_string(call), row);
        events[row] = InferenceEvent{.id = id, .project = "p1", .unit = id, .score = 0.5};
        events[row].decision = row % 2 == 0;
      }
    if (random() % 10)
      telemetry_.put(events);
    else
      must(telemetry_.put_now(events));
    if (random() % 40 == 0) write();
    if (random() % 300 == 0) {
      for (bool more = true; more;) {
        const auto stretch = must(reader_.read(from));
        EXPECT_LE(stretch.events.size(), EventReader::stretch_max + 12);
        for (const InferenceEvent* const one : stretch.events) followed.push_back(json_text(*one));
        from = stretch.next;
        more = stretch.more;
      }
    }
  }
  write();
  for (std::string& text : texts(reader_, from)) followed.push_back(std::move(text));
  const auto expected = decoded();
  EXPECT_EQ(followed.size(), expected.size());
  EXPECT_TRUE(followed == expected);
  EXPECT_TRUE(texts(reader_, 0) == expected) << "and who reads all at the end";
}

TEST_F(WrittenEventsTest, ManyFollowTheWriter) {
  constexpr int count = 20'000;
  std::vector<std::vector<std::string>> seen(3);
  std::vector<std::jthread> threads;
  for (auto& ids : seen)
    threads.emplace_back([&] {
      for (std::int64_t from = 0; ids.size() < count;) {
        const auto stretch = must(reader_.read(from));
        for (const InferenceEvent* const event : stretch.events) ids.push_back(event->id);
        from = stretch.next;
      }
    });
  for (int number = 0; number < count; ++number) {
    telemetry_.put({InferenceEvent{.id = std::to_string(number), .project = "p1"}});
    if (number % 37 == 0) write();
  }
  write();
  threads.clear();
  for (const auto& ids : seen)
    for (int number = 0; number < count; ++number)
      ASSERT_EQ(ids[static_cast<std::size_t>(number)], std::to_string(number));
}

}  // namespace
}  // namespace penstock::serving
