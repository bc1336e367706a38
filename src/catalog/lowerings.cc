#include "catalog/lowerings.h"

#include <algorithm>

#include "audit/audit.h"
#include "base/digest.h"
#include "base/id.h"
#include "base/urn.h"
#include "resources/service.h"

namespace penstock::catalog {
namespace {

constexpr std::string_view scope_begin = "lower-class:";

std::string scope_of(const std::string& column) { return std::string(scope_begin) + column; }

approvals::Subject subject_of(const Lowering& lowering) {
  return {.urn = "source:" + lowering.source,
          .digest = lowering.digest,
          .scope = scope_of(lowering.column_name),
          .author = lowering.asked_by};
}

std::string digest_of(const Lowering& lowering) {
  return sha256_hex(canonical(json::object{{"id", lowering.id},
                                           {"project", lowering.project},
                                           {"source", lowering.source},
                                           {"column", lowering.column_name},
                                           {"from", name_of(lowering.from_class)},
                                           {"to", name_of(lowering.to_class)},
                                           {"reason", lowering.reason}}));
}

// The newest that was asked for, granted or not.
Result<std::vector<Lowering>> newest_lowering(sql::Tx& tx, const std::string& project,
                                              const std::string& source,
                                              const std::string& column) {
  static const std::string text = "SELECT " + columns<Lowering>() +
                                  " FROM column_lowerings WHERE project = $1 AND source = $2 AND "
                                  "column_name = $3 ORDER BY asked_at DESC, id DESC LIMIT 1";
  return sql::select<Lowering>(tx, text, {project, source, column});
}

Result<void> grant(sql::Tx& tx, const Lowering& lowering) {
  TRY(tx.run(
      "UPDATE column_lowerings SET granted_at = $3, granted_by = $4 WHERE project = $1 AND "
      "id = $2",
      {lowering.project, lowering.id, sql::to_sql(lowering.granted_at), lowering.granted_by}));
  return {};
}

Result<void> use(sql::Tx& tx, const Lowering& lowering, std::int64_t version) {
  TRY(tx.run("UPDATE column_lowerings SET used_version = $3 WHERE project = $1 AND id = $2",
             {lowering.project, lowering.id, version}));
  return {};
}

const SourceColumn* find(const Source& source, const std::string& name) {
  const auto found = std::find_if(source.columns.begin(), source.columns.end(),
                                  [&](const SourceColumn& column) { return column.name == name; });
  return found == source.columns.end() ? nullptr : &*found;
}

Result<std::optional<ColumnClass>> class_in(sql::Tx& tx, const std::string& project,
                                            const Source& source, const std::string& column) {
  for (ColumnClass& one : TRY(column_classes(tx, project, source)))
    if (one.column == column) return std::optional(std::move(one));
  return std::optional<ColumnClass>();
}

// What stands of a column, by the newest version that declares it: taken out and put in again it
// is still the same column. Nothing where none does.
Result<std::optional<ColumnClass>> standing_class(sql::Tx& tx, const std::string& project,
                                                  const std::string& source,
                                                  const std::string& column) {
  const auto newest = resources::get(tx, project, "source", source);
  if (!newest) {
    if (newest.error().code == Code::not_found) return std::optional<ColumnClass>();
    return newest.error();
  }
  for (std::int64_t version = newest->version; version > 0; --version) {
    const auto declared = TRY(resources::declared<Source>(tx, project, "source", source, version));
    if (find(declared, column)) return class_in(tx, project, declared, column);
  }
  return std::optional<ColumnClass>();
}

std::string arrow(Classification from, Classification to) {
  return std::string(name_of(from)) + " -> " + std::string(name_of(to));
}

// Why an approval does not let this fall of a declared class through; empty where it does.
Result<std::string> refusal(sql::Tx& tx, const Call& call, Timestamp now, const Source& after,
                            const SourceColumn& column, const ColumnClass& stands) {
  const std::string ask = "ask for one with penstock sources lower-class " + after.name + " " +
                          column.name + " " + std::string(name_of(column.classification)) +
                          " --reason ...";
  const auto asked = TRY(newest_lowering(tx, call.project, after.name, column.name));
  if (asked.empty() || asked.front().used_version ||
      asked.front().from_class != stands.classification ||
      asked.front().to_class != column.classification)
    return "which needs an approval of exactly that; " + ask;
  const auto standing = TRY(approvals::standing(tx, call.project, subject_of(asked.front()), now));
  if (!standing.granted)
    return "which waits for its approval (" + standing.why +
           "): penstock approvals give source:" + after.name + " --for " + scope_of(column.name);
  const bool own = std::any_of(
      standing.approvers.begin(), standing.approvers.end(),
      [&](const std::string& approver) { return approvals::same_person(approver, call.actor); });
  if (own) return "which " + call.actor + " approved and so cannot apply; another person must";
  return std::string();
}

}  // namespace

Result<LowerOutput> Lowerings::ask(const Call& call, const LowerInput& input) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<LowerOutput> {
    TRY(resources::get(tx, call.project, "source", input.name));
    const auto stands = TRY(standing_class(tx, call.project, input.name, input.column_name));
    if (!stands)
      return Error{Code::not_found,
                   "source " + input.name + " has no column " + input.column_name,
                   {{"column_name", "must be a column of source " + input.name}}};
    if (stands->classification <= input.classification)
      return Error{Code::failed_precondition,
                   "column " + input.column_name + " is " +
                       std::string(name_of(stands->classification)) +
                       "; to raise a class or leave it needs no approval, only an apply",
                   {{"classification", "must be lower than what stands"}}};
    const Timestamp now = clock_.now();
    auto before = TRY(newest_lowering(tx, call.project, input.name, input.column_name));
    const bool same = !before.empty() && !before.front().granted_at &&
                      before.front().from_class == stands->classification &&
                      before.front().to_class == input.classification &&
                      before.front().asked_by == call.actor &&
                      before.front().reason == input.reason;
    Lowering lowering = same ? before.front()
                             : Lowering{.project = call.project,
                                        .id = new_ulid(now),
                                        .source = input.name,
                                        .column_name = input.column_name,
                                        .from_class = stands->classification,
                                        .to_class = input.classification,
                                        .reason = input.reason,
                                        .asked_by = call.actor,
                                        .asked_at = now};
    const std::string change = arrow(lowering.from_class, lowering.to_class);
    if (!same) {
      lowering.digest = digest_of(lowering);
      TRY(sql::insert(tx, "column_lowerings", lowering));
      TRY(audit::record(tx, call, now,
                        {"catalog.class.lowering_asked",
                         "source:" + input.name,
                         {{"column", input.column_name},
                          {"change", change},
                          {"digest", lowering.digest},
                          {"reason", input.reason}}}));
    }
    const approvals::Subject subject = subject_of(lowering);
    TRY(approvals::ask(tx, call, now, subject,
                       {.summary = "lower column " + input.column_name + " of source " +
                                   input.name + ": " + change,
                        .detail = encode(lowering).as_object()}));
    return LowerOutput{lowering, subject.urn, subject.scope};
  });
}

approvals::Approvable Lowerings::approvable() const {
  const auto asked_for = [](sql::Tx& tx, const Call& call, const std::string& urn,
                            const std::string& scope) -> Result<Lowering> {
    const auto parsed = Urn::parse(urn);
    const std::string column =
        scope.starts_with(scope_begin) ? scope.substr(scope_begin.size()) : "";
    auto asked = TRY(newest_lowering(tx, call.project, parsed ? parsed->name : "", column));
    if (asked.empty())
      return Error{Code::not_found, "nobody asked to lower the class of column " + column + " of " +
                                        urn + "; see penstock approvals list"};
    return std::move(asked.front());
  };
  return {.current = [asked_for](sql::Tx& tx, const Call& call, const std::string& urn,
                                 const std::string& scope) -> Result<approvals::Subject> {
            const Lowering lowering = TRY(asked_for(tx, call, urn, scope));
            const auto stands =
                TRY(standing_class(tx, call.project, lowering.source, lowering.column_name));
            if (!lowering.granted_at && (!stands || stands->classification != lowering.from_class))
              return Error{Code::failed_precondition,
                           "the class of column " + lowering.column_name +
                               " changed since it was asked to be lowered; ask again with penstock "
                               "sources lower-class"};
            return subject_of(lowering);
          },
          .given = [asked_for, &clock = clock_](sql::Tx& tx, const Call& call,
                                                const approvals::Subject& subject,
                                                const approvals::Given& given) -> Result<void> {
            if (!given.standing.granted) return {};
            Lowering lowering = TRY(asked_for(tx, call, subject.urn, subject.scope));
            if (lowering.granted_at) return {};
            lowering.granted_at = clock.now();
            for (const std::string& approver : given.standing.approvers)
              lowering.granted_by += (lowering.granted_by.empty() ? "" : ", ") + approver;
            TRY(grant(tx, lowering));
            TRY(classes_changed(tx, call.project, lowering.source));
            return audit::record(tx, call, *lowering.granted_at,
                                 {"catalog.class.lowering_granted",
                                  subject.urn,
                                  {{"column", lowering.column_name},
                                   {"change", arrow(lowering.from_class, lowering.to_class)},
                                   {"digest", lowering.digest}}});
          }};
}

Result<std::vector<Violation>> lowering_faults(sql::Tx& tx, const Call& call, Timestamp now,
                                               const Source& after) {
  std::vector<Violation> faults;
  const auto newest = resources::get(tx, call.project, "source", after.name);
  if (!newest) {
    if (newest.error().code == Code::not_found) return faults;
    return newest.error();
  }
  const auto before = TRY(decode<Source>(newest->declaration));
  for (std::size_t i = 0; i < after.columns.size(); ++i) {
    const SourceColumn& column = after.columns[i];
    const SourceColumn* declared = find(before, column.name);
    if (declared && column.classification >= declared->classification) continue;
    const auto stands = TRY(standing_class(tx, call.project, after.name, column.name));
    if (!stands || column.classification >= stands->classification) continue;
    const std::string why = TRY(refusal(tx, call, now, after, column, *stands));
    if (!why.empty())
      faults.push_back({"columns[" + std::to_string(i) + "].classification",
                        "must not lower " + column.name + " (" +
                            arrow(stands->classification, column.classification) + "), " + why});
  }
  return faults;
}

Result<void> use_lowerings(sql::Tx& tx, const Call& call, Timestamp now, const Source& before,
                           const Source& after, std::int64_t version) {
  for (const SourceColumn& column : after.columns) {
    const SourceColumn* declared = find(before, column.name);
    if (declared && column.classification >= declared->classification) continue;
    const auto asked = TRY(newest_lowering(tx, call.project, after.name, column.name));
    if (asked.empty() || !asked.front().granted_at || asked.front().used_version ||
        asked.front().to_class != column.classification)
      continue;
    TRY(use(tx, asked.front(), version));
    TRY(audit::record(tx, call, now,
                      {"catalog.class.lowered",
                       "source:" + after.name + "@" + std::to_string(version),
                       {{"column", column.name},
                        {"change", arrow(asked.front().from_class, asked.front().to_class)},
                        {"approved_by", asked.front().granted_by},
                        {"digest", asked.front().digest}}}));
  }
  return {};
}

}  // namespace penstock::catalog
