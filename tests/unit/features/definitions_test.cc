#include "tests/unit/features/features_fixture.h"

namespace penstock::features {
namespace {

class DefinitionsTest : public FeaturesTest {
 protected:
  DefinitionsTest() { given({{"a", 1, 0, 0, 1.0, "x"}}); }
  static std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const std::size_t place = text.find(what);
    if (place == std::string::npos) throw std::runtime_error("the test's text lacks " + what);
    return text.replace(place, what.size(), with);
  }
};

TEST_F(DefinitionsTest, KeepsWhatIsGood) {
  const auto out = test::must(apply(source() + views() + schema()));
  EXPECT_EQ(out.changes.size(), 6u);
  for (const auto& change : test::must(apply(source() + views() + schema())).changes)
    EXPECT_EQ(change.action, resources::Action::unchanged) << change.name;
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "feature_schema:features_v1@1"}));
  std::string urns;
  for (const auto& node : trace.nodes) urns += node.urn + "\n";
  EXPECT_EQ(urns,
            "feature_schema:features_v1@1\nfeature_view:place_heat@1\nfeature_view:sensor_heat@1\n"
            "entity:place@1\nentity:sensor@1\nsource:readings@1\n");
}

TEST_F(DefinitionsTest, RefusesViewsThatCannotBeRead) {
  test::must(apply(source()));
  struct Case {
    std::string what, from, to, fault;
  };
  const Case cases[] = {
      {"SQL that does not bind", "SELECT place, sensor, seen,",
       "SELECT place, sensor, nothing, seen,", "sql does not bind"},
      {"SQL that is none", "SELECT place, sensor, seen,", "SELECT FROM WHERE", "sql "},
      {"SQL that writes", "SELECT place, sensor, seen, created, heat, note FROM readings",
       "DELETE FROM readings", "sql must be a SELECT"},
      {"two statements", "note FROM readings", "note FROM readings; DROP TABLE x",
       "sql must be a single statement"},
      {"a file by its path", "note FROM readings", "note FROM '/etc/passwd'",
       "sql reads /etc/passwd, which is not among the view's sources"},
      {"a file by a function", "note FROM readings", "note FROM read_csv('/etc/passwd')",
       "sql must not call read_csv"},
      {"no join key", "SELECT place, sensor, seen,", "SELECT place, seen,",
       "sql must give sensor, a join key of entity sensor"},
      {"no event time", "event_time: seen", "event_time: when",
       "event_time when is not a column of the SQL"},
      {"an event time that is no time", "event_time: seen", "event_time: heat",
       "event_time heat is DOUBLE, not a timestamp"},
      {"a TTL that is no duration", "ttl: 5s", "ttl: 5 seconds",
       "ttl must be a duration: a number and its unit, such as 30s, 12h or 90d"},
      {"no created time", "created_time: created", "created_time: made",
       "created_time made is not a column of the SQL"},
      {"a feature that is no column", "{name: heat}", "{name: cold}",
       "features[0].name cold is not a column of the SQL"},
      {"a feature of another type", "note, type: text", "note, type: bigint",
       "features[1].type note is VARCHAR, not bigint"},
      {"a feature twice", "{name: heat}", "{name: heat}, {name: heat}", "stands there twice"},
      {"a feature that is a key", "{name: heat}", "{name: sensor}", "is a join key"},
      {"a reserved name", "{name: heat}", "{name: event_time}", "must not be event_time"},
      {"an unknown source", "sources: [readings]", "sources: [measurements]",
       "there is no source measurements"},
      {"itself as its source", "sources: [readings]", "sources: [sensor_heat]",
       "there is no source sensor_heat"},
      {"an unknown entity", "entity: sensor", "entity: device", "there is no entity device"},
      {"a negative TTL", "ttl: 5s", "ttl: -5s", "ttl"},
      {"no features", "features: [{name: heat}, {name: note, type: text}]", "features: []",
       "features must be at least 1 items"},
      {"a field that nobody knows", "ttl: 5s", "lifetime: 5s", "lifetime"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string found = faults(replaced(views(), c.from, c.to));
    EXPECT_NE(found.find(c.fault), std::string::npos) << found;
  }
  EXPECT_EQ(test::count(*db_, "resources WHERE kind = 'feature_view'"), 0);
}

TEST_F(DefinitionsTest, RefusesAViewWhoseFileIsGone) {
  test::must(apply(source()));
  std::filesystem::remove(folder_ / "readings.parquet");
  EXPECT_NE(faults(views()).find("sources cannot be read"), std::string::npos);
}

TEST_F(DefinitionsTest, RefusesSchemasThatNameNothing) {
  test::must(apply(source() + views()));
  struct Case {
    std::string what, from, to, fault;
  };
  const Case cases[] = {
      {"an unknown view", "view: sensor_heat, feature: heat", "view: none, feature: heat",
       "there is no feature_view none"},
      {"an unknown feature", "feature: heat}", "feature: cold}",
       "features[1].feature cold is not a feature of sensor_heat@1"},
      {"a name twice", "feature: note", "feature: note, name: heat", "heat stands there twice"},
      {"a pin of an unknown version", "owner: sensors", "owner: sensors\nviews: {sensor_heat: 9}",
       "there is no feature_view sensor_heat version 9"},
      {"a pin of nothing", "owner: sensors", "owner: sensors\nviews: {other: 1}",
       "views.other is pinned"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const std::string found = faults(replaced(schema(), c.from, c.to));
    EXPECT_NE(found.find(c.fault), std::string::npos) << found;
  }
}

TEST_F(DefinitionsTest, PinsTheViewsOfASchema) {
  test::must(apply(source() + views() + schema()));
  std::string changed = replaced(views(), "heat > 1 AS hot", "heat > 2 AS hot");
  test::must(apply(changed));
  const auto first = test::must(features_.open_schema(ana_, "features_v1"));
  EXPECT_EQ(first->reference(), "features_v1@1");
  EXPECT_EQ(first->views[0]->reference(), "place_heat@1");
  test::must(apply(schema()));
  const auto second = test::must(features_.open_schema(ana_, "features_v1"));
  EXPECT_EQ(second->reference(), "features_v1@2");
  EXPECT_EQ(second->views[0]->reference(), "place_heat@2");
  const auto old = test::must(features_.open_schema(ana_, "feature_schema:features_v1@1"));
  EXPECT_EQ(old->views[0]->reference(), "place_heat@1");

  // Both versions are served: the old one is still open.
  given({{"a", 1, 0, 0, 1.5, "x"}});
  materialize(10);
  const auto hot = [&](const SchemaHandle& handle) {
    return test::must(features_.read(handle, {{"place", "a"}, {"sensor", "1"}}, at(3))).values[3];
  };
  EXPECT_EQ(hot(*old), Scalar(true));
  EXPECT_EQ(hot(*second), Scalar(false));
}

TEST_F(DefinitionsTest, RefusesReferencesThatAreNone) {
  test::must(apply(source() + views() + schema()));
  for (const char* name : {"", "@1", "features_v1@", "features_v1@0", "features_v1@x"})
    EXPECT_EQ(features_.open_schema(ana_, name).error().code, Code::invalid_argument) << name;
  for (const char* name : {"none", "features_v1@2", "a b"})
    EXPECT_EQ(features_.open_schema(ana_, name).error().code, Code::not_found) << name;
  EXPECT_EQ(features_.open_features(ana_, {"heat"}).error().code, Code::invalid_argument);
  EXPECT_EQ(features_.open_features(ana_, {}).error().code, Code::invalid_argument);
  EXPECT_EQ(features_.open_features(ana_, {"sensor_heat:cold"}).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::features
