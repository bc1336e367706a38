// Bundles of real versions, and what verifying them finds.
#include "tests/unit/evidence/evidence_fixture.h"

namespace penstock::evidence {
namespace {

std::string joined(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

json::value document(const std::string& archive, std::string_view path) {
  for (const File& file : must(unpack(archive)))
    if (file.path == path) return json::parse(file.bytes);
  throw std::runtime_error("no " + std::string(path));
}

TEST_F(EvidenceTest, HoldsAllThatIsKnownOfAVersionAndProvesIt) {
  add_evaluation();
  roll_one_back();
  const std::string archive = bundle(2);
  const Report report = check(archive);
  EXPECT_TRUE(report.holds) << joined(report.faults);
  EXPECT_EQ(report.subject, "model:flight-delay@v2");
  EXPECT_EQ(report.made_by, "user:cy");
  EXPECT_EQ(report.log_size, test::count(*db_, "audit_events"));
  std::vector<std::string> paths;
  for (const File& file : must(unpack(archive))) paths.push_back(file.path);
  const std::vector<std::string> all{
      "README.txt",         "approvals.json", "artifact.json",  "audit/checkpoint.txt",
      "audit/events.jsonl", "bom.json",       "card.html",      "card.md",
      "evaluation.json",    "facts.json",     "incidents.json", "lineage.json",
      "lineage.svg",        "manifest.json",  "manifest.sig",   "policies.json",
      "record.json",        "releases.json",  "signatures.json"};
  EXPECT_EQ(paths, all);
  const std::string proven = joined(report.proven);
  for (const char* said : {"all 19 files", "the record of model:flight-delay@v2 has the digest",
                           "was registered as model:flight-delay@v2", "2 approvals agree",
                           "1 release came to", "the evaluation eval passed, by these numbers"})
    EXPECT_NE(proven.find(said), std::string::npos) << said << "\n" << proven;
  const std::string open = joined(report.not_proven);
  for (const char* said :
       {"the model's files: the record names x", "nobody signed", "none was asked",
        "that nothing was left out", "cut back", "the key is the server's"})
    EXPECT_NE(open.find(said), std::string::npos) << said << "\n" << open;

  const json::value releases = document(archive, "releases.json");
  EXPECT_EQ(releases.at(0).at("detail").at("release").at("state"), "rolled_back");
  EXPECT_FALSE(releases.at(0).at("looks").as_array().empty());
  EXPECT_TRUE(releases.at(0).at("replayed").at("same").as_bool());
  EXPECT_EQ(document(archive, "incidents.json").at(0).at("incident").at("subject"),
            "model:flight-delay@v2");
}

TEST_F(EvidenceTest, TellsEveryEventAboutTheVersionAndWhatItNamesAndNoOther) {
  roll_one_back();
  std::set<std::string> subjects;
  for (const File& one : must(unpack(bundle(2))))
    if (one.path == "audit/events.jsonl")
      for (std::size_t at = 0; at < one.bytes.size(); at = one.bytes.find('\n', at) + 1) {
        const json::value line = json::parse(one.bytes.substr(at, one.bytes.find('\n', at) - at));
        subjects.emplace(json::parse(line.at("entry").as_string()).at("subject").as_string());
      }
  EXPECT_TRUE(subjects.contains("model:flight-delay@v2"));
  EXPECT_TRUE(subjects.contains("model:flight-delay@1")) << "the model's declaration";
  EXPECT_TRUE(subjects.contains("route:flight-delay@1"));
  EXPECT_FALSE(subjects.contains("model:flight-delay@v1"));
  EXPECT_FALSE(subjects.contains("model:flight-delay@v3"));
  std::int64_t releases = 0, incidents = 0;
  for (const std::string& subject : subjects) {
    releases += subject.starts_with("release:") ? 1 : 0;
    incidents += subject.starts_with("incident:") ? 1 : 0;
  }
  EXPECT_EQ(releases, 1);
  EXPECT_EQ(incidents, 1);
}

TEST_F(EvidenceTest, ProvesWhoSignedTheFiles) {
  add_signed();
  const std::string archive = bundle(1, "signed");
  const Report report = check(archive);
  EXPECT_TRUE(report.holds) << joined(report.faults);
  const std::string proven = joined(report.proven);
  EXPECT_NE(proven.find("signing key desk-key of security signed"), std::string::npos) << proven;
  EXPECT_NE(proven.find("the record names 2 files by the digests"), std::string::npos) << proven;
  std::int64_t parts = 0;
  for (const File& one : must(unpack(archive)))
    parts += one.path.starts_with("signatures/") ? 1 : 0;
  EXPECT_EQ(parts, 2) << "as model_signing reads it, with the public key";
}

TEST_F(EvidenceTest, TheSameStateIsTheSameBundle) {
  const std::string one = bundle(1);
  EXPECT_EQ(bundle(1), one);
  made_.advance(std::chrono::seconds(1));
  EXPECT_NE(bundle(1), one);
}

TEST_F(EvidenceTest, RefusesAVersionThatIsNotThere) {
  EXPECT_EQ(evidence_.bundle(cy_, {"flight-delay", "v9"}).error().code, Code::not_found);
  EXPECT_EQ(evidence_.bundle(cy_, {"flight-delay", "newest"}).error().code, Code::invalid_argument);
  Call elsewhere = cy_;
  elsewhere.project = "p2";
  EXPECT_EQ(evidence_.bundle(elsewhere, {"flight-delay", "v1"}).error().code, Code::not_found);
}

TEST_F(EvidenceTest, TellsWhatPoliciesSaidWhereTheLogSaysSoToo) {
  apply({{"kind", "policy"},
         {"name", "licence"},
         {"owner", "legal"},
         {"applies_to", json::array{"register"}},
         {"severity", "warn"},
         {"message", "has no licence"},
         {"sql", "SELECT model FROM policy_model_versions WHERE licence IS NULL"}});
  must(registry_.register_version(
      ana_, {.model_id = "flight-delay-v9", .artifact_uri = "x", .owner = "desk"}));
  const std::string archive = bundle(9);
  const json::value said = document(archive, "policies.json");
  ASSERT_EQ(said.as_array().size(), 1u);
  EXPECT_EQ(said.at(0).at("policy"), "licence");
  EXPECT_NE(joined(check(archive).proven).find("1 result of policies"), std::string::npos);
  must(db_->write(ana_, [](sql::Tx& tx) {
    return tx.run("UPDATE policy_results SET outcome = 'passed', violations = 0", {});
  }));
  EXPECT_NE(joined(check(bundle(9)).faults).find("policy licence was passed"), std::string::npos)
      << "a result that was changed behind the log";
}

TEST_F(EvidenceTest, SeesAChangeOfEveryFile) {
  add_signed();
  const auto whole = must(unpack(bundle(1, "signed")));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    SCOPED_TRACE(whole[i].path);
    for (const std::size_t at :
         {std::size_t{0}, whole[i].bytes.size() / 2, whole[i].bytes.size() - 1}) {
      auto files = whole;
      files[i].bytes[at] = static_cast<char>(files[i].bytes[at] ^ 4);
      EXPECT_FALSE(check(must(pack(files))).holds) << at;
    }
    auto longer = whole, shorter = whole, without = whole, renamed = whole;
    longer[i].bytes += "\n";
    shorter[i].bytes.pop_back();
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(i));
    renamed[i].path += "x";
    for (const auto& files : {longer, shorter, without, renamed})
      EXPECT_FALSE(check(must(pack(files))).holds);
  }
  auto more = whole;
  more.push_back({"note.txt", "all is well"});
  EXPECT_NE(joined(check(must(pack(more))).faults).find("note.txt is in the bundle and not in"),
            std::string::npos);
}

TEST_F(EvidenceTest, SeesAChangeOfEveryByteOfTheSignature) {
  auto files = must(unpack(bundle(1)));
  std::string& note = file(files, signature_path).bytes;
  for (std::size_t at = 0; at < note.size(); ++at) {
    const char before = note[at];
    note[at] = static_cast<char>(before ^ 1);
    EXPECT_FALSE(check(must(pack(files))).holds) << at;
    note[at] = before;
  }
  ASSERT_TRUE(check(must(pack(files))).holds);
  note += "\xe2\x80\x94 somebody AAAA\n";
  EXPECT_FALSE(check(must(pack(files))).holds) << "a second signature";
}

TEST_F(EvidenceTest, SeesAChangeOfEveryFieldOfTheManifest) {
  auto files = must(unpack(bundle(1)));
  std::string& text = file(files, manifest_path).bytes;
  const std::string whole = text;
  const auto changed = [](json::value& value) {
    if (value.is_string())
      value = std::string(value.get_string()) + "x";
    else if (value.is_array())
      value.get_array().pop_back();
    else
      value = value.to_number<std::int64_t>() + 1;
  };
  std::vector<std::pair<std::string, bool>> fields;
  const json::value manifest = json::parse(whole);
  for (const auto& field : manifest.as_object()) fields.emplace_back(field.key(), false);
  for (const auto& field : manifest.at("files").at(0).as_object())
    fields.emplace_back(field.key(), true);
  EXPECT_EQ(fields.size(), 12u);
  for (const auto& [name, of_file] : fields) {
    json::value other = manifest;
    changed(of_file ? other.at("files").at(0).at(name) : other.at(name));
    text = pretty(other);
    EXPECT_FALSE(check(must(pack(files))).holds) << name;
  }
  text = pretty(manifest);
  EXPECT_TRUE(check(must(pack(files))).holds);
}

TEST_F(EvidenceTest, AnotherKeyIsNotEnough) {
  const std::string archive = bundle(1);
  const audit::SigningKey other = audit::SigningKey::generate("penstock");
  const Report report = verify(archive, other.public_key());
  EXPECT_FALSE(report.holds);
  EXPECT_TRUE(report.proven.empty());
  EXPECT_NE(joined(report.faults).find("is not signed by the key"), std::string::npos);
  // A checkpoint is signed by the same key and is no manifest.
  auto files = must(unpack(archive));
  file(files, signature_path).bytes = file(files, "audit/checkpoint.txt").bytes;
  EXPECT_FALSE(check(must(pack(files))).holds);
}

}  // namespace
}  // namespace penstock::evidence
