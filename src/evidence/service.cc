#include "evidence/service.h"

#include <set>

#include "audit/about.h"
#include "evidence/manifest.h"
#include "incidents/about.h"

namespace penstock::evidence {
namespace {

constexpr int attempts_max = 5;
constexpr std::int64_t incidents_max = 1'000;
constexpr std::int64_t trace_depth = 64;

std::set<std::string> routes_of(const record::Facts& facts) {
  std::set<std::string> routes;
  for (const record::Deployed& deployed : facts.deployments) routes.insert(deployed.route);
  for (const release::Release& release : facts.releases) routes.insert(release.route);
  return routes;
}

// A declared thing by its name and by each of its versions, as its audit events name it.
Result<void> add_declared(sql::Tx& tx, const Call& call, const std::string& kind,
                          const std::string& name, std::vector<std::string>& subjects) {
  subjects.push_back(kind + ":" + name);
  const auto resource = resources::get(tx, call.project, kind, name);
  if (!resource)
    return resource.error().code == Code::not_found ? Result<void>() : resource.error();
  for (std::int64_t version = 1; version <= resource->version; ++version)
    subjects.push_back(kind + ":" + name + "@" + std::to_string(version));
  return {};
}

// Everything that the bundle names and the log may speak of.
Result<std::vector<std::string>> subjects_of(sql::Tx& tx, const Call& call,
                                             const Content& content) {
  const record::Facts& facts = content.facts;
  std::vector<std::string> subjects{facts.version.urn()};
  TRY(add_declared(tx, call, "model", facts.version.model, subjects));
  for (const std::string& route : routes_of(facts))
    TRY(add_declared(tx, call, "route", route, subjects));
  for (const SignatureOf& one : content.signatures)
    if (!one.signature.key.empty())
      TRY(add_declared(tx, call, "signing_key", one.signature.key, subjects));
  for (const release::Release& release : facts.releases)
    subjects.push_back("release:" + release.id);
  for (const incidents::IncidentDetail& one : content.incidents)
    subjects.push_back("incident:" + one.incident.id);
  for (const catalog::TraceNode& node : content.lineage.nodes) {
    subjects.push_back(node.urn);
    if (node.kind == "source") subjects.push_back(node.urn.substr(0, node.urn.find('@')));
  }
  return subjects;
}

Result<std::vector<SignatureOf>> signatures_of(sql::Tx& tx, const Call& call,
                                               const record::Facts& facts) {
  std::vector<SignatureOf> out;
  for (const registry::CheckedSignature& signature : facts.signatures) {
    SignatureOf one{.signature = signature};
    if (!signature.key.empty())
      one.public_key = TRY(resources::declared<registry::SigningKey>(tx, call.project,
                                                                     "signing_key", signature.key))
                           .public_key;
    out.push_back(std::move(one));
  }
  return out;
}

Result<std::vector<incidents::Incident>> incidents_of(sql::Tx& tx, const Call& call,
                                                      const record::Facts& facts) {
  std::vector<std::string> subjects{facts.version.urn(), "model:" + facts.version.model};
  for (const release::Release& release : facts.releases)
    subjects.push_back("release:" + release.id);
  for (const std::string& route : routes_of(facts)) subjects.push_back("route:" + route);
  return incidents::about(tx, call, subjects, incidents_max);
}

}  // namespace

Result<Content> Service::gather(const Call& call, const registry::VersionInput& input) {
  Content content{.facts = TRY(parts_.record.facts(call, input))};
  const std::string urn = content.facts.version.urn();
  content.lineage = TRY(parts_.catalog.trace(
      call, {.urn = urn, .depth = trace_depth, .limit = catalog::trace_nodes_max}));
  std::vector<std::string> approved{urn};
  for (const release::Release& release : content.facts.releases) {
    auto detail = TRY(parts_.release.get(call, {release.id}));
    auto looks = TRY(parts_.release.looks(call, {release.id})).looks;
    auto replayed = TRY(parts_.release.replay(call, {release.id}));
    ReleaseOf one{
        .detail = std::move(detail), .looks = std::move(looks), .replayed = std::move(replayed)};
    one.detail.release.live_micros.clear();  // timings: a working state of the shadow stage
    content.releases.push_back(std::move(one));
    approved.push_back("release:" + release.id);
  }
  for (const std::string& subject : approved) {
    approvals::History history = TRY(parts_.approvals.show(call, {subject}));
    content.approvals.push_back(
        {subject, std::move(history.approvals), std::move(history.requests)});
  }
  std::vector<incidents::Incident> found;
  TRY(parts_.db.read(call, [&](sql::Tx& tx) -> Result<void> {
    found = TRY(incidents_of(tx, call, content.facts));
    content.signatures = TRY(signatures_of(tx, call, content.facts));
    content.policies = TRY(policies::results_of(tx, call.project, urn));
    return {};
  }));
  for (const incidents::Incident& incident : found)
    content.incidents.push_back(TRY(parts_.incidents.get(call, {incident.id})));
  return content;
}

Result<std::string> Service::bundle(const Call& call, const registry::VersionInput& input) {
  const std::int64_t number = TRY(registry::version_number(input.version));
  const auto version = TRY(parts_.db.read(
      call, [&](sql::Tx& tx) { return registry::version(tx, call.project, input.model, number); }));
  for (int attempt = 0; attempt < attempts_max; ++attempt) {
    // The head comes first: what is read after it may be newer, and then it is all read again.
    const audit::Checkpoint head = TRY(parts_.audit.checkpoint(call));
    Content content = TRY(gather(call, input));
    std::vector<audit::Inclusion> events;
    const bool changed = TRY(parts_.db.read(call, [&](sql::Tx& tx) -> Result<bool> {
      content.subjects = TRY(subjects_of(tx, call, content));
      events =
          TRY(audit::inclusions_about(tx, call.project, content.subjects, head.size, events_max));
      return audit::changed_since(tx, call.project, content.subjects, head.size);
    }));
    if (changed) continue;
    std::vector<File> files = files_of(content, head, events);
    seal({.project = call.project,
          .subject = version.urn(),
          .record_digest = version.digest,
          .made_at = parts_.clock.now(),
          .made_by = call.actor,
          .key = parts_.audit.public_key().text(),
          .log_size = head.size},
         files, [&](const audit::Statement& statement) { return parts_.audit.state(statement); });
    return pack(std::move(files));
  }
  return Error{Code::unavailable, version.urn() +
                                      " or what it was made from was changed each time that it was "
                                      "read; ask again"};
}

}  // namespace penstock::evidence
