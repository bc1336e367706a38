#include "registry/service.h"

#include <algorithm>
#include <charconv>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/urn.h"
#include "catalog/lineage.h"
#include "freezes/service.h"
#include "policies/service.h"
#include "registry/store.h"

namespace penstock::registry {
namespace {

// The fields of a record that name something else, each with how the version hangs on it.
struct ReferenceField {
  std::string_view name, relation;
  std::optional<std::string> Record::*member;
};
constexpr std::array reference_fields = {
    ReferenceField{"training_data", "trained_on", &Record::training_data},
    ReferenceField{"feature_schema", "reads", &Record::feature_schema},
    ReferenceField{"eval_report", "evaluated_by", &Record::eval_report},
    ReferenceField{"run", "trained_by", &Record::run},
    ReferenceField{"rollback_to", "rolls_back_to", &Record::rollback_to},
};

Result<ModelVersion> must_find(sql::Tx& tx, const Call& call, const std::string& model,
                               const std::string& number) {
  return version(tx, call.project, model, TRY(version_number(number)));
}

}  // namespace

Result<std::int64_t> version_number(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("v")) digits.remove_prefix(1);
  std::int64_t number = 0;
  const auto [end, fault] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (fault == std::errc{} && end == digits.data() + digits.size() && number > 0) return number;
  return Error{Code::invalid_argument,
               "\"" + std::string(text) + "\" is no version; write v4 or 4",
               {{"version", "must be v and a whole number from 1"}}};
}

Result<VersionName> version_name(std::string_view text) {
  if (text.starts_with("model:")) text.remove_prefix(6);
  const std::size_t at = text.rfind('@');
  const std::size_t dash = text.rfind("-v");
  VersionName out{std::string(text), 0};
  if (at != std::string_view::npos) {
    const std::int64_t number = TRY(version_number(text.substr(at + 1)));
    out = {std::string(text.substr(0, at)), number};
  } else if (dash != std::string_view::npos) {
    const auto number = version_number(text.substr(dash + 2));
    if (number) out = {std::string(text.substr(0, dash)), *number};
  }
  const bool valid = !out.model.empty() && out.model.size() <= 900 &&
                     std::all_of(out.model.begin(), out.model.end(), [](char letter) {
                       return letter != '/' && Urn::is_name_letter(letter);
                     });
  if (valid) return out;
  return Error{Code::invalid_argument,
               "\"" + std::string(text) + "\" is no model version; write NAME-v4 or NAME@v4",
               {{"model_id", "must be letters, digits or . _ - ~ and a version"}}};
}

std::string digest_of(const Record& record) {
  json::object fields = encode(record).as_object();
  for (const char* later : {"intended_use", "limitations"})
    if (fields.at(later).is_null()) fields.erase(later);
  return sha256_hex(canonical(fields));
}

resources::KindHandler Service::kind() const {
  return {
      .kind = "model",
      .check = [](sql::Tx&, const Call&, const json::object& declaration) -> Result<json::object> {
        json::object kept = encode(TRY(decode<ModelDeclaration>(declaration))).as_object();
        // A field that came later: what was declared before it stays the same declaration.
        if (kept.at("signature_required").is_null()) kept.erase("signature_required");
        return kept;
      }};
}

Result<std::vector<Reference>> Service::resolve(sql::Tx& tx, const Call& call,
                                                const Record& record) const {
  std::vector<Reference> references;
  const auto add = [&](std::string_view field, const std::string& text) -> Result<void> {
    Reference reference{.field = std::string(field), .text = text};
    const auto lookup = lookups_.find(reference.field);
    std::optional<std::string> urn;
    if (lookup != lookups_.end()) urn = TRY(lookup->second(tx, call, text));
    if (urn) {
      reference.standing = Standing::verified;
      reference.urn = *urn;
    }
    references.push_back(reference);
    return {};
  };
  TRY(add("artifact_uri", record.artifact_uri));
  for (const ReferenceField& field : reference_fields) {
    const auto& text = record.*field.member;
    if (!text) continue;
    if (field.name != "rollback_to") {
      TRY(add(field.name, *text));
      continue;
    }
    const auto name = version_name(*text);
    Reference reference{.field = "rollback_to", .text = *text};
    if (name && !TRY(store::find(tx, call.project, name->model, name->version)).empty()) {
      reference.standing = Standing::verified;
      reference.urn = "model:" + name->model + "@v" + std::to_string(name->version);
    }
    references.push_back(reference);
  }
  return references;
}

Result<ModelVersion> Service::register_version(const Call& call, const Record& record) {
  return db_.write(call, [&](sql::Tx& tx) { return register_version(tx, call, record); });
}

Result<ModelVersion> Service::register_version(sql::Tx& tx, const Call& call, const Record& record,
                                               json::object detail) {
  const VersionName name = TRY(version_name(record.model_id));
  const Timestamp now = clock_.now();
  ModelVersion version{.project = call.project,
                       .model = name.model,
                       .version = name.version,
                       .record = record,
                       .created_at = now,
                       .created_by = call.actor,
                       .updated_at = now};
  if (version.version == 0) {
    version.version = TRY(store::newest(tx, call.project, name.model)) + 1;
    version.record.model_id = name.model + "-v" + std::to_string(version.version);
  }
  // Before the digest, so that the same words again are the same version.
  if (check_) TRY(check_(tx, call, version.record));
  version.digest = digest_of(version.record);
  const auto found = TRY(store::find(tx, call.project, version.model, version.version));
  if (!found.empty()) {
    if (found[0].digest == version.digest) return found[0];
    return Error{Code::already_exists,
                 version.urn() +
                     " is registered with another record, and a version never "
                     "changes; register the next number",
                 {{"model_id", "is taken"}}};
  }
  version.record_references = TRY(resolve(tx, call, version.record));
  TRY(sql::insert(tx, "model_versions", version));
  TRY(store::put_names(tx, version));
  for (const Reference& reference : version.record_references)
    for (const ReferenceField& field : reference_fields)
      // The version to go back to is a plan, not something that this one was made from.
      if (field.name == reference.field && !reference.urn.empty() && field.name != "rollback_to")
        TRY(catalog::add_edge(tx, call, now, version.urn(), reference.urn, field.relation));
  const auto policies = TRY(policies::enforce(
      tx, call, now, {.action = policies::Action::register_, .urn = version.urn()}));
  detail["digest"] = version.digest;
  if (!policies.empty()) detail["policies"] = policies::told(policies);
  TRY(audit::record(tx, call, now,
                    {"registry.version.registered", version.urn(), std::move(detail)}));
  if (version.record.approved_for)
    TRY(approvals::ask(tx, call, now, subject_of(version, *version.record.approved_for),
                       {.summary = version.urn() + " for " + *version.record.approved_for,
                        .detail = {{"record", encode(version.record)}}}));
  return version;
}

Result<VersionDetail> Service::get(const Call& call, const VersionInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionDetail> {
    VersionDetail detail{.version = TRY(must_find(tx, call, input.model, input.version))};
    detail.approvals = TRY(approvals::approvals_of(tx, call.project, detail.version.urn()));
    detail.approved_for = TRY(
        approvals::scopes_granted(tx, call.project, subject_of(detail.version, ""), clock_.now()));
    detail.blockers = TRY(blockers(tx, detail.version));
    return detail;
  });
}

Result<VersionList> Service::list(const Call& call, const ListInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<VersionList> {
    return VersionList{TRY(store::list(tx, call.project, input.model, input.limit))};
  });
}

approvals::Approvable Service::approvable() const {
  return {
      .current = [](sql::Tx& tx, const Call& call, const std::string& urn,
                    const std::string& scope) -> Result<approvals::Subject> {
        const VersionName name = TRY(version_name(urn));
        const auto found = TRY(version(tx, call.project, name.model, name.version));
        const auto why_not = TRY(blockers(tx, found));
        if (why_not.empty()) return subject_of(found, scope);
        Error error{Code::failed_precondition, found.urn() + " cannot be approved: " + why_not[0]};
        for (const std::string& why : why_not) error.violations.push_back({"record", why});
        return error;
      },
      .given = [](sql::Tx& tx, const Call& call, const approvals::Subject& subject,
                  const approvals::Given& given) -> Result<void> {
        const Timestamp now = given.approval.at;
        TRY(catalog::add_edge(tx, call, now, subject.urn,
                              "approval:" + subject.scope + "/" + subject.digest.substr(0, 16),
                              "approved_by"));
        const VersionName name = TRY(version_name(subject.urn));
        TRY(freezes::check(
            tx, call.project, now,
            {.what = freezes::What::approve, .urn = subject.urn, .model = name.model}));
        TRY(policies::enforce_and_note(tx, call, now,
                                       {.action = policies::Action::approve, .urn = subject.urn}));
        const auto found = TRY(version(tx, call.project, name.model, name.version));
        if (!given.standing.granted || found.status != Status::registered) return {};
        return set_status(tx, call, now, found, Status::approved);
      }};
}

Result<approvals::Approval> Service::approve(const Call& call, const ApproveInput& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<approvals::Approval> {
    const ModelVersion version = TRY(must_find(tx, call, input.model, input.version));
    return TRY(approvals::give(
                   tx, call, clock_.now(), approvable(),
                   {.subject = version.urn(), .scope = input.scope, .comment = input.comment}))
        .approval;
  });
}

Result<ModelVersion> version(sql::Tx& tx, const std::string& project, const std::string& model,
                             std::int64_t number) {
  auto found = TRY(store::find(tx, project, model, number));
  if (!found.empty()) return std::move(found.front());
  return Error{Code::not_found, "there is no model:" + model + "@v" + std::to_string(number) +
                                    " in project " + project};
}

approvals::Subject subject_of(const ModelVersion& version, const std::string& scope) {
  return {
      .urn = version.urn(), .digest = version.digest, .scope = scope, .author = version.created_by};
}

Result<std::vector<std::string>> blockers(sql::Tx& tx, const ModelVersion& version) {
  std::vector<std::string> why;
  for (const Reference& reference : version.record_references)
    if (reference.standing == Standing::declared)
      why.push_back(reference.field + " " + reference.text +
                    " is declared but not verified: nothing of that name is known here");
  if (!version.record.owner) why.emplace_back("owner is missing");
  if (!version.record.eval_report) why.emplace_back("eval_report is missing");
  if (!version.record.rollback_to) {
    const auto rows =
        TRY(tx.run("SELECT count(*) FROM model_versions WHERE project = $1 AND model "
                   "= $2 AND version < $3",
                   {version.project, version.model, version.version}));
    if (std::get<std::int64_t>(rows.at(0).at(0)) > 0) why.emplace_back("rollback_to is missing");
  }
  return why;
}

Result<void> set_status(sql::Tx& tx, const Call& call, Timestamp at, const ModelVersion& version,
                        Status status) {
  TRY(store::set_status(tx, version, status, at));
  return audit::record(tx, call, at,
                       {"registry.version.status_changed",
                        version.urn(),
                        {{"from", name_of(version.status)}, {"to", name_of(status)}}});
}

}  // namespace penstock::registry
