#include "features/codec.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class OnlineTest : public FeaturesTest {
 protected:
  OnlineTest() {
    given({{"a", 1, 0, 0, 1.0, "x"}, {"a", 1, 10, 12, 2.0, "y"}, {"b", 2, 5, {}, {}, "z"}});
    test::must(apply(source() + views() + schema()));
  }
  static std::string text_of(const FeatureRow& row) {
    std::string text;
    for (std::size_t i = 0; i < row.values.size(); ++i)
      text += json::serialize(to_json(row.values[i])) + ":" +
              std::string(name_of(row.statuses[i])) + " ";
    return text;
  }
  Result<PushOutput> push(const std::string& rows) {
    PushInput input{.view = "sensor_heat"};
    const json::value parsed = json::parse(rows);
    for (const auto& row : parsed.as_array()) input.rows.push_back(row.as_object());
    return features_.push(ana_, input);
  }
  static std::string heat(std::int64_t event, std::int64_t created, double value) {
    return R"([{"place": "a", "sensor": 1, "seen": ")" + to_rfc3339(at(event)) +
           R"(", "created": ")" + to_rfc3339(at(created)) + R"(", "heat": )" +
           std::to_string(value) + R"(, "note": "p"}])";
  }
};

TEST_F(OnlineTest, SaysOfEachValueWhatItIs) {
  EXPECT_EQ(materialize(-5), 0);
  EXPECT_EQ(text_of(read("a", 1, 0)),
            "null:NOT_FOUND null:NOT_FOUND null:NOT_FOUND null:NOT_FOUND null:NOT_FOUND ");
  EXPECT_EQ(materialize(9), 4);
  EXPECT_EQ(text_of(read("a", 1, 5)),
            "1E0:PRESENT 1E0:PRESENT \"x\":PRESENT false:PRESENT 1:PRESENT ");
  EXPECT_EQ(text_of(read("a", 1, 6)),
            "1E0:PRESENT null:OUTSIDE_MAX_AGE null:OUTSIDE_MAX_AGE false:PRESENT 1:PRESENT ");
  EXPECT_EQ(text_of(read("b", 2, 6)),
            "null:NULL_VALUE null:NULL_VALUE \"z\":PRESENT null:NULL_VALUE 2:PRESENT ");
  const FeatureRow row = read("b", 2, 4);
  EXPECT_EQ(row.from_future, 2);
  EXPECT_EQ(row.statuses[0], Status::NOT_FOUND);
  EXPECT_FALSE(row.oldest);
  EXPECT_EQ(read("a", 1, 3).oldest, at(0));
}

TEST_F(OnlineTest, MovesEachRowOnceItHasArrived) {
  EXPECT_EQ(materialize(9), 4);
  EXPECT_EQ(materialize(9), 0);
  EXPECT_EQ(materialize(3), 0);
  EXPECT_EQ(materialize(10), 1);  // place_heat's row; sensor_heat's was created at 12
  EXPECT_EQ(text_of(read("a", 1, 11)).substr(0, 30), "2E0:PRESENT null:OUTSIDE_MAX_A");
  EXPECT_EQ(materialize(12), 1);
  EXPECT_EQ(text_of(read("a", 1, 12)).substr(0, 24), "2E0:PRESENT 2E0:PRESENT ");
  const auto list = test::must(features_.list(ana_));
  ASSERT_EQ(list.views.size(), 2u);
  EXPECT_EQ(list.views[0].watermark, at(12));
}

TEST_F(OnlineTest, GoesOnWhereAnotherProcessStopped) {
  materialize(9);
  Service again(*db_, *olap_, *blobs_, rocks_->store(), catalog_, clock_, metrics_,
                {.scratch = folder_ / "scratch"});
  EXPECT_EQ(test::must(again.materialize(ana_, {.until = at(9)})).rows, 0);
  EXPECT_EQ(test::must(again.materialize(ana_, {.until = at(20)})).rows, 2);
  // This one read ahead of the old mark, and must not move what is there already.
  EXPECT_EQ(materialize(20), 0);
  EXPECT_EQ(materialize(21), 0);
}

TEST_F(OnlineTest, MovesManyRowsInStretches) {
  run("COPY (SELECT 'p' || (i % 977) AS place, i % 2 AS sensor, TIMESTAMP '2020-09-13 12:26:40' + "
      "to_seconds(i // 7) AS seen, CAST(NULL AS TIMESTAMP) AS created, CAST(i AS DOUBLE) AS heat, "
      "'n' AS note FROM range(50000) AS t(i)) TO '" +
      folder_ / "readings.parquet" + "' (FORMAT parquet)");
  std::int64_t moved = 0;
  for (const std::int64_t until : {-1, 0, 1, 2, 700, 701, 3000, 7000, 8000, 9000})
    moved += materialize(until);
  EXPECT_EQ(moved, 100'000);
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "features_v1", .sample = 5000})).differing,
            0);
  EXPECT_EQ(read("p0", 0, 7142).values[0], Scalar(49827.0));
}

// An engine of which one session cannot be had.
class Faulty final : public olap::Engine {
 public:
  explicit Faulty(olap::Engine& inner) : inner_(inner) {}
  void fail_after(int sessions) { left_ = sessions; }
  Result<std::unique_ptr<olap::Session>> session() override {
    if (left_-- == 0) return Error{Code::resource_exhausted, "the engine has no memory"};
    return inner_.session();
  }

 private:
  olap::Engine& inner_;
  int left_ = -1;
};

TEST_F(OnlineTest, LosesNoRowWhereverTheEngineFails) {
  Faulty engine(*olap_);
  Service service{*db_,     engine, *blobs_,  rocks_->store(),
                  catalog_, clock_, metrics_, {.scratch = folder_ / "scratch"}};
  std::vector<Reading> readings;
  int failures = 0;
  for (int step = 0; step < 16; ++step) {
    const std::int64_t now = 10 * (step + 1);
    for (int i = 0; i < 5; ++i)
      readings.push_back({"p" + std::to_string(i), 1, now - i, {}, 100.0 * step + i, "n"});
    given(readings);
    engine.fail_after(step / 2);
    failures += service.materialize(ana_, {.until = at(now)}) ? 0 : 1;
    engine.fail_after(-1);
    test::must(service.materialize(ana_, {.until = at(now + 5)}));
    ASSERT_EQ(test::must(service.verify(ana_, {.name = "features_v1", .sample = 1'000})).differing,
              0)
        << "step " << step;
  }
  EXPECT_GT(failures, 5);
}

// As a backfill brings them: more than one stretch of them, of one instant, and of one entity more
// than one.
TEST_F(OnlineTest, MovesManyRowsThatArrivedTogether) {
  const std::string rows =
      "SELECT 'p' || (i % 60000) AS place, 1 AS sensor, TIMESTAMP '2020-09-13 12:26:40' + "
      "to_seconds(i // 30000) AS seen, TIMESTAMP '2020-09-13 12:30:00' AS created, "
      "CAST(i AS DOUBLE) AS heat, repeat('n', 200) AS note FROM range(150000) AS t(i)";
  run("COPY (" + rows + ") TO '" + folder_ / "readings.parquet" + "' (FORMAT parquet)");
  const auto moved = [&](std::int64_t seconds) {
    return test::must(features_.materialize(ana_, {.views = {"sensor_heat"}, .until = at(seconds)}))
        .rows;
  };
  EXPECT_EQ(moved(199), 0);
  EXPECT_EQ(moved(200), 150'000);
  EXPECT_EQ(moved(201), 0);
  EXPECT_EQ(test::must(features_.list(ana_)).views[1].watermark, at(201));
  EXPECT_EQ(
      test::must(features_.verify(ana_, {.name = "sensor_heat", .sample = 100'000})).differing, 0);
  EXPECT_EQ(read("p29999", 1, 5).values[1], Scalar(149'999.0));
  EXPECT_EQ(read("p30000", 1, 5).values[1], Scalar(90'000.0));

  // What changed is written anew, in stretches too.
  run("COPY (SELECT * REPLACE (heat + 0.5 AS heat) FROM (" + rows + ")) TO '" +
      folder_ / "readings.parquet" + "' (FORMAT parquet)");
  EXPECT_EQ(moved(300), 60'000);
  EXPECT_EQ(read("p29999", 1, 5).values[1], Scalar(149'999.5));
}

// A view that is not there yet is moved in large stretches, which arrive one after the other and
// hold the same entities: what counts is what the later brings, and what is there already stays
// where it is newer.
TEST_F(OnlineTest, MovesTheFirstRowsInLargeStretches) {
  test::must(push(heat(100'000, 100'000, 7)));  // of an entity that they bring too
  run("COPY (SELECT CASE WHEN i % 70000 = 11 THEN 'a' ELSE 'p' || (i % 70000) END AS place, 1 AS "
      "sensor, TIMESTAMP '2020-09-13 12:26:40' + to_milliseconds(i) AS seen, CAST(NULL AS "
      "TIMESTAMP) AS created, CAST(i AS DOUBLE) AS heat, repeat('n', 200) AS note FROM "
      "range(600000) AS t(i)) TO '" +
      folder_ / "readings.parquet" + "' (FORMAT parquet)");
  const auto moved =
      test::must(features_.materialize(ana_, {.views = {"sensor_heat"}, .until = at(590)}));
  EXPECT_EQ(moved.rows, 590'001);
  EXPECT_EQ(read("a", 1, 100'000).values[1], Scalar(7.0));
  EXPECT_EQ(read("p0", 1, 560).values[1], Scalar(560'000.0));
  EXPECT_EQ(read("p69999", 1, 560).values[1], Scalar(559'999.0));
  EXPECT_EQ(read("p30000", 1, 590).values[1], Scalar(590'000.0));
  EXPECT_EQ(read("p30001", 1, 521).values[1], Scalar(520'001.0));
  EXPECT_EQ(
      test::must(features_.materialize(ana_, {.views = {"sensor_heat"}, .until = at(700)})).rows,
      9'999);
  const auto found = test::must(features_.verify(ana_, {.name = "sensor_heat", .sample = 100'000}));
  EXPECT_EQ(found.differing, 1) << "but the one that was pushed";
}

TEST_F(OnlineTest, NeverTakesAnOlderValueBack) {
  materialize(9);
  EXPECT_EQ(test::must(push(heat(4, 4, 5))).written, 1);
  EXPECT_EQ(test::must(push(heat(3, 9, 6))).ignored, 1);
  EXPECT_EQ(test::must(push(heat(4, 3, 7))).ignored, 1);
  EXPECT_EQ(read("a", 1, 5).values[1], Scalar(5.0));
  EXPECT_EQ(test::must(push(heat(4, 4, 8))).written,
            1);  // as late as what is there: the later write
  EXPECT_EQ(test::must(push(heat(4, 6, 9))).written, 1);
  EXPECT_EQ(read("a", 1, 5).values[1], Scalar(9.0));
  const auto found = test::must(features_.verify(ana_, {.name = "sensor_heat"}));
  EXPECT_EQ(found.differing, 1);
  EXPECT_NE(found.differences.at(0).cause.find("it was pushed"), std::string::npos);
}

TEST_F(OnlineTest, SaysWhatIsWrongWithARowThatIsPushed) {
  struct Case {
    std::string rows, fault;
  };
  const std::string time = "\"seen\": \"2020-01-01T00:00:00Z\"";
  const Case cases[] = {
      {"[{\"sensor\": 1, " + time + "}]", "rows[0].place is missing"},
      {"[{\"place\": \"a\", \"sensor\": \"x\", " + time + "}]",
       "rows[0].sensor must be of type bigint"},
      {"[{\"place\": \"a\", \"sensor\": 1}]", "rows[0].seen is missing"},
      {"[{\"place\": \"a\", \"sensor\": 1, \"seen\": \"soon\"}]",
       "rows[0].seen must be of type string"},
      {"[{\"place\": \"a\", \"sensor\": 1, " + time + ", \"heat\": \"hot\"}]",
       "rows[0].heat must be of type double"},
      {"[{\"place\": \"a\", \"sensor\": 1, " + time + ", \"cold\": 1}]",
       "rows[0].cold is no column of the view"},
  };
  for (const Case& c : cases) {
    const auto out = push(c.rows);
    ASSERT_FALSE(out) << c.rows;
    EXPECT_NE(test::faults_of(out.error()).find(c.fault), std::string::npos)
        << test::faults_of(out.error());
  }
  EXPECT_EQ(features_.push(ana_, {.view = "none", .rows = {{}}}).error().code, Code::not_found);
}

TEST_F(OnlineTest, VerifyNamesEachDifferenceWithItsCause) {
  EXPECT_EQ(features_.verify(ana_, {.name = "features_v1"}).error().code,
            Code::failed_precondition);
  EXPECT_EQ(features_.verify(ana_, {.name = "none"}).error().code, Code::not_found);
  materialize(20);
  EXPECT_EQ(test::must(features_.verify(ana_, {.name = "features_v1"})).differing, 0);
  // What a broken disk or another writer may do: a row gone, a row changed, a row too many.
  const auto view = test::must(features_.open_schema(ana_, "features_v1"))->views[1];
  ASSERT_EQ(view->view.name, "sensor_heat");
  kv::Batch batch;
  batch.erase(row_key(*view, {"b", "2"}));
  batch.put(row_key(*view, {"a", "1"}),
            encode_row(*view, {at(10), at(12), {Scalar(3.0), Scalar("y")}}));
  batch.put(row_key(*view, {"c", "1"}), encode_row(*view, {at(1), at(1), {Scalar{}, Scalar{}}}));
  test::must(rocks_->store().write(batch, kv::Durability::process));
  const auto found = test::must(features_.verify(ana_, {.name = "sensor_heat"}));
  EXPECT_EQ(found.differing, 3);
  std::string text;
  for (const auto& d : found.differences)
    text += d.entity + "|" + d.feature + "|" + d.online + "|" + d.offline + "\n";
  EXPECT_NE(text.find("a, 1|heat|3E0|2E0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("b, 2||||"), 0u) << text;
  EXPECT_NE(text.find("c, 1||a row|\n"), std::string::npos) << text;
}

TEST_F(OnlineTest, RefusesEntitiesThatAreNone) {
  const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
  EXPECT_EQ(features_.read(*handle, {{"place", "a"}}, at(0)).error().code, Code::invalid_argument);
  EXPECT_EQ(features_.read(*handle, {{"place", "a"}, {"sensor", "one"}}, at(0)).error().code,
            Code::invalid_argument);
  materialize(9);
  EXPECT_EQ(
      test::must(features_.read(*handle, {{"place", "a"}, {"sensor", "001"}}, at(1))).values[1],
      Scalar(1.0));
  const auto out = features_.online(
      ana_, {.feature_schema = "features_v1", .entities = {{{"place", "a"}}}, .event_time = at(1)});
  EXPECT_NE(test::faults_of(out.error()).find("entities[0].sensor is missing"), std::string::npos);
}

TEST_F(OnlineTest, KeepsProjectsApart) {
  materialize(9);
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(features_.open_schema(other, "features_v1").error().code, Code::not_found);
  EXPECT_EQ(test::must(features_.materialize(other, {.until = at(9)})).views.size(), 0u);
}

TEST_F(OnlineTest, FindsDamage) {
  materialize(9);
  const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
  const auto& view = *handle->views[1];
  const std::string key = row_key(view, {"a", "1"});
  const std::string whole = *test::must(rocks_->store().get(key));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    kv::Batch batch;
    batch.put(key, whole.substr(0, size));
    test::must(rocks_->store().write(batch, kv::Durability::process));
    EXPECT_EQ(features_.read(*handle, {{"place", "a"}, {"sensor", "1"}}, at(1)).error().code,
              Code::data_loss)
        << size;
  }
}

}  // namespace
}  // namespace penstock::features
