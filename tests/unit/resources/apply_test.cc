// Declared, then applied: all or nothing, twice is a no-op, and every fault at once with its line.
#include <gtest/gtest.h>

#include "base/yaml.h"
#include "resources/service.h"
#include "tests/support/fixture.h"

namespace penstock::resources {
namespace {

struct Colour {
  std::string name, owner;
  std::int64_t depth = 1;
  std::vector<std::string> shades;
};
BOOST_DESCRIBE_STRUCT(Colour, (), (name, owner, depth, shades))
constexpr auto rules_of(const Colour&) {
  return std::array{Rule{.field = "depth", .min = 1, .max = 9, .may_miss = true}};
}
struct Mix {
  std::string name, owner, of;
};
BOOST_DESCRIBE_STRUCT(Mix, (), (name, owner, of))

class ApplyTest : public testing::Test {
 protected:
  ApplyTest() {
    resources_.add({.kind = "colour", .check = checked_as<Colour>()});
    resources_.add({.kind = "mix",
                    .check = checked_as<Mix>(
                        [](sql::Tx& tx, const Call& call, const Mix& mix) -> Result<void> {
                          TRY(get(tx, call.project, "colour", mix.of));
                          return {};
                        })});
    resources_.on_applied([this](const Call&, const ApplyOutput&) { ++heard_; });
  }
  Result<ApplyOutput> apply(const std::string& text, bool dry_run = false) {
    ApplyInput input{.dry_run = dry_run};
    for (const yaml::Document& document : test::must(yaml::parse(text))) {
      std::map<std::string, std::int64_t> lines(document.lines.begin(), document.lines.end());
      input.documents.push_back({document.value.as_object(), "colours.yaml", lines});
    }
    return resources_.apply(call_, input);
  }

  const Call call_ = test::call();
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  Service resources_{*db_, clock_};
  int heard_ = 0;
};

constexpr const char* both =
    "kind: mix\nname: dark\nowner: ana\nof: red\n---\nkind: colour\nname: red\nowner: bo\n";

TEST_F(ApplyTest, OrdersByKindAndASecondApplyIsANoOp) {
  const auto first = test::must(apply(both));
  ASSERT_EQ(first.changes.size(), 2U);
  EXPECT_EQ(first.changes[0].kind, "colour");
  EXPECT_EQ(first.changes[1].action, Action::create);
  const auto second = test::must(apply(both));
  for (const Change& change : second.changes) EXPECT_EQ(change.action, Action::unchanged);
  EXPECT_EQ(test::count(*db_, "resources"), 2);
  EXPECT_EQ(test::count(*db_, "audit_events"), 2);
  EXPECT_EQ(heard_, 1);
}

TEST_F(ApplyTest, AChangeMakesTheNextVersionAndKeepsTheOld) {
  test::must(apply(both));
  const auto changed = test::must(apply("kind: colour\nname: red\nowner: bo\ndepth: 3\n"));
  EXPECT_EQ(changed.changes[0].version, 2);
  EXPECT_EQ(changed.changes[0].fields, std::vector<std::string>{"depth"});
  const auto old = test::must(db_->read(
      call_, [&](sql::Tx& tx) { return declared<Colour>(tx, call_.project, "colour", "red", 1); }));
  EXPECT_EQ(old.depth, 1);
}

TEST_F(ApplyTest, APlanSaysTheSameAndKeepsNothing) {
  const auto planned = test::must(apply(both, true));
  ASSERT_EQ(planned.changes.size(), 2U);
  EXPECT_EQ(planned.changes[0].action, Action::create);
  EXPECT_EQ(test::count(*db_, "resources"), 0);
  EXPECT_EQ(test::count(*db_, "audit_events"), 0);
  EXPECT_EQ(heard_, 0);
}

TEST_F(ApplyTest, NamesEveryFaultOfEveryDocumentWithItsLineAndChangesNothing) {
  const auto got = apply(
      "kind: colour\nname: red\nowner: bo\ndepth: 99\nshade: x\n---\nkind: colour\nowner: bo\n---\n"
      "kind: mix\nname: dark\nowner: ana\nof: blue\n---\nkind: sound\nname: c\n---\n"
      "kind: colour\nname: fine\nowner: bo\n");
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Code::invalid_argument);
  const std::string faults = test::faults_of(got.error());
  for (const char* expected :
       {"colours.yaml:4: colour red: depth must be at most 9",
        "colours.yaml:5: colour red: shade is not known here", "name must be 1 to 200 letters",
        "mix dark there is no colour blue", "kind must be one of colour, mix"})
    EXPECT_NE(faults.find(expected), std::string::npos) << expected << "\n" << faults;
  EXPECT_EQ(test::count(*db_, "resources"), 0);
}

TEST_F(ApplyTest, RefusesTheSameThingTwice) {
  EXPECT_FALSE(
      apply("kind: colour\nname: red\nowner: a\n---\nkind: colour\nname: red\nowner: b\n"));
}

}  // namespace
}  // namespace penstock::resources
