// The record of a version: kept as written, checked where it can be, and never changed.
#include <gtest/gtest.h>

#include "base/yaml.h"
#include "registry/service.h"
#include "tests/support/fixture.h"

namespace penstock::registry {
namespace {

constexpr const char* lab_record = R"(model_id: ticket-escalation-v4
artifact_uri: s3://models/ticket-escalation/v4
training_data: dataset_2026_05_01
feature_schema: features_v7
eval_report: eval_2026_05_02
owner: ml-platform
approved_for: production-canary
rollback_to: ticket-escalation-v3
)";

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    registry_.verify_with("training_data", known({"dataset_known"}));
    registry_.verify_with("feature_schema", known({"features_known"}));
    registry_.verify_with("eval_report", known({"eval_known"}));
    registry_.verify_with("artifact_uri", known({"penstock://artifacts/known"}));
  }
  static ReferenceLookup known(std::set<std::string> names) {
    return
        [names = std::move(names)](sql::Tx&, const Call&,
                                   const std::string& text) -> Result<std::optional<std::string>> {
          if (names.contains(text)) return std::optional<std::string>("thing:" + text);
          return std::optional<std::string>();
        };
  }
  static Record lab() {
    return test::must(decode<Record>(test::must(yaml::parse(lab_record)).at(0).value));
  }
  static Record releasable(const std::string& id) {
    return {.model_id = id,
            .artifact_uri = "penstock://artifacts/known",
            .training_data = "dataset_known",
            .feature_schema = "features_known",
            .eval_report = "eval_known",
            .owner = "ml-platform"};
  }

  const Call ana_ = test::call("user:ana"), bo_ = test::call("user:bo");
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  Service registry_{*db_, clock_};
};

TEST_F(RegistryTest, KeepsTheLabRecordAsItStands) {
  const auto version = test::must(registry_.register_version(ana_, lab()));
  EXPECT_EQ(version.urn(), "model:ticket-escalation@v4");
  const auto back = test::must(registry_.get(ana_, {"ticket-escalation", "v4"}));
  json::object written;
  const json::value record = encode(back.version.record);
  for (const auto& field : record.as_object())
    if (!field.value().is_null() && field.value() != json::value(json::object{}))
      written[field.key()] = field.value();
  EXPECT_EQ(yaml::print(written), lab_record);
}

TEST_F(RegistryTest, ShowsWhatNobodyVerifiedAndLetsItBlockApprovalOnly) {
  test::must(registry_.register_version(ana_, lab()));
  const auto detail = test::must(registry_.get(ana_, {"ticket-escalation", "v4"}));
  EXPECT_EQ(detail.version.record_references.size(), 5U);
  for (const Reference& reference : detail.version.record_references)
    EXPECT_EQ(reference.standing, Standing::declared) << reference.field;
  EXPECT_EQ(detail.blockers.size(), 5U);
  const auto approved =
      registry_.approve(bo_, {"ticket-escalation", "v4", "production-canary", ""});
  ASSERT_FALSE(approved);
  EXPECT_EQ(approved.error().code, Code::failed_precondition);
  EXPECT_EQ(test::count(*db_, "approvals"), 0);
}

TEST_F(RegistryTest, ReadsAModelIdAsNameAndVersion) {
  struct Case {
    std::string text, model;
    std::int64_t version;
  };
  for (const Case& c : {Case{"a-v1", "a", 1},
                        {"a-v1-v20", "a-v1", 20},
                        {"a@v3", "a", 3},
                        {"model:a@3", "a", 3},
                        {"plain", "plain", 0},
                        {"a-video", "a-video", 0}}) {
    const auto got = test::must(version_name(c.text));
    EXPECT_EQ(got.model, c.model);
    EXPECT_EQ(got.version, c.version);
  }
  for (const char* text : {"", "@v1", "a@", "a@v0", "a@vx", "a b-v1", "a/b-v1", "a@v-1"})
    EXPECT_FALSE(version_name(text)) << text;
}

TEST_F(RegistryTest, NeverChangesAVersion) {
  const Record record = releasable("m-v1");
  test::must(registry_.register_version(ana_, record));
  EXPECT_TRUE(registry_.register_version(ana_, record)) << "the same again is the same version";
  Record other = record;
  other.owner = "somebody-else";
  const auto refused = registry_.register_version(ana_, other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::already_exists);
  EXPECT_EQ(*test::must(registry_.get(ana_, {"m", "1"})).version.record.owner, "ml-platform");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'registry.version.registered'"), 1);
}

TEST_F(RegistryTest, CountsVersionsOnWhereNoneIsSaid) {
  EXPECT_EQ(test::must(registry_.register_version(ana_, releasable("m"))).urn(), "model:m@v1");
  EXPECT_EQ(test::must(registry_.register_version(ana_, releasable("m"))).urn(), "model:m@v2");
}

TEST_F(RegistryTest, IsApprovedOnlyBySomebodyElse) {
  test::must(registry_.register_version(ana_, releasable("m-v1")));
  struct Case {
    std::string what;
    const Call& call;
    ApproveInput input;
    std::optional<Code> refused;
  };
  const Case cases[] = {
      {"own", ana_, {"m", "v1", "production", ""}, Code::permission_denied},
      {"unknown version", bo_, {"m", "v2", "production", ""}, Code::not_found},
      {"no version", bo_, {"m", "latest", "production", ""}, Code::invalid_argument},
      {"second person", bo_, {"m", "v1", "production", "looked at slices"}, {}},
      {"twice", bo_, {"m", "v1", "production", ""}, Code::already_exists},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto got = registry_.approve(c.call, c.input);
    EXPECT_EQ(got ? std::nullopt : std::optional(got.error().code), c.refused);
  }
  const auto detail = test::must(registry_.get(ana_, {"m", "v1"}));
  EXPECT_EQ(detail.version.status, Status::approved);
  ASSERT_EQ(detail.approvals.size(), 1U);
  EXPECT_EQ(detail.approvals[0].digest, detail.version.digest);
}

TEST_F(RegistryTest, AsksForAWayBackFromTheSecondVersionOn) {
  test::must(registry_.register_version(ana_, releasable("m-v1")));
  test::must(registry_.register_version(ana_, releasable("m-v2")));
  EXPECT_EQ(test::must(registry_.get(ana_, {"m", "1"})).blockers.size(), 0U);
  EXPECT_EQ(test::must(registry_.get(ana_, {"m", "2"})).blockers,
            std::vector<std::string>{"rollback_to is missing"});
}

TEST_F(RegistryTest, KeepsProjectsApart) {
  test::must(registry_.register_version(ana_, releasable("m-v1")));
  Call other = ana_;
  other.project = "p2";
  EXPECT_EQ(registry_.get(other, {"m", "v1"}).error().code, Code::not_found);
  EXPECT_TRUE(test::must(registry_.list(other, {})).versions.empty());
}

TEST_F(RegistryTest, LeavesNothingBehindWhenTheAuditLogIsGone) {
  test::must(db_->write(ana_, [](sql::Tx& tx) { return tx.run("DROP TABLE audit_head", {}); }));
  EXPECT_FALSE(registry_.register_version(ana_, releasable("m-v1")));
  EXPECT_EQ(test::count(*db_, "model_versions"), 0);
}

TEST(Record, NamesEveryFault) {
  const auto got = decode<Record>(
      json::parse(R"({"model_id": 7, "owner": "", "colour": "red", "metrics": {"auc": "high"}})"));
  ASSERT_FALSE(got);
  const std::string faults = test::faults_of(got.error());
  for (const char* expected :
       {"model_id must be of type string\n", "artifact_uri is missing\n",
        "owner must be at least 1 characters\n", "colour is not known here; known are model_id, ",
        "metrics.auc must be of type number (double)\n"})
    EXPECT_NE(faults.find(expected), std::string::npos) << expected << "\n" << faults;
}

}  // namespace
}  // namespace penstock::registry
