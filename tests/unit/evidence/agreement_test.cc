// A server that holds the key and tells what does not agree: each lie is one changed part, signed
// again.
#include "tests/unit/evidence/evidence_fixture.h"

namespace penstock::evidence {
namespace {

class AgreementTest : public EvidenceTest {
 protected:
  AgreementTest() {
    add_signed();
    roll_one_back();
  }
  // The faults of a bundle of which one document is changed.
  std::string faults(const std::string& archive, std::string_view path,
                     const std::function<void(json::value&)>& change) {
    const Report report = check(lying(archive, [&](std::vector<File>& files, Manifest&) {
      File& one = file(files, path);
      json::value value = json::parse(one.bytes);
      change(value);
      one.bytes = pretty(value);
    }));
    std::string out;
    for (const std::string& fault : report.faults) out += fault + "\n";
    EXPECT_EQ(report.holds, out.empty());
    return out;
  }
  // The same of audit/events.jsonl, by its lines.
  std::string faults_of_log(const std::string& archive,
                            const std::function<void(std::vector<std::string>&)>& change) {
    const Report report = check(lying(archive, [&](std::vector<File>& files, Manifest&) {
      File& one = file(files, "audit/events.jsonl");
      std::vector<std::string> lines;
      for (std::size_t at = 0; at < one.bytes.size(); at = one.bytes.find('\n', at) + 1)
        lines.push_back(one.bytes.substr(at, one.bytes.find('\n', at) + 1 - at));
      change(lines);
      one.bytes.clear();
      for (const std::string& line : lines) one.bytes += line;
    }));
    std::string out;
    for (const std::string& fault : report.faults) out += fault + "\n";
    EXPECT_EQ(report.holds, out.empty());
    return out;
  }
  static void expect_says(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n  in: " << text;
  }
};

TEST_F(AgreementTest, SigningAgainAloneChangesNothing) {
  EXPECT_EQ(faults(bundle(2), "record.json", [](json::value&) {}), "");
  EXPECT_EQ(faults_of_log(bundle(2), [](std::vector<std::string>&) {}), "");
}

TEST_F(AgreementTest, TheRecordMustHaveItsDigest) {
  const std::string archive = bundle(2);
  expect_says(faults(archive, "record.json",
                     [](json::value& version) { version.at("record").at("owner") = "mallory"; }),
              "the record's digest is ");
  expect_says(
      faults(archive, "record.json", [](json::value& version) { version.at("version") = 3; }),
      "record.json is of model:flight-delay@v3");
  expect_says(faults(archive, "record.json",
                     [](json::value& version) { version.at("record") = json::object(); }),
              "holds no record");
}

TEST_F(AgreementTest, AnApprovalMustBeTheOneThatTheLogTells) {
  const std::string archive = bundle(2);
  const auto first = [](json::value& all) -> json::value& {
    return all.at(0).at("approvals").at(0);
  };
  for (const char* field : {"approver", "scope", "person", "at"})
    expect_says(faults(archive, "approvals.json",
                       [&](json::value& all) { first(all).at(field) = "2020-01-01T00:00:00Z"; }),
                "no event says that the approval of model:flight-delay@v2");
  expect_says(faults(archive, "approvals.json",
                     [&](json::value& all) { first(all).at("digest") = std::string(64, '0'); }),
              "is of another digest than what stands");
  expect_says(faults(archive, "approvals.json",
                     [&](json::value& all) { first(all).at("ended_at") = "2026-01-01T00:00:00Z"; }),
              "ended, and no event says so");
  expect_says(faults(archive, "approvals.json",
                     [](json::value& all) { all.at(0).at("approvals").as_array().clear(); }),
              "and approvals.json does not");
  expect_says(faults(archive, "approvals.json",
                     [&](json::value& all) {
                       all.at(0).at("approvals").as_array().push_back(first(all));
                       first(all).at("id") = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
                     }),
              "was given");
}

TEST_F(AgreementTest, AnApprovalThatEndedIsToldAsEnded) {
  const auto given = must(approvals_.show(ana_, {"model:flight-delay@v2"})).approvals.at(0);
  must(approvals_.withdraw(bo_, {given.id, "seen again"}));
  const std::string archive = bundle(2);
  EXPECT_TRUE(check(archive).holds);
  expect_says(
      faults(archive, "approvals.json",
             [](json::value& all) { all.at(0).at("approvals").at(0).at("ended_at") = nullptr; }),
      "stands, and an event says it ended");
}

TEST_F(AgreementTest, AReleaseMustHaveComeByThePlanAndMovesThatTheLogTells) {
  const std::string archive = bundle(2);
  const auto release = [](json::value& all) -> json::value& {
    return all.at(0).at("detail").at("release");
  };
  expect_says(faults(archive, "releases.json",
                     [&](json::value& all) { release(all).at("state") = "closed"; }),
              " is closed, and no event says so");
  expect_says(faults(archive, "releases.json",
                     [&](json::value& all) { release(all).at("plan_digest") = "other"; }),
              "was asked for by this plan");
  expect_says(faults(archive, "releases.json",
                     [](json::value& all) { all.at(0).at("replayed").at("same") = false; }),
              "its looks give other verdicts");
}

TEST_F(AgreementTest, AnEvaluationAndAnIncidentMustBeThoseThatTheLogTells) {
  add_evaluation();
  const std::string archive = bundle(2);
  EXPECT_TRUE(check(archive).holds);
  for (const char* field : {"brier", "rows", "accuracy"})
    expect_says(
        faults(archive, "evaluation.json",
               [&](json::value& all) { all.at("evaluation").at("slices").at(0).at(field) = 0.25; }),
        "no event says that the evaluation eval came to this");
  expect_says(faults(archive, "evaluation.json",
                     [](json::value& all) { all.at("evaluation").at("passed") = false; }),
              "came to this");
  expect_says(faults(archive, "evaluation.json",
                     [](json::value& all) { all.at("evaluation").at("name") = "better"; }),
              "evaluation.json is better, and the record names eval");
  expect_says(faults(archive, "incidents.json",
                     [](json::value& all) { all.at(0).at("incident").at("title") = "nothing"; }),
              "was opened with this title");
  expect_says(faults(archive, "incidents.json",
                     [](json::value& all) { all.at(0).at("incident").at("status") = "resolved"; }),
              " is resolved, and no event says so");
}

TEST_F(AgreementTest, TheTrainingDataMustHaveTheDigestThatTheLogTells) {
  registry_.verify_with(
      "training_data",
      [](sql::Tx&, const Call&, const std::string& text) -> Result<std::optional<std::string>> {
        return std::optional(text);
      });
  const catalog::Dataset made = must(catalog_.add_dataset(
      ana_,
      {.name = "flights", .digest = std::string(64, 'a'), .uri = "file.parquet", .row_count = 3}));
  must(registry_.register_version(ana_, {.model_id = "trained-v1",
                                         .artifact_uri = "x",
                                         .training_data = made.urn(),
                                         .eval_report = "eval",
                                         .owner = "ml"}));
  const std::string archive = bundle(1, "trained");
  EXPECT_TRUE(check(archive).holds);
  expect_says(faults(archive, "facts.json",
                     [](json::value& all) { all.at("training_data").at("digest") = "other"; }),
              "no event says that dataset:flights@1 has the digest other");
}

TEST_F(AgreementTest, EveryEventMustBeInTheSignedLog) {
  const std::string archive = bundle(2);
  expect_says(faults_of_log(archive,
                            [](std::vector<std::string>& lines) {
                              lines[1].replace(lines[1].find("user:"), 8, "user:mal");
                            }),
              "is not in the log that was signed");
  expect_says(faults_of_log(archive, [](auto& lines) { std::swap(lines[1], lines[2]); }),
              "out of order");
  expect_says(faults_of_log(archive, [](auto& lines) { lines.push_back(lines.back()); }),
              "out of order");
  expect_says(faults_of_log(archive,
                            [](std::vector<std::string>& lines) {
                              std::erase_if(lines, [](const std::string& line) {
                                return line.find("version.registered") != line.npos;
                              });
                            }),
              "no event says that a record of this digest was registered");
  expect_says(faults_of_log(archive, [](auto& lines) { lines[0] = "{}\n"; }),
              "not as penstock writes it");
  expect_says(faults_of_log(archive, [](auto& lines) { lines[0] = "no JSON\n"; }),
              "not as penstock writes it");
}

TEST_F(AgreementTest, TheCheckpointMustBeTheLogsOwn) {
  const Report size =
      check(lying(bundle(2), [](std::vector<File>&, Manifest& manifest) { ++manifest.log_size; }));
  EXPECT_FALSE(size.holds);
  const Report other = check(lying(bundle(2), [](std::vector<File>& files, Manifest&) {
    file(files, "audit/checkpoint.txt").bytes =
        audit::SigningKey::generate("penstock").sign("penstock/x\n5\nAAAA\n");
  }));
  EXPECT_FALSE(other.holds);
}

TEST_F(AgreementTest, TheFilesMustBeThoseOfTheRecordAndOfTheSignature) {
  const std::string archive = bundle(1, "signed");
  expect_says(
      faults(archive, "artifact.json",
             [](json::value& all) { all.at("files").at(0).at("digest") = std::string(64, 'a'); }),
      "are not those that the record names");
  expect_says(
      faults(archive, "artifact.json", [](json::value& all) { all.at("uri") = "s3://elsewhere"; }),
      "artifact.json is of s3://elsewhere");
  expect_says(faults(archive, "signatures.json",
                     [](json::value& all) {
                       json::value& envelope =
                           all.at(0).at("signature").at("bundle").at("dsseEnvelope");
                       envelope.at("payload") = "e30=";
                     }),
              "the model's signature by desk-key: ");
  expect_says(faults(archive, "signatures.json",
                     [](json::value& all) {
                       EVP_PKEY* key = EVP_EC_gen("P-256");
                       all.at(0).at("public_key") = pem_of(key, false);
                       EVP_PKEY_free(key);
                     }),
              "was made with another key");
}

TEST_F(AgreementTest, APartThatIsMissingOrIsNoJsonIsAFault) {
  for (const char* path :
       {"record.json", "approvals.json", "releases.json", "artifact.json", "signatures.json",
        "evaluation.json", "facts.json", "incidents.json", "policies.json", "audit/events.jsonl"}) {
    EXPECT_FALSE(check(lying(bundle(2),
                             [&](std::vector<File>& files, Manifest&) {
                               std::erase_if(files,
                                             [&](const File& one) { return one.path == path; });
                             }))
                     .holds)
        << path;
    EXPECT_FALSE(check(lying(bundle(2), [&](std::vector<File>& files,
                                            Manifest&) { file(files, path).bytes = "["; }))
                     .holds)
        << path;
    EXPECT_FALSE(check(lying(bundle(2), [&](std::vector<File>& files,
                                            Manifest&) { file(files, path).bytes = "[1,2]"; }))
                     .holds)
        << path;
  }
}

}  // namespace
}  // namespace penstock::evidence
