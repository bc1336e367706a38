#include "serving/retention.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "serving/stream.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using test::must;

class RetentionTest : public ::testing::Test {
 protected:
  void predict(const std::string& id) {
    must(record(log_, std::vector{InferenceEvent{
                          .id = id, .at = clock_.now(), .project = "p1", .score = 1.0}}));
  }
  void label(const std::string& id) {
    must(log_.append({{std::string(label_topic), id, json_text(Label{id, clock_.now(), "p1", 1})}},
                     kv::Durability::process));
  }
  bool is_found(const std::string& id) {
    return must(recorded(log_, gateway_group, "p1", id)).has_value();
  }
  events::Extent held(std::string_view topic = inference_topic) { return must(log_.extent(topic)); }
  std::unique_ptr<Retention> retention(RetentionOptions options) {
    auto out = std::make_unique<Retention>(log_, clock_, metrics_, options);
    out->add({.name = "meter", .reads_labels = false, .position = [this](std::string_view) {
                return meter_;
              }});
    out->add({.name = "watch", .position = [this](std::string_view topic) {
                return topic == label_topic ? watched_labels_ : watch_;
              }});
    out->on_held_up([this](const HeldUp& told) -> Result<void> {
      told_.push_back(told);
      return {};
    });
    return out;
  }
  static void settle(Retention& retention) {
    int turns = 0;
    while (must(retention.run_once())) ASSERT_LT(++turns, 1'000);
  }

  test::TempDir directory_;
  ManualClock clock_;
  Metrics metrics_;
  std::unique_ptr<rocksdb::Database> rocks_ = must(rocksdb::open(directory_.path(), clock_));
  events::Log& log_ = rocks_->log();
  Result<std::int64_t> meter_ = std::int64_t{1} << 40, watch_ = meter_, watched_labels_ = meter_;
  std::vector<HeldUp> told_;
};

TEST_F(RetentionTest, KeepsAllForEverUnlessItIsToldOtherwise) {
  const auto all = retention({});
  predict("a");
  clock_.advance(hours(24 * 10'000));
  settle(*all);
  EXPECT_TRUE(is_found("a"));
  const RetentionView view = must(all->view());
  EXPECT_FALSE(view.predictions);
  EXPECT_EQ(view.topics.at(0).records, 1);
  EXPECT_NE(metrics_.expose().find(
                "penstock_log_oldest_seconds{topic=\"penstock.inference\"} 864000000\n"),
            std::string::npos)
      << metrics_.expose();
}

TEST_F(RetentionTest, TakesOutWhatIsTooOldAndWhatFoundIt) {
  const auto day = retention({.time = hours(24)});
  predict("old");
  label("old");
  const Timestamp first = clock_.now();
  clock_.advance(hours(24));
  predict("new");
  label("new");
  settle(*day);
  EXPECT_TRUE(is_found("old")) << "a day is a day";
  clock_.advance(Micros(1));
  settle(*day);
  EXPECT_FALSE(is_found("old"));
  EXPECT_TRUE(is_found("new"));
  EXPECT_EQ(held().start, 1);
  EXPECT_EQ(held().gone_until, first);
  EXPECT_EQ(held(label_topic).start, 1);
  clock_.advance(hours(25));
  settle(*day);
  EXPECT_EQ(held().start, 2);
  predict("newest");
  EXPECT_TRUE(is_found("newest"));
  EXPECT_FALSE(is_found("new"));
}

TEST_F(RetentionTest, TakesOutTheOldestWhereThereIsTooMuch) {
  std::mt19937 random(1);
  constexpr std::int64_t megabyte = 1 << 20, most = 32;
  const auto limited = retention({.bytes = most * megabyte});
  for (std::int64_t total = 4; total <= 80; total += 4) {
    SCOPED_TRACE(total);
    std::vector<events::Append> records;
    for (int i = 0; i < 64; ++i) {
      std::string noise(megabyte / 16, '\0');
      for (char& byte : noise) byte = static_cast<char>(random());
      records.push_back({std::string(inference_topic), "k", noise});
    }
    must(log_.append(records, kv::Durability::process));
    label("a label is no prediction");
    settle(*limited);
    // What is in memory still is known to some megabytes only.
    const std::int64_t kept = (held().end - held().start) / 16;
    EXPECT_LE(kept, most + 12);
    EXPECT_GE(kept, std::min(total, most) - 12);
  }
  EXPECT_GT(held().start, 0);
  EXPECT_EQ(held(label_topic).start, 0);
}

TEST_F(RetentionTest, NeverTakesOutWhatAReaderHasStillToRead) {
  const auto hour = retention({.time = hours(1)});
  for (const char* id : {"a", "b", "c"}) predict(id);
  label("a");
  meter_ = 1;
  watch_ = 2;
  watched_labels_ = 0;
  clock_.advance(hours(2));
  settle(*hour);
  EXPECT_EQ(held().start, 1);
  EXPECT_EQ(held(label_topic).start, 0);
  EXPECT_TRUE(told_.empty()) << "it may only just be reading";
  clock_.advance(minutes(2));
  settle(*hour);
  settle(*hour);
  ASSERT_EQ(told_.size(), 3u);
  EXPECT_EQ(told_[0].reader, "meter");
  EXPECT_EQ(told_[0].topic, inference_topic);
  EXPECT_EQ(told_[0].unread, 2);
  EXPECT_FALSE(told_[0].over);
  EXPECT_EQ(told_[1].reader, "watch");
  EXPECT_EQ(told_[1].unread, 1);
  EXPECT_EQ(told_[2].topic, label_topic);
  EXPECT_TRUE(must(hour->view()).topics.at(0).readers.at(0).holds_up);

  meter_ = watch_ = 3;
  settle(*hour);
  EXPECT_EQ(held().start, 3);
  ASSERT_EQ(told_.size(), 5u);
  EXPECT_TRUE(told_[3].over && told_[4].over);
}

TEST_F(RetentionTest, TakesNothingOutWhereAReaderDoesNotSayWhereItIs) {
  const auto hour = retention({.time = hours(1)});
  predict("a");
  clock_.advance(hours(2));
  watch_ = Error{Code::unavailable, "the database is away"};
  EXPECT_FALSE(hour->run_once());
  EXPECT_TRUE(is_found("a"));
  watch_ = 1;
  settle(*hour);
  EXPECT_FALSE(is_found("a"));
}

// Any run of calls, labels, readers and turns leaves what a list would.
TEST_F(RetentionTest, AgreesWithAList) {
  struct Kept {
    std::string id;
    Timestamp at;
  };
  for (unsigned seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const test::TempDir directory;
    auto rocks = must(rocksdb::open(directory.path(), clock_));
    std::mt19937 random(seed);
    const auto below = [&](std::int64_t limit) {
      return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(limit));
    };
    std::vector<Kept> all;
    std::int64_t start = 0, positions[2] = {};
    const Micros keep = minutes(10);
    const auto make = [&] {
      auto out = std::make_unique<Retention>(rocks->log(), clock_, metrics_,
                                             RetentionOptions{.time = keep});
      for (std::int64_t& position : positions)
        out->add({.name = "r" + std::to_string(&position - positions),
                  .position = [&position](std::string_view topic) -> Result<std::int64_t> {
                    return topic == label_topic ? std::int64_t{0} : position;
                  }});
      return out;
    };
    auto one = make();
    for (int step = 0; step < 400; ++step) {
      const auto end = static_cast<std::int64_t>(all.size());
      switch (below(8)) {
        case 0: clock_.advance(seconds(below(200))); break;
        case 1:
        case 2: {
          std::vector<InferenceEvent> events;
          for (std::int64_t at = below(20); at >= 0; --at) {
            all.push_back({std::to_string(seed) + "-" + std::to_string(all.size()), clock_.now()});
            events.push_back({.id = all.back().id, .project = "p1", .score = 1.0});
          }
          must(record(rocks->log(), events));
          break;
        }
        case 3:
        case 4: {
          std::int64_t& position = positions[below(2)];
          position += below(std::max<std::int64_t>(end - position, 0) + 1);
          break;
        }
        case 5: {
          if (below(5) > 0) break;
          one.reset();
          rocks.reset();
          rocks = must(rocksdb::open(directory.path(), clock_));
          one = make();
          break;
        }
        default: {
          settle(*one);
          const std::int64_t unread = std::min(positions[0], positions[1]);
          while (start < unread && all[static_cast<std::size_t>(start)].at < clock_.now() - keep)
            ++start;
          const auto now_held = must(rocks->log().extent(inference_topic));
          ASSERT_EQ(now_held.start, start);
          ASSERT_EQ(now_held.end, end);
          if (start > 0) {
            ASSERT_EQ(now_held.gone_until, all[static_cast<std::size_t>(start) - 1].at);
          }
        }
      }
      for (int look = 0; look < 5 && !all.empty(); ++look) {
        const std::int64_t at = below(static_cast<std::int64_t>(all.size()));
        const auto found =
            must(recorded(rocks->log(), gateway_group, "p1", all[static_cast<std::size_t>(at)].id));
        ASSERT_EQ(found.has_value(), at >= start) << at;
      }
    }
    EXPECT_GT(start, 0);
  }
}

// What a caller gets of an id whose prediction is gone.
class GoneTest : public ::testing::Test {
 protected:
  GoneTest() {
    world_.serve({{"flight-delay", 1, weight_total, Arm::live}});
    world_.gateway.remember_by(
        [this](const std::string& project, const std::string& id) -> Result<bool> {
          ++asked_;
          if (ledger_away_) return Error{Code::unavailable, "the database is away"};
          return posted_.contains(project + "/" + id);
        });
  }
  Result<InferAnswer> predict(const std::string& id) {
    return world_.gateway.infer(
        test::call(), {.route = "flight-delay", .id = id, .rows = {{{"flight_id", "UA1"}}}});
  }
  void forget_all() {
    must(world_.telemetry.flush(seconds(10)));
    must(world_.log().truncate(inference_topic, must(world_.log().end(inference_topic))));
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::set<std::string> posted_;
  int asked_ = 0;
  bool ledger_away_ = false;
};

TEST_F(GoneTest, AnIdThatWasPaidIsNeitherAnsweredNorRunAgain) {
  auto route = world_.route({{"flight-delay", 1, weight_total, Arm::live}});
  Deployment here = *route.targets[0].deployment;
  here.runtime_name = "onnx";
  route.targets[0].deployment = std::make_shared<const Deployment>(here);
  world_.serve(route);
  const auto is_brief = [&](bool has_id) {
    return world_.gateway.is_brief(test::call(), "flight-delay", has_id);
  };
  must(predict("mine"));
  EXPECT_TRUE(must(predict("mine")).predictions.at(0).repeated);
  EXPECT_EQ(asked_, 0) << "nothing is gone yet";
  EXPECT_TRUE(is_brief(true));
  posted_.insert("p1/mine");
  forget_all();
  EXPECT_FALSE(is_brief(true)) << "it may wait for the ledger";
  EXPECT_TRUE(is_brief(false));
  const auto again = predict("mine");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::already_exists);
  EXPECT_NE(again.error().message.find("older than the retention"), std::string::npos)
      << again.error().message;
  EXPECT_TRUE(world_.events().empty());
  must(predict("other"));
  EXPECT_TRUE(must(predict("other")).predictions.at(0).repeated);
  asked_ = 0;
  must(predict(""));
  EXPECT_EQ(asked_, 0) << "nobody repeats an id of ours";
  ledger_away_ = true;
  must(predict("third"));
  EXPECT_EQ(asked_, 1);
}

TEST_F(GoneTest, AnEventOfAStreamThatWasDecidedIsADuplicateForEver) {
  const StreamDeclaration declared{
      .name = "flights", .owner = "o", .route = "flight-delay", .input = "in", .output = "out"};
  StreamScorer scorer(world_.gateway, world_.log(), "p1", declared);
  const auto send = [&](const std::string& id) {
    must(world_.log().append(
        {{topic_name("p1", "in"), "k",
          json_text(StreamEvent{id, {{"flight_id", "UA1"}}, Timestamp(seconds(1'372'636'800))})}},
        kv::Durability::process));
    while (must(scorer.run_once()) > 0) continue;
  };
  send("one");
  EXPECT_TRUE(must(recorded(world_.log(), stream_group("p1", "flights"), "p1", "one")));
  posted_.insert("p1/one");
  forget_all();
  EXPECT_FALSE(must(recorded(world_.log(), stream_group("p1", "flights"), "p1", "one")));
  send("one");
  send("two");
  const StreamView view = must(scorer.view());
  EXPECT_EQ(view.decided, 2);
  EXPECT_EQ(view.duplicates, 1);
}

}  // namespace
}  // namespace penstock::serving
