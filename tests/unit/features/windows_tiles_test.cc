// Tiles and what they hold, without a store.
#include <numeric>

#include "features/windows/entity.h"
#include "features/windows/history.h"
#include "tests/unit/features/windows_fixture.h"

namespace penstock::features::windows {
namespace {

std::string bytes_of(const auto& state) {
  std::string out;
  state.encode(out);
  return out;
}

template <class T>
T from_bytes(const std::string& bytes) {
  T out;
  Reader reader(bytes);
  EXPECT_TRUE(out.decode(reader));
  EXPECT_TRUE(reader.empty());
  return out;
}

double sum_of(const std::vector<double>& values) {
  ExactSum sum;
  for (const double value : values) sum.add(value);
  return sum.value();
}

TEST(ExactSumTest, RoundsOnce) {
  constexpr double infinite = std::numeric_limits<double>::infinity();
  constexpr double largest = std::numeric_limits<double>::max();
  constexpr double least = std::numeric_limits<double>::denorm_min();
  struct Case {
    std::vector<double> values;
    double sum;
  };
  const Case cases[] = {
      {{}, 0},
      {{-0.0}, 0},
      {{0.1, 0.2, 0.3}, 0.6},
      {{0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1}, 1},
      {{1e100, 1, -1e100}, 1},
      {{1e308, 1e308, -1e308}, 1e308},
      {{largest, largest}, infinite},
      {{-largest, -largest}, -infinite},
      {{largest, 1}, largest},
      {{least, least, -least}, least},
      {{-least}, -least},
      {{largest, least, -largest}, least},
      {{0x1p53, 1}, 0x1p53},                           // half a step: to the even one
      {{0x1p53, 1, 0x1p-1074}, 0x1.0000000000001p53},  // and a little more than half
      {{0x1p53, 3}, 0x1.0000000000002p53},
      {{-0x1p53, -1}, -0x1p53},
      {{-4294967296.0}, -4294967296.0},
      {{-0x1p32, -0x1p64, 0x1p32}, -0x1p64},
      {{infinite, 1}, infinite},
      {{-infinite, largest}, -infinite},
  };
  for (const Case& c : cases) EXPECT_EQ(sum_of(c.values), c.sum) << c.sum;
  EXPECT_TRUE(std::isnan(sum_of({infinite, -infinite})));
  EXPECT_TRUE(std::isnan(sum_of({NAN, 1})));
}

TEST(ExactSumTest, KnowsNoOrder) {
  std::mt19937_64 engine(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> values;
    for (int i = 0; i < 60; ++i) {
      const double mantissa = static_cast<double>(static_cast<std::int64_t>(engine())) * 0x1p-63;
      values.push_back(std::ldexp(mantissa, static_cast<int>(engine() % 2090) - 1070));
      if (engine() % 3 == 0) values.push_back(-values.back());
    }
    ExactSum whole;
    for (const double value : values) whole.add(value);
    std::shuffle(values.begin(), values.end(), engine);
    ExactSum parts[3];
    for (const double value : values) parts[engine() % 3].add(value);
    ExactSum merged = from_bytes<ExactSum>(bytes_of(parts[2]));
    merged.merge(parts[0]);
    merged.merge(from_bytes<ExactSum>(bytes_of(parts[1])));
    ASSERT_EQ(bytes_of(merged), bytes_of(whole));
    ASSERT_EQ(merged.value(), whole.value());
    for (const double value : values) merged.add(-value);
    ASSERT_EQ(merged.value(), 0);
    ASSERT_EQ(bytes_of(merged), bytes_of(ExactSum()));
  }
}

TEST(ExactSumTest, CarriesInTime) {
  ExactSum sum;
  sum.add(0x1.fffffffffffffp30);
  for (int i = 0; i < 40; ++i) sum.merge(sum);  // 2^40 parts
  EXPECT_EQ(sum.value(), 0x1.fffffffffffffp70);
}

TEST(DistinctTest, IsAsNearAsItSays) {
  for (const std::int64_t count : {0, 1, 2, 10, 300, 512, 513, 1000, 5'000, 50'000, 1'000'000}) {
    Distinct distinct, halves[2];
    for (std::int64_t i = 0; i < count; ++i) {
      distinct.add(i);
      halves[i % 2].add(static_cast<double>(i));
      if (i % 3 == 0) halves[0].add(i);
    }
    const double error = std::abs(static_cast<double>(distinct.value() - count));
    // Four standard errors: the hash is fixed, so this is no matter of luck.
    EXPECT_LE(error, count <= 512 ? 0.5 : 4 * 0.01625 * static_cast<double>(count)) << count;
    halves[1].merge(from_bytes<Distinct>(bytes_of(halves[0])));
    EXPECT_EQ(bytes_of(halves[1]), bytes_of(distinct)) << count;
  }
  Distinct kinds;
  for (const Scalar& value : {Scalar("1"), Scalar(std::int64_t{1}), Scalar(1.0), Scalar(true),
                              Scalar(-0.0), Scalar(std::int64_t{0}), Scalar(0.5), Scalar("")})
    kinds.add(value);
  EXPECT_EQ(kinds.value(), 5);
}

TEST(SketchTest, IsAsNearAsItSays) {
  std::mt19937_64 engine(3);
  for (const int doublings : {1, 10, 28, 40, 100, 1000}) {
    std::vector<double> values;
    for (int i = 0; i < 20'000; ++i) {
      const double mantissa = 1 + static_cast<double>(engine() % 1'000'003) / 1'000'003;
      values.push_back(
          std::ldexp(mantissa, static_cast<int>(engine() % doublings) - doublings / 2));
      if (engine() % 2 == 0) values.back() = -values.back();
      if (engine() % 50 == 0) values.back() = 0;
    }
    Sketch whole, parts[3];
    for (const double value : values) {
      whole.add(value);
      parts[engine() % 3].add(value);
    }
    parts[0].merge(from_bytes<Sketch>(bytes_of(parts[1])));
    parts[2].merge(parts[0]);
    ASSERT_EQ(bytes_of(parts[2]), bytes_of(whole)) << doublings;
    std::sort(values.begin(), values.end());
    // Both signs together: 2,048 buckets are 16 doublings of each.
    const double error = doublings <= 10   ? 1.0 / 128
                         : doublings <= 28 ? 1.0 / 64
                         : doublings <= 40 ? 1.0 / 32
                                           : 1;
    for (const double share : {0.001, 0.25, 0.5, 0.9, 0.99, 0.999}) {
      const double right = values[static_cast<std::size_t>(share * 19'999)];
      ASSERT_LE(std::abs(whole.value(share) - right), std::abs(right) * error)
          << share << " of " << doublings << ": " << whole.value(share) << " and " << right;
    }
  }
  Sketch odd;
  odd.add(NAN);
  EXPECT_TRUE(odd.empty());
  odd.add(std::numeric_limits<double>::infinity());
  EXPECT_NEAR(odd.value(0.5) / std::numeric_limits<double>::max(), 1, 1.0 / 128);
}

FeatureView view_of(const std::string& features) {
  const auto document = test::must(yaml::parse("features:\n" + features));
  FeatureView view;
  for (const auto& feature : document.at(0).value.at("features").as_array())
    view.features.push_back(test::must(penstock::decode<Feature>(feature)));
  return view;
}

class TilesTest : public testing::Test {
 protected:
  TilesTest() {
    std::string features;
    for (const Asked& one : asked())
      features += "  - {name: " + one.name + ", " + one.declared + "}\n";
    view_ = view_of(features);
    plan_ = plan_of(view_);
  }

  Event event(const Reading& r) const {
    Event out{at(*r.time), at(created_of(r)), at(arrived_of(r)), {}};
    for (const Input& input : plan_->inputs) {
      Scalar value;
      if (input.column == "heat" && r.heat) value = *r.heat;
      if (input.column == "hot" && r.heat && input.type == FeatureType::boolean)
        value = *r.heat > 1;
      if (input.column == "hot" && r.heat && input.type == FeatureType::real)
        value = *r.heat > 1 ? 1.0 : 0.0;
      if (input.column == "number" && r.sensor) value = *r.sensor;
      if (input.column == "note" && r.note) value = *r.note;
      out.values.push_back(value);
    }
    return out;
  }

  std::vector<Reading> some(WindowRandom& random, std::int64_t until) const {
    auto out = random.readings(120, 0, until);
    std::erase_if(out, [](const Reading& r) { return !r.time; });
    for (Reading& r : out) r.place = "a";
    return out;
  }

  FeatureView view_;
  std::shared_ptr<const Plan> plan_;
};

TEST_F(TilesTest, HoldTheSameWhateverTheOrder) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    WindowRandom random(seed);
    auto readings = some(random, seed % 2 ? 1500 : 100'000);
    if (readings.empty()) continue;
    std::int64_t newest = 0;
    for (const Reading& r : readings) newest = std::max(newest, arrived_of(r));
    Tiles whole(*plan_);
    for (const Reading& r : readings) test::must(whole.add(event(r)));
    const std::string bytes = whole.encode();

    std::mt19937 engine(seed);
    std::shuffle(readings.begin(), readings.end(), engine);
    std::vector<Tiles> parts(4, Tiles(*plan_));
    for (const Reading& r : readings) test::must(parts[engine() % 4].add(event(r)));
    std::vector<std::string> kept;
    for (Tiles& part : parts) kept.push_back(part.encode());
    Tiles merged = test::must(Tiles::decode(*plan_, kept[3]));
    for (const int i : {1, 0, 2})
      test::must(
          merged.merge(test::must(Tiles::decode(*plan_, kept[static_cast<std::size_t>(i)]))));
    ASSERT_EQ(merged.encode(), bytes) << seed;

    const WindowOracle oracle{readings, {}, {}};
    const Entity entity(*plan_, test::must(Tiles::decode(*plan_, bytes)));
    for (const std::int64_t ahead : {0, 9, 60, 121, 600, 86'000, 90'000}) {
      std::vector<Scalar> found;
      for (std::size_t i = 0; i < asked().size(); ++i)
        found.push_back(test::must(entity.value(i, at(newest + ahead))));
      ASSERT_TRUE(agree(found, oracle.row("a", newest + ahead))) << seed << " + " << ahead;
    }
  }
}

// Whether events are added up as they are or as tiles, and wherever it goes over from one to the
// other, to the last bit.
TEST_F(TilesTest, AreWhatTheEventsThemselvesAddUpTo) {
  History history(*plan_);
  const auto same = [&](const Tiles& tiles, Timestamp asked_at) {
    const Entity entity(*plan_, tiles);
    const auto found = test::must(history.values(asked_at));
    for (std::size_t i = 0; i < found.size(); ++i)
      if (found[i] != test::must(entity.value(i, asked_at))) return asked()[i].name;
    return std::string();
  };
  for (unsigned seed = 0; seed < 80; ++seed) {
    WindowRandom random(seed);
    auto readings = some(random, seed % 2 ? 1500 : 100'000);
    const auto earlier = [](const Reading& a, const Reading& b) {
      return arrived_of(a) < arrived_of(b);
    };
    std::stable_sort(readings.begin(), readings.end(), earlier);
    history.clear();
    EXPECT_TRUE(history.empty());
    Tiles tiles(*plan_);
    for (std::size_t i = 0; i < readings.size(); ++i) {
      const std::int64_t now = arrived_of(readings[i]);
      test::must(tiles.add(event(readings[i])));
      test::must(history.add(event(readings[i])));
      // From one row to very many.
      if (i % (1 + seed % 40) != 0 ||
          (i + 1 < readings.size() && arrived_of(readings[i + 1]) == now))
        continue;
      ASSERT_EQ(history.newest_event(), tiles.newest_event());
      ASSERT_EQ(same(tiles, at(now)), "") << seed << " after " << i;
    }
    if (readings.empty()) continue;
    const std::int64_t newest = arrived_of(readings.back());
    const WindowOracle oracle{readings, {}, {}};
    for (const std::int64_t ahead : {0, 60, 600, 90'000}) {
      ASSERT_EQ(same(tiles, at(newest + ahead)), "") << seed << " + " << ahead;
      ASSERT_TRUE(
          agree(test::must(history.values(at(newest + ahead))), oracle.row("a", newest + ahead)));
    }
  }
  // More events than are kept as they are.
  history.clear();
  Tiles tiles(*plan_);
  for (int i = 0; i < 10'000; ++i) {
    const Event one = event({"a", i % 7, i / 4, {}, i % 11 * 0.1, "n"});
    test::must(tiles.add(one));
    test::must(history.add(one));
    if (i % 3'000 != 2'999) continue;
    ASSERT_EQ(same(tiles, one.arrived_at), "") << i;
  }
}

TEST_F(TilesTest, ReadDamagedBytesWithoutHarm) {
  WindowRandom random(5);
  Tiles tiles(*plan_);
  for (const Reading& r : some(random, 1500)) test::must(tiles.add(event(r)));
  Parts parts{.moved = at(7), .tiles = {}, .pushed = {}};
  const std::string encoded = tiles.encode();
  parts.tiles = encoded;
  const Event one = event({"a", 1, 1'000'000, {}, 2.0, "x"});
  parts.pushed.push_back({id_of(one, {}), one});
  const std::string whole = joined(parts);
  const auto read_all = [&](const std::string& bytes) {
    const auto entity = Entity::open(*plan_, bytes, at(0));
    if (!entity) {
      EXPECT_EQ(entity.error().code, Code::data_loss);
      return;
    }
    for (std::size_t i = 0; i < asked().size(); ++i)
      for (const std::int64_t t : {1'500, 2'000'000}) {
        const auto value = entity->value(i, at(t));
        if (!value) {
          EXPECT_EQ(value.error().code, Code::data_loss);
        }
      }
  };
  read_all(whole);
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto entity = Entity::open(*plan_, std::string_view(whole).substr(0, size), at(0));
    EXPECT_FALSE(entity) << size;
  }
  std::mt19937 engine(11);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = whole;
    for (unsigned flips = 1 + engine() % 4; flips > 0; --flips)
      bytes[engine() % bytes.size()] = static_cast<char>(engine());
    read_all(bytes);
  }
}

TEST(PlanTest, ReadsFewTilesOfALongWindow) {
  const FeatureView view =
      view_of("  - {name: n, type: bigint, aggregate: count, window: 30d, hop: 5m}\n");
  const auto plan = plan_of(view);
  ASSERT_EQ(plan->series.size(), 1u);
  std::int64_t reads = 0, left = plan->series[0].kept;
  for (std::size_t i = 0; i < plan->series[0].lengths.size(); ++i)
    reads += i + 1 < plan->series[0].lengths.size() ? 15 : left / plan->series[0].lengths[i] + 1;
  EXPECT_LT(reads, 70);
  // And it is right: 40 days of an event each 7 minutes.
  Tiles tiles(*plan);
  std::vector<std::int64_t> times;
  for (std::int64_t t = 0; t < 40 * 86'400; t += 420) {
    times.push_back(t);
    test::must(tiles.add({at(t), at(t), at(t), {}}));
    if (times.size() % 250 != 0) continue;
    State state;
    test::must(tiles.collect(plan->features[0], at(t), state));
    const std::int64_t from = WindowOracle::floor_of(t, 300) + 300 - 30 * 86'400;
    ASSERT_EQ(finish(plan->features[0], state),
              Scalar(std::int64_t{std::count_if(times.begin(), times.end(),
                                                [&](auto one) { return one >= from; })}));
  }
}

TEST(PlanTest, SharesWhatFeaturesHaveInCommon) {
  const FeatureView view = view_of(R"(  - {name: a, aggregate: mean, column: x, window: 3h}
  - {name: b, aggregate: sum, column: x, window: 5h}
  - {name: c, aggregate: mean, column: x, window: 7d}
)");
  const auto plan = plan_of(view);
  EXPECT_EQ(plan->inputs.size(), 1u);
  ASSERT_EQ(plan->series.size(), 2u);
  EXPECT_EQ(plan->series[0].states.size(), 1u);
  EXPECT_EQ(hop_of(view.features[0]), std::chrono::minutes(5));
  EXPECT_EQ(hop_of(view.features[2]), std::chrono::hours(6));
}

TEST(AggregateTest, SaysNothingWhereASumIsBeyond64Bits) {
  const FeatureView view =
      view_of("  - {name: s, type: bigint, aggregate: sum, column: x, window: 1h}\n");
  const auto plan = plan_of(view);
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  Tiles tiles(*plan);
  const auto value = [&] {
    State state;
    test::must(tiles.collect(plan->features[0], at(0), state));
    return finish(plan->features[0], state);
  };
  test::must(tiles.add({at(0), at(0), at(0), {Scalar(most)}}));
  EXPECT_EQ(value(), Scalar(most));
  test::must(tiles.add({at(0), at(0), at(0), {Scalar(most)}}));
  EXPECT_EQ(value(), Scalar{});
  test::must(tiles.add({at(0), at(0), at(0), {Scalar(-most)}}));
  EXPECT_EQ(value(), Scalar(most));
}

}  // namespace
}  // namespace penstock::features::windows
