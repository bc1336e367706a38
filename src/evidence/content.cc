#include "evidence/content.h"

#include <set>

#include "evidence/manifest.h"
#include "lineage/picture.h"
#include "record/bom.h"
#include "record/card.h"

namespace penstock::evidence {
namespace {

std::string read_me(const std::string& urn, const std::string& key) {
  return "Evidence for " + urn + R"(

    penstock evidence verify BUNDLE --key KEY

checks all of it without a server. KEY is the public key of the server that made it, which was
)" + key +
         R"(
here; take it from where you trust it (penstock audit key), not from this file.

manifest.json        every other file with its SHA-256
manifest.sig         a C2SP signed note of the manifest's SHA-256 by KEY (Ed25519)
record.json          the version's record word for word, its digest and its status
facts.json           all that is known of it (penstock models show --json)
card.md, card.html   the model card
bom.json             CycloneDX 1.6
lineage.json, .svg   what it was made from (penstock trace)
evaluation.json      the report, slice by slice
approvals.json       of the version and of its releases, also those that ended
policies.json        what the policies say of it
releases.json        each with every look of its guards, and its verdicts judged again
incidents.json       about it, its model, its releases and its routes, with their timelines
artifact.json        the model's files by their SHA-256; their bytes are not here
signatures.json      over those files (OpenSSF Model Signing), with the keys that are declared
signatures/*         the same for model_signing verify key MODEL --signature S.sig --public_key S.pem
audit/checkpoint.txt the signed head of the audit log (C2SP tlog-checkpoint)
audit/events.jsonl   every event about any of this: its entry, and its path to that head (RFC 9162);
                     the leaf is SHA-256(0x00 || entry)
)";
}

std::string events_text(const std::vector<audit::Inclusion>& events) {
  std::string out;
  for (const audit::Inclusion& event : events)
    out += json::serialize(json::object{
               {"number", event.number}, {"entry", event.entry}, {"path", encode(event.path)}}) +
           "\n";
  return out;
}

void add_signatures(const std::vector<SignatureOf>& signatures, std::vector<File>& out) {
  std::set<std::string> stems;
  for (const SignatureOf& one : signatures) {
    const std::string stem = signature_stem(one.signature);
    if (one.public_key.empty() || !stems.insert(stem).second) continue;
    out.push_back({stem + ".sig", json::serialize(one.signature.bundle) + "\n"});
    out.push_back({stem + ".pem", one.public_key});
  }
}

}  // namespace

std::string signature_stem(const registry::CheckedSignature& signature) {
  return "signatures/" + (signature.key_id.empty() ? "unknown" : signature.key_id.substr(0, 16));
}

std::vector<File> files_of(const Content& content, const audit::Checkpoint& head,
                           const std::vector<audit::Inclusion>& events) {
  const record::Facts& facts = content.facts;
  const ArtifactOf artifact{.uri = facts.version.record.artifact_uri,
                            .stored = !facts.files.empty(),
                            .files = facts.files};
  const EvaluationOf evaluation{.report = facts.version.record.eval_report,
                                .evaluation = facts.evaluation,
                                .metrics = facts.metrics};
  std::vector<File> out{
      {"README.txt", read_me(facts.version.urn(), head.key)},
      {"record.json", pretty(encode(facts.version))},
      {"facts.json", pretty(encode(facts))},
      {"card.md", record::markdown_card(facts)},
      {"card.html", record::html_card(facts)},
      {"bom.json", pretty(record::bom_of(facts))},
      {"lineage.json", pretty(encode(content.lineage))},
      {"lineage.svg", lineage::picture_of(content.lineage)},
      {"evaluation.json", pretty(encode(evaluation))},
      {"approvals.json", pretty(encode(content.approvals))},
      {"policies.json", pretty(encode(content.policies))},
      {"releases.json", pretty(encode(content.releases))},
      {"incidents.json", pretty(encode(content.incidents))},
      {"artifact.json", pretty(encode(artifact))},
      {"signatures.json", pretty(encode(content.signatures))},
      {"audit/checkpoint.txt", head.note},
      {"audit/events.jsonl", events_text(events)},
  };
  add_signatures(content.signatures, out);
  return out;
}

}  // namespace penstock::evidence
