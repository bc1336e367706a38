// Policies over the real tables: what they see, what they refuse, and what is kept of it.
#include "policies/service.h"

#include <gtest/gtest.h>

#include "adapters/duckdb/duckdb.h"
#include "base/yaml.h"
#include "catalog/classes.h"
#include "catalog/service.h"
#include "registry/service.h"
#include "tests/support/fixture.h"

namespace penstock::policies {
namespace {

using namespace std::chrono_literals;
using test::must;

class PoliciesTest : public testing::Test {
 protected:
  PoliciesTest() {
    for (const char* field : {"eval_report", "artifact_uri"})
      registry_.verify_with(
          field,
          [](sql::Tx&, const Call&, const std::string& text) -> Result<std::optional<std::string>> {
            return std::optional("evaluation:" + text);
          });
    resources_.add({.kind = "source",
                    .check = [](sql::Tx&, const Call&,
                                const json::object& one) -> Result<json::object> { return one; },
                    .applied =
                        [](sql::Tx& tx, const Call& call, const resources::Resource& one) {
                          return catalog::keep_column_classes(tx, call.project, one.name);
                        }});
    resources_.add(registry_.kind());
    resources_.add(service_.kind());
  }

  static json::object policy(const std::string& name, const std::string& sql,
                             json::object more = {}) {
    json::object out{{"kind", "policy"},    {"name", name},
                     {"owner", "platform"}, {"applies_to", json::array{"release"}},
                     {"message", "not so"}, {"sql", sql}};
    for (const auto& field : more) out[field.key()] = field.value();
    return out;
  }
  Result<resources::ApplyOutput> apply(const json::object& declaration) {
    return apply(ana_, declaration);
  }
  Result<resources::ApplyOutput> apply(const Call& call, const json::object& declaration) {
    return resources_.apply(call, {.documents = {{.declaration = declaration}}});
  }
  std::string faults(const json::object& declaration) {
    const auto done = apply(declaration);
    return done ? "" : test::faults_of(done.error());
  }
  static registry::Record record(const std::string& id) {
    return {.model_id = id, .artifact_uri = "artifact-1", .eval_report = "eval", .owner = "ml"};
  }
  registry::ModelVersion given(const registry::Record& record) {
    return must(registry_.register_version(ana_, record));
  }
  void edge(const std::string& from, const std::string& to, bool masking = false) {
    must(db_->write(ana_, [&](sql::Tx& tx) {
      return catalog::add_edges(tx, ana_,
                                {{.from_urn = from,
                                  .to_urn = to,
                                  .relation = "derived_from",
                                  .created_at = clock_.now(),
                                  .masking = masking}});
    }));
  }
  void evaluation(const std::string& name, bool passed) {
    must(db_->write(ana_, [&](sql::Tx& tx) {
      return tx.run(
          "INSERT INTO evaluations (project, name, run, passed, gate, slices, predictions_uri, "
          "created_at) VALUES ('p1', $1, 'r', $2, '{}', '[]', '', $3)",
          {name, passed, sql::to_sql(clock_.now())});
    }));
  }
  void source(const std::string& name, const std::string& classification,
              const std::string& other = "public") {
    must(apply(json::object{
        {"kind", "source"},
        {"name", name},
        {"owner", "desk"},
        {"path", "x"},
        {"description", ""},
        {"columns",
         json::array{
             json::object{{"name", "plain"}, {"type", "text"}, {"classification", other}},
             json::object{
                 {"name", "card no"}, {"type", "text"}, {"classification", classification}}}}}));
  }
  // "name outcome" of each, with the message of those that do not hold.
  std::string said(const Subject& subject) {
    std::string out;
    for (const Finding& finding :
         must(service_.check(ana_, {subject.urn, subject.action, subject.route, subject.purpose}))
             .findings)
      out += finding.policy + " " + std::string(name_of(finding.outcome)) +
             (finding.message.empty() ? "" : ": " + finding.message) + "\n";
    return out;
  }

  const Call ana_ = test::call("user:ana"), bo_ = test::call("user:bo");
  ManualClock clock_;
  const std::unique_ptr<sql::Database> db_ = test::database();
  resources::Service resources_{*db_, clock_};
  Service service_{*db_, resources_, clock_};
  registry::Service registry_{*db_, clock_};
};

constexpr const char* no_licence =
    "SELECT v.urn AS subject, 'licence is missing' AS message FROM policy_subject AS s "
    "JOIN policy_model_versions AS v ON v.model = s.name AND v.version = s.version "
    "WHERE v.licence IS NULL";

TEST_F(PoliciesTest, EveryDocumentedColumnCanBeRead) {
  for (const View& view : views()) {
    SCOPED_TRACE(view.name);
    std::string columns;
    for (const ViewColumn& column : view.columns)
      columns += (columns.empty() ? "x." : ", x.") + column.name;
    EXPECT_EQ(faults(policy("p", "SELECT " + columns + " FROM " + view.name + " AS x")), "");
    // And no other: what is not documented is not there.
    const auto answer = must(db_->read(ana_, [&](sql::Tx& tx) {
      return tx.ask(with_views({view.name}) + " SELECT * FROM " + view.name,
                    view_parameters("p1", "user:ana", clock_.now(), {.urn = "model:m@v1"}), 5s);
    }));
    std::vector<std::string> documented;
    for (const ViewColumn& column : view.columns) documented.push_back(column.name);
    EXPECT_EQ(answer.columns, documented);
  }
}

TEST_F(PoliciesTest, AreRefusedWhereTheyCannotRun) {
  struct Case {
    const char* sql;
    const char* says;
  };
  for (const Case& c : {Case{"SELECT * FROM approvals", "reads approvals"},
                        Case{"SELECT * FROM policy_nothing", "reads policy_nothing"},
                        Case{"SELECT nothing FROM policy_models", "cannot be run"},
                        Case{"SELECT s.urn FROM policy_subject AS s WHERE", "cannot be run"},
                        Case{"SELECT penstock_x FROM policy_models", "penstock_x"},
                        Case{"UPDATE policy_models SET name = 'x'", "must be one SELECT"}}) {
    SCOPED_TRACE(c.sql);
    EXPECT_NE(faults(policy("p", c.sql)).find(c.says), std::string::npos)
        << faults(policy("p", c.sql));
  }
  const char* fine = "SELECT urn FROM policy_subject WHERE urn = 'x'";
  EXPECT_NE(faults(policy("p", fine, {{"time_limit", "31s"}})).find("time_limit"),
            std::string::npos);
  EXPECT_NE(faults(policy("p", fine, {{"time_limit", "0s"}})).find("time_limit"),
            std::string::npos);
  EXPECT_NE(faults(policy("p", fine, {{"applies_to", json::array()}})).find("applies_to"),
            std::string::npos);
  EXPECT_NE(faults(policy("p", fine, {{"applies_to", json::array{"deploy"}}})).find("applies_to"),
            std::string::npos);
  EXPECT_NE(faults(policy("p", fine, {{"severity", "fatal"}})).find("severity"), std::string::npos);
  EXPECT_NE(faults(policy("p", fine, {{"message", ""}})).find("message"), std::string::npos);
  EXPECT_EQ(faults(policy("p", fine)), "");
}

TEST_F(PoliciesTest, NeverSeeAnotherProject) {
  Call other = ana_;
  other.project = "p2";
  must(registry_.register_version(other, record("theirs")));
  must(apply(policy("p",
                    "SELECT v.urn AS subject FROM policy_model_versions AS v "
                    "UNION ALL SELECT m.name FROM policy_models AS m")));
  EXPECT_EQ(said({.urn = "model:theirs@v1"}), "p passed\n");
  given(record("mine"));
  EXPECT_EQ(said({.urn = "model:theirs@v1"}), "p violated: not so\n");
}

TEST_F(PoliciesTest, RefuseARegistrationThatTheySeeBeforeItIsCommitted) {
  must(apply(policy("licence", no_licence, {{"applies_to", json::array{"register"}}})));
  const auto refused = registry_.register_version(ana_, record("m-v1"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_EQ(refused.error().message,
            "to register model:m@v1 is refused by policy licence: not so: licence is missing");
  EXPECT_EQ(test::count(*db_, "model_versions"), 0);
  EXPECT_EQ(test::count(*db_, "policy_results"), 0);
  auto licensed = record("m-v1");
  licensed.licence = "MIT";
  given(licensed);
  EXPECT_EQ(test::count(*db_,
                        "policy_results WHERE subject = 'model:m@v1' AND action = 'register' "
                        "AND outcome = 'passed' AND allowed"),
            1);
  EXPECT_EQ(test::count(*db_,
                        "audit_events WHERE action = 'registry.version.registered' AND detail "
                        "LIKE '%\"policies\":[{%licence%'"),
            1);
  // Another model is not the policy's business.
  must(apply(
      policy("licence", no_licence,
             {{"applies_to", json::array{"register"}}, {"models", json::array{"m", "n-*"}}})));
  given(record("other-v1"));
  EXPECT_FALSE(registry_.register_version(ana_, record("n-1-v1")));
}

TEST_F(PoliciesTest, RefuseAnApprovalAndLeaveNothingOfIt) {
  given(record("m-v1"));
  must(apply(policy("licence", no_licence, {{"applies_to", json::array{"approve"}}})));
  const auto refused =
      registry_.approve(bo_, {.model = "m", .version = "v1", .scope = "production"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_EQ(test::count(*db_, "approvals"), 0);
  // A warning lets it through, and is kept.
  must(apply(policy("licence", no_licence,
                    {{"applies_to", json::array{"approve"}}, {"severity", "warn"}})));
  must(registry_.approve(bo_, {.model = "m", .version = "v1", .scope = "production"}));
  const auto kept = must(service_.results(ana_, {.subject = "model:m@v1"})).results;
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].outcome, Outcome::violated);
  EXPECT_TRUE(kept[0].allowed);
  EXPECT_EQ(kept[0].violations, 1);
  EXPECT_EQ(kept[0].shown.at(0).at("message"), "licence is missing");
  EXPECT_EQ(kept[0].policy_version, 2);
  EXPECT_EQ(kept[0].actor, "user:bo");
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'policies.asked'"), 1);
}

TEST_F(PoliciesTest, BlockWhereTheyCannotBeRunEvenIfTheyOnlyWarn) {
  given(record("m-v1"));
  // What one database refuses as it runs (1 / 0) is NULL to the other; both stop what never ends.
  std::string crossed = "SELECT count(*) FROM policy_evaluation_slices AS a";
  std::string lengths = "length(a.slice)";
  for (const std::string name : {"b", "c", "d", "e"}) {
    crossed += " CROSS JOIN policy_evaluation_slices AS " + name;
    lengths += " + length(" + name + ".slice)";
  }
  must(db_->write(ana_, [&](sql::Tx& tx) {
    std::string slices;
    for (int i = 0; i < 200; ++i) slices += (i ? "," : "") + std::string("{\"slice\":\"x\"}");
    return tx.run(
        "INSERT INTO evaluations (project, name, run, passed, gate, slices, predictions_uri, "
        "created_at) VALUES ('p2', 'e', 'r', TRUE, '{}', $1, '', 1)",
        {"[" + slices + "]"});
  }));
  must(apply(policy("slow", crossed + " WHERE " + lengths + " > 100 HAVING count(*) > 0",
                    {{"severity", "warn"}, {"time_limit", "3s"}})));
  // In a project of many slices the same policy is stopped.
  must(db_->write(ana_,
                  [](sql::Tx& tx) { return tx.run("UPDATE evaluations SET project = 'p1'", {}); }));
  const auto findings =
      must(service_.check(ana_, {.subject = "model:m@v1", .action = Action::release}));
  ASSERT_EQ(findings.findings.size(), 1u);
  EXPECT_FALSE(findings.allowed);
  EXPECT_EQ(findings.findings[0].outcome, Outcome::failed);
  EXPECT_EQ(findings.findings[0].severity, Severity::warn);
  EXPECT_EQ(findings.findings[0].message,
            "could not be run, so it blocks: it was stopped after 3s");
}

// What was declared before views had these names.
TEST_F(PoliciesTest, BlockWhereTheirDeclarationCannotBeRead) {
  given(record("m-v1"));
  must(db_->write(ana_, [](sql::Tx& tx) {
    return tx.run(
        "INSERT INTO resources (project, kind, name, version, digest, owner, declaration, "
        "applied_at, applied_by) VALUES ('p1', 'policy', 'old', 1, 'd', 'o', '{\"name\":\"old\","
        "\"owner\":\"o\",\"sql\":\"SELECT 1\",\"applies_to\":\"release\",\"message\":\"m\"}', 1, "
        "'user:ana')",
        {});
  }));
  EXPECT_NE(said({.urn = "model:m@v1"}).find("old failed: could not be run, so it blocks"),
            std::string::npos);
  const auto refused = must(db_->write(ana_, [&](sql::Tx& tx) -> Result<Code> {
    const auto done = enforce(tx, ana_, clock_.now(), {.urn = "model:m@v1"});
    return done ? Code::internal : done.error().code;
  }));
  EXPECT_EQ(refused, Code::failed_precondition);
  EXPECT_EQ(must(service_.list(ana_)).policies.at(0).policy.name, "old");
}

TEST_F(PoliciesTest, TheDefaultOnesComeOnceAndKeepWhatWasChanged) {
  const auto first = must(service_.install(ana_, {}));
  EXPECT_EQ(first.changes.size(), 9u);
  EXPECT_TRUE(first.kept.empty());
  const std::string before = "artifact-is-signed";
  must(apply(policy(before, no_licence)));
  const auto second = must(service_.install(ana_, {}));
  EXPECT_TRUE(second.changes.empty());
  EXPECT_EQ(second.kept.size(), 9u);
  const auto third = must(service_.install(ana_, {.replace = true}));
  for (const resources::Change& change : third.changes)
    EXPECT_EQ(change.action,
              change.name == before ? resources::Action::update : resources::Action::unchanged);
}

TEST_F(PoliciesTest, TheDefaultOnesSayWhatIsMissing) {
  must(service_.install(ana_, {}));
  evaluation("eval", true);
  evaluation("failed", false);
  struct Case {
    std::string what;
    std::function<void(registry::Record&)> change;
    std::string policy, says;  // empty: all hold
  };
  const Case cases[] = {
      {"as it should be", [](registry::Record&) {}, "", ""},
      {"no evaluation", [](registry::Record& one) { one.eval_report.reset(); },
       "version-has-evaluation", "the record names none"},
      {"an unknown one", [](registry::Record& one) { one.eval_report = "other"; },
       "version-has-evaluation", "not known here"},
      {"a failed one", [](registry::Record& one) { one.eval_report = "failed"; },
       "version-has-evaluation", "evaluation:failed did not pass"},
      {"no way back", [](registry::Record& one) { one.rollback_to.reset(); },
       "version-has-rollback-target", "set rollback_to"},
  };
  given(record("m-v1"));
  int version = 1;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    auto next = record("m-v" + std::to_string(++version));
    next.rollback_to = "m-v1";
    c.change(next);
    const std::string urn = given(next).urn();
    const auto got = must(service_.check(ana_, {.subject = urn, .action = Action::release}));
    EXPECT_EQ(got.allowed, c.policy.empty());
    for (const Finding& finding : got.findings) {
      if (finding.policy == "artifact-is-signed") continue;
      EXPECT_EQ(finding.allowed, finding.policy != c.policy) << finding.policy << finding.message;
      if (finding.policy == c.policy) {
        EXPECT_NE(finding.message.find(c.says), std::string::npos) << finding.message;
      }
    }
  }
  // The first needs no way back; and time passes.
  EXPECT_TRUE(must(service_.check(ana_, {.subject = "model:m@v1"})).allowed);
  clock_.advance(24h * 91);
  const auto late = must(service_.check(ana_, {.subject = "model:m@v1"}));
  EXPECT_FALSE(late.allowed);
  EXPECT_NE(said({.urn = "model:m@v1"}).find("evaluation:eval is 91 days old"), std::string::npos);
  // Nobody's version cannot even be registered.
  auto nobodys = record("m-v99");
  nobodys.owner.reset();
  EXPECT_NE(registry_.register_version(ana_, nobodys).error().message.find("version-has-owner"),
            std::string::npos);
}

TEST_F(PoliciesTest, RestrictedDataStaysHereUnlessItIsMasked) {
  must(service_.install(ana_, {}));
  source("cards", "restricted");
  source("flights", "internal");
  const auto refuses = [&](const std::string& runtime) {
    auto one = record("m");
    one.runtime = runtime;
    const std::string urn = given(one).urn();
    edge(urn, "dataset:d@1");
    return said({.urn = urn}).find("no-restricted-data-to-external-runtime violated") !=
           std::string::npos;
  };
  edge("dataset:d@1", "source:flights@1");
  EXPECT_FALSE(refuses("openai")) << "internal data may go";
  edge("dataset:d@1", "source:cards@1");
  EXPECT_TRUE(refuses("openai"));
  EXPECT_TRUE(refuses("kserve"));
  EXPECT_TRUE(refuses("something-new"));
  EXPECT_FALSE(refuses("onnx"));
  // Which columns were read is known now.
  edge("dataset:d@1#a", "source:cards@1#plain");
  EXPECT_FALSE(refuses("openai"));
  edge("dataset:d@1#b", catalog::column_urn("source:cards@1", "card no"), true);
  EXPECT_FALSE(refuses("openai")) << "it is masked";
  edge("dataset:d@1#c", catalog::column_urn("source:cards@1", "card no"));
  EXPECT_TRUE(refuses("openai")) << "and once it is not";
}

TEST_F(PoliciesTest, ClassesThatPeopleConfirmCountAtOnce) {
  must(service_.install(ana_, {}));
  source("cards", "internal");
  const Subject read{.action = Action::read, .urn = "source:cards@1", .purpose = "dataset:d"};
  EXPECT_EQ(said(read), "restricted-source-is-read passed\n");
  must(db_->write(ana_, [&](sql::Tx& tx) {
    return catalog::confirm_tag(tx, {"p1", "cards", "card no", "pci",
                                     catalog::Classification::restricted, "user:bo", clock_.now()});
  }));
  EXPECT_EQ(said(read),
            "restricted-source-is-read violated: Restricted data is read: user:ana reads it for "
            "dataset:d\n");
}

}  // namespace
}  // namespace penstock::policies
