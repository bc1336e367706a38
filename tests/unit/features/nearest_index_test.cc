// The index: what it finds, what it sees of writes, and what it may hold.
#include <set>
#include <thread>

#include "tests/unit/features/nearest_fixture.h"

namespace penstock::features {
namespace {

TEST_F(NearestTest, ApproximateSearchFindsNearlyAll) {
  constexpr std::size_t rows = 10'000, dimension = 64;
  struct Case {
    std::string what;
    Metric metric;
    bool clustered;
  };
  for (const Case& c : {Case{"random cosine", Metric::cosine, false},
                        Case{"random euclidean", Metric::euclidean, false},
                        Case{"clustered cosine", Metric::cosine, true},
                        Case{"clustered euclidean", Metric::euclidean, true},
                        Case{"clustered dot", Metric::dot, true}}) {
    SCOPED_TRACE(c.what);
    Maker make(11);
    std::vector<Vector> centers;
    for (int i = 0; i < 50; ++i) centers.push_back(make.random(dimension));
    const auto one = [&] {
      return c.clustered ? make.near(centers[make.below(centers.size())], 0.2f)
                         : make.random(dimension);
    };
    const auto handle = view(dimension);
    std::vector<Vector> vectors;
    for (std::size_t i = 0; i < rows; ++i) vectors.push_back(one());
    put_all(*handle, vectors);
    // Until the index has grown, answers are exact.
    NearestInput input = question(vectors[0], 10, c.metric, false);
    EXPECT_TRUE(test::must(nearest_.ask(handle, input, at(1))).exact);
    grow(nearest_);
    // As hard as was measured to be enough (which may be to look at all), and as hard as is asked.
    for (const auto effort : {std::optional<std::int64_t>(), std::optional<std::int64_t>(400)}) {
      std::size_t hits = 0, asked = 0;
      for (int i = 0; i < 100; ++i) {
        input = question(one(), 10, c.metric, false);
        input.effort = effort;
        const auto rough = test::must(nearest_.ask(handle, input, at(1)));
        EXPECT_TRUE(!rough.exact || (!c.clustered && !effort));
        input.exact = true;
        const auto exact = test::must(nearest_.ask(handle, input, at(1)));
        EXPECT_TRUE(exact.exact);
        const auto truth = items(exact);
        for (const std::int64_t item : items(rough))
          hits += std::count(truth.begin(), truth.end(), item) > 0 ? 1u : 0u;
        asked += truth.size();
      }
      EXPECT_GE(static_cast<double>(hits) / static_cast<double>(asked), 0.95) << c.what;
    }
  }
}

// Random writes between questions, by an oracle that knows them all.
TEST_F(NearestTest, SeesEveryWriteAtOnce) {
  for (const bool exact : {true, false}) {
    Maker make(exact ? 1 : 2);
    const auto handle = view(8, Micros(std::chrono::seconds(50)));
    struct Known {
      std::optional<Vector> vector;
      Timestamp time;
    };
    std::map<std::int64_t, Known> known;
    int approximate = 0;
    for (int step = 0; step < 400; ++step) {
      for (std::size_t writes = make.below(step < 20 ? 200 : 12); writes > 0; --writes) {
        const auto item = static_cast<std::int64_t>(make.below(1'500));
        const Timestamp time = at(static_cast<std::int64_t>(make.below(100)));
        const std::size_t what = make.below(10);
        if (what == 0) {
          erase(*handle, item);
          known.erase(item);
        } else if (what == 1) {
          put(*handle, item, Scalar{}, time);
          known[item] = {{}, time};
        } else if (what == 2 && known.contains(item) && known[item].vector) {
          known[item].time = time;  // the same vector again
          put(*handle, item, scalar(*known[item].vector), time);
        } else {
          known[item] = {make.random(8), time};
          put(*handle, item, scalar(*known[item].vector), time);
        }
      }
      nearest_.grow();
      const Vector asked = make.random(8);
      NearestInput input = question(asked, 20, Metric::euclidean, exact);
      input.effort = 100;
      const auto found = test::must(nearest_.ask(handle, input, at(90)));
      approximate += found.exact ? 0 : 1;
      std::vector<std::pair<double, std::int64_t>> expected;
      for (const auto& [item, one] : known)
        if (one.vector && one.time <= at(90) && one.time >= at(40))
          expected.push_back({distance(Metric::euclidean, asked, *one.vector), item});
      std::sort(expected.begin(), expected.end());
      expected.resize(std::min<std::size_t>(20, expected.size()));
      ASSERT_EQ(found.neighbours.size(), expected.size()) << step;
      std::set<std::int64_t> wanted;
      for (const auto& [away, item] : expected) wanted.insert(item);
      std::size_t hits = 0;
      for (const Neighbour& one : found.neighbours) {
        const std::int64_t item = std::stoll(one.entity.at("item"));
        // Whatever is found is as it was written last.
        ASSERT_TRUE(known.contains(item) && known[item].vector) << item;
        ASSERT_NEAR(one.distance, distance(Metric::euclidean, asked, *known[item].vector), 1e-6);
        ASSERT_EQ(one.event_time, known[item].time);
        hits += wanted.count(item);
      }
      ASSERT_GE(hits, found.exact ? expected.size() : expected.size() * 8 / 10) << step;
    }
    EXPECT_EQ(approximate > 100, !exact) << approximate;
  }
}

TEST_F(NearestTest, KeepsToItsMemory) {
  Maker make(9);
  const auto handle = view(64);
  std::vector<Vector> vectors;
  for (int i = 0; i < 4'000; ++i) vectors.push_back(make.random(64));
  put_all(*handle, vectors);

  Nearest small(rocks_->store(), {.bytes_max = 1 << 20, .graph_rows_min = 1'000});
  const auto refused = small.ask(handle, question(vectors[0]), at(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::resource_exhausted);
  EXPECT_NE(refused.error().message.find("the vectors of items@1:vector do not fit into the "
                                         "1048576 bytes that vectors may take: raise "
                                         "limits.vector_bytes"),
            std::string::npos)
      << refused.error().message;

  // Room for the vectors, but for no graph: every answer is exact.
  Nearest fair(rocks_->store(), {.bytes_max = 2 << 20, .graph_rows_min = 1'000});
  const auto rough = question(vectors[0], 10, Metric::cosine, false);
  EXPECT_TRUE(test::must(fair.ask(handle, rough, at(1))).exact);
  grow(fair);
  EXPECT_TRUE(test::must(fair.ask(handle, rough, at(1))).exact);

  // Two views that do not fit together take turns.
  auto other = std::make_shared<ViewHandle>(*handle);
  other->version = 2;
  other->prefix = view_prefix("p1", "items", 2);
  put_all(*other, vectors);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(test::must(fair.ask(handle, rough, at(1))).rows, 4'000);
    EXPECT_EQ(test::must(fair.ask(other, rough, at(1))).rows, 4'000);
  }
}

TEST_F(NearestTest, ReadsWhatOthersWroteAfterATime) {
  const auto handle = view(2);
  put(*handle, 1, scalar({1, 0}));
  Nearest late(rocks_->store(), {.age_max = std::chrono::seconds(5)});
  const auto rows = [&](std::int64_t time) {
    return test::must(late.ask(handle, question({1, 0}), at(time))).rows;
  };
  EXPECT_EQ(rows(10), 1);
  put(*handle, 2, scalar({1, 0}));  // `late` is not told
  EXPECT_EQ(rows(15), 1);
  EXPECT_EQ(rows(16), 2);
}

TEST_F(NearestTest, IsAskedAndWrittenByManyAtOnce) {
  const auto handle = view(16);
  Maker make(4);
  std::vector<Vector> vectors;
  for (int i = 0; i < 2'000; ++i) vectors.push_back(make.random(16));
  put_all(*handle, vectors);
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      Maker own(100 + t);
      while (!done) {
        const auto found = nearest_.ask(
            handle, question(own.random(16), 10, Metric::cosine, own.below(2) == 0), at(1));
        EXPECT_EQ(found ? found->neighbours.size() : 0u, 10u);
      }
    });
  threads.emplace_back([&] {
    while (!done) nearest_.grow();
  });
  for (int i = 0; i < 3'000; ++i)
    put(*handle, static_cast<std::int64_t>(make.below(2'000)), scalar(make.random(16)));
  done = true;
  for (std::thread& thread : threads) thread.join();
  // All is still as the store has it.
  const auto last = make.random(16);
  put(*handle, 5, scalar(last));
  EXPECT_EQ(items(test::must(nearest_.ask(handle, question(last, 1), at(1)))).at(0), 5);
  Nearest again(rocks_->store(), {});
  const Vector asked = make.random(16);
  EXPECT_EQ(items(test::must(nearest_.ask(handle, question(asked, 100), at(1)))),
            items(test::must(again.ask(handle, question(asked, 100), at(1)))));
}

}  // namespace
}  // namespace penstock::features
