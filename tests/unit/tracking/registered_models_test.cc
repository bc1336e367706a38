// Registered models over the registry, on both databases.
#include <gtest/gtest.h>

#include "base/urn.h"
#include "tests/support/fixture.h"
#include "tracking/logged_models.h"
#include "tracking/registered_models.h"

namespace penstock::tracking {
namespace {

using test::must;

class RegisteredModelsTest : public testing::Test {
 protected:
  std::int64_t add(const std::string& model, const std::string& run = "") {
    clock_.advance(std::chrono::seconds(1));
    return must(models_.create_version(ana_, {.model = model, .source = "s3://m", .run = run}))
        .note.version;
  }
  std::vector<std::int64_t> found(const std::string& filter) {
    std::vector<std::int64_t> out;
    for (const VersionView& one :
         must(models_.search_versions(
                  ana_, {.filter = filter, .order_by = {"version_number ASC"}, .limit = 100}))
             .items)
      out.push_back(one.note.version);
    return out;
  }

  const Call ana_ = test::call("user:ana");
  ManualClock clock_;
  std::unique_ptr<sql::Database> db_ = test::database();
  registry::Service registry_{*db_, clock_};
  RegisteredModels models_{*db_, registry_, clock_};
  LoggedModels logged_{*db_, clock_};
  Service tracking_{*db_, clock_};
};

TEST_F(RegisteredModelsTest, VersionsAreThoseOfTheRegistry) {
  must(models_.create(ana_, "m", "about", {{"team", "ops"}}));
  EXPECT_EQ(add("m", "r1"), 1);
  EXPECT_EQ(add("m", "r2"), 2);
  must(registry_.register_version(ana_, {.model_id = "m-v7", .artifact_uri = "x", .run = "r2"}));
  must(models_.set_version_tag(ana_, "m", 2, {"a", "1"}));
  using Numbers = std::vector<std::int64_t>;
  EXPECT_EQ(found("name = 'm'"), (Numbers{1, 2, 7}));
  EXPECT_EQ(found("name IN ('m', 'n') and run_id IN ('r1')"), Numbers{1});
  EXPECT_EQ(found("run_id = 'r2'"), (Numbers{2, 7}));
  EXPECT_EQ(found("tags.a = '1' AND version_number < 7"), Numbers{2});
  EXPECT_EQ(found("tags.`mlflow.prompt.is_prompt` != 'true'"), (Numbers{1, 2, 7}));
  const auto kept = must(models_.get(ana_, "m"));
  EXPECT_EQ(kept.model.description, "about") << "a new version changes nothing that was said";
  ASSERT_EQ(kept.latest.size(), 1U);
  EXPECT_EQ(kept.latest[0].note.version, 7);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'registry.version.registered'"), 3);
}

TEST_F(RegisteredModelsTest, WhatIsServedIsNeitherDeletedNorMoved) {
  must(models_.create(ana_, "m", "", {}));
  add("m");
  add("m");
  must(models_.set_alias(ana_, "m", "champion", 1));
  std::vector<std::string> asked;
  models_.served_by(
      {[](sql::Tx&, const Call&, const std::string&,
          const std::string& alias) -> Result<std::vector<ServedRoute>> {
         if (alias.empty() || alias == "champion") return std::vector{ServedRoute{"desk", 1}};
         return std::vector<ServedRoute>();
       },
       [](sql::Tx&, const Call&, const std::string&, std::int64_t version) -> Result<std::string> {
         return version < 2 ? "is live on route:desk" : "";
       },
       [&](const Call&, const std::string& route, const std::string& model,
           std::int64_t version) -> Result<std::string> {
         asked.push_back(route + " " + model + " " + std::to_string(version));
         return std::string("release:x waits");
       }});
  EXPECT_EQ(models_.remove_version(ana_, "m", 1).error().code, Code::failed_precondition);
  EXPECT_EQ(models_.remove(ana_, "m").error().code, Code::failed_precondition);
  EXPECT_EQ(models_.remove_alias(ana_, "m", "champion").error().code, Code::failed_precondition);
  EXPECT_EQ(models_.move_stage(ana_, {"m", 1, Stage::Archived}).error().code,
            Code::failed_precondition);
  const auto waits = models_.set_alias(ana_, "m", "champion", 2);
  ASSERT_FALSE(waits);
  EXPECT_NE(waits.error().message.find("release:x waits"), std::string::npos);
  EXPECT_FALSE(models_.move_stage(ana_, {"m", 2, Stage::Production}));
  EXPECT_EQ(asked, (std::vector<std::string>{"desk m 2", "desk m 2"}));
  EXPECT_EQ(must(models_.by_alias(ana_, "m", "champion")).note.version, 1);
  must(models_.set_alias(ana_, "m", "champion", 1));
  must(models_.set_alias(ana_, "m", "challenger", 2));
  must(models_.remove_alias(ana_, "m", "challenger"));
  must(models_.remove_version(ana_, "m", 2));
  EXPECT_EQ(models_.version(ana_, "m", 2).error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "model_versions"), 2) << "the record stays";
  EXPECT_EQ(add("m"), 3) << "a number is never given twice";
}

TEST_F(RegisteredModelsTest, StagesAreMlflowsWhereNothingIsServed) {
  must(models_.create(ana_, "m", "", {}));
  for (int i = 0; i < 4; ++i) add("m");
  const auto move = [&](std::int64_t version, Stage to, bool archive = false) {
    return models_.move_stage(ana_, {"m", version, to, archive});
  };
  const auto latest = [&](const std::vector<Stage>& stages) {
    std::string out;
    for (const VersionView& one : must(models_.latest(ana_, "m", stages)))
      out += std::to_string(one.note.version) + std::string(name_of(one.stage)).front();
    return out;
  };
  EXPECT_EQ(latest({}), "4N");
  EXPECT_EQ(must(move(1, Stage::Production)).stage, Stage::Production);
  must(move(2, Stage::Production));
  must(move(3, Stage::Staging));
  EXPECT_EQ(latest({}), "2P3S4N");
  must(move(3, Stage::Production, true));
  EXPECT_EQ(latest({}), "2A3P4N");
  EXPECT_EQ(latest({Stage::Production}), "3P");
  EXPECT_EQ(must(models_.version(ana_, "m", 1)).stage, Stage::Archived);
  EXPECT_EQ(move(4, Stage::Archived, true).error().code, Code::invalid_argument);
  EXPECT_EQ(move(9, Stage::Staging).error().code, Code::not_found);
  must(models_.remove_version(ana_, "m", 3));
  EXPECT_EQ(latest({}), "2A4N");
}

TEST_F(RegisteredModelsTest, AnyNameOfMlflowsIsAName) {
  for (const std::string name : {"a b", "größe ✈", "m-v2", "m@v2", "a~b", "-v3", "100%", "a~20b"}) {
    must(models_.create(ana_, name, "", {}));
    const VersionView made = must(models_.create_version(ana_, {.model = name, .source = "s"}));
    EXPECT_EQ(made.note.name, name);
    EXPECT_EQ(plain_name(made.note.model), name);
    const auto kept = must(db_->read(ana_, [&](sql::Tx& tx) {
      return registry::version(tx, ana_.project, made.note.model, 1);
    }));
    EXPECT_TRUE(Urn::parse(kept.urn())) << kept.urn();
    EXPECT_EQ(must(registry::version_name(kept.record.model_id)).model, made.note.model);
  }
  EXPECT_EQ(models_.create(ana_, "a b", "", {}).error().code, Code::already_exists);
  for (const std::string& name : {std::string(), std::string("  "), std::string("a/b"),
                                  std::string("a:b"), std::string(".."), std::string(257, 'x')})
    EXPECT_EQ(models_.create(ana_, name, "", {}).error().code, Code::invalid_argument) << name;
}

TEST_F(RegisteredModelsTest, ARenameKeepsTheUrnAndFreesTheName) {
  must(models_.create(ana_, "m", "", {{"team", "ops"}}));
  add("m");
  must(models_.set_alias(ana_, "m", "best", 1));
  must(models_.rename(ana_, "m", "n"));
  EXPECT_EQ(models_.get(ana_, "m").error().code, Code::not_found);
  const auto renamed = must(models_.get(ana_, "n"));
  EXPECT_EQ(renamed.model.model, "m");
  EXPECT_EQ(renamed.tags.size(), 1U);
  EXPECT_EQ(must(models_.by_alias(ana_, "n", "best")).note.name, "n");
  EXPECT_EQ(found("name = 'n'"), std::vector<std::int64_t>{1});
  EXPECT_TRUE(found("name = 'm'").empty());
  EXPECT_EQ(add("n"), 2) << "its versions count on";
  must(models_.create(ana_, "m", "", {}));
  EXPECT_EQ(add("m"), 1) << "another model of the old name";
  EXPECT_EQ(must(models_.version(ana_, "m", 1)).note.model, "m~.2");
  EXPECT_EQ(models_.rename(ana_, "n", "m").error().code, Code::already_exists);
  EXPECT_EQ(models_.rename(ana_, "none", "x").error().code, Code::not_found);
  EXPECT_EQ(models_.rename(ana_, "n", "a/b").error().code, Code::invalid_argument);
  must(models_.create(ana_, "free", "", {}));
  must(models_.rename(ana_, "free", "taken"));
  EXPECT_EQ(
      registry_.register_version(ana_, {.model_id = "taken-v1", .artifact_uri = "x"}).error().code,
      Code::already_exists)
      << "of which the present name is another model's";
}

TEST_F(RegisteredModelsTest, AliasesAreRefusedWithAReason) {
  must(models_.create(ana_, "n", "", {}));
  add("n");
  EXPECT_EQ(models_.set_alias(ana_, "n", "best", 9).error().code, Code::not_found);
  for (const char* alias : {"", "a b", "a/b", "latest", "LATEST", "v1", "V12"})
    EXPECT_EQ(models_.set_alias(ana_, "n", alias, 1).error().code, Code::invalid_argument) << alias;
  must(models_.set_alias(ana_, "n", "v1x", 1));
  EXPECT_EQ(models_.create_version(ana_, {.model = "none", .source = "x"}).error().code,
            Code::not_found);
}

TEST_F(RegisteredModelsTest, ARecordIsFilledFromItsRunAndItsTags) {
  must(tracking_.create_experiment(ana_, "e", "", {}));
  const std::string run = must(tracking_.create_run(ana_, {.experiment = 1})).run.id;
  must(tracking_.log(ana_, run,
                     {.metrics = {{.key = "auc", .value = 0.75}, {.key = "bad", .is_nan = true}}}));
  must(models_.create(ana_, "m", "", {}));
  const auto record = [&](std::int64_t number) {
    return must(db_->read(ana_,
                          [&](sql::Tx& tx) { return registry::version(tx, "p1", "m", number); }))
        .record;
  };
  add("m", run);
  EXPECT_EQ(record(1).metrics, (std::map<std::string, double>{{"auc", 0.75}}));
  EXPECT_EQ(record(1).eval_report, "run:" + run);
  EXPECT_FALSE(record(1).rollback_to) << "the first has nothing to go back to";
  must(models_.create_version(
      ana_, {.model = "m",
             .source = "s",
             .tags = {{"penstock.owner", "ml-platform"}, {"penstock.eval_report", "eval_7"}}}));
  EXPECT_EQ(record(2).owner, "ml-platform");
  EXPECT_EQ(record(2).eval_report, "eval_7");
  EXPECT_EQ(record(2).rollback_to, "m-v1");
}

TEST_F(RegisteredModelsTest, PagesGoOnWhereTheyEndedAndRefuseForeignTokens) {
  for (int i = 0; i < 30; ++i) {
    must(models_.create(ana_, "m" + std::to_string(i), "", {}));
    add("m" + std::to_string(i));
  }
  for (const std::string order : {"name ASC", "name DESC", "creation_timestamp DESC", ""}) {
    Search search{.limit = 7};
    if (!order.empty()) search.order_by = {order};
    std::vector<std::string> paged, whole;
    do {
      const auto page = must(models_.search_versions(ana_, search));
      for (const VersionView& one : page.items) paged.push_back(one.note.name);
      search.page_token = page.next_page_token;
    } while (!search.page_token.empty());
    search.limit = 100;
    for (const VersionView& one : must(models_.search_versions(ana_, search)).items)
      whole.push_back(one.note.name);
    EXPECT_EQ(paged, whole) << order;
    EXPECT_EQ(paged.size(), 30U);
  }
  const std::string token = must(models_.search(ana_, {.limit = 3})).next_page_token;
  const auto code = [&](const Search& search) { return models_.search(ana_, search).error().code; };
  EXPECT_TRUE(models_.search(ana_, {.limit = 5, .page_token = token}));
  EXPECT_EQ(code({.filter = "name LIKE 'm%'", .page_token = token}), Code::invalid_argument);
  EXPECT_EQ(code({.order_by = {"name DESC"}, .page_token = token}), Code::invalid_argument);
  for (const std::string& wrong : {std::string("7"), token + "A", token.substr(1), "é" + token})
    EXPECT_EQ(code({.page_token = wrong}), Code::invalid_argument) << wrong;
}

TEST_F(RegisteredModelsTest, AVersionOfALoggedModelKnowsItsRunAndItsFiles) {
  must(tracking_.create_experiment(ana_, "e", "", {}));
  const auto made =
      must(logged_.create(ana_, {.experiment = 1, .name = "by hand", .source_run = "r1"}));
  must(models_.create(ana_, "m", "", {}));
  const auto version = must(models_.create_version(
      ana_, {.model = "m", .source = "models:/" + made.model.id, .logged_model = made.model.id}));
  EXPECT_EQ(version.note.run, "r1");
  EXPECT_EQ(must(models_.download_uri(ana_, "m", 1)), made.model.artifact_uri);
  const auto searched = must(logged_.search(
      ana_, {.experiments = {1}, .filter = "name = 'by hand' AND source_run_id = 'r1'"}));
  EXPECT_EQ(searched.items.size(), 1U);
  must(logged_.finish(ana_, made.model.id, ModelStatus::LOGGED_MODEL_READY));
  must(logged_.remove(ana_, made.model.id));
  EXPECT_EQ(logged_.get(ana_, made.model.id).error().code, Code::not_found);
}

}  // namespace
}  // namespace penstock::tracking
