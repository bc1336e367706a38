#include <map>
#include <random>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using events::Step;
using kv::Durability;
using test::must;

class LogTest : public testing::Test {
 protected:
  events::Log& log() { return database_->log(); }
  void reopen() {
    database_.reset();
    database_ = must(rocksdb::open(directory_.path(), clock_));
  }
  std::vector<std::int64_t> append(const std::string& topic, std::vector<std::string> values) {
    std::vector<events::Append> records;
    for (std::string& value : values) records.push_back({topic, "k", std::move(value)});
    return must(log().append(records, Durability::process));
  }
  // "0=a 1=b "
  std::string said(std::string_view topic, std::int64_t offset = 0, std::size_t count = 1000) {
    std::string out;
    for (const events::Record& record : must(log().read(topic, offset, count)))
      out += std::to_string(record.offset) + "=" + record.value + " ";
    return out;
  }
  template <class T>
  void expect_refused(Code code, const Result<T>& got, const std::string& says) {
    ASSERT_FALSE(got) << says;
    EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
    EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
  }

  ManualClock clock_;
  const test::TempDir directory_;
  std::unique_ptr<rocksdb::Database> database_ = must(rocksdb::open(directory_.path(), clock_));
};

TEST_F(LogTest, CountsEachTopicFromZeroWithoutGaps) {
  EXPECT_EQ(append("a", {"x", "y"}), (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(
      must(log().append({{"a", "k", "z"}, {"ab", "k", "p"}, {"a", "k", "w"}, {"ab", "k", "q"}},
                        Durability::disk)),
      (std::vector<std::int64_t>{2, 0, 3, 1}));
  reopen();
  EXPECT_EQ(append("a", {"v"}), (std::vector<std::int64_t>{4}));
  EXPECT_EQ(said("a"), "0=x 1=y 2=z 3=w 4=v ");
  EXPECT_EQ(said("ab"), "0=p 1=q ");
  EXPECT_EQ(said("a", 3), "3=w 4=v ");
  EXPECT_EQ(said("a", 1, 2), "1=y 2=z ");
  EXPECT_EQ(said("a", 5), "");
  EXPECT_EQ(said("a", 99), "");
  EXPECT_EQ(said("a", 0, 0), "");
  EXPECT_EQ(said("never"), "");
  EXPECT_EQ(must(log().end("a")), 5);
  EXPECT_EQ(must(log().end("never")), 0);
  EXPECT_TRUE(must(log().append({}, Durability::process)).empty());
}

TEST_F(LogTest, KeepsKeysValuesAndTheTimeOfAppending) {
  clock_.set(Timestamp(Micros(123456789)));
  const std::string bytes("\0\xff\1", 3);
  must(log().append({{"t", bytes, ""}, {"t", "", bytes}}, Durability::process));
  clock_.advance(Micros(5));
  append("t", {"late"});
  reopen();
  const auto records = must(log().read("t", 0, 10));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].key, bytes);
  EXPECT_EQ(records[0].value, "");
  EXPECT_EQ(records[1].key, "");
  EXPECT_EQ(records[1].value, bytes);
  EXPECT_EQ(records[1].at.time_since_epoch().count(), 123456789);
  EXPECT_EQ(records[2].at.time_since_epoch().count(), 123456794);
}

TEST_F(LogTest, ReadsAboutFourMegabytesAtOnce) {
  append("t", std::vector<std::string>(10, std::string(1 << 20, 'x')));
  EXPECT_EQ(must(log().read("t", 0, 100)).size(), 4U);
  append("big", {std::string(16 << 20, 'x'), "y"});
  EXPECT_EQ(must(log().read("big", 0, 100)).size(), 1U);
}

TEST_F(LogTest, RefusesBadNamesSizesAndOffsets) {
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a/b"), std::string("a\0b", 3),
        std::string("\xc3\xa9"), std::string(201, 'a')}) {
    SCOPED_TRACE(name);
    EXPECT_FALSE(log().append({{"fine", "k", "v"}, {name, "k", "v"}}, Durability::process));
    EXPECT_FALSE(log().read(name, 0, 1));
    EXPECT_FALSE(log().end(name));
    EXPECT_FALSE(log().wait(name, -1, Micros(0)));
    EXPECT_FALSE(log().truncate(name, 0));
    EXPECT_FALSE(log().position(name, "t"));
    EXPECT_FALSE(log().position("g", name));
    EXPECT_FALSE(log().state(name, "k"));
    EXPECT_FALSE(log().commit({.group = name, .topic = "t"}, 0, Durability::process));
    EXPECT_FALSE(log().commit({.group = "g", .topic = name}, 0, Durability::process));
  }
  EXPECT_FALSE(
      log().append({{"fine", "k", std::string((16 << 20) + 1, 'v')}}, Durability::process));
  EXPECT_FALSE(log().append({{"fine", std::string((64 << 10) + 1, 'k'), ""}}, Durability::process));
  EXPECT_FALSE(log().append({5, {"fine", "k", std::string(16 << 20, 'v')}}, Durability::process));
  EXPECT_FALSE(log().read("fine", -1, 1));
  EXPECT_EQ(must(log().end("fine")), 0);
  EXPECT_EQ(append(std::string(200, 'a'), {"v"}).at(0), 0);
}

TEST_F(LogTest, CommitsOutputsStateAndPositionTogether) {
  append("in", {"a", "b", "c"});
  Step step{.group = "g", .topic = "in", .next_offset = 2};
  step.outputs = {{"out", "k", "A"}, {"in", "k", "d"}};
  step.state.put("seen", "2");
  EXPECT_EQ(must(log().commit(step, 0, Durability::disk)), (std::vector<std::int64_t>{0, 3}));
  EXPECT_EQ(must(log().position("g", "in")), 2);
  EXPECT_EQ(must(log().position("other", "in")), 0);
  EXPECT_EQ(must(log().state("g", "seen")), "2");
  EXPECT_FALSE(must(log().state("other", "seen")));
  EXPECT_EQ(said("out"), "0=A ");
  EXPECT_EQ(said("in"), "0=a 1=b 2=c 3=d ");

  struct Case {
    std::string what;
    std::int64_t from, next;
    Code code;
    std::string says;
  };
  for (const Case& c :
       {Case{"the same again", 0, 2, Code::failed_precondition, "from 2, not from 0"},
        Case{"a skipped record", 3, 4, Code::failed_precondition, "from 2"},
        Case{"backwards", 2, 1, Code::invalid_argument, "2 to 4"},
        Case{"past the end", 2, 5, Code::invalid_argument, "2 to 4"}}) {
    SCOPED_TRACE(c.what);
    step.next_offset = c.next;
    step.state.put("seen", "wrong");
    expect_refused(c.code, log().commit(step, c.from, Durability::process), c.says);
  }
  step.next_offset = 3;
  step.outputs.push_back({"not a topic", "k", "v"});
  expect_refused(Code::invalid_argument, log().commit(step, 2, Durability::process), "topic");
  step.outputs.clear();
  step.state.put("big", std::string((16 << 20) + 1, 'v'));
  expect_refused(Code::invalid_argument, log().commit(step, 2, Durability::process), "a value");

  reopen();
  EXPECT_EQ(must(log().position("g", "in")), 2);
  EXPECT_EQ(must(log().state("g", "seen")), "2");
  EXPECT_EQ(said("out"), "0=A ");
  Step erase{.group = "g", .topic = "in", .next_offset = 4};
  erase.state.erase("seen");
  must(log().commit(erase, 2, Durability::process));
  EXPECT_FALSE(must(log().state("g", "seen")));
}

TEST_F(LogTest, TruncatesAndGoesOnCounting) {
  append("t", {"a", "b", "c"});
  append("tt", {"kept"});
  must(log().truncate("t", 2));
  EXPECT_EQ(said("t"), "2=c ");
  must(log().truncate("t", 1));
  EXPECT_EQ(said("t"), "2=c ");
  expect_refused(Code::invalid_argument, log().truncate("t", 4), "ends at 3");
  expect_refused(Code::invalid_argument, log().truncate("t", -1), "ends at 3");
  must(log().truncate("t", 3));
  EXPECT_EQ(said("t"), "");
  reopen();
  EXPECT_EQ(must(log().end("t")), 3);
  EXPECT_EQ(append("t", {"d"}).at(0), 3);
  EXPECT_EQ(said("t"), "3=d ");
  EXPECT_EQ(said("tt"), "0=kept ");
}

TEST_F(LogTest, WaitsUntilATopicHasGrown) {
  EXPECT_FALSE(log().wait("t", 0, Micros(1000)));
  append("t", {"a"});
  EXPECT_TRUE(log().wait("t", 0, Micros(0)));
  EXPECT_FALSE(log().wait("t", 1, Micros(0)));
  std::jthread later([&] { append("t", {"b"}); });
  EXPECT_TRUE(log().wait("t", 1, std::chrono::hours(1)));
}

TEST_F(LogTest, GivesDenseOffsetsToManyWritersAtOnce) {
  constexpr int writers = 4, each = 200;
  {
    std::vector<std::jthread> threads;
    for (int writer = 0; writer < writers; ++writer)
      threads.emplace_back([&, writer] {
        for (int at = 0; at < each; ++at) {
          const std::string value = std::to_string(writer) + "-" + std::to_string(at);
          const auto offsets =
              must(log().append({{"t", "k", value}, {"t", "k", value}},
                                at % 50 == 0 ? Durability::disk : Durability::process));
          EXPECT_EQ(offsets.at(1), offsets.at(0) + 1);
        }
      });
  }
  reopen();
  const auto records = must(log().read("t", 0, 100000));
  ASSERT_EQ(records.size(), std::size_t{2 * writers * each});
  std::map<char, int> next;
  for (std::size_t at = 0; at < records.size(); at += 2) {
    ASSERT_EQ(records[at].offset, static_cast<std::int64_t>(at));
    ASSERT_EQ(records[at].value, records[at + 1].value);
    const char writer = records[at].value[0];
    ASSERT_EQ(records[at].value, std::string(1, writer) + "-" + std::to_string(next[writer]++));
  }
}

TEST_F(LogTest, LetsOneOfTwoConsumersOfAGroupWin) {
  append("in", std::vector<std::string>(300, "x"));
  std::atomic<int> won = 0, lost = 0;
  {
    std::vector<std::jthread> consumers;
    for (int consumer = 0; consumer < 3; ++consumer)
      consumers.emplace_back([&] {
        for (;;) {
          const std::int64_t from = must(log().position("g", "in"));
          if (from == 300) return;
          const auto got = log().commit({.group = "g",
                                         .topic = "in",
                                         .next_offset = from + 1,
                                         .outputs = {{"out", "k", std::to_string(from)}}},
                                        from, Durability::process);
          if (!got) {
            EXPECT_EQ(got.error().code, Code::failed_precondition);
          }
          ++(got ? won : lost);
        }
      });
  }
  EXPECT_EQ(won, 300);
  const auto out = must(log().read("out", 0, 1000));
  ASSERT_EQ(out.size(), 300U);
  for (std::size_t at = 0; at < out.size(); ++at) ASSERT_EQ(out[at].value, std::to_string(at));
}

// Any run of appends, commits, truncations and reopenings agrees with vectors and maps.
TEST(LogPropertyTest, AgreesWithVectors) {
  for (unsigned seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    const test::TempDir directory;
    auto database = must(rocksdb::open(directory.path()));
    struct Topic {
      std::vector<std::string> values;
      std::int64_t start = 0;
    };
    std::map<std::string, Topic> topics;
    std::map<std::string, std::int64_t> positions;
    std::map<std::string, std::string> state;
    const std::string names[] = {"a", "ab", "a.b"};
    for (int step = 0; step < 300; ++step) {
      events::Log& log = database->log();
      const std::string name = names[below(3)], group = names[below(3)];
      Topic& topic = topics[name];
      const auto end = static_cast<std::int64_t>(topic.values.size());
      std::vector<events::Append> records;
      for (unsigned size = below(4); size > 0; --size)
        records.push_back({names[below(3)], "k", std::to_string(random())});
      switch (below(30)) {
        case 0:
          database.reset();
          database = must(rocksdb::open(directory.path()));
          break;
        case 1: {
          const std::int64_t to = below(static_cast<unsigned>(end) + 1);
          must(log.truncate(name, to));
          topic.start = std::max(topic.start, to);
          break;
        }
        case 2:
        case 3:
        case 4:
        case 5:
        case 6: {
          std::int64_t& position = positions[group + "/" + name];
          Step commit{.group = group, .topic = name, .next_offset = position, .outputs = records};
          commit.next_offset += below(static_cast<unsigned>(end - position) + 1);
          commit.state.put("key", std::to_string(step));
          const std::int64_t from = position + (below(4) == 0 ? 1 : 0);
          const auto got = log.commit(commit, from, Durability::process);
          ASSERT_EQ(static_cast<bool>(got), from == position);
          if (!got) break;
          position = commit.next_offset;
          state[group] = std::to_string(step);
          for (const auto& record : records) topics[record.topic].values.push_back(record.value);
          break;
        }
        case 7:
        case 8:
        case 9:
        case 10:
        case 11: {
          const auto offsets = must(log.append(records, Durability::process));
          for (std::size_t at = 0; at < records.size(); ++at) {
            auto& values = topics[records[at].topic].values;
            ASSERT_EQ(offsets[at], static_cast<std::int64_t>(values.size()));
            values.push_back(records[at].value);
          }
          break;
        }
        default: {
          const std::int64_t from = below(static_cast<unsigned>(end) + 2);
          std::int64_t next = std::max(from, topic.start);
          for (const auto& record : must(log.read(name, from, 5))) {
            ASSERT_EQ(record.offset, next);
            ASSERT_EQ(record.value, topic.values.at(static_cast<std::size_t>(next++)));
          }
          const std::int64_t first = std::max(from, topic.start);
          ASSERT_EQ(next, std::max(first, std::min(end, first + 5)));
          ASSERT_EQ(must(log.end(name)), end);
          ASSERT_EQ(must(log.position(group, name)), positions[group + "/" + name]);
          ASSERT_EQ(must(log.state(group, "key")).value_or(""), state[group]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace penstock
