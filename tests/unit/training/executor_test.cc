// Pipelines of shell commands over the real runner, database and artifact store.
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "adapters/localfs/localfs.h"
#include "adapters/process/process.h"
#include "adapters/rocksdb/rocksdb.h"
#include "base/yaml.h"
#include "tests/support/fixture.h"
#include "training/executor.h"

namespace penstock::training {
namespace {

using test::must;

class TrainingTest : public ::testing::Test {
 protected:
  TrainingTest() {
    resources_.add(service_.kind());
    resources_.add(registry_.kind());
    restart();
  }

  void restart() {
    executor_ = std::make_unique<Executor>(*db_, clock_, *runner_, artifacts_, features_, *olap_,
                                           ExecutorOptions{.scratch = folder_ / "runs"});
  }
  Result<resources::ApplyOutput> apply(const std::string& text) {
    resources::ApplyInput input;
    for (const auto& document : must(yaml::parse(text)))
      input.documents.push_back({.declaration = document.value.as_object()});
    return resources_.apply(call_, input);
  }
  RunDetail run(StartInput input = {.pipeline = "p"}) {
    const std::string id = must(service_.start(call_, input)).id;
    must(executor_->run_once());
    return must(service_.get(call_, {id}));
  }
  // "first cached, second ran"
  static std::string told(const RunDetail& detail) {
    std::string text;
    for (const StepRun& step : detail.steps)
      text += (text.empty() ? "" : ", ") + step.step +
              (step.status != RunStatus::succeeded ? " failed"
               : step.cached                       ? " cached"
                                                   : " ran");
    return text;
  }
  // The text of an output that is one file.
  std::string text_of(const RunDetail& detail, const std::string& output) {
    for (const StepRun& step : detail.steps)
      for (const Output& one : step.outputs)
        if (one.name == output) {
          std::ifstream stream(must(artifacts_.local_path(one.uri)));
          return {std::istreambuf_iterator<char>(stream), {}};
        }
    return "";
  }

  const Call call_ = test::call();
  test::TempDir folder_;
  ManualClock clock_;
  Metrics metrics_;
  std::unique_ptr<sql::Database> db_ = test::database();
  std::unique_ptr<olap::Engine> olap_ = duckdb::open({});
  std::unique_ptr<blob::Store> blobs_ = must(localfs::open(folder_ / "blobs"));
  std::unique_ptr<rocksdb::Database> rocks_ = must(rocksdb::open(folder_ / "state"));
  std::unique_ptr<jobs::Runner> runner_ = process::runner();
  artifacts::Files files_{*db_, *blobs_, clock_};
  artifacts::Checkouts checkouts_{files_, clock_, {.folder = folder_ / "checkouts"}};
  registry::Artifacts artifacts_{files_, checkouts_, *blobs_};
  registry::Service registry_{*db_, clock_};
  resources::Service resources_{*db_, clock_};
  catalog::Service catalog_{*db_, *olap_, clock_, {.data_directory = folder_.path()}};
  features::Service features_{
      *db_,     *olap_, *blobs_,  rocks_->store(),
      catalog_, clock_, metrics_, features::Options{.scratch = folder_ / "f"}};
  Service service_{*db_, clock_, registry_};
  std::unique_ptr<Executor> executor_;
};

// `second` reads what `first` makes; `other` reads nothing.
std::string chain(const std::string& script = "one") {
  return R"(kind: pipeline
name: p
owner: ml
parameters: {rows: 3}
files: {text.txt: )" +
         script + R"(}
steps:
  - {name: first, command: [sh, -c, "cat text.txt > $PENSTOCK_OUTPUT_A; echo ${rows} >> $PENSTOCK_OUTPUT_A"], outputs: [a]}
  - {name: second, command: [sh, -c, "wc -c < $PENSTOCK_INPUT_A > $PENSTOCK_OUTPUT_B"], inputs: [a], outputs: [b]}
)";
}

TEST_F(TrainingTest, RunsStepsInOrderAndKeepsWhatTheyMade) {
  must(apply(chain()));
  const RunDetail detail = run();
  EXPECT_EQ(detail.run.status, RunStatus::succeeded) << detail.run.fault;
  EXPECT_EQ(told(detail), "first ran, second ran");
  EXPECT_EQ(text_of(detail, "a"), "one3\n");
  EXPECT_EQ(text_of(detail, "b"), "5\n");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs/" + detail.run.id)) << "scratch is cleaned";
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'training.run.succeeded'"), 1);
}

TEST_F(TrainingTest, ReusesWhatNothingChangedOf) {
  must(apply(chain()));
  run();
  EXPECT_EQ(told(run()), "first cached, second cached");
  EXPECT_EQ(told(run({.pipeline = "p", .use_cache = false})), "first ran, second ran");
  EXPECT_EQ(told(run({.pipeline = "p", .seed = 7})), "first ran, second ran");
  EXPECT_EQ(told(run({.pipeline = "p", .parameters = {{"rows", 4}}})), "first ran, second ran");
  // Another command that leaves the same bytes: the step after it has nothing new to do.
  std::string text = chain();
  text.replace(text.find("cat text.txt >"), 14, "cat ./text.txt >");
  must(apply(text));
  EXPECT_EQ(told(run()), "first ran, second cached");
  must(apply(chain("two")));
  EXPECT_EQ(told(run()), "first ran, second ran") << "code is part of the key";
  must(apply(chain()));
  EXPECT_EQ(told(run()), "first cached, second cached") << "as it was before";
}

TEST_F(TrainingTest, AFailedStepStopsTheRestAndSaysWhy) {
  must(apply(R"(kind: pipeline
name: p
owner: ml
steps:
  - {name: first, command: [sh, -c, "echo made > $PENSTOCK_OUTPUT_A"], outputs: [a]}
  - {name: second, command: [sh, -c, "echo the disk ate it >&2; exit 3"], inputs: [a], outputs: [b]}
  - {name: third, command: [sh, -c, "touch never"], inputs: [b]}
)"));
  const RunDetail detail = run();
  EXPECT_EQ(detail.run.status, RunStatus::failed);
  EXPECT_EQ(told(detail), "first ran, second failed");
  EXPECT_NE(detail.run.fault.find("step second failed: exit code 3: the disk ate it"),
            std::string::npos)
      << detail.run.fault;
  EXPECT_EQ(told(run()), "first cached, second failed") << "what failed is not kept";
}

TEST_F(TrainingTest, AnOutputThatIsNotThereIsAFailure) {
  must(apply(R"(kind: pipeline
name: p
owner: ml
steps: [{name: first, command: [sh, -c, "true"], outputs: [a]}]
)"));
  EXPECT_NE(run().run.fault.find("left nothing at its output a"), std::string::npos);
}

TEST_F(TrainingTest, AStepEndsAtItsTimeLimit) {
  must(apply(R"(kind: pipeline
name: p
owner: ml
steps: [{name: first, command: [sh, -c, "sleep 60"], time_limit: 100ms}]
)"));
  EXPECT_NE(run().run.fault.find("ran into its time limit"), std::string::npos);
}

TEST_F(TrainingTest, TakesUpARunThatAKillCutOff) {
  must(apply(chain()));
  const std::string id = must(service_.start(call_, {.pipeline = "p"})).id;
  // As a killed process left it: under way, its first step done and kept by an earlier run.
  run();
  must(db_->write(call_, [&](sql::Tx& tx) -> Result<void> {
    TRY(tx.run("UPDATE runs SET status = 'running' WHERE id = $1", {id}));
    return {};
  }));
  restart();
  while (must(executor_->run_once())) {
  }
  const RunDetail detail = must(service_.get(call_, {id}));
  EXPECT_EQ(detail.run.status, RunStatus::succeeded);
  EXPECT_EQ(detail.steps.size(), 2u);
}

TEST_F(TrainingTest, ReproducingTellsWhetherTheBytesAreTheSame) {
  must(apply(R"(kind: pipeline
name: p
owner: ml
steps:
  - {name: same, command: [sh, -c, "echo $PENSTOCK_SEED > $PENSTOCK_OUTPUT_A"], outputs: [a]}
  - {name: other, command: [sh, -c, "head -c 16 /dev/urandom > $PENSTOCK_OUTPUT_B"], outputs: [b]}
)"));
  const RunDetail first = run({.pipeline = "p", .seed = 5});
  const std::string id = must(service_.reproduce(call_, {first.run.id})).id;
  must(executor_->run_once());
  const RunDetail again = must(service_.get(call_, {id}));
  EXPECT_EQ(again.run.reproduces, first.run.id);
  EXPECT_EQ(told(again), "same ran, other ran") << "without the cache";
  ASSERT_EQ(again.reproduced.size(), 2u);
  EXPECT_TRUE(again.reproduced[0].same);
  EXPECT_FALSE(again.reproduced[1].same);
}

TEST_F(TrainingTest, RefusesPipelinesThatCannotRun) {
  struct Case {
    std::string what, steps, says;
  };
  const Case cases[] = {
      {"a cycle",
       "[{name: a, command: [x], inputs: [o2], outputs: [o1]}, {name: b, command: [x], inputs: "
       "[o1], outputs: [o2]}]",
       "steps[0].inputs[0] names o2, which no step before makes"},
      {"a name twice", "[{name: a, command: [x]}, {name: a, command: [x]}]", "steps[1].name"},
      {"an output twice",
       "[{name: a, command: [x], outputs: [o]}, {name: b, command: [x], outputs: [o]}]",
       "steps[1].outputs"},
      {"a way out of its folder", "[{name: ../../etc, command: [x]}]", "steps[0].name"},
      {"an output outside", "[{name: a, command: [x], outputs: [../b]}]", "steps[0].outputs"},
      {"no work", "[{name: a}]", "steps[0] must have either dataset or command"},
      {"no steps", "[]", "steps must be at least 1"},
      {"a gate without predictions", "[{name: a, command: [x], outputs: [o], gate: {}}]",
       "steps[0].gate.predictions"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto refused = apply("kind: pipeline\nname: p\nowner: ml\nsteps: " + c.steps + "\n");
    ASSERT_FALSE(refused);
    EXPECT_NE(test::faults_of(refused.error()).find(c.says), std::string::npos)
        << test::faults_of(refused.error());
  }
  EXPECT_FALSE(
      apply("kind: pipeline\nname: p\nowner: ml\nfiles: {../evil.py: x}\nsteps: [{name: a, "
            "command: [x]}]\n"));
  must(apply(chain()));
  EXPECT_EQ(
      service_.start(call_, {.pipeline = "p", .parameters = {{"colour", "red"}}}).error().code,
      Code::invalid_argument);
  EXPECT_EQ(service_.start(call_, {.pipeline = "q"}).error().code, Code::not_found);
}

TEST_F(TrainingTest, ARunThatFailedBecomesNoVersion) {
  must(apply("kind: model\nname: m\nowner: ml\n---\n" + chain()));
  const RunDetail detail = run();
  const auto refused =
      service_.register_model(call_, {.id = detail.run.id, .model = "m", .owner = "ml"});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("has no output called model"), std::string::npos);
}

TEST_F(TrainingTest, JudgesPredictionsBesideTheBaseline) {
  const std::string path = folder_ / "predictions.parquet";
  must(must(olap_->session())
           ->run("COPY (SELECT i % 4 = 0 AS label, CASE WHEN i % 4 = 0 THEN 0.9 ELSE 0.1 END AS "
                 "score, "
                 "0.25 AS baseline, CASE WHEN i < 1000 THEN 'AA' ELSE 'UA' END AS carrier FROM "
                 "range(2000) t(i)) TO " +
                 olap::quoted_text(path) + " (FORMAT parquet)"));
  must(apply(R"(kind: pipeline
name: p
owner: ml
parameters: {from: ")" +
             path + R"("}
steps: [{name: judge, command: [cp, "${from}", predictions.parquet], outputs: [predictions],
  gate: {slices: [carrier]}}]
)"));
  const RunDetail lost = run();
  EXPECT_EQ(lost.run.status, RunStatus::failed) << "its output is not where the command put it";
  must(apply(R"(kind: pipeline
name: p
owner: ml
parameters: {from: ")" +
             path + R"("}
steps: [{name: judge, command: [sh, -c, "cp ${from} $PENSTOCK_OUTPUT_PREDICTIONS"], outputs: [predictions],
  gate: {slices: [carrier]}}]
)"));
  const RunDetail detail = run();
  ASSERT_EQ(detail.run.status, RunStatus::succeeded) << detail.run.fault;
  ASSERT_EQ(detail.evaluations.size(), 1u);
  const Evaluation& evaluation = detail.evaluations[0];
  EXPECT_TRUE(evaluation.passed);
  ASSERT_EQ(evaluation.slices.size(), 3u);
  EXPECT_EQ(evaluation.slices[0].rows, 2'000);
  EXPECT_NEAR(evaluation.slices[0].brier, 0.01, 1e-12);
  EXPECT_NEAR(evaluation.slices[0].baseline_brier, 0.25 * 0.75 * 0.75 + 0.75 * 0.25 * 0.25, 1e-12);
}

}  // namespace
}  // namespace penstock::training
