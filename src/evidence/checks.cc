#include "evidence/checks.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "artifacts/manifest.h"
#include "audit/merkle.h"
#include "base/digest.h"
#include "base/id.h"
#include "registry/artifacts.h"
#include "registry/model_signature.h"
#include "registry/version.h"

namespace penstock::evidence {
namespace {

std::string text_at(const json::value& object, std::string_view field) {
  const json::value& value = object.at(field);
  return value.is_string() ? std::string(value.get_string()) : std::string();
}

bool says(const json::object& detail, std::string_view field, std::string_view text) {
  const json::value* value = detail.if_contains(field);
  return value && value->is_string() && value->get_string() == text;
}

// The same but for the last digits of numbers, which reading and writing JSON may change.
bool alike(const json::value& a, const json::value& b) {
  if (a.is_number() && b.is_number()) {
    const double x = a.to_number<double>(), y = b.to_number<double>();
    return std::abs(x - y) <= 1e-12 * std::max(std::abs(x), std::abs(y));
  }
  return a == b;
}

bool alike(const json::object& a, const json::object& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& field) {
           const json::value* other = b.if_contains(field.key());
           return other && alike(field.value(), *other);
         });
}

std::string counted(std::size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

const File* Checks::file(std::string_view path) const {
  for (const File& one : files_)
    if (one.path == path) return &one;
  return nullptr;
}

json::value Checks::document(std::string_view path) {
  const File* found = file(path);
  boost::system::error_code failed;
  json::value value = found ? json::parse(found->bytes, failed) : json::value();
  if (found && !failed) return value;
  fault(std::string(path) + (found ? " is no JSON" : " is missing"));
  return nullptr;
}

bool Checks::logged(std::string_view action, std::string_view subject,
                    const std::function<bool(const json::object& detail)>& fits) const {
  return std::any_of(events_.begin(), events_.end(), [&](const json::object& event) {
    return says(event, "action", action) && says(event, "subject", subject) &&
           fits(json::parse(event.at("detail").as_string()).as_object());
  });
}

void Checks::record() {
  const json::value version = document("record.json");
  if (version.is_null()) return;
  const std::string urn = "model:" + text_at(version, "model") + "@v" +
                          std::to_string(version.at("version").to_number<std::int64_t>());
  if (urn != manifest_.subject)
    return fault("record.json is of " + urn + ", and the manifest of " + manifest_.subject);
  const auto record = decode<registry::Record>(version.at("record"));
  if (!record) return fault("record.json holds no record: " + record.error().message);
  artifact_uri_ = record->artifact_uri;
  eval_report_ = record->eval_report.value_or("");
  const std::string digest = registry::digest_of(*record);
  if (digest != manifest_.record_digest || digest != text_at(version, "digest"))
    return fault("the record's digest is " + digest + ", and the bundle says " +
                 manifest_.record_digest);
  report_.proven.push_back("the record of " + urn + " has the digest " + digest);
}

// One line of audit/events.jsonl.
void Checks::check_event(std::string_view line, std::string_view where, const audit::Head& head) {
  const json::value proof = json::parse(line);
  const std::string entry = text_at(proof, "entry");
  const auto number = proof.at("number").to_number<std::int64_t>();
  std::vector<Sha256> path;
  for (const json::value& hash : proof.at("path").as_array())
    path.push_back(sha256_from_hex(hash.as_string()));
  if (number <= last_) return fault(std::string(where) + " is repeated or out of order");
  if (!audit::inclusion_holds(audit::leaf_hash(entry), number, head.size, path, head.root))
    return fault("event " + std::to_string(number) + " is not in the log that was signed");
  json::object event = json::parse(entry).as_object();
  if (event.at("number").to_number<std::int64_t>() != number ||
      !says(event, "project", manifest_.project))
    return fault("event " + std::to_string(number) +
                 " says another number or project than the bundle");
  last_ = number;
  events_.push_back(std::move(event));
}

void Checks::log() {
  const File *note = file("audit/checkpoint.txt"), *events = file("audit/events.jsonl");
  if (!note || !events) return fault("the events of the audit log are missing");
  const auto head = audit::open_checkpoint(note->bytes, key_);
  if (!head) return fault("audit/checkpoint.txt: " + head.error().message);
  if (head->size != manifest_.log_size)
    return fault("the checkpoint is of " + std::to_string(head->size) +
                 " events, and the manifest says " + std::to_string(manifest_.log_size));
  std::size_t lines = 0;
  for (std::string_view rest = events->bytes; !rest.empty(); ++lines) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    check_event(rest.substr(0, end), "line " + std::to_string(lines + 1), *head);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  report_.events = std::ssize(events_);
  if (lines == events_.size())
    report_.proven.push_back(counted(lines, "event") + " of the audit log " +
                             (lines == 1 ? "is" : "are") + " in the log of " +
                             counted(static_cast<std::size_t>(head->size), "event") + " that " +
                             key_.name + " signed");
  if (logged("registry.version.registered", manifest_.subject, [&](const json::object& detail) {
        return says(detail, "digest", manifest_.record_digest);
      }))
    report_.proven.push_back("the log says that this record was registered as " +
                             manifest_.subject);
  else
    fault("no event says that a record of this digest was registered as " + manifest_.subject);
}

// `digest` is that of its subject as it stands; empty where it is not in the bundle.
void Checks::check_approval(const json::value& approval, const std::string& digest) {
  const std::string id = text_at(approval, "id"), subject = text_at(approval, "subject");
  const std::string name = "the approval of " + subject + " for " + text_at(approval, "scope") +
                           " by " + text_at(approval, "approver");
  const bool ended = !approval.at("ended_at").is_null();
  if (!ended && text_at(approval, "digest") != digest)
    fault(name + " is of another digest than what stands in the bundle");
  const auto same_id = [&](const json::object& detail) { return says(detail, "id", id); };
  if (ended != logged("approvals.ended", subject, same_id))
    fault(name + (ended ? " ended, and no event says so" : " stands, and an event says it ended"));
  const bool given = logged("approvals.given", subject, [&](const json::object& detail) {
    if (!same_id(detail)) return false;
    for (const char* field : {"digest", "scope", "approver", "person"})
      if (!says(detail, field, text_at(approval, field))) return false;
    return detail.at("at") == approval.at("at");
  });
  if (given) return;
  if (is_ulid(id)) return fault("no event says that " + name + " was given");
  report_.not_proven.push_back("when and by whom " + name +
                               " was given: it is older than events of approvals");
}

void Checks::approvals() {
  const json::value all = document("approvals.json"), releases = document("releases.json");
  if (all.is_null() || releases.is_null()) return;
  std::map<std::string, std::string> digests{{manifest_.subject, manifest_.record_digest}};
  for (const json::value& one : releases.as_array()) {
    const json::value& release = one.at("detail").at("release");
    digests["release:" + text_at(release, "id")] = text_at(release, "plan_digest");
  }
  const std::size_t before = report_.faults.size();
  std::set<std::string> listed;
  for (const json::value& of : all.as_array())
    for (const json::value& approval : of.at("approvals").as_array()) {
      check_approval(approval, digests[text_at(approval, "subject")]);
      listed.insert(text_at(approval, "id"));
    }
  for (const json::object& event : events_) {
    if (!says(event, "action", "approvals.given") ||
        !digests.contains(std::string(event.at("subject").as_string())))
      continue;
    const json::value detail = json::parse(event.at("detail").as_string());
    if (!listed.contains(text_at(detail, "id")))
      fault("the log says that " + text_at(detail, "approver") + " approved " +
            text_at(detail, "subject") + ", and approvals.json does not");
  }
  if (report_.faults.size() == before)
    report_.proven.push_back(
        counted(listed.size(), "approval") +
        " agree with the log, and those that stand are of what stands in the bundle");
}

void Checks::releases() {
  const json::value all = document("releases.json");
  if (all.is_null()) return;
  const std::size_t before = report_.faults.size();
  for (const json::value& one : all.as_array()) {
    const json::value& release = one.at("detail").at("release");
    const std::string urn = "release:" + text_at(release, "id"), state = text_at(release, "state");
    if (!logged("release.created", urn, [&](const json::object& detail) {
          return says(detail, "plan_digest", text_at(release, "plan_digest"));
        }))
      fault("no event says that " + urn + " was asked for by this plan");
    if (state != "awaiting_approval" &&
        !logged("release." + state, urn, [](const json::object&) { return true; }))
      fault(urn + " is " + state + ", and no event says so");
    if (!one.at("replayed").at("same").as_bool())
      fault(urn + ": its looks give other verdicts: " + text_at(one.at("replayed"), "fault"));
  }
  if (report_.faults.size() == before && !all.as_array().empty())
    report_.proven.push_back(counted(all.as_array().size(), "release") +
                             " came to their state by plans and moves that the log tells");
}

void Checks::evaluation() {
  const json::value all = document("evaluation.json");
  if (all.is_null()) return;
  const json::value& evaluation = all.at("evaluation");
  if (evaluation.is_null())
    return report_.not_proven.push_back(
        eval_report_.empty() ? "how good it is: its record names no evaluation"
                             : "how good it is: the evaluation " + eval_report_ +
                                   " that its record names is not one of the server's own");
  const std::string name = text_at(evaluation, "name");
  if (name != eval_report_)
    return fault("evaluation.json is " + name + ", and the record names " + eval_report_);
  const json::object& first = evaluation.at("slices").at(0).as_object();
  if (!logged("training.evaluated", "evaluation:" + name, [&](const json::object& detail) {
        return detail.at("passed") == evaluation.at("passed") &&
               alike(detail.at("all").as_object(), first);
      }))
    return fault("no event says that the evaluation " + name + " came to this");
  report_.proven.push_back("the log says that the evaluation " + name +
                           (evaluation.at("passed").as_bool() ? " passed" : " did NOT pass") +
                           ", by these numbers over all rows");
}

void Checks::training_data() {
  const json::value facts = document("facts.json");
  if (facts.is_null()) return;
  const json::value& data = facts.at("training_data");
  if (data.is_null())
    return report_.not_proven.push_back(
        "what it was trained on: its record names no dataset of the server's own");
  const std::string urn = "dataset:" + text_at(data, "name") + "@" +
                          std::to_string(data.at("version").to_number<std::int64_t>());
  if (!logged("catalog.dataset.added", urn, [&](const json::object& detail) {
        return says(detail, "digest", text_at(data, "digest"));
      }))
    return fault("no event says that " + urn + " has the digest " + text_at(data, "digest"));
  report_.proven.push_back("the log says that " + urn + " has the digest " +
                           text_at(data, "digest"));
}

void Checks::incidents() {
  const json::value all = document("incidents.json");
  if (all.is_null()) return;
  for (const json::value& one : all.as_array()) {
    const json::value& incident = one.at("incident");
    const std::string urn = "incident:" + text_at(incident, "id"),
                      status = text_at(incident, "status");
    if (!logged("incidents.opened", urn, [&](const json::object& detail) {
          return says(detail, "title", text_at(incident, "title")) &&
                 says(detail, "subject", text_at(incident, "subject"));
        }))
      fault("no event says that " + urn + " was opened with this title and subject");
    if (status != "open" &&
        !logged("incidents." + status, urn, [](const json::object&) { return true; }))
      fault(urn + " is " + status + ", and no event says so");
  }
}

void Checks::check_signature(const json::value& of, const json::value& artifact) {
  const json::value& signature = of.at("signature");
  const std::string key = text_at(signature, "key");
  if (!signature.at("verified").as_bool())
    return report_.not_proven.push_back("a signature over the model's files: " +
                                        text_at(signature, "fault"));
  std::vector<registry::SignedFile> files;
  for (const json::value& one : artifact.at("files").as_array())
    files.push_back({text_at(one, "path"), text_at(one, "digest")});
  const auto good =
      registry::verify_model(signature.at("bundle").as_object(), files, text_at(of, "public_key"));
  if (!good) return fault("the model's signature by " + key + ": " + good.error().message);
  report_.proven.push_back("signing key " + key + " of " + text_at(signature, "owner") +
                           " signed the model's files by the digests in artifact.json");
}

void Checks::model_files() {
  const json::value artifact = document("artifact.json"), signatures = document("signatures.json");
  if (artifact.is_null() || signatures.is_null()) return;
  if (text_at(artifact, "uri") != artifact_uri_)
    return fault("artifact.json is of " + text_at(artifact, "uri") + ", and the record of " +
                 artifact_uri_);
  artifacts::Manifest manifest;
  for (const json::value& one : artifact.at("files").as_array())
    manifest.parts.push_back({text_at(one, "path"), text_at(one, "digest")});
  const std::string_view scheme = registry::artifact_scheme;
  if (!artifact_uri_.starts_with(scheme))
    report_.not_proven.push_back("the model's files: the record names " + artifact_uri_ +
                                 ", which is no digest");
  else if (!artifact.at("stored").as_bool())
    report_.not_proven.push_back("the model's files: the server did not have them");
  else if (sha256_hex(manifest.text()) != artifact_uri_.substr(scheme.size()))
    return fault("the files of artifact.json are not those that the record names");
  else
    report_.proven.push_back("the record names " + counted(manifest.parts.size(), "file") +
                             " by the digests in artifact.json; their bytes are not in the bundle");
  for (const json::value& signature : signatures.as_array()) check_signature(signature, artifact);
  if (signatures.as_array().empty())
    report_.not_proven.push_back("who made the model's files: nobody signed them");
}

void Checks::policies() {
  const json::value policies = document("policies.json");
  if (policies.is_null()) return;
  std::size_t in_the_way = 0;
  for (const json::value& finding : policies.as_array()) {
    const std::string name = text_at(finding, "policy"), outcome = text_at(finding, "outcome");
    const bool told = std::any_of(events_.begin(), events_.end(), [&](const json::object& event) {
      const json::value detail = json::parse(event.at("detail").as_string());
      const json::value* list = detail.as_object().if_contains("policies");
      if (!list || !list->is_array()) return false;
      return std::any_of(
          list->get_array().begin(), list->get_array().end(), [&](const json::value& one) {
            return one.is_object() && says(one.get_object(), "policy", name) &&
                   says(one.get_object(), "outcome", outcome) &&
                   says(one.get_object(), "digest", text_at(finding, "policy_digest"));
          });
    });
    if (!told) return fault("the log does not say that policy " + name + " was " + outcome);
    in_the_way += finding.at("allowed").as_bool() ? 0 : 1;
  }
  if (policies.as_array().empty())
    report_.not_proven.push_back("what policies say of it: none was asked");
  else
    report_.proven.push_back("the log tells the " + counted(policies.as_array().size(), "result") +
                             " of policies, of which " + std::to_string(in_the_way) +
                             " stood in the way");
}

}  // namespace penstock::evidence
