// OpenLineage events as clients send them, over the real catalog.
#include <random>
#include <set>

#include "lineage/names.h"
#include "lineage/service.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::lineage {
namespace {

constexpr const char* run_1 = "01890000-0000-7000-8000-000000000001";
constexpr const char* run_2 = "01890000-0000-7000-8000-000000000002";
constexpr const char* warehouse = "postgres://host:5432";
constexpr const char* job = "job:etl/daily";

json::object dataset(const std::string& name, json::object facets = {}) {
  return {{"namespace", warehouse}, {"name", name}, {"facets", std::move(facets)}};
}
std::string urn(const std::string& name) { return external_urn("dataset", {warehouse, name}); }

class IngestTest : public catalog::CatalogTest {
 protected:
  IngestTest() { lineage_.describe_nodes(); }

  json::object event(const std::string& type, const std::string& at, json::array inputs,
                     json::array outputs, const std::string& run = run_1) {
    return {{"eventType", type},
            {"eventTime", at},
            {"producer", "https://example.com/test"},
            {"schemaURL", "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"},
            {"run", {{"runId", run}, {"facets", json::object()}}},
            {"job", {{"namespace", "etl"}, {"name", "daily"}, {"facets", json::object()}}},
            {"inputs", std::move(inputs)},
            {"outputs", std::move(outputs)}};
  }
  void take(const json::object& said) { test::must(lineage_.take(ana_, said)); }
  std::string refusal(const json::value& said) {
    const auto taken = lineage_.take(ana_, said);
    return taken ? "" : test::faults_of(taken.error());
  }
  std::set<std::string> reached(const std::string& from, catalog::Direction direction,
                                std::optional<Timestamp> as_of = {}) {
    std::set<std::string> out;
    const auto trace = catalog_.trace(ana_, {.urn = from, .direction = direction, .as_of = as_of});
    if (trace)
      for (const auto& node : trace->nodes)
        if (node.depth > 0) out.insert(node.urn);
    return out;
  }
  std::set<std::string> up(const std::string& from, std::optional<Timestamp> as_of = {}) {
    return reached(from, catalog::Direction::upstream, as_of);
  }
  // Every row that events may have made, as one text.
  std::string everything() {
    std::string all;
    for (const char* table :
         {"openlineage_names", "openlineage_facets", "openlineage_runs", "openlineage_run_datasets",
          "openlineage_job_datasets", "openlineage_events", "lineage_edges", "lineage_past_edges",
          "audit_events"})
      all += std::string(table) + " " + std::to_string(test::count(*db_, table)) + "\n";
    return all;
  }
  std::string facet(const std::string& subject, const std::string& name) {
    std::string out;
    test::must(db_->read(ana_, [&](sql::Tx& tx) -> Result<void> {
      const auto rows =
          TRY(tx.run("SELECT body FROM openlineage_facets WHERE project = 'p1' AND "
                     "subject = $1 AND name = $2",
                     {subject, name}));
      if (!rows.empty()) out = std::get<std::string>(rows[0].at(0));
      return {};
    }));
    return out;
  }

  Service lineage_{*db_, catalog_, clock_};
};

TEST_F(IngestTest, MakesOneGraphOfStartAndComplete) {
  take(event("START", "2023-05-01T10:00:00Z", {dataset("raw")}, {}));
  take(event("COMPLETE", "2023-05-01T10:05:00+00:00", {}, {dataset("clean")}));
  EXPECT_EQ(up(urn("clean")), (std::set<std::string>{job, urn("raw")}));
  EXPECT_EQ(test::count(*db_, "openlineage_runs WHERE state = 'COMPLETE'"), 1);
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "run:" + std::string(run_1)}));
  EXPECT_NE(trace.nodes.front().summary.find("COMPLETE"), std::string::npos);
  EXPECT_EQ(up("run:" + std::string(run_1)).count(urn("raw")), 1u);
}

TEST_F(IngestTest, TakesTheSameEventTwiceAsOne) {
  const auto complete =
      event("COMPLETE", "2023-05-01T10:05:00Z", {dataset("raw")}, {dataset("clean")});
  take(complete);
  const std::string once = everything();
  take(complete);
  EXPECT_EQ(everything(), once);
}

TEST_F(IngestTest, DoesNotMindTheOrderOfEvents) {
  std::vector<json::object> events{
      event("START", "2023-05-01T10:00:00Z", {dataset("raw")}, {}),
      event("RUNNING", "2023-05-01T10:01:00Z", {dataset("more")}, {}),
      event("COMPLETE", "2023-05-01T10:05:00Z", {}, {dataset("clean")}),
      event("START", "2023-05-02T10:00:00Z", {dataset("raw")}, {}, run_2),
      event("COMPLETE", "2023-05-02T10:05:00Z", {}, {dataset("clean")}, run_2)};
  std::mt19937 random(3);
  for (int round = 0; round < 12; ++round) {
    Call call = ana_;
    call.project = "order" + std::to_string(round);
    for (const auto& one : events) test::must(lineage_.take(call, one));
    const auto trace = test::must(catalog_.trace(call, {.urn = urn("clean")}));
    std::set<std::string> found;
    for (const auto& node : trace.nodes) found.insert(node.urn);
    EXPECT_EQ(found, (std::set<std::string>{urn("clean"), job, urn("raw")})) << round;
    std::shuffle(events.begin(), events.end(), random);
  }
}

TEST_F(IngestTest, EndsWhatANewerRunDoesNotReadAnyMore) {
  take(event("COMPLETE", "2023-05-01T10:00:00Z", {dataset("old")}, {dataset("out")}));
  take(event("COMPLETE", "2023-06-01T10:00:00Z", {dataset("new")}, {dataset("out")}, run_2));
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, urn("new")}));
  EXPECT_EQ(up(urn("out"), from_rfc3339("2023-05-15T00:00:00Z")),
            (std::set<std::string>{job, urn("old")}));
  // A run whose START was lost says nothing of its inputs, which is not that it has none.
  take(event("COMPLETE", "2023-07-01T10:00:00Z", {}, {dataset("out")},
             "01890000-0000-7000-8000-000000000003"));
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, urn("new")}));
}

TEST_F(IngestTest, ReplacesWhatAJobDeclares) {
  auto declared =
      event("x", "2023-05-01T10:00:00Z", {dataset("a"), dataset("b")}, {dataset("out")});
  declared.erase("run");
  declared.erase("eventType");
  take(declared);
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, urn("a"), urn("b")}));
  declared["eventTime"] = "2023-05-02T10:00:00Z";
  declared["inputs"] = json::array{dataset("b")};
  take(declared);
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, urn("b")}));
  declared["eventTime"] = "2023-04-02T10:00:00Z";
  declared["inputs"] = json::array{dataset("late")};
  take(declared);
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, urn("b")}));
}

TEST_F(IngestTest, KeepsFacetsThatNobodyKnows) {
  const json::object odd{
      {"_producer", "p"}, {"_schemaURL", "s"}, {"deep", {{"x", {1, 2.5, nullptr}}}}};
  take(event("START", "2023-05-01T10:00:00Z", {dataset("raw", {{"odd", odd}})}, {}));
  EXPECT_EQ(json::parse(facet(urn("raw"), "odd")), json::value(odd));
  json::object newer = odd;
  newer["deep"] = 2;
  take(event("RUNNING", "2023-05-01T11:00:00Z", {dataset("raw", {{"odd", newer}})}, {}));
  take(event("RUNNING", "2023-05-01T10:30:00Z", {dataset("raw", {{"odd", odd}})}, {}));
  EXPECT_EQ(json::parse(facet(urn("raw"), "odd")), json::value(newer));
}

TEST_F(IngestTest, UsesColumnLineageOfThreeThousandColumns) {
  json::object fields;
  json::array schema;
  for (int i = 0; i < 3000; ++i) {
    const std::string name = "c" + std::to_string(i);
    fields[name] = {{"inputFields",
                     {{{"namespace", warehouse},
                       {"name", "raw"},
                       {"field", name},
                       {"transformations", {{{"type", "DIRECT"}, {"masking", i == 7}}}}}}}};
    schema.push_back({{"name", name}, {"type", "INT"}});
  }
  take(event("COMPLETE", "2023-05-01T10:00:00Z", {dataset("raw")},
             {dataset("wide", {{"columnLineage", {{"fields", fields}}},
                               {"schema", {{"fields", schema}}}})}));
  EXPECT_EQ(test::count(*db_, "lineage_edges WHERE relation = 'derived_from'"), 3000);
  EXPECT_EQ(test::count(*db_, "lineage_edges WHERE masking"), 1);
  EXPECT_EQ(reached(urn("raw") + "#c5", catalog::Direction::downstream),
            (std::set<std::string>{urn("wide") + "#c5", urn("wide"), job}));
  // A newer facet is the whole of it.
  take(event(
      "COMPLETE", "2023-05-02T10:00:00Z", {dataset("raw")},
      {dataset("wide",
               {{"columnLineage",
                 {{"fields",
                   {{"c5",
                     {{"inputFields",
                       {{{"namespace", warehouse}, {"name", "raw"}, {"field", "c6"}}}}}}}}}}})},
      run_2));
  EXPECT_EQ(test::count(*db_, "lineage_edges WHERE relation = 'derived_from'"), 1);
  EXPECT_EQ(up(urn("wide") + "#c5"), (std::set<std::string>{urn("raw") + "#c6", urn("raw")}));
  const auto graph = test::must(lineage_.column_graph(
      ana_, {.nodeId = "datasetField:" + std::string(warehouse) + ":wide:c5"}));
  EXPECT_EQ(graph.at("graph").as_array().size(), 2u);
}

TEST_F(IngestTest, JoinsTheNamesOfOneTable) {
  take(event("COMPLETE", "2023-05-01T10:00:00Z", {}, {dataset("/path/t")}));
  const json::object links{
      {"identifiers", {{{"namespace", warehouse}, {"name", "/path/t"}, {"type", "LOCATION"}}}}};
  auto other =
      event("START", "2023-05-02T10:00:00Z", {dataset("db.t", {{"symlinks", links}})}, {}, run_2);
  other["job"].as_object()["name"] = "reader";
  take(other);
  EXPECT_EQ(reached("job:etl/reader", catalog::Direction::upstream),
            (std::set<std::string>{job, urn("db.t")}));
  EXPECT_EQ(up(urn("/path/t")), std::set<std::string>{});
}

TEST_F(IngestTest, KnowsASourceByItsPlace) {
  test::must(apply(flights()));
  json::object file{{"namespace", "file"}, {"name", folder_ / "flights.parquet"}};
  take(event("COMPLETE", "2023-05-01T10:00:00Z", {file}, {dataset("out")}));
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, "source:flights@1"}));
  const auto trace = test::must(catalog_.trace(ana_, {.urn = urn("out")}));
  EXPECT_EQ(trace.nodes.front().classification, catalog::Classification::confidential);
}

TEST_F(IngestTest, GivesANodeToTheSourceThatIsDeclaredLater) {
  json::object file{{"namespace", "file"}, {"name", folder_ / "flights.parquet"}};
  take(event("COMPLETE", "2023-05-01T10:00:00Z", {file}, {dataset("out")}));
  EXPECT_EQ(up(urn("out")).count("source:flights@1"), 0u);
  test::must(apply(flights()));
  test::must(lineage_.sources_declared(ana_, {"flights"}));
  EXPECT_EQ(up(urn("out")), (std::set<std::string>{job, "source:flights@1"}));
}

TEST_F(IngestTest, SaysWhatEventsSayOfANode) {
  take(event(
      "COMPLETE", "2023-05-01T10:00:00Z", {},
      {dataset("out",
               {{"ownership", {{"owners", {{{"name", "team:data"}, {"type", "OWNER"}}}}}},
                {"documentation", {{"description", "Clean rows."}}},
                {"tags", {{"tags", {{{"key", "pii"}, {"value", "email"}, {"field", "who"}}}}}}})}));
  const auto trace = test::must(catalog_.trace(ana_, {.urn = urn("out")}));
  const auto& node = trace.nodes.front();
  EXPECT_EQ(node.owner, "team:data");
  EXPECT_EQ(node.summary, "Clean rows.");
  EXPECT_EQ(node.detail.at("namespace"), warehouse);
  EXPECT_EQ(node.detail.at("external_tags").at(0), "who pii:email");
}

TEST_F(IngestTest, NamesTheFieldThatIsWrong) {
  const auto good = event("START", "2023-05-01T10:00:00Z", {}, {});
  const auto with = [&](const std::string& key, json::value value) {
    json::object changed = good;
    changed[key] = std::move(value);
    return refusal(changed);
  };
  EXPECT_EQ(refusal(good), "");
  EXPECT_NE(refusal(json::array{}).find("body must be an object"), std::string::npos);
  EXPECT_NE(refusal(json::object{}).find("eventTime is missing"), std::string::npos);
  EXPECT_NE(with("eventTime", "yesterday").find("eventTime must be a time"), std::string::npos);
  EXPECT_NE(with("producer", nullptr).find("producer is missing"), std::string::npos);
  EXPECT_NE(with("schemaURL", 3).find("schemaURL must be a text"), std::string::npos);
  EXPECT_NE(with("eventType", "STOP").find("eventType must be one of"), std::string::npos);
  EXPECT_NE(with("run", json::object{{"runId", "7"}}).find("run.runId must be a UUID"),
            std::string::npos);
  EXPECT_NE(with("job", nullptr).find("job is missing"), std::string::npos);
  EXPECT_NE(with("job", json::object{{"namespace", "n"}}).find("job.name is missing"),
            std::string::npos);
  EXPECT_NE(with("inputs", json::array{json::object{{"name", "x"}}})
                .find("inputs[0].namespace is missing"),
            std::string::npos);
  EXPECT_NE(with("outputs", "x").find("outputs must be a list"), std::string::npos);
  EXPECT_NE(with("dataset", dataset("x")).find("run must not stand beside dataset"),
            std::string::npos);
  EXPECT_NE(with("job", json::object{{"namespace", "n"}, {"name", std::string(3000, 'x')}})
                .find("job.name has 3000 characters"),
            std::string::npos);
  EXPECT_EQ(test::count(*db_, "openlineage_events"), 1);
}

TEST_F(IngestTest, TakesTheGoodOnesOfABatch) {
  const auto answer = test::must(lineage_.take_all(
      ana_, json::array{event("START", "2023-05-01T10:00:00Z", {}, {}), json::object{},
                        event("COMPLETE", "2023-05-01T11:00:00Z", {}, {})}));
  EXPECT_EQ(answer.status, "partial_success");
  EXPECT_EQ(answer.summary.successful, 2);
  ASSERT_EQ(answer.failed_events.size(), 1u);
  EXPECT_EQ(answer.failed_events[0].index, 1);
  EXPECT_EQ(lineage_.take_all(ana_, json::object{}).error().code, Code::invalid_argument);
}

TEST_F(IngestTest, AnswersAsMarquezDoes) {
  take(event("START", "2023-05-01T10:00:00Z", {dataset("raw")}, {dataset("clean")}));
  const auto graph =
      test::must(lineage_.graph(ana_, {.nodeId = "dataset:" + std::string(warehouse) + ":clean"}));
  std::set<std::string> ids;
  for (const auto& node : graph.at("graph").as_array())
    ids.insert(std::string(node.at("id").as_string()));
  EXPECT_EQ(ids, (std::set<std::string>{"dataset:postgres://host:5432:clean", "job:etl:daily",
                                        "dataset:postgres://host:5432:raw"}));
  EXPECT_EQ(lineage_.graph(ana_, {.nodeId = "dataset:no:such"}).error().code, Code::not_found);
  const auto runs = test::must(lineage_.upstream_runs(ana_, {.runId = run_1}));
  EXPECT_EQ(runs.at("runs").as_array().size(), 1u);
  EXPECT_EQ(test::must(lineage_.events(ana_, {})).at("totalCount").as_int64(), 1);
}

TEST_F(IngestTest, WritesAuditEventsOnlyForWhatChangesTheGraph) {
  for (int day = 1; day <= 9; ++day) {
    const std::string id = "01890000-0000-7000-8000-00000000000" + std::to_string(day);
    take(event("COMPLETE", "2023-05-0" + std::to_string(day) + "T10:00:00Z", {dataset("raw")},
               {dataset("clean")}, id));
  }
  EXPECT_EQ(test::count(*db_, "openlineage_runs"), 9);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'lineage.graph_changed'"), 1);
}

// Events with one thing broken at a time: each is taken whole or refused with a named field.
TEST_F(IngestTest, OutlivesEventsThatWereMutated) {
  const std::string good = json::serialize(
      event("COMPLETE", "2023-05-01T10:00:00Z", {dataset("raw", {{"schema", {{"fields", 3}}}})},
            {dataset("out", {{"columnLineage",
                              {{"fields", {{"a", {{"inputFields", {{{"namespace", "n"}}}}}}}},
                               {"dataset", {1, nullptr}}}},
                             {"symlinks", {{"identifiers", {{{"namespace", 1}}, 2}}}},
                             {"ownership", {{"owners", {1}}}},
                             {"lifecycleStateChange", {{"lifecycleStateChange", "RENAME"}}}})}));
  std::mt19937 random(11);
  const std::string letters = "{}[]\",:0aN-\\\x01\xff";
  int refused = 0, taken = 0;
  for (int round = 0; round < 600; ++round) {
    std::string text = good;
    for (unsigned change = 0; change <= random() % 3; ++change) {
      const std::size_t at = random() % text.size();
      if (random() % 2)
        text[at] = letters[random() % letters.size()];
      else
        text.erase(at, random() % 12);
    }
    boost::system::error_code fault;
    const json::value said = json::parse(text, fault, {}, {.max_depth = 30});
    if (fault) continue;
    const auto result = lineage_.take(ana_, said);
    if (result) {
      ++taken;
      continue;
    }
    ++refused;
    EXPECT_EQ(result.error().code, Code::invalid_argument) << result.error().message << text;
  }
  EXPECT_GT(taken, 20);
  EXPECT_GT(refused, 20);
  for (const auto& name : {"raw", "out"})
    static_cast<void>(catalog_.trace(ana_, {.urn = urn(name)}));
}

}  // namespace
}  // namespace penstock::lineage
