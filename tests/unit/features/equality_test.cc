// G3 and G4: what the point-in-time join and the online store give, against an oracle that is slow
// and obvious.
#include <algorithm>
#include <random>

#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

// std::nullopt sorts before every value, as NULL does in a view's order.
bool later(const Reading& a, const Reading& b, bool created) {
  const auto by_created = [&](const Reading& r) {
    return created ? r.created.value_or(*r.time) : 0;
  };
  if (a.time != b.time) return *a.time > *b.time;
  if (by_created(a) != by_created(b)) return by_created(a) > by_created(b);
  if (a.heat != b.heat) return a.heat > b.heat;
  if (created) return a.note > b.note;
  if (a.sensor != b.sensor) return a.sensor > b.sensor;
  return false;
}

struct Question {
  std::optional<std::string> place;
  std::optional<std::int64_t> sensor, time;
};

struct Oracle {
  const std::vector<Reading>& readings;
  // What came after is not seen. Neither given: what came after the instant asked for.
  std::optional<std::int64_t> known, arrived;

  const Reading* find(const Question& q, bool by_sensor) const {
    const Reading* best = nullptr;
    if (!q.place || !q.time || (by_sensor && !q.sensor)) return nullptr;
    for (const Reading& r : readings) {
      if (!r.place || !r.time || *r.place != *q.place) continue;
      if (by_sensor && (!r.sensor || *r.sensor != *q.sensor)) continue;
      const std::int64_t created = by_sensor ? r.created.value_or(*r.time) : *r.time;
      if (*r.time > *q.time) continue;
      if (known ? created > *known : std::max(*r.time, created) > arrived.value_or(*q.time))
        continue;
      if (!best || later(r, *best, by_sensor)) best = &r;
    }
    if (best && by_sensor && *q.time - *best->time > 5) return nullptr;
    return best;
  }

  // In the order of features_v1.
  std::vector<Scalar> row(const Question& q) const {
    const Reading* place = find(q, false);
    const Reading* sensor = find(q, true);
    std::vector<Scalar> out(5);
    if (place && place->heat) out[0] = *place->heat;
    if (sensor && sensor->heat) out[1] = *sensor->heat;
    if (sensor && sensor->note) out[2] = *sensor->note;
    if (place && place->heat) out[3] = *place->heat > 1;
    if (place && place->sensor) out[4] = *place->sensor;
    return out;
  }
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t below(std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(engine_);
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }

  std::string place() { return std::string(1, static_cast<char>('a' + below(3))); }
  // Few instants and few values: ties, edges and exact repeats are common.
  Reading reading(std::int64_t from, std::int64_t until) {
    Reading r{place(), below(2), from + below(until - from), {}, {}, {}};
    if (one_in(20)) r.place.reset();
    if (one_in(20)) r.sensor.reset();
    if (one_in(20)) r.time.reset();
    if (r.time && !one_in(4)) r.created = *r.time + below(6) - 1;
    if (!one_in(4)) r.heat = static_cast<double>(below(3));
    if (!one_in(4)) r.note = "n" + std::to_string(below(3));
    return r;
  }
  std::vector<Reading> readings(std::int64_t from, std::int64_t until) {
    std::vector<Reading> out;
    for (std::int64_t count = below(50); count > 0; --count) out.push_back(reading(from, until));
    return out;
  }

 private:
  std::mt19937 engine_;
};

std::string text_of(const std::vector<Scalar>& row) {
  std::string text;
  for (const Scalar& value : row) text += json::serialize(to_json(value)) + " ";
  return text;
}

class EqualityTest : public FeaturesTest {
 protected:
  // Without room to keep anything, the engine joins by itself.
  Service slow_{*db_,     *olap_, *blobs_,  rocks_->store(),
                catalog_, clock_, metrics_, {.scratch = folder_ / "scratch", .kept_bytes = 0}};

  EqualityTest() {
    given({});
    test::must(apply(source() + views() + schema()));
  }

  std::string write(const std::vector<Question>& questions) {
    std::string values = "(NULL::VARCHAR, NULL::BIGINT, NULL::TIMESTAMP, -1)";
    for (std::size_t i = 0; i < questions.size(); ++i)
      values += ", (" + sql_text(questions[i].place) + ", " + sql_number(questions[i].sensor) +
                ", " + sql_time(questions[i].time) + ", " + std::to_string(i) + ")";
    const std::string path = folder_ / "questions.parquet";
    run("COPY (SELECT * FROM (VALUES " + values +
        ") AS t(place, sensor, event_time, id) WHERE id >= 0) TO '" + path + "' (FORMAT parquet)");
    return path;
  }
  // The features of each row, as text; ids say that all rows came, in their order.
  std::vector<std::string> join(const HistoricalInput& input) {
    const auto out = test::must(features_.historical(ana_, input));
    EXPECT_EQ(test::must(slow_.historical(ana_, input)).digest, out.digest);
    const auto found =
        rows("SELECT id, place_heat, heat, note, hot, last_sensor FROM read_parquet(" +
             olap::quoted_text(out.uri) + ")");
    EXPECT_EQ(out.row_count, static_cast<std::int64_t>(found.size()));
    std::vector<std::string> texts;
    for (const auto& row : found) {
      EXPECT_EQ(std::get<std::int64_t>(row[0]), static_cast<std::int64_t>(texts.size()));
      texts.push_back(text_of({row.begin() + 1, row.end()}));
    }
    return texts;
  }
};

TEST_F(EqualityTest, AJoinGivesWhatTheOracleGives) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const auto readings = random.readings(0, 20);
    given(readings);
    std::vector<Question> questions;
    for (std::int64_t count = random.below(40); count > 0; --count) {
      Question q{random.place(), random.below(3), random.below(28)};
      if (random.one_in(15)) q.place.reset();
      if (random.one_in(15)) q.sensor.reset();
      if (random.one_in(15)) q.time.reset();
      questions.push_back(q);
      if (random.one_in(5)) questions.push_back(q);
    }
    HistoricalInput input{.entity_path = write(questions), .feature_schema = "features_v1"};
    std::optional<std::int64_t> known;
    if (random.one_in(2)) {
      known = random.below(24);
      input.known_as_of = at(*known);
    }
    const auto found = join(input);
    const Oracle oracle{readings, known, {}};
    ASSERT_EQ(found.size(), questions.size());
    for (std::size_t i = 0; i < questions.size(); ++i)
      ASSERT_EQ(found[i], text_of(oracle.row(questions[i]))) << "row " << i;
  }
}

// Each seed has a store of its own: what one leaves behind is no row of the next.
class OnlineEqualityTest : public EqualityTest, public testing::WithParamInterface<unsigned> {};
INSTANTIATE_TEST_SUITE_P(Seeds, OnlineEqualityTest, testing::Range(0u, 25u));

TEST_P(OnlineEqualityTest, OnlineGivesWhatTheOracleGivesForTheSameInstant) {
  Random random(GetParam());
  auto readings = random.readings(0, 20);
  given(readings);
  std::int64_t now = -1;
  for (int step = 0; step < 5; ++step) {
    now += 1 + random.below(9);
    materialize(now);
    EXPECT_EQ(materialize(now), 0);
    const Oracle oracle{readings, {}, now};
    for (const char* place : {"a", "b", "c"})
      for (std::int64_t sensor = 0; sensor < 2; ++sensor)
        for (const std::int64_t ahead : {0, 1, 5, 6})
          ASSERT_EQ(text_of(read(place, sensor, now + ahead).values),
                    text_of(oracle.row({place, sensor, now + ahead})))
              << place << sensor << " at " << now << "+" << ahead << " in step " << step;
    // G4: the offline join as of the same instant gives the same row.
    std::vector<Question> questions;
    for (const char* place : {"a", "b", "c"})
      for (std::int64_t sensor = 0; sensor < 2; ++sensor) questions.push_back({place, sensor, now});
    const auto offline = join({.entity_path = write(questions), .feature_schema = "features_v1"});
    for (std::size_t i = 0; i < questions.size(); ++i)
      ASSERT_EQ(offline[i], text_of(read(*questions[i].place, *questions[i].sensor, now).values))
          << *questions[i].place << *questions[i].sensor << " at " << now << " in step " << step;
    const auto verified = test::must(features_.verify(ana_, {.name = "features_v1"}));
    EXPECT_EQ(verified.differing, 0);
    if (random.one_in(2)) {
      // Rows that nobody had seen before turn up, some of them of long ago.
      for (const Reading& late : random.readings(0, 25)) readings.push_back(late);
      given(readings);
    }
  }
}

}  // namespace
}  // namespace penstock::features
