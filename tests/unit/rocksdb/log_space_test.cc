// What is truncated gives its disk space back, and so does the state that is bound to it.
#include <filesystem>
#include <map>
#include <random>
#include <gtest/gtest.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using events::Step;
using kv::Durability;
using test::must;

class LogSpaceTest : public testing::Test {
 protected:
  events::Log& log() { return database_->log(); }
  void reopen() {
    database_.reset();
    database_ = must(rocksdb::open(directory_.path(), clock_));
  }
  // Bytes that no compression makes fewer.
  std::string noise(std::size_t size) {
    std::string out(size, '\0');
    for (char& byte : out) byte = static_cast<char>(random_());
    return out;
  }
  // Records, each found by its key.
  void add(const std::string& topic, std::size_t count, std::size_t size) {
    Step step{.group = "finder." + topic, .topic = "finder"};
    for (std::size_t at = 0; at < count; ++at) {
      const std::string key = std::to_string(added_++) + noise(40);
      keys_.push_back(key);
      step.offsets.emplace_back(key, step.outputs.size());
      step.outputs.push_back({topic, "", noise(size)});
    }
    must(log().commit(step, 0, Durability::process));
  }
  std::int64_t on_disk() const {
    std::int64_t out = 0;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path()))
      if (entry.path().extension() == ".sst") out += static_cast<std::int64_t>(entry.file_size());
    return out;
  }
  void reclaim_all(const std::string& topic) {
    int turns = 0;
    while (must(log().reclaim(topic))) ASSERT_LT(++turns, 1'000) << "it comes to no end";
  }

  std::mt19937_64 random_{7};
  std::size_t added_ = 0;
  std::vector<std::string> keys_;
  ManualClock clock_;
  const test::TempDir directory_;
  std::unique_ptr<rocksdb::Database> database_ = must(rocksdb::open(directory_.path(), clock_));
};

TEST_F(LogSpaceTest, SaysWhatIsThereAndWhenTheRestWasWritten) {
  EXPECT_EQ(must(log().extent("never")).end, 0);
  clock_.set(Timestamp(Micros(1'000)));
  must(log().append({{"t", "a", "1"}, {"t", "b", "2"}}, Durability::process));
  clock_.set(Timestamp(Micros(2'000)));
  must(log().append({{"t", "c", "3"}}, Durability::process));
  EXPECT_EQ(must(log().extent("t")).start, 0);
  EXPECT_FALSE(must(log().extent("t")).gone_until);
  must(log().truncate("t", 2));
  for (const bool again : {false, true}) {
    SCOPED_TRACE(again);
    if (again) reopen();
    const auto held = must(log().extent("t"));
    EXPECT_EQ(held.start, 2);
    EXPECT_EQ(held.end, 3);
    EXPECT_EQ(held.gone_until, Timestamp(Micros(1'000)));
  }
  must(log().truncate("t", 3));
  reopen();
  EXPECT_EQ(must(log().extent("t")).gone_until, Timestamp(Micros(2'000)));
  EXPECT_EQ(must(log().bytes("t", 3, 3)), 0);
}

TEST_F(LogSpaceTest, StateGoesWithTheRecordThatItIsBoundTo) {
  Step step{.group = "finder", .topic = "finder"};
  step.outputs = {{"t", "a", "1"}, {"t", "b", "2"}, {"t", "a", "3"}};
  step.offsets = {{"a", 0}, {"b", 1}};
  step.state.put("said", "{\"no\": 0}");
  must(log().commit(step, 0, Durability::process));
  Step newer{.group = "finder", .topic = "finder"};
  newer.outputs = {{"t", "a", "4"}};
  newer.offsets = {{"a", 0}};
  must(log().commit(newer, 0, Durability::process));
  Step worded{.group = "worded", .topic = "worded", .bound_to = "t"};
  worded.state.put("gone", "1 0.5");
  worded.state.put("kept", "2 0.5");
  worded.state.put("number", "0.5");
  worded.state.put("other", "0x");
  must(log().commit(worded, 0, Durability::process));
  Step free{.group = "free", .topic = "free"};
  free.state.put("a", "0");
  must(log().commit(free, 0, Durability::process));

  must(log().truncate("t", 2));
  for (const bool again : {false, true}) {
    SCOPED_TRACE(again);
    if (again) reopen();
    EXPECT_EQ(must(log().state("finder", "a")), "3");
    EXPECT_FALSE(must(log().state("finder", "b")));
    EXPECT_EQ(must(log().state("finder", "said")), "{\"no\": 0}");
    EXPECT_FALSE(must(log().state("worded", "gone")));
    EXPECT_EQ(must(log().state("worded", "kept")), "2 0.5");
    EXPECT_EQ(must(log().state("worded", "number")), "0.5");
    EXPECT_EQ(must(log().state("worded", "other")), "0x");
    EXPECT_EQ(must(log().state("free", "a")), "0");
  }
}

TEST_F(LogSpaceTest, AGroupIsBoundToOneTopicForEver) {
  Step step{.group = "g", .topic = "g"};
  step.outputs = {{"t", "a", "1"}};
  step.offsets = {{"a", 0}};
  must(log().commit(step, 0, Durability::process));
  reopen();
  for (Step wrong : {Step{.group = "g", .topic = "g", .bound_to = "other"},
                     Step{.group = "h",
                     .topic = "h",
                     .outputs = {{"t", "a", ""}, {"u", "b", ""}},
                     .offsets = {{"a", 0}, {"b", 1}}},
                     Step{.group = "i", .topic = "i", .bound_to = "no topic"}}) {
    SCOPED_TRACE(wrong.group);
    wrong.state.put("left", "behind");
    const auto got = log().commit(wrong, 0, Durability::process);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::invalid_argument) << got.error().message;
    EXPECT_FALSE(must(log().state(wrong.group, "left")));
  }
  EXPECT_EQ(must(log().end("t")), 1);
}

TEST_F(LogSpaceTest, GivesTheDiskSpaceOfRecordsBack) {
  constexpr std::size_t megabyte = 1 << 20, large = 64;
  for (std::size_t at = 0; at < large; ++at) add("t", 64, megabyte / 64);
  add("other", 64, megabyte / 64);
  const std::int64_t end = must(log().end("t"));
  EXPECT_NEAR(static_cast<double>(must(log().bytes("t", 0, end))), large * megabyte,
              large * megabyte / 4.0);
  reclaim_all("t");
  const std::int64_t before = on_disk();
  ASSERT_GT(before, std::int64_t{large - 16} << 20);
  must(log().truncate("t", end - 256));
  reclaim_all("t");
  EXPECT_LT(on_disk(), before / 4);
  EXPECT_LT(must(log().bytes("t", end - 256, end)), std::int64_t{8} << 20);
  EXPECT_EQ(must(log().read("t", 0, 1'000)).size(), 256U);
  EXPECT_EQ(must(log().read("other", 0, 1'000)).size(), 64U);
  EXPECT_EQ(must(log().state("finder.other", keys_.back())), "63");
}

TEST_F(LogSpaceTest, GivesTheDiskSpaceOfBoundStateBack) {
  for (int at = 0; at < 200; ++at) add("t", 1'000, 0);
  const std::int64_t end = must(log().end("t"));
  must(log().truncate("t", 1));
  reclaim_all("t");
  must(log().truncate("t", 20'000));  // moves all of it to files, the first tenth gone
  reclaim_all("t");
  const std::int64_t before = on_disk();
  must(log().truncate("t", end - 1'000));
  reclaim_all("t");
  EXPECT_LT(on_disk(), before / 4);
  for (std::size_t at = 0; at < keys_.size(); ++at)
    ASSERT_EQ(must(log().state("finder.t", keys_[at])).has_value(), at + 1'000 >= keys_.size())
        << at;
}

// Any run of appends, truncations, reclaims and reopenings agrees with a map.
TEST_F(LogSpaceTest, BoundStateAgreesWithAMap) {
  std::map<std::string, std::int64_t> found_at;
  std::int64_t start = 0, end = 0;
  for (int step = 0; step < 60; ++step) {
    SCOPED_TRACE(step);
    if (random_() % 4 == 0) {
      start = std::max<std::int64_t>(start, end - static_cast<std::int64_t>(random_() % 20'000));
      must(log().truncate("t", start));
      reclaim_all("t");
    } else if (random_() % 10 == 0) {
      reopen();
    } else {
      Step one{.group = "finder", .topic = "finder"};
      for (std::size_t at = 0; at < 2'000; ++at) {
        const std::string key = std::to_string(random_() % 30'000);  // some again
        one.offsets.emplace_back(key, one.outputs.size());
        one.outputs.push_back({"t", key, std::to_string(end)});
        found_at[key] = end++;
      }
      must(log().commit(one, 0, Durability::process));
    }
    for (int look = 0; look < 300; ++look) {
      const std::string key = std::to_string(random_() % 30'000);
      const auto known = found_at.find(key);
      const bool there = known != found_at.end() && known->second >= start;
      const auto said = must(log().state("finder", key));
      ASSERT_EQ(said.value_or("none"), there ? std::to_string(known->second) : "none") << key;
      if (!there) continue;
      const auto records = must(log().read("t", known->second, 1));
      ASSERT_EQ(records.at(0).offset, known->second);
      ASSERT_EQ(records.at(0).key, key);
    }
    ASSERT_EQ(must(log().extent("t")).start, start);
    ASSERT_EQ(must(log().end("t")), end);
  }
}

}  // namespace
}  // namespace penstock
