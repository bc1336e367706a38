#include "classification/service.h"

#include "tests/unit/catalog/catalog_fixture.h"

namespace penstock::classification {
namespace {

using catalog::CatalogTest;
using catalog::ColumnClass;

class ServiceTest : public CatalogTest {
 protected:
  ServiceTest() {
    write_people("'ana' || i || '@example.org'");
    test::must(apply(people()));
  }

  void write_people(const std::string& email) {
    run("COPY (SELECT " + email +
        " AS email, 1990 + i % 30 AS year, 4000000000 + i * 7919 AS order_id, 'GB' AS country "
        "FROM range(500) AS r(i)) TO '" +
        folder_ / "people.parquet" + "' (FORMAT parquet)");
  }
  static std::string people(const std::string& email_class = "internal",
                            const std::string& description = "Whoever bought something.") {
    return "kind: source\nname: people\nowner: data-team\ndescription: " + description +
           "\npath: people.parquet\ncolumns:\n  - {name: email, type: text, classification: " +
           email_class +
           "}\n  - {name: year, type: bigint, classification: public}\n"
           "  - {name: order_id, type: bigint, classification: public}\n"
           "  - {name: country, type: text, classification: public}\n";
  }
  ClassifyReport classify() { return test::must(classifier_.classify(ana_, {.name = "people"})); }
  Result<Suggestion> decide(const Call& call, Decision decision,
                            const std::string& column = "email",
                            const std::string& tag = "pii.email") {
    clock_.advance(std::chrono::seconds(1));
    return classifier_.decide(call, {"people", column, tag, decision, "seen"});
  }
  ColumnClass column(const std::string& name) {
    for (const ColumnClass& one : test::must(classifier_.classes(ana_, {"people"})).columns)
      if (one.column == name) return one;
    throw std::runtime_error("no column " + name);
  }
  std::vector<Suggestion> stored(const std::string& status = "") {
    return test::must(classifier_.list(ana_, {.source = "people", .status = status})).suggestions;
  }
  // As if the rules had been others when it was judged.
  void forget_rules() {
    test::must(db_->write(ana_, [](sql::Tx& tx) {
      return tx.run("UPDATE classification_runs SET rules_digest = 'old'", {});
    }));
  }

  Service classifier_{*db_, *olap_, catalog_, clock_};
};

TEST_F(ServiceTest, SuggestsFromTheValuesOfAFile) {
  const auto report = classify();
  EXPECT_EQ(report.source, "source:people@1");
  EXPECT_EQ(report.rows, 500);
  EXPECT_EQ(report.sampled, 500);
  EXPECT_EQ(report.added, 1);
  ASSERT_EQ(report.suggestions.size(), 1u);
  const Suggestion& email = report.suggestions[0];
  EXPECT_EQ(email.column_name, "email");
  EXPECT_EQ(email.tag, "pii.email");
  EXPECT_EQ(email.classification, Classification::confidential);
  EXPECT_EQ(email.status, SuggestionStatus::suggested);
  EXPECT_EQ(email.evidence.matches, 500);
  EXPECT_EQ(email.source_version, 1);
  EXPECT_EQ(column("email").classification, Classification::internal)
      << "nobody has confirmed it yet";
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'catalog.source.classified'"), 1);
  EXPECT_EQ(test::count(*db_, "classification_suggestions WHERE evidence LIKE '%ana1%'"), 0)
      << "evidence must hold no value";
}

TEST_F(ServiceTest, SamplesNoMoreRowsThanItWasAskedTo) {
  const auto report = test::must(classifier_.classify(ana_, {.name = "people", .rows = 100}));
  EXPECT_EQ(report.rows, 500);
  EXPECT_EQ(report.sampled, 100);
  EXPECT_EQ(report.suggestions.at(0).evidence.rows, 100);
}

TEST_F(ServiceTest, GivesTheClassAndTheTagThatAPersonConfirmed) {
  classify();
  const auto confirmed = test::must(decide(ana_, Decision::confirm));
  EXPECT_EQ(confirmed.decided_by, "user:ana");
  EXPECT_EQ(column("email").classification, Classification::confidential);
  EXPECT_EQ(column("email").declared, Classification::internal);
  EXPECT_EQ(column("email").tags, std::vector<std::string>{"pii.email"});
  EXPECT_EQ(test::must(catalog_.show_source(ana_, {"people"})).classification,
            Classification::confidential);
  const auto trace = test::must(catalog_.trace(ana_, {.urn = "source:people@1"}));
  EXPECT_EQ(trace.nodes[0].classification, Classification::confidential);
  EXPECT_EQ(trace.nodes[0].tags, std::vector<std::string>{"pii.email"});
  EXPECT_EQ(test::count(*db_, "audit_events WHERE action = 'catalog.suggestion.confirmed'"), 1);
}

TEST_F(ServiceTest, RefusesDecisionsThatAreNoDecisions) {
  classify();
  struct Case {
    std::string what;
    Call call;
    DecideInput input;
    Code code;
  };
  const Case cases[] = {
      {"a machine",
       test::call("service:etl"),
       {"people", "email", "pii.email"},
       Code::permission_denied},
      {"another tag", ana_, {"people", "email", "pii.phone"}, Code::not_found},
      {"another column", ana_, {"people", "year", "pii.email"}, Code::not_found},
      {"another source", ana_, {"nobody", "email", "pii.email"}, Code::not_found},
  };
  for (const Case& c : cases) {
    const auto got = classifier_.decide(c.call, c.input);
    ASSERT_FALSE(got) << c.what;
    EXPECT_EQ(got.error().code, c.code) << c.what << ": " << got.error().message;
  }
  Call stranger = ana_;
  stranger.project = "p2";
  EXPECT_EQ(decide(stranger, Decision::confirm).error().code, Code::not_found);
  EXPECT_EQ(classifier_.list(ana_, {.status = "maybe"}).error().code, Code::invalid_argument);
  EXPECT_EQ(classifier_.classify(ana_, {.name = "nobody"}).error().code, Code::not_found);
  EXPECT_EQ(stored("suggested").size(), 1u);
}

TEST_F(ServiceTest, KeepsWhatWasRefusedAndDoesNotAskAgain) {
  classify();
  test::must(decide(ana_, Decision::refuse));
  EXPECT_EQ(column("email").classification, Classification::internal);
  const auto again = classify();
  EXPECT_EQ(again.added, 0);
  EXPECT_EQ(again.changed, 0);
  ASSERT_EQ(again.suggestions.size(), 1u);
  EXPECT_EQ(again.suggestions[0].status, SuggestionStatus::refused);
  test::must(decide(ana_, Decision::confirm));
  EXPECT_EQ(column("email").classification, Classification::confidential);
}

TEST_F(ServiceTest, DoesNotLetAClassFallByTakingAConfirmationBack) {
  classify();
  test::must(decide(ana_, Decision::confirm));
  const auto refused = decide(ana_, Decision::refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::failed_precondition);
  EXPECT_NE(refused.error().message.find("lower-class people email internal"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(column("email").classification, Classification::confidential);
  // Where the declaration itself says as much, nothing falls.
  test::must(apply(people("restricted")));
  test::must(decide(ana_, Decision::refuse));
  EXPECT_EQ(column("email").classification, Classification::restricted);
}

TEST_F(ServiceTest, WithdrawsWhatNobodyDecidedAndFlagsWhatSomebodyDid) {
  classify();
  write_people("'plain words'");
  const auto gone = classify();
  EXPECT_EQ(gone.withdrawn, 1);
  EXPECT_TRUE(gone.suggestions.empty());
  write_people("'ana' || i || '@example.org'");
  classify();
  test::must(decide(ana_, Decision::confirm));
  write_people("CASE WHEN i % 2 = 0 THEN 'ana' || i || '@example.org' ELSE 'n/a' END");
  EXPECT_EQ(classify().changed, 1);
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_NE(stored()[0].changed.find("share 1.00 -> 0."), std::string::npos) << stored()[0].changed;
  EXPECT_EQ(stored()[0].evidence.matches, 500) << "what was decided on stays as it was";
  write_people("'plain words'");
  classify();
  EXPECT_EQ(stored()[0].changed, "the rules no longer suggest it");
  EXPECT_EQ(column("email").classification, Classification::confidential);
  EXPECT_EQ(test::must(classifier_.list(ana_, {.changed = true})).suggestions.size(), 1u);
  test::must(decide(ana_, Decision::confirm));
  EXPECT_EQ(stored()[0].changed, "") << "whoever decides again has seen it";
}

TEST_F(ServiceTest, JudgesAgainWhenRulesOrDeclarationsChange) {
  EXPECT_FALSE(test::must(classifier_.run_once())) << "nothing was ever judged";
  classify();
  write_people("'plain words'");
  EXPECT_FALSE(test::must(classifier_.run_once()));
  EXPECT_EQ(stored().size(), 1u) << "neither rules nor declaration changed";
  forget_rules();
  test::must(classifier_.run_once());
  EXPECT_TRUE(stored().empty());
  write_people("'ana' || i || '@example.org'");
  test::must(apply(people("internal", "Whoever bought or asked.")));
  test::must(classifier_.run_once());
  ASSERT_EQ(stored().size(), 1u);
  EXPECT_EQ(stored()[0].source_version, 2);
  EXPECT_EQ(test::count(*db_, "audit_events WHERE actor = 'service:classification'"), 2);
}

TEST_F(ServiceTest, DoesNotTryAgainAndAgainWhatCannotBeRead) {
  classify();
  std::filesystem::remove(folder_ / "people.parquet");
  forget_rules();
  EXPECT_FALSE(test::must(classifier_.run_once()));
  EXPECT_EQ(test::count(*db_, "classification_runs WHERE fault <> ''"), 1);
  EXPECT_EQ(stored().size(), 1u) << "what could not be judged stays";
  EXPECT_FALSE(test::must(classifier_.run_once()));
}

TEST_F(ServiceTest, SaysNothingThatIsDeclaredAlready) {
  std::string declared = people("confidential");
  const std::string plain = "classification: confidential}";
  declared.replace(declared.find(plain), plain.size(),
                   "classification: confidential, tags: [pii.email]}");
  test::must(apply(declared));
  EXPECT_TRUE(classify().suggestions.empty());
}

TEST_F(ServiceTest, ReadsCsvWhoseValuesAreNotOfTheirType) {
  std::ofstream(folder_ / "dirty.csv") << "phone,born\n+49 30 901820,1999-02-01\n(415) 555-0132,"
                                          "unknown\n+44 20 7946 0958,1988-07-30\n";
  test::must(
      apply("kind: source\nname: dirty\nowner: me\npath: dirty.csv\nformat: csv\ncolumns:\n"
            "  - {name: phone, type: bigint, classification: internal}\n"
            "  - {name: born, type: text, classification: internal}\n"));
  const auto report = test::must(classifier_.classify(ana_, {.name = "dirty"}));
  std::string tags;
  for (const Suggestion& one : report.suggestions) tags += one.column_name + " " + one.tag + "\n";
  EXPECT_EQ(tags, "born pii.birth_date\nphone pii.phone\n");
}

TEST_F(ServiceTest, LeavesNothingBehindWhenTheAuditLogIsGone) {
  test::must(db_->write(ana_, [](sql::Tx& tx) { return tx.run("DROP TABLE audit_events", {}); }));
  EXPECT_FALSE(classifier_.classify(ana_, {.name = "people"}));
  EXPECT_EQ(test::count(*db_, "classification_suggestions"), 0);
}

TEST_F(ServiceTest, ListsEveryRuleWithItsVersion) {
  const RuleList list = classifier_.rules();
  EXPECT_GT(list.rules.size(), 40u);
  EXPECT_EQ(list.digest, rules_digest());
}

}  // namespace
}  // namespace penstock::classification
