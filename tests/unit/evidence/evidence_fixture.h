// A version with a release, approvals, an incident and signed files, and bundles of it.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "adapters/localfs/localfs.h"
#include "evidence/manifest.h"
#include "evidence/service.h"
#include "evidence/verify.h"
#include "policies/service.h"
#include "registry/model_signature.h"
#include "tests/unit/release/release_fixture.h"

namespace penstock::evidence {

using test::must;

class EvidenceTest : public release::ReleaseTest {
 protected:
  EvidenceTest() {
    resources_.add(signatures_.kind());
    resources_.add(policies_.kind());
  }

  std::string bundle(std::int64_t version, const std::string& model = "flight-delay") {
    return must(evidence_.bundle(cy_, {model, "v" + std::to_string(version)}));
  }
  Report check(const std::string& archive) { return verify(archive, key_.public_key()); }

  // What the record of every version names, as a pipeline's step would have judged it.
  void add_evaluation() {
    training::SliceMetrics all{.slice = "all", .rows = 100, .brier = 0.1 + 0.2};
    const training::Evaluation evaluation{
        .project = "p1", .name = "eval", .passed = true, .slices = {all}};
    must(db_->write(ana_, [&](sql::Tx& tx) -> Result<void> {
      TRY(sql::insert(tx, "evaluations", evaluation));
      return audit::record(
          tx, ana_, clock_.now(),
          {"training.evaluated", "evaluation:eval", {{"passed", true}, {"all", encode(all)}}});
    }));
  }
  // v1 serves; v2 is rolled back from a canary by somebody, which opens an incident.
  void roll_one_back() {
    first();
    const std::string id = start(2);
    play(id, 100);  // shadow
    play(id, 100);  // canary
    must(service_.roll_back(bo_, {.id = id, .reason = "too slow"}));
  }
  // signed@v1, whose files are here; `key` signed them.
  void add_signed() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    const std::string secret = pem_of(key, true), open = pem_of(key, false);
    EVP_PKEY_free(key);
    apply({{"kind", "signing_key"},
           {"name", "desk-key"},
           {"owner", "security"},
           {"public_key", open},
           {"models", json::array{}}});
    const registry::Artifact made = must(artifacts_.adopt(
        {{.path = "labels.txt", .digest = must(files_.put("labels")).digest, .size = 6},
         {.path = "model.onnx", .digest = must(files_.put("weights")).digest, .size = 7}}));
    must(registry_.register_version(
        ana_,
        {.model_id = "signed-v1", .artifact_uri = made.uri, .eval_report = "eval", .owner = "ml"}));
    must(registry_.approve(bo_, {"signed", "v1", "production", "looked at all of it"}));
    std::vector<registry::SignedFile> files;
    for (const registry::ArtifactFile& file : must(artifacts_.contents(made.uri)))
      files.push_back({file.path, file.digest});
    must(signatures_.add(ana_,
                         {"signed", "v1", must(registry::sign_model("signed", files, secret))}));
  }

  static std::string pem_of(EVP_PKEY* key, bool is_private) {
    BIO* bio = BIO_new(BIO_s_mem());
    if (is_private)
      PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
    else
      PEM_write_bio_PUBKEY(bio, key);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    std::string out(data, static_cast<std::size_t>(size));
    BIO_free(bio);
    return out;
  }

  static File& file(std::vector<File>& files, std::string_view path) {
    for (File& one : files)
      if (one.path == path) return one;
    throw std::runtime_error("no " + std::string(path));
  }
  // The bundle with some of its files changed, and signed again: what a server that lies would
  // make.
  std::string lying(const std::string& archive,
                    const std::function<void(std::vector<File>&, Manifest&)>& change) {
    auto files = must(unpack(archive));
    Manifest manifest = must(unseal(files, key_.public_key()));
    std::erase_if(files, [](const File& one) { return one.path.starts_with("manifest."); });
    manifest.files.clear();
    change(files, manifest);
    seal(manifest, files,
         [&](const audit::Statement& said) { return key_.sign(audit::statement_text(said)); });
    return must(pack(files));
  }

  const audit::SigningKey key_ = audit::SigningKey::generate("penstock");
  ManualClock made_;
  std::unique_ptr<blob::Store> blobs_ = must(localfs::open(folder_ / "blobs"));
  artifacts::Files files_{*db_, *blobs_, clock_, 1'000'000};
  artifacts::Checkouts checkouts_{
      files_, clock_, {.folder = folder_ / "copies", .size_max = 1'000}};
  registry::Artifacts artifacts_{files_, checkouts_, *blobs_};
  registry::Signatures signatures_{*db_, artifacts_, clock_};
  tracking::Service tracking_{*db_, clock_};
  tracking::RegisteredModels models_{*db_, registry_, clock_};
  tracking::Artifacts tracked_{*db_, files_, clock_};
  approvals::Service approvals_{*db_, clock_};
  incidents::Service opened_{*db_, clock_};
  audit::Service audit_{*db_, clock_, key_};
  record::Service record_{
      {*db_, clock_, catalog_, artifacts_, signatures_, tracking_, models_, tracked_, files_}};
  policies::Service policies_{*db_, resources_, clock_};
  Service evidence_{{*db_, made_, audit_, approvals_, catalog_, opened_, service_, record_}};
};

}  // namespace penstock::evidence
