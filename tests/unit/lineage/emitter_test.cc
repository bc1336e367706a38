// Our own changes as OpenLineage events, and a receiver that is there, away, or of another mind.
#include "lineage/emitter.h"

#include "audit/audit.h"
#include "lineage/event.h"
#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::lineage {
namespace {

class EmitterTest : public catalog::CatalogTest {
 protected:
  Emitter telling() {
    return {*db_, catalog_, clock_, [this](const std::string& body) -> Result<int> {
              if (!answer_) return Error{Code::unavailable, "away"};
              if (*answer_ < 300) said_.push_back(json::parse(body));
              return *answer_;
            }};
  }
  std::string add_dataset(const std::string& name, std::vector<catalog::DatasetColumn> columns = {},
                          const std::string& schema = "") {
    return test::must(catalog_.add_dataset(ana_, {.name = name,
                                                  .digest = std::string(64, 'a'),
                                                  .uri = "file.parquet",
                                                  .columns = std::move(columns),
                                                  .feature_schema = schema}))
        .urn();
  }
  void record(const audit::Event& event) {
    test::must(db_->write(
        ana_, [&](sql::Tx& tx) { return audit::record(tx, ana_, clock_.now(), event); }));
  }
  void turn(Emitter& emitter) {
    while (test::must(emitter.run_once())) {
    }
  }
  std::string told() const {
    std::string out;
    for (const json::value& event : said_)
      out += std::string(event.at("eventType").as_string()) + " " +
             std::string(event.at("job").at("name").as_string()) + "; ";
    return out;
  }

  std::optional<int> answer_ = 201;
  std::vector<json::value> said_;
};

TEST_F(EmitterTest, TellsWhatHappensBetweenTheStartAndTheFirstTurn) {
  add_dataset("before");
  Emitter emitter = telling();
  test::must(emitter.start());
  add_dataset("early");
  turn(emitter);
  EXPECT_EQ(told(), "COMPLETE dataset/early; ") << "and not what was there before";
  add_dataset("late");
  turn(emitter);
  EXPECT_EQ(told(), "COMPLETE dataset/early; COMPLETE dataset/late; ");
}

TEST_F(EmitterTest, GoesOnWhereTheServerBeforeItStopped) {
  {
    Emitter emitter = telling();
    test::must(emitter.start());
  }
  add_dataset("while_away");
  Emitter emitter = telling();
  test::must(emitter.start());
  turn(emitter);
  EXPECT_EQ(told(), "COMPLETE dataset/while_away; ");
  Emitter next = telling();
  test::must(next.start());
  turn(next);
  EXPECT_EQ(said_.size(), 1u) << "once";
}

TEST_F(EmitterTest, WaitsForAReceiverThatIsAwayAndLeavesBehindWhatItRefuses) {
  Emitter emitter = telling();
  test::must(emitter.start());
  add_dataset("one");
  for (const std::optional<int> away :
       {std::optional<int>(), std::optional(503), std::optional(429)}) {
    answer_ = away;
    EXPECT_EQ(emitter.run_once().error().code, Code::unavailable);
  }
  answer_ = 201;
  turn(emitter);
  EXPECT_EQ(told(), "COMPLETE dataset/one; ");
  answer_ = 400;
  add_dataset("refused");
  turn(emitter);
  answer_ = 201;
  add_dataset("two");
  turn(emitter);
  EXPECT_EQ(told(), "COMPLETE dataset/one; COMPLETE dataset/two; ");
}

TEST_F(EmitterTest, KeepsItsEventsWithoutAReceiver) {
  Emitter emitter(*db_, catalog_, clock_, {});
  test::must(emitter.start());
  add_dataset("kept");
  turn(emitter);
  EXPECT_EQ(test::count(*db_, "openlineage_events"), 1);
  // Named now, it hears what comes now.
  Emitter later = telling();
  test::must(later.start());
  turn(later);
  EXPECT_EQ(told(), "");
}

TEST_F(EmitterTest, TellsAStepAsAJobOfItsOwnBelowThePipelines) {
  test::must(db_->write(ana_, [&](sql::Tx& tx) {
    return catalog::add_edges(tx, ana_,
                              {{.from_urn = "feature_schema:things_v1@1#x",
                                .to_urn = "feature_view:things@1#doubled",
                                .relation = "derived_from",
                                .created_at = clock_.now()}});
  }));
  const std::string rows = add_dataset("rows", {{"id", "bigint"}, {"x", "double"}}, "things_v1@1");
  Emitter emitter = telling();
  test::must(emitter.start());
  const std::string run = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
  record({"training.step.succeeded",
          "run:" + run,
          {{"pipeline", "learning"},
           {"step", "examples"},
           {"started_at", "2026-01-01T00:00:00Z"},
           {"inputs", json::array()},
           {"outputs",
            json::array{json::object{{"name", "examples"}, {"digest", "d1"}, {"urn", rows}}}}}});
  record(
      {"training.step.failed",
       "run:" + run,
       {{"pipeline", "learning"},
        {"step", "train"},
        {"started_at", "2026-01-01T00:01:00Z"},
        {"inputs", json::array{json::object{{"name", "examples"}, {"digest", "d1"}, {"urn", rows}},
                               json::object{{"name", "words"}, {"digest", "d2"}}}},
        {"outputs", json::array()},
        {"fault", "exit code 1"}}});
  turn(emitter);
  ASSERT_EQ(told(),
            "START pipeline/learning.examples; COMPLETE pipeline/learning.examples; "
            "START pipeline/learning.train; FAIL pipeline/learning.train; ");
  for (const json::value& event : said_) {
    EXPECT_TRUE(parse_event(event));
    const json::value& parent = event.at("run").at("facets").at("parent");
    EXPECT_EQ(parent.at("job").at("name"), "pipeline/learning");
    EXPECT_EQ(parent.at("run").at("runId"), "01563e3a-b5d3-d676-4c61-efb99302bd5b")
        << "the ULID's own bits";
    EXPECT_EQ(parent.at("root").at("run").at("runId"), parent.at("run").at("runId"));
    EXPECT_EQ(event.at("job").at("facets").at("jobType").at("jobType"), "TASK");
  }
  EXPECT_EQ(said_[0].at("eventTime"), "2026-01-01T00:00:00Z");
  EXPECT_EQ(said_[0].at("run").at("runId"), said_[1].at("run").at("runId"));
  EXPECT_NE(said_[1].at("run").at("runId"), said_[2].at("run").at("runId"));
  EXPECT_EQ(said_[0].at("inputs").at(0).at("name"), "feature_schema:things_v1@1");
  EXPECT_TRUE(said_[0].at("outputs").as_array().empty());
  const json::value& facets = said_[1].at("outputs").at(0).at("facets");
  EXPECT_EQ(facets.at("schema").at("fields").as_array().size(), 2u);
  const json::value& lineage = facets.at("columnLineage").at("fields");
  EXPECT_EQ(lineage.as_object().size(), 1u);
  const json::value& input = lineage.at("x").at("inputFields").at(0);
  EXPECT_EQ(input.at("name"), "feature_schema:things_v1@1");
  EXPECT_EQ(input.at("field"), "x");
  EXPECT_EQ(input.at("transformations").at(0).at("type"), "DIRECT");
  EXPECT_EQ(said_[3].at("inputs").at(1).at("name"), "artifact:learning/words");
  EXPECT_EQ(said_[3].at("run").at("facets").at("errorMessage").at("message"), "exit code 1");
}

}  // namespace
}  // namespace penstock::lineage
