#include "catalog/lowerings.h"

#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::catalog {
namespace {

class LoweringsTest : public CatalogTest {
 protected:
  LoweringsTest() {
    approvals_.answer_for("source/lower-class", lowerings_.approvable());
    test::must(apply(flights()));
  }

  static std::string declared(const std::string& delay) {
    std::string text = flights();
    const std::string before = "{name: delay, type: double, classification: confidential";
    return text.replace(text.find(before), before.size(),
                        "{name: delay, type: double, classification: " + delay);
  }
  static std::string without_delay() {
    std::string text = flights();
    const std::size_t at = text.find("  - {name: delay");
    return text.erase(at, text.find('\n', at) + 1 - at);
  }
  Result<LowerOutput> ask(Classification to, const Call& call) {
    return lowerings_.ask(call, {"flights", "delay", to, "aggregates only"});
  }
  Result<approvals::Given> approve(const Call& call) {
    clock_.advance(std::chrono::seconds(1));
    return approvals_.give(call, {.subject = "source:flights", .scope = "lower-class:delay"});
  }
  std::string faults_for(const Call& call, const std::string& yaml) {
    resources::ApplyInput input;
    for (const auto& document : test::must(yaml::parse(yaml)))
      input.documents.push_back({.declaration = document.value.as_object()});
    const auto out = resources_.apply(call, input);
    return out ? "" : test::faults_of(out.error());
  }
  Classification stands() {
    const auto source = test::must(
        db_->read(ana_, [](sql::Tx& tx) { return sources_named(tx, "p1", {"flights"}); }));
    const auto classes = test::must(
        db_->read(ana_, [&](sql::Tx& tx) { return column_classes(tx, "p1", source[0].source); }));
    return classes.at(2).classification;
  }
  void confirm(Classification classification) {
    clock_.advance(std::chrono::seconds(1));
    test::must(db_->write(ana_, [&](sql::Tx& tx) {
      return confirm_tag(tx, {"p1", "flights", "delay", "health.diagnosis", classification,
                              "user:ana", clock_.now()});
    }));
  }

  const Call bo_ = test::call("user:bo"), cy_ = test::call("user:cy");
  Lowerings lowerings_{*db_, clock_};
  approvals::Service approvals_{*db_, clock_};
};

TEST_F(LoweringsTest, RaisesFreelyAndLowersNothingWithoutAnApproval) {
  EXPECT_EQ(faults_for(ana_, declared("restricted")), "");
  const std::string fault = faults_for(ana_, declared("confidential"));
  EXPECT_NE(fault.find("columns[2].classification must not lower delay (restricted -> "
                       "confidential), which needs an approval"),
            std::string::npos)
      << fault;
  EXPECT_NE(fault.find("penstock sources lower-class flights delay confidential"),
            std::string::npos);
  EXPECT_EQ(stands(), Classification::restricted);
}

TEST_F(LoweringsTest, LowersWhatAnotherPersonApproved) {
  const auto asked = test::must(ask(Classification::internal, ana_));
  EXPECT_EQ(asked.subject, "source:flights");
  EXPECT_EQ(asked.scope, "lower-class:delay");
  EXPECT_NE(faults_for(ana_, declared("internal")).find("waits for its approval"),
            std::string::npos);
  EXPECT_EQ(approve(ana_).error().code, Code::permission_denied) << "its author";
  test::must(approve(bo_));
  EXPECT_NE(faults_for(bo_, declared("internal")).find("user:bo approved and so cannot apply"),
            std::string::npos);
  EXPECT_NE(faults_for(ana_, declared("public")).find("needs an approval of exactly that"),
            std::string::npos);
  EXPECT_EQ(stands(), Classification::confidential);
  EXPECT_EQ(faults_for(ana_, declared("internal")), "");
  EXPECT_EQ(stands(), Classification::internal);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'catalog.class.lowered'"), 1);
}

TEST_F(LoweringsTest, LetsAnApprovalBeUsedOnce) {
  test::must(ask(Classification::internal, ana_));
  test::must(approve(bo_));
  EXPECT_EQ(faults_for(cy_, declared("internal")), "");
  EXPECT_EQ(faults_for(cy_, declared("confidential")), "");
  EXPECT_NE(faults_for(cy_, declared("internal")).find("needs an approval of exactly that"),
            std::string::npos);
}

TEST_F(LoweringsTest, LetsAnApprovalExpire) {
  test::must(ask(Classification::internal, ana_));
  test::must(approve(bo_));
  clock_.advance(std::chrono::hours(24 * 91));
  EXPECT_NE(faults_for(ana_, declared("internal")).find("waits for its approval"),
            std::string::npos);
}

TEST_F(LoweringsTest, DoesNotForgetAColumnThatIsTakenOutAndPutInAgain) {
  run("COPY (SELECT 'AA' AS carrier, TIMESTAMP '2013-01-01' AS left_at, 1 AS distance) TO '" +
      folder_ / "flights.parquet" + "' (FORMAT parquet)");
  EXPECT_EQ(faults_for(ana_, without_delay()), "");
  run("COPY (SELECT 'AA' AS carrier, TIMESTAMP '2013-01-01' AS left_at, 2.5 AS delay, 1 AS "
      "distance) TO '" +
      folder_ / "flights.parquet" + "' (FORMAT parquet)");
  EXPECT_NE(faults_for(ana_, declared("public")).find("must not lower delay"), std::string::npos);
  EXPECT_EQ(faults_for(ana_, declared("confidential")), "");
}

TEST_F(LoweringsTest, LowersWhatWasConfirmedByTheApprovalAlone) {
  confirm(Classification::restricted);
  EXPECT_EQ(stands(), Classification::restricted);
  EXPECT_EQ(faults_for(ana_, declared("confidential")), "") << "declared as before";
  EXPECT_EQ(stands(), Classification::restricted) << "and still the stricter one stands";
  EXPECT_NE(faults_for(ana_, declared("internal")).find("restricted -> internal"),
            std::string::npos);
  test::must(ask(Classification::confidential, ana_));
  EXPECT_EQ(stands(), Classification::restricted);
  test::must(approve(bo_));
  EXPECT_EQ(stands(), Classification::confidential);
  confirm(Classification::restricted);
  EXPECT_EQ(stands(), Classification::restricted) << "whoever confirms later raises it again";
}

TEST_F(LoweringsTest, RefusesWhatIsNoLowering) {
  EXPECT_EQ(ask(Classification::confidential, ana_).error().code, Code::failed_precondition);
  EXPECT_EQ(ask(Classification::restricted, ana_).error().code, Code::failed_precondition);
  EXPECT_EQ(lowerings_.ask(ana_, {"flights", "nothing", Classification::open, "r"}).error().code,
            Code::not_found);
  EXPECT_EQ(lowerings_.ask(ana_, {"nothing", "delay", Classification::open, "r"}).error().code,
            Code::not_found);
  EXPECT_EQ(approve(bo_).error().code, Code::not_found) << "nobody asked";
  EXPECT_EQ(test::count(*db_, "column_lowerings"), 0);
}

TEST_F(LoweringsTest, EndsARequestThatTheClassHasOutrun) {
  test::must(ask(Classification::internal, ana_));
  EXPECT_EQ(faults_for(ana_, declared("restricted")), "");
  EXPECT_EQ(approve(bo_).error().code, Code::failed_precondition);
  test::must(ask(Classification::internal, ana_));
  test::must(approve(bo_));
  EXPECT_EQ(faults_for(ana_, declared("internal")), "");
}

TEST_F(LoweringsTest, TakesTheSameRequestTwiceAsOne) {
  const auto first = test::must(ask(Classification::internal, ana_));
  const auto second = test::must(ask(Classification::internal, ana_));
  EXPECT_EQ(first.lowering.id, second.lowering.id);
  EXPECT_EQ(test::count(*db_, "column_lowerings"), 1);
  EXPECT_EQ(test::count(*db_, "approval_requests"), 1);
}

}  // namespace
}  // namespace penstock::catalog
