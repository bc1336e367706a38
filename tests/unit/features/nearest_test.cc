// Nearest neighbours, against an oracle that sorts all there are.
#include "tests/unit/features/nearest_fixture.h"

namespace penstock::features {
namespace {

TEST_F(NearestTest, ExactSearchGivesWhatTheOracleGives) {
  for (const std::size_t dimension : {1u, 3u, 8u, 33u, 128u}) {
    Maker make(static_cast<unsigned>(dimension));
    const auto handle = view(static_cast<std::int64_t>(dimension));
    std::vector<Vector> vectors;
    for (int i = 0; i < 300; ++i) vectors.push_back(make.random(dimension));
    vectors.push_back(Vector(dimension, 0));
    vectors.push_back(vectors[7]);  // the same distance twice: by the entity then
    put_all(*handle, vectors);
    for (const Metric metric : {Metric::cosine, Metric::dot, Metric::euclidean})
      for (const std::int64_t k : {1, 10, 302, 1000}) {
        const Vector asked = make.random(dimension);
        std::vector<std::pair<double, std::string>> expected;
        for (std::size_t i = 0; i < vectors.size(); ++i)
          expected.push_back({distance(metric, asked, vectors[i]), std::to_string(i)});
        std::sort(expected.begin(), expected.end());
        const auto found = test::must(nearest_.ask(handle, question(asked, k, metric), at(100)));
        EXPECT_TRUE(found.exact);
        EXPECT_EQ(found.rows, 302);
        ASSERT_EQ(found.neighbours.size(), std::min<std::size_t>(302, k));
        for (std::size_t i = 0; i < found.neighbours.size(); ++i) {
          const Neighbour& one = found.neighbours[i];
          EXPECT_NEAR(one.distance, expected[i].first, 1e-9 * (1 + std::abs(expected[i].first)));
          const auto item = static_cast<std::size_t>(std::stoll(one.entity.at("item")));
          EXPECT_NEAR(distance(metric, asked, vectors[item]), expected[i].first, 1e-9);
          EXPECT_EQ(one.age_seconds, 100);
          EXPECT_EQ(one.event_time, at(0));
        }
      }
  }
}

TEST_F(NearestTest, EveryProcessorComesToTheSameDistance) {
  Maker make(3);
  for (std::size_t count = 0; count < 100; ++count) {
    const Vector a = make.random(count), b = make.random(count);
    EXPECT_NEAR(kernels().dot(a.data(), b.data(), count),
                plain_kernels().dot(a.data(), b.data(), count), 1e-4);
    EXPECT_NEAR(kernels().squares(a.data(), b.data(), count),
                plain_kernels().squares(a.data(), b.data(), count), 1e-4);
  }
}

TEST_F(NearestTest, AsksWithAnEntitysOwnVector) {
  const auto handle = view(2, Micros(std::chrono::seconds(10)));
  put(*handle, 1, scalar({1, 0}));
  put(*handle, 2, scalar({1, 1}));
  put(*handle, 3, scalar({0, 1}));
  put(*handle, 4, Scalar{});
  put(*handle, 5, scalar({1, 0}), at(20));
  NearestInput input{.view = "items", .feature = "vector", .entity = {{"item", "01"}}};
  auto found = test::must(nearest_.ask(handle, input, at(5)));
  EXPECT_EQ(items(found), (std::vector<std::int64_t>{2, 3}));
  EXPECT_NEAR(found.neighbours.at(0).distance, 1 - std::sqrt(0.5), 1e-12);
  const auto fault = [&](const std::string& key, const std::string& value, std::int64_t time) {
    input.entity = {{key, value}};
    const auto refused = nearest_.ask(handle, input, at(time));
    return refused ? "" : refused.error().message;
  };
  EXPECT_EQ(fault("item", "9", 5),
            "item item=9 has no vector in view items@1: it was never "
            "written, or is null");
  EXPECT_EQ(fault("item", "4", 5),
            "item item=4 has no vector in view items@1: it was never "
            "written, or is null");
  EXPECT_EQ(fault("item", "5", 5),
            "item item=5 has no vector in view items@1 that is of now: it "
            "is older than the view's ttl, or of the future");
  EXPECT_EQ(fault("item", "1", 11),
            "item item=1 has no vector in view items@1 that is of now: it "
            "is older than the view's ttl, or of the future");
  EXPECT_EQ(fault("item", "x", 5), "entity key item must be of type bigint");
  EXPECT_EQ(fault("shop", "1", 5), "entity key item is missing");
}

TEST_F(NearestTest, FindsOnlyWhatTheFilterLetsThrough) {
  Maker make(5);
  const auto handle = view(4);
  std::vector<Vector> vectors;
  for (std::int64_t i = 0; i < 3'000; ++i) {
    vectors.push_back(make.random(4));
    put(*handle, i, scalar(vectors.back()), at(0), i % 300 == 0 ? "rare" : "common");
  }
  for (const bool exact : {true, false}) {
    NearestInput input = question(vectors[1], 7, Metric::euclidean, exact);
    input.filter = NearestFilter{"shop", "rare"};
    input.effort = 50;
    const auto found = test::must(nearest_.ask(handle, input, at(1)));
    std::vector<std::pair<double, std::int64_t>> expected;
    for (std::int64_t i = 0; i < 3'000; i += 300)
      expected.push_back(
          {distance(Metric::euclidean, vectors[1], vectors[static_cast<std::size_t>(i)]), i});
    std::sort(expected.begin(), expected.end());
    std::vector<std::int64_t> wanted;
    for (std::size_t i = 0; i < 7; ++i) wanted.push_back(expected[i].second);
    EXPECT_EQ(items(found), wanted);
    grow(nearest_);
  }
  NearestInput input = question(vectors[1]);
  input.filter = NearestFilter{"price", 1};
  EXPECT_EQ(nearest_.ask(handle, input, at(1)).error().code, Code::not_found);
  input.filter = NearestFilter{"shop", 1};
  EXPECT_EQ(nearest_.ask(handle, input, at(1)).error().message,
            "filter.equals must be of type text");
}

TEST_F(NearestTest, SaysWhatIsWrongWithAQuestion) {
  const auto handle = view(2);
  put(*handle, 1, scalar({1, 0}));
  const auto fault = [&](NearestInput input) {
    const auto refused = nearest_.ask(handle, input, at(5));
    return refused ? "" : refused.error().message;
  };
  EXPECT_EQ(fault(question({1})), "vector must have 2 elements, as vector is declared, not 1");
  EXPECT_EQ(fault(question({0, 0})),
            "a vector of zeros has no direction: ask by euclidean distance");
  EXPECT_EQ(fault(question({0, 0}, 1, Metric::euclidean)), "");
  NearestInput input = question({1, 0});
  input.feature = "shop";
  EXPECT_EQ(fault(input), "feature shop of items@1 is of type text, not an embedding");
  input.feature = "none";
  EXPECT_EQ(fault(input), "feature none is not a feature of items@1");
  input = question({1, 0});
  input.entity = {{"item", "1"}};
  EXPECT_EQ(fault(input), "vector must be given where entity is not, and only there");
  input = question({1, 0});
  input.vector[0] = 1e39;
  EXPECT_EQ(fault(input),
            "vector must be of finite numbers, and element 0 is not one that float32 can hold");
}

class NearestServiceTest : public FeaturesTest {};

TEST_F(NearestServiceTest, SeesWhatIsMaterializedAndPushed) {
  run("COPY (SELECT i AS item, TIMESTAMP '2020-09-13 12:26:40' + to_seconds(i) AS seen, [i, 1, "
      "0]::FLOAT[] AS vector FROM range(1, 9) AS t(i)) TO '" +
      folder_ / "things.parquet" + "' (FORMAT parquet)");
  test::must(apply(R"(kind: source
name: things
owner: shop
path: things.parquet
columns:
  - {name: item, type: bigint, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: vector, type: list, classification: public}
---
kind: entity
name: item
owner: shop
join_keys: [{name: item, type: bigint}]
---
kind: feature_view
name: things
owner: shop
entity: item
sources: [things]
sql: SELECT * FROM things
event_time: seen
features: [{name: vector, type: embedding, dimension: 3}]
)"));
  clock_.set(at(1'000));
  const auto nearest = [&] {
    std::string out;
    const auto found = test::must(features_.nearest(ana_, {.view = "things",
                                                           .feature = "vector",
                                                           .vector = {5.2, 1, 0},
                                                           .k = 3,
                                                           .metric = Metric::euclidean}));
    for (const Neighbour& one : found.neighbours) out += one.entity.at("item") + " ";
    return out;
  };
  EXPECT_EQ(nearest(), "");
  materialize(4);
  EXPECT_EQ(nearest(), "4 3 2 ");
  materialize(100);
  EXPECT_EQ(nearest(), "5 6 4 ");
  json::object row{{"item", 77}, {"seen", "2020-09-13T12:30:00Z"}, {"vector", {5.2, 1, 0.1}}};
  test::must(features_.push(ana_, {.view = "things", .rows = {row}}));
  EXPECT_EQ(nearest(), "77 5 6 ");
  row["vector"] = nullptr;
  row["seen"] = "2020-09-13T12:31:00Z";
  test::must(features_.push(ana_, {.view = "things", .rows = {row}}));
  EXPECT_EQ(nearest(), "5 6 4 ");
  // A restart: the index is read anew from what is stored.
  Service again(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                {.scratch = folder_ / "scratch"});
  const auto found = test::must(again.nearest(
      ana_, {.view = "things@1", .feature = "vector", .entity = {{"item", "8"}}, .k = 1}));
  EXPECT_EQ(found.view, "things@1");
  EXPECT_EQ(found.neighbours.at(0).entity.at("item"), "7");
  EXPECT_EQ(found.neighbours.at(0).age_seconds, 993);
  EXPECT_EQ(
      features_.nearest(ana_, {.view = "none", .feature = "vector", .vector = {1}}).error().code,
      Code::not_found);
  EXPECT_EQ(features_.nearest(ana_, {.view = "things@x", .feature = "vector", .vector = {1}})
                .error()
                .message,
            "view must be NAME or NAME@VERSION");
}

}  // namespace
}  // namespace penstock::features
