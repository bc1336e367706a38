#include "incidents/service.h"

#include <algorithm>
#include <set>

#include "audit/audit.h"
#include "base/id.h"
#include "base/urn.h"
#include "incidents/about.h"
#include "resources/service.h"

namespace penstock::incidents {
namespace {

constexpr std::int64_t timeline_max = 1'000;
constexpr const char* repeated = "repeated";

Result<std::vector<Incident>> select(sql::Tx& tx, const std::string& where, const sql::Row& row) {
  return sql::select<Incident>(
      tx, "SELECT " + columns<Incident>() + " FROM incidents WHERE " + where, row);
}

Result<Incident> find(sql::Tx& tx, const Call& call, const std::string& id) {
  const auto found = TRY(select(tx, "project = $1 AND id = $2", {call.project, id}));
  if (found.empty()) return Error{Code::not_found, "there is no incident " + id};
  return found.front();
}

// Whoever declared the subject as theirs; nobody where it was not declared.
std::string owner_of(sql::Tx& tx, const Call& call, const std::string& subject) {
  const auto urn = Urn::parse(subject);
  if (!urn) return "";
  const auto resource = resources::get(tx, call.project, urn->kind, urn->name);
  return resource ? resource->owner : "";
}

}  // namespace

Result<void> note(sql::Tx& tx, const Call& call, Timestamp at, const std::string& incident,
                  const std::string& event, const json::object& detail) {
  if (event == repeated) {
    // A repeat in a loop must not fill the disk; the count on the incident goes on.
    const auto rows =
        TRY(tx.run("SELECT count(*) FROM incident_timeline WHERE project = $1 AND incident = $2",
                   {call.project, incident}));
    if (std::get<std::int64_t>(rows[0].at(0)) >= timeline_max) return {};
  }
  return sql::insert(tx, "incident_timeline",
                     TimelineEntry{call.project, incident, at, call.actor, event, detail});
}

Result<Incident> open(sql::Tx& tx, const Call& call, Timestamp at, const Opening& opening) {
  auto found = TRY(select(tx, "project = $1 AND dedup_key = $2 AND status <> 'resolved'",
                          {call.project, opening.dedup_key}));
  if (!found.empty()) {
    Incident incident = found.front();
    ++incident.occurrences;
    incident.updated_at = at;
    TRY(
        tx.run("UPDATE incidents SET occurrences = occurrences + 1, updated_at = $3 WHERE project "
               "= $1 AND id = $2",
               {call.project, incident.id, sql::to_sql(at)}));
    TRY(note(tx, call, at, incident.id, repeated, opening.detail));
    return incident;
  }
  const Incident incident{
      .project = call.project,
      .id = new_ulid(at),
      .dedup_key = opening.dedup_key,
      .title = opening.title,
      .severity = opening.severity,
      .subject = opening.subject,
      .owner = opening.owner.empty() ? owner_of(tx, call, opening.subject) : opening.owner,
      .suspects = opening.suspects,
      .opened_at = at,
      .updated_at = at};
  TRY(sql::insert(tx, "incidents", incident));
  TRY(note(tx, call, at, incident.id, "opened", opening.detail));
  TRY(audit::record(tx, call, at,
                    {"incidents.opened",
                     "incident:" + incident.id,
                     {{"subject", incident.subject}, {"title", incident.title}}}));
  return incident;
}

Result<std::vector<Incident>> about(sql::Tx& tx, const Call& call,
                                    const std::vector<std::string>& subjects, std::int64_t limit) {
  std::vector<Incident> out;
  for (const std::string& subject : std::set<std::string>(subjects.begin(), subjects.end())) {
    auto found = TRY(select(tx, "project = $1 AND subject = $2 ORDER BY id DESC LIMIT $3",
                            {call.project, subject, limit}));
    out.insert(out.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  std::sort(out.begin(), out.end(),
            [](const Incident& a, const Incident& b) { return a.id > b.id; });
  if (static_cast<std::int64_t>(out.size()) > limit) out.resize(static_cast<std::size_t>(limit));
  return out;
}

Result<Incident> Service::open(const Call& call, const Opening& opening) {
  return db_.write(call,
                   [&](sql::Tx& tx) { return incidents::open(tx, call, clock_.now(), opening); });
}

Result<IncidentList> Service::list(const Call& call, const ListInput& input) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<IncidentList> {
    return IncidentList{
        TRY(select(tx, "project = $1 AND ($2 = '' OR status = $2) ORDER BY id DESC LIMIT $3",
                   {call.project, input.status, input.limit}))};
  });
}

Result<IncidentDetail> Service::get(const Call& call, const IncidentName& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<IncidentDetail> {
    static const std::string text =
        "SELECT " + columns<TimelineEntry>() +
        " FROM incident_timeline WHERE project = $1 AND incident = $2 ORDER BY at";
    IncidentDetail detail{.incident = TRY(find(tx, call, name.id))};
    detail.timeline = TRY(sql::select<TimelineEntry>(tx, text, {call.project, name.id}));
    return detail;
  });
}

Result<Incident> Service::move(const Call& call, const IncidentMove& move) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<Incident> {
    Incident incident = TRY(find(tx, call, move.id));
    if (move.status <= incident.status)
      return Error{Code::failed_precondition,
                   "incident " + move.id + " is " + std::string(name_of(incident.status)) +
                       " and cannot become " + std::string(name_of(move.status))};
    const Timestamp now = clock_.now();
    incident.status = move.status;
    incident.updated_at = now;
    if (move.status == Status::resolved) incident.resolved_at = now;
    TRY(
        tx.run("UPDATE incidents SET status = $3, updated_at = $4, resolved_at = $5 WHERE project "
               "= $1 AND id = $2",
               {call.project, move.id, sql::to_sql(incident.status), sql::to_sql(now),
                sql::to_sql(incident.resolved_at)}));
    const json::object detail{{"comment", move.comment}};
    TRY(note(tx, call, now, move.id, std::string(name_of(move.status)), detail));
    TRY(audit::record(
        tx, call, now,
        {"incidents." + std::string(name_of(move.status)), "incident:" + move.id, detail}));
    return incident;
  });
}

}  // namespace penstock::incidents
