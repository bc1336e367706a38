#include "features/changes.h"
#include "tests/unit/features/operations_fixture.h"

namespace penstock::features {
namespace {

class ChangesTest : public OperationsTest {
 protected:
  ChangesTest() {
    given({{"a", 1, 0, 0, 1.0, "x"}});
    test::must(apply(source() + sensor_heat("") + R"(kind: feature_schema
name: features_v1
owner: sensors
features: [{view: sensor_heat, feature: heat}]
)"));
  }
  static std::string with(const std::string& features, const std::string& more = "") {
    std::string text = sensor_heat(more);
    const std::size_t at = text.find("features: ");
    return text.replace(at, text.find('\n', at) - at, "features: " + features);
  }
};

TEST_F(ChangesTest, AChangedViewStandsBesideTheOneThatIsPinned) {
  test::must(move(10));
  test::must(apply(with("[{name: heat}, {name: note, type: text}]", "ttl: 1h\n")));
  EXPECT_EQ(test::must(features_.open_schema(ana_, "features_v1"))->views.at(0)->version, 1);
  EXPECT_EQ(status("sensor_heat", 1).watermark, at(10));
  EXPECT_FALSE(status("sensor_heat", 2).watermark);
  test::must(move(20));
  EXPECT_EQ(status("sensor_heat", 1).watermark, at(20));
  EXPECT_EQ(status("sensor_heat", 2).watermark, at(20));
}

TEST_F(ChangesTest, RefusesWhatItsReadersWouldFeelAndNamesThem) {
  const std::string way =
      " (compatibility: forward; used by feature_schema:features_v1@1): give the changed view "
      "another name, or say compatibility: none, and those who pinned a version keep it\n";
  const std::string view = "feature_view sensor_heat: ";
  EXPECT_EQ(faults(with("[{name: heat}]")),
            view + "features lack note, which was there in version 1" + way);
  EXPECT_EQ(faults(with("[{name: heat, type: text}, {name: note, type: text}]"))
                .substr(0, 200)
                .find(view + "features[0].type heat was double and is text in version 1"),
            0u);
  std::string other = sensor_heat("");
  other.replace(other.find("entity: sensor"), 14, "entity: place");
  EXPECT_EQ(faults(other), view +
                               "entity was sensor and is place: rows of one are found by keys "
                               "of the other in version 1" +
                               way);
  // Nothing was changed by any of them.
  EXPECT_EQ(status("sensor_heat").version, 1);
  test::must(apply(with("[{name: heat}]", "compatibility: none\n")));
  EXPECT_EQ(status("sensor_heat").version, 2);
  EXPECT_EQ(test::must(features_.open_schema(ana_, "features_v1"))->names,
            std::vector<std::string>{"heat"});
  std::string renamed = with("[{name: heat}]");
  renamed.replace(renamed.find("sensor_heat"), 11, "sensor_heat_2");
  test::must(apply(renamed));
}

TEST_F(ChangesTest, AddsAndWidensFreely) {
  struct Case {
    std::string mode, features;
    bool allowed;
  };
  const Case cases[] = {
      {"forward", "[{name: heat}, {name: note, type: text}, {name: sensor_2, type: bigint}]", true},
      {"backward", "[{name: heat}]", true},
      {"full", "[{name: heat}]", false},
      {"none", "[{name: heat}]", true},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.mode);
    std::string text = with(c.features, "compatibility: " + c.mode + "\n");
    text.replace(text.find("heat, note FROM"), 15, "heat, note, sensor AS sensor_2 FROM");
    resources::ApplyInput input{.dry_run = true};
    for (const auto& document : test::must(yaml::parse(text)))
      input.documents.push_back({.declaration = document.value.as_object()});
    EXPECT_EQ(static_cast<bool>(resources_.apply(ana_, input)), c.allowed);
  }
}

TEST_F(ChangesTest, AnEntityThatIsDescribedKeepsItsKeys) {
  const std::string keys = R"(kind: entity
name: sensor
owner: sensors
join_keys: [{name: place, type: text}]
---
kind: entity
name: place
owner: others
join_keys: [{name: place, type: text}]
)";
  EXPECT_EQ(faults(keys),
            "entity sensor: join_keys cannot change while views describe the entity by them "
            "(feature_view:sensor_heat); declare an entity of another name, and views of it\n");
}

}  // namespace
}  // namespace penstock::features
