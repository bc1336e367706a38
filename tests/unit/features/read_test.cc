// Many entities at once, and the names that are kept open for them.
#include "features/batch.h"
#include "features/codec.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

using Form = EntityColumns::Form;

class ReadTest : public FeaturesTest {
 protected:
  ReadTest() {
    given({{"a", 1, 0, 0, 1.0, "x"},
           {"d", 2, 10, 12, 2.0, "y"},
           {"b", 2, 5, {}, {}, "z"},
           {"c", 3, 1, {}, 4.0, {}}});
    test::must(apply(source() + views() + schema()));
    materialize(30);
  }
  std::string fault_of(Form form, std::vector<std::string_view> names,
                       std::vector<std::string_view> cells) {
    const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
    EntityColumns entities{.form = form, .names = std::move(names), .cells = std::move(cells)};
    entities.rows = entities.cells.size() / entities.names.size();
    const auto out = features_.read_many(*handle, entities, at(9));
    return out ? "" : test::faults_of(out.error());
  }
};

TEST_F(ReadTest, GivesManyWhatItGivesEach) {
  const auto handle = test::must(features_.open_schema(ana_, "features_v1"));
  const std::vector<std::string_view> places{"a", "b", "none", "c", "d", "a"},
      sensors{"1", "2", "1", "03", "2", "7"};
  EntityColumns entities{.rows = places.size(), .names = {"sensor", "unused", "place"}};
  for (const auto& column : {sensors, places, places})
    entities.cells.insert(entities.cells.end(), column.begin(), column.end());
  for (const std::int64_t seconds : {-1, 0, 3, 5, 6, 11, 40}) {
    SCOPED_TRACE(seconds);
    const FeatureColumns found = test::must(features_.read_many(*handle, entities, at(seconds)));
    std::int64_t from_future = 0;
    for (std::size_t row = 0; row < entities.rows; ++row) {
      const FeatureRow one = test::must(features_.read(
          *handle, {{"place", std::string(places[row])}, {"sensor", std::string(sensors[row])}},
          at(seconds)));
      from_future += one.from_future;
      for (std::size_t slot = 0; slot < handle->slots.size(); ++slot) {
        EXPECT_EQ(found.values[found.at(slot, row)], one.values[slot]);
        EXPECT_EQ(found.statuses[found.at(slot, row)], one.statuses[slot]);
      }
      for (std::size_t view = 0; view < handle->views.size(); ++view)
        EXPECT_EQ(found.event_times[found.at(view, row)], one.event_times[view]);
    }
    EXPECT_EQ(found.from_future, from_future);
  }
}

TEST_F(ReadTest, NamesTheCellThatIsWrongAsItWasWritten) {
  const std::string_view null;
  EXPECT_EQ(fault_of(Form::rows, {"place"}, {"a"}), "entities[0].sensor is missing\n");
  EXPECT_EQ(fault_of(Form::columns, {"place"}, {"a"}), "entities.sensor is missing\n");
  EXPECT_EQ(fault_of(Form::one, {"place"}, {"a"}), "entities.sensor is missing\n");
  EXPECT_EQ(fault_of(Form::rows, {"place", "sensor"}, {"a", "a", "1", null}),
            "entities[1].sensor is missing\n");
  EXPECT_EQ(fault_of(Form::columns, {"place", "sensor"}, {"a", "a", "1", "x"}),
            "entities.sensor[1] must be of type bigint\n");
  EXPECT_EQ(fault_of(Form::columns, {"place", "sensor"}, {"a", "1"}), "");
}

TEST_F(ReadTest, ReadsTheSlotsThatAreAskedForInAnyOrderAndTwice) {
  const auto handle = test::must(features_.open_features(
      ana_, {"sensor_heat:note", "place_heat:hot", "sensor_heat:note", "sensor_heat:heat"}));
  EntityColumns one{.rows = 1, .names = {"place", "sensor"}, .cells = {"a", "1"}};
  const FeatureColumns found = test::must(features_.read_many(*handle, one, at(3)));
  EXPECT_EQ(found.values,
            (std::vector<Scalar>{Scalar("x"), Scalar(false), Scalar("x"), Scalar(1.0)}));
}

TEST_F(ReadTest, FindsDamageBehindWhatIsRead) {
  const auto handle = test::must(features_.open_features(ana_, {"sensor_heat:heat"}));
  const std::string key = row_key(*handle->views[0], {"a", "1"});
  const std::string whole = *test::must(rocks_->store().get(key));
  kv::Batch batch;
  batch.put(key, whole.substr(0, whole.size() - 1));
  batch.put(row_key(*handle->views[0], {"b", "2"}), whole + "x");
  test::must(rocks_->store().write(batch, kv::Durability::process));
  for (const auto* place : {"a", "b"})
    EXPECT_EQ(
        features_.read(*handle, {{"place", place}, {"sensor", place[0] == 'a' ? "1" : "2"}}, at(5))
            .error()
            .code,
        Code::data_loss);
}

TEST_F(ReadTest, KeepsWhatANameMeansUntilSomethingIsApplied) {
  const auto one = test::must(features_.open_features(ana_, {"sensor_heat:heat"}));
  EXPECT_EQ(one, test::must(features_.open_features(ana_, {"sensor_heat:heat"})));
  EXPECT_NE(one, test::must(features_.open_features(ana_, {"sensor_heat:note"})));
  const auto schema_1 = test::must(features_.open_schema(ana_, "features_v1"));
  EXPECT_EQ(schema_1, test::must(features_.open_schema(ana_, "features_v1")));
  EXPECT_EQ(schema_1, test::must(features_.open_schema(ana_, "features_v1@1")));
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(features_.open_features(other, {"sensor_heat:heat"}).error().code, Code::not_found);

  std::string changed = source() + views() + schema();
  changed.replace(changed.find("ttl: 5s"), 7, "ttl: 9s");
  changed.replace(changed.find("name: features_v1\nowner: sensors"), 32,
                  "name: features_v1\nowner: others");
  test::must(apply(changed));
  EXPECT_EQ(one->views[0]->version, 1);
  EXPECT_EQ(test::must(features_.open_features(ana_, {"sensor_heat:heat"}))->views[0]->version, 2);
  EXPECT_EQ(test::must(features_.open_schema(ana_, "features_v1"))->version, 2);
  EXPECT_EQ(schema_1, test::must(features_.open_schema(ana_, "features_v1@1")));
}

TEST_F(ReadTest, SaysHowOldEachValueIsAndWhichKeysAreNone) {
  OnlineInput input{.feature_schema = "features_v1",
                    .entities = {{{"place", "a"}, {"sensor", "1"}}},
                    .event_time = at(3)};
  const auto out = test::must(features_.online(ana_, input));
  ASSERT_EQ(out.rows.size(), 1u);
  EXPECT_EQ(out.rows[0].ages, (std::vector<std::optional<double>>{3, 3, 3, 3, 3}));
  input.entities.push_back({{"place", "none"}, {"sensor", "1"}});
  EXPECT_EQ(test::must(features_.online(ana_, input)).rows[1].ages,
            std::vector<std::optional<double>>(5));
  input.entities[1]["plaice"] = "x";
  EXPECT_NE(test::faults_of(features_.online(ana_, input).error())
                .find("entities[1].plaice is no join key of any entity"),
            std::string::npos);
  // A key of another entity is known.
  EXPECT_TRUE(features_.online(
      ana_, {.features = {"place_heat:hot"}, .entities = {{{"place", "a"}, {"sensor", "1"}}}}));
}

}  // namespace
}  // namespace penstock::features
