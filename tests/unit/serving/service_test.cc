#include "serving/service.h"
#include "serving/stream.h"
#include "serving/topics.h"

#include <gtest/gtest.h>

#include "base/id.h"
#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    resources_.add(
        {"model",
         [](sql::Tx&, const Call&, const json::object& in) -> Result<json::object> { return in; },
         {}});
    service_.register_kinds(resources_);
    service_.reads_after(world_.telemetry);
    apply({{"kind", "model"}, {"name", "flight-delay"}, {"owner", "o"}});
    apply(route_);
  }

  void apply(const json::object& declaration) {
    must(resources_.apply(call_, {.documents = {{.declaration = declaration}}}));
  }
  Result<void> set(const std::vector<Target>& targets, const std::string& route = "flight-delay") {
    TRY(db_->write(
        call_, [&](sql::Tx& tx) { return service_.set_targets(tx, call_, route, targets, "r1"); }));
    return service_.publish(call_);
  }
  Artifact artifact(std::int64_t version) const {
    return {world_.model_file(version), "digest-" + std::to_string(version)};
  }
  Prediction predict(Gateway& gateway) {
    return must(gateway.infer(call_, {.route = "flight-delay", .rows = {{{"flight_id", "UA1"}}}}))
        .predictions.at(0);
  }

  const Call call_ = test::call();
  json::object route_{{"kind", "route"},
                      {"name", "flight-delay"},
                      {"owner", "ml-platform"},
                      {"model", "flight-delay"},
                      {"entity_keys", json::array{"flight_id"}},
                      {"feature_schema", "features_v1"},
                      {"unit", "flight_id"},
                      {"threshold", 0.4}};
  test::TempDir directory_;
  test::World world_{directory_.path()};
  std::unique_ptr<sql::Database> db_ = test::database();
  SystemClock clock_;
  Metrics metrics_;
  resources::Service resources_{*db_, clock_};
  std::int64_t known_versions_ = 3;
  ArtifactFinder find_ = [this](sql::Tx&, const Call&, const std::string& model,
                                std::int64_t version) -> Result<Artifact> {
    if (version <= known_versions_) return artifact(version);
    return Error{Code::not_found, "there is no " + model + "@v" + std::to_string(version)};
  };
  SchemaOpener open_ = [](const Call&, const std::string&) -> Result<OpenSchema> {
    return test::flight_schema();
  };
  Service service_{*db_,
                   world_.log(),
                   world_.runtime(),
                   clock_,
                   metrics_,
                   find_,
                   open_,
                   {.table_path = directory_ / "routing_table.json"}};
};

TEST_F(ServiceTest, PublishesWhatWasSetAndRecordsIt) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}, {"flight-delay", 2, 0, Arm::shadow}}));
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  EXPECT_EQ(predict(gateway).version, 1);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'serving.route.targets_set'"), 1);
  EXPECT_EQ(test::count(*db_,
                        "lineage_edges WHERE from_urn = 'route:flight-delay' AND to_urn LIKE "
                        "'model:flight-delay@v%'"),
            2);
  const RouteView view = must(service_.show(call_, {"flight-delay"}));
  ASSERT_EQ(view.targets.size(), 2u);
  EXPECT_TRUE(view.targets[0].ready && view.targets[1].ready);
  EXPECT_EQ(view.targets[0].answered, 1);

  must(set({{"flight-delay", 2, 10'000, Arm::live}}));
  EXPECT_EQ(predict(gateway).version, 2);
  // The graph says what serves now, and keeps what served before for questions about then.
  EXPECT_EQ(test::count(*db_, "lineage_edges WHERE to_urn = 'model:flight-delay@v1'"), 0);
  EXPECT_EQ(test::count(*db_, "lineage_past_edges WHERE to_urn = 'model:flight-delay@v1'"), 1);
  must(set({}));
  EXPECT_FALSE(gateway.infer(call_, {.route = "flight-delay", .rows = {{{"flight_id", "UA1"}}}}));
}

TEST_F(ServiceTest, RefusesRoutesThatCannotBeRouted) {
  json::object other = route_;
  other["name"] = "cheap-delay";
  other["fallbacks"] = json::array{"flight-delay"};
  apply(other);
  other["name"] = "by-tail";
  other["entity_keys"] = json::array{"tail"};
  other["unit"] = "";
  other["fallbacks"] = json::array{};
  apply(other);
  struct Case {
    std::string field;
    json::value value;
    std::string violated, says;
  };
  const auto rule = [](std::string_view when) {
    return json::array{json::object{{"when", when}, {"version", 1}}};
  };
  const Case cases[] = {
      {"rules", rule("tenat == \"a\""), "rules[0].when", "known are tenant"},
      {"rules", rule("entity(\"tail\") == \"a\""), "rules[0].when", "known are flight_id"},
      {"sticky", "session", "sticky", "header:NAME"},
      {"fallbacks", json::array{"nope"}, "fallbacks[0]", "not declared"},
      {"fallbacks", json::array{"flight-delay"}, "fallbacks[0]", "flight-delay -> flight-delay"},
      {"fallbacks", json::array{"cheap-delay"}, "fallbacks[0]",
       "flight-delay -> cheap-delay -> flight-delay"},
      {"fallbacks", json::array{"by-tail"}, "fallbacks[0]", "entity_keys"},
      {"shadow", json::object{{"sample", 1.5}}, "shadow.sample", "0 to 1"},
      {"payloads", json::object{{"sample", -1}}, "payloads.sample", "0 to 1"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.field + " " + json::serialize(c.value));
    json::object declaration = route_;
    declaration[c.field] = c.value;
    const auto got = resources_.apply(call_, {.documents = {{.declaration = declaration}}});
    ASSERT_FALSE(got);
    const std::string faults = test::faults_of(got.error());
    EXPECT_NE(faults.find(c.violated), std::string::npos) << faults;
    EXPECT_NE(faults.find(c.says), std::string::npos) << faults;
  }
}

TEST_F(ServiceTest, CompilesTheRulesOfWhatItPublishes) {
  route_["rules"] =
      json::array{json::object{{"when", "entity(\"flight_id\") == \"UA1\""}, {"version", 2}}};
  apply(route_);
  must(set({{"flight-delay", 1, 10'000, Arm::live}, {"flight-delay", 2, 0, Arm::canary}}));
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  EXPECT_EQ(predict(gateway).version, 2);
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  EXPECT_EQ(predict(gateway).version, 1) << "rolled back, the rule's callers go along";
}

TEST_F(ServiceTest, RefusesTargetsThatCannotServeAndChangesNothing) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  struct Case {
    std::string what;
    std::string route;
    std::vector<Target> targets;
    Code code;
    std::string says;
  };
  const Case cases[] = {
      {"unknown route", "nope", {{"flight-delay", 1, 10'000}}, Code::not_found, "nope"},
      {"unknown version", "flight-delay", {{"flight-delay", 9, 10'000}}, Code::not_found, "v9"},
      {"other model",
       "flight-delay",
       {{"other", 1, 10'000}},
       Code::invalid_argument,
       "must be flight-delay"},
      {"too little",
       "flight-delay",
       {{"flight-delay", 1, 9'999}},
       Code::invalid_argument,
       "add to 9999"},
      {"too much",
       "flight-delay",
       {{"flight-delay", 1, 10'000}, {"flight-delay", 2, 1, Arm::canary}},
       Code::invalid_argument,
       "10001"},
      {"negative",
       "flight-delay",
       {{"flight-delay", 1, 10'001}, {"flight-delay", 2, -1}},
       Code::invalid_argument,
       "0 to 10000"},
      {"a shadow with weight",
       "flight-delay",
       {{"flight-delay", 1, 9'000}, {"flight-delay", 2, 1'000, Arm::shadow}},
       Code::invalid_argument,
       "shadow"},
      {"only a shadow",
       "flight-delay",
       {{"flight-delay", 1, 0, Arm::shadow}},
       Code::invalid_argument,
       "add to 0"},
      {"twice",
       "flight-delay",
       {{"flight-delay", 1, 5'000}, {"flight-delay", 1, 5'000}},
       Code::invalid_argument,
       "again"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto got = set(c.targets, c.route);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, c.code);
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
  EXPECT_EQ(test::count(*db_, "route_targets"), 1);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'serving.route.targets_set'"), 1);
}

TEST_F(ServiceTest, KeepsWhatItServedWhereAModelCannotBeLoaded) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  const auto published = [&] {
    must(db_->write(
        call_, [&](sql::Tx& tx) { return tx.run("UPDATE route_targets SET version = 77", {}); }));
    return service_.publish(call_);
  }();
  ASSERT_FALSE(published);
  EXPECT_NE(published.error().message.find("keeps what it served before"), std::string::npos);
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  EXPECT_EQ(predict(gateway).version, 1);
}

TEST_F(ServiceTest, ServesTheLastGoodTableAfterARestartWithoutTheDatabase) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  const auto empty = test::database();
  Service restarted(*empty, world_.log(), world_.runtime(), clock_, metrics_, find_, open_,
                    {.table_path = directory_ / "routing_table.json"});
  must(restarted.restore());
  Gateway gateway(restarted.table(), world_.telemetry, world_.log(), clock_);
  EXPECT_EQ(predict(gateway).version, 1);

  Service fresh(*empty, world_.log(), world_.runtime(), clock_, metrics_, find_, open_,
                {.table_path = directory_ / "absent.json"});
  EXPECT_TRUE(fresh.restore());
  std::ofstream(directory_ / "absent.json") << "{\"routes\": [{";
  EXPECT_FALSE(fresh.restore()) << "a broken file is said, not served";
}

TEST_F(ServiceTest, RefusesDeclarationsThatCannotWork) {
  struct Case {
    std::string field;
    json::value value;
    std::string says;
  };
  const Case cases[] = {
      {"model", "nope", "not declared"},
      {"entity_keys", json::array{}, "go together"},
      {"feature_schema", "", "go together"},
      {"shadow", json::object{{"sample", 1.5}}, "from 0 to 1"},
      {"shadow", json::object{{"max_concurrency", 0}}, "at least 1"},
      {"threshold", "high", "number"},
      {"colour", "red", "colour"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.field);
    json::object bad = route_;
    bad[c.field] = c.value;
    const auto got = resources_.apply(call_, {.documents = {{.declaration = bad}}});
    ASSERT_FALSE(got);
    const std::string said = got.error().message + test::faults_of(got.error());
    EXPECT_NE(said.find(c.says), std::string::npos) << said;
  }
}

TEST_F(ServiceTest, RunsStreamsThatWereDeclared) {
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  Streams streams(*db_, gateway, world_.log());
  EXPECT_FALSE(must(streams.step()));
  apply({{"kind", "stream"},
         {"name", "s"},
         {"owner", "o"},
         {"route", "flight-delay"},
         {"input", "in"},
         {"output", "out"}});
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  const json::value event = {
      {"id", "e1"}, {"entities", {{"flight_id", "UA1"}}}, {"event_time", "2013-07-01T00:00:00Z"}};
  must(append(world_.log(), call_, {"in", {{"k", event}, {"k", event}}}));
  EXPECT_TRUE(must(streams.step()));
  const StreamView view = must(streams.view(call_, "s"));
  EXPECT_EQ(view.decided, 1);
  EXPECT_EQ(view.duplicates, 1);
  const auto made = must(read(world_.log(), call_, {"out"}));
  ASSERT_EQ(made.records.size(), 1u);
  EXPECT_EQ(made.records[0].key, "k");
  EXPECT_EQ(made.records[0].value.at("score").as_double(), predict(gateway).score);
  EXPECT_EQ(must(service_.prediction(call_, {"e1"})).mode, Mode::stream);
  Call other = call_;
  other.project = "p2";
  EXPECT_TRUE(must(read(world_.log(), other, {"out"})).records.empty());
  EXPECT_FALSE(streams.view(other, "s"));
  EXPECT_FALSE(append(world_.log(), call_, {"../in", {{"k", event}}}));
}

TEST_F(ServiceTest, FindsPredictionsByIdInTheirProjectOnly) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  const Prediction made = predict(gateway);
  const InferenceEvent event = must(service_.prediction(call_, {made.id}));
  EXPECT_EQ(event.score, made.score);
  EXPECT_EQ(event.entities.at("flight_id"), "UA1");
  Call other = call_;
  other.project = "p2";
  EXPECT_FALSE(service_.prediction(other, {made.id}));
  EXPECT_FALSE(service_.prediction(call_, {"nope"}));
  const auto said = [&](const std::string& id) {
    return service_.prediction(call_, {id}).error().message;
  };
  EXPECT_EQ(said("nope"), "there is no prediction nope");
  const std::string never = new_ulid(clock_.now() + std::chrono::hours(1));
  must(world_.log().truncate(inference_topic, must(world_.log().end(inference_topic))));
  EXPECT_EQ(service_.prediction(call_, {made.id}).error().code, Code::not_found);
  EXPECT_TRUE(said(made.id).starts_with("prediction " + made.id + " of 20")) << said(made.id);
  EXPECT_NE(said(made.id).find("is kept no longer: predictions that were logged until 20"),
            std::string::npos)
      << said(made.id);
  EXPECT_TRUE(said("nope").starts_with("there is no prediction nope, or it is too old: "));
  EXPECT_TRUE(said(never).starts_with("there is no prediction ")) << said(never);

  std::map<std::string, std::string> edges;
  for (const catalog::Edge& edge : prediction_edges(event)) edges[edge.relation] = edge.to_urn;
  EXPECT_EQ(edges, (std::map<std::string, std::string>{{"released_by", "release:r1"},
                                                       {"answered_on", "route:flight-delay"},
                                                       {"made_by", "model:flight-delay@v1"},
                                                       {"reads", "feature_schema:features_v1@1"}}));
}

TEST_F(ServiceTest, AddsALabelOnceAndKeepsThoseOfUnknownPredictions) {
  must(set({{"flight-delay", 1, 10'000, Arm::live}}));
  Gateway gateway(service_.table(), world_.telemetry, world_.log(), clock_);
  const std::string id = predict(gateway).id;
  const auto first = must(service_.add_labels(call_, {{{id, 1}, {id, 1}, {"stranger", 0}}}));
  EXPECT_EQ(first.added, 2);
  EXPECT_EQ(first.repeated, 1);
  EXPECT_EQ(first.unknown, 1);
  const auto again = must(service_.add_labels(call_, {{{id, 1}, {id, 0}}}));
  EXPECT_EQ(again.repeated, 1);
  EXPECT_EQ(again.added, 1) << "another value is a correction";
  const auto records = must(world_.log().read(label_topic, 0, 100));
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(must(read_json<Label>(records[2].value)).value, 0);
  EXPECT_EQ(records[0].key, id);
}

}  // namespace
}  // namespace penstock::serving
