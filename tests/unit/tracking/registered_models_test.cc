// Registered models over the registry, on both databases.
#include <gtest/gtest.h>

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
  EXPECT_EQ(found("run_id = 'r2'"), (Numbers{2, 7}));
  EXPECT_EQ(found("tags.a = '1' AND version_number < 7"), Numbers{2});
  EXPECT_EQ(found("tags.`mlflow.prompt.is_prompt` != 'true'"), (Numbers{1, 2, 7}));
  const auto kept = must(models_.get(ana_, "m"));
  EXPECT_EQ(kept.model.description, "about") << "a new version changes nothing that was said";
  ASSERT_EQ(kept.latest.size(), 1U);
  EXPECT_EQ(kept.latest[0].note.version, 7);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'registry.version.registered'"), 3);
}

TEST_F(RegisteredModelsTest, WhatIsServedCannotBeDeleted) {
  must(models_.create(ana_, "m", "", {}));
  add("m");
  add("m");
  must(models_.set_alias(ana_, "m", "champion", 1));
  must(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
    const auto version = TRY(registry::version(tx, ana_.project, "m", 1));
    return registry::set_status(tx, ana_, clock_.now(), version, registry::Status::live);
  }));
  EXPECT_EQ(models_.remove_version(ana_, "m", 1).error().code, Code::failed_precondition);
  EXPECT_EQ(models_.remove(ana_, "m").error().code, Code::failed_precondition);
  EXPECT_EQ(must(models_.by_alias(ana_, "m", "champion")).note.version, 1);
  must(models_.remove_version(ana_, "m", 2));
  EXPECT_EQ(models_.version(ana_, "m", 2).error().code, Code::not_found);
  EXPECT_EQ(test::count(*db_, "model_versions"), 2) << "the record stays";
  EXPECT_EQ(add("m"), 3) << "a number is never given twice";
}

TEST_F(RegisteredModelsTest, NamesAreRefusedWithAReason) {
  must(models_.create(ana_, "m", "", {}));
  EXPECT_EQ(models_.create(ana_, "m", "", {}).error().code, Code::already_exists);
  for (const char* name : {"", "a b", "a/b", "m-v2", "m@v2"})
    EXPECT_EQ(models_.create(ana_, name, "", {}).error().code, Code::invalid_argument) << name;
  must(models_.rename(ana_, "m", "n"));
  EXPECT_EQ(models_.get(ana_, "m").error().code, Code::not_found);
  add("n");
  EXPECT_EQ(models_.rename(ana_, "n", "m").error().code, Code::failed_precondition);
  EXPECT_EQ(models_.set_alias(ana_, "n", "best", 9).error().code, Code::not_found);
  EXPECT_EQ(models_.create_version(ana_, {.model = "none", .source = "x"}).error().code,
            Code::not_found);
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
