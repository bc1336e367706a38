#include "catalog/quality.h"

#include <algorithm>
#include <set>

#include "base/log.h"
#include "catalog/store.h"

namespace penstock::catalog {
namespace {

// What is kept of one source; older ones go.
constexpr std::int64_t measures_kept = 500, profiles_kept = 100;

// One whole number alone is a count of violations; else each row is one.
Result<CheckResult> run_check(olap::Session& session, const SourceCheck& check,
                              const std::string& sql) {
  CheckResult result{.name = check.name, .severity = check.severity};
  const auto columns = session.describe(sql);
  if (!columns) {
    result.fault = columns.error().message;
    return result;
  }
  const bool may_count = columns->size() == 1 && columns->front().type == olap::Type::bigint;
  const std::string rows = "(\n" + sql + "\n) AS violations";
  const auto table = session.query(may_count ? "SELECT count(*), any_value(columns(*)) FROM " + rows
                                             : "SELECT count(*), NULL FROM " + rows);
  if (!table) {
    if (table.error().code == Code::unavailable || table.error().code == Code::internal)
      return table.error();
    result.fault = table.error().message;
    return result;
  }
  const auto& row = table->rows.at(0);
  result.violations = std::get<std::int64_t>(row.at(0));
  if (may_count && result.violations == 1)
    if (const auto* counted = std::get_if<std::int64_t>(&row.at(1))) result.violations = *counted;
  result.passed = result.violations == 0;
  return result;
}

std::vector<SourceCheck> checks_of(const Source& source) {
  std::vector<SourceCheck> checks = implied_checks(source);
  checks.insert(checks.end(), source.checks.begin(), source.checks.end());
  return checks;
}

// That messages are no rows is no reason to do without the others, and nothing to be silent about.
CheckResult messages_check(const Rejects& rejects) {
  const std::int64_t count = count_of(rejects);
  return {.name = "messages are rows",
          .severity = CheckSeverity::warning,
          .passed = count == 0,
          .violations = count,
          .fault = rejects_text(rejects)};
}

std::string span_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds);
  if (whole >= 172'800) return std::to_string(whole / 86'400) + " days";
  if (whole >= 7'200) return std::to_string(whole / 3'600) + " hours";
  return std::to_string(whole / 60) + " minutes";
}

void judge_freshness(const Source& source, Measure& out) {
  if (out.newest) out.age_seconds = std::chrono::duration<double>(out.at - *out.newest).count();
  if (!source.freshness) return;
  const double allowed = std::chrono::duration<double>(source.freshness->max_age).count();
  out.fresh = out.age_seconds && *out.age_seconds <= allowed;
  if (!out.fresh && source.freshness->severity == CheckSeverity::error) out.passed = false;
}

// What of a measure somebody must know.
std::vector<Failure> failures_of(const Source& source, const Measure& measure) {
  std::vector<Failure> out;
  const auto add = [&](const std::string& key, const std::string& what, json::object detail) {
    detail["snapshot_digest"] = measure.snapshot_digest;
    out.push_back({key, "source " + source.name + ": " + what, measure.urn(), source.owner,
                   std::move(detail)});
  };
  if (!measure.fault.empty()) add("unreadable", "cannot be read", {{"fault", measure.fault}});
  if (!measure.drift.empty())
    add("drift", "is not as it was declared", {{"drift", encode(measure.drift)}});
  if (!measure.fresh && measure.fault.empty() && source.freshness->severity == CheckSeverity::error)
    add("freshness",
        measure.age_seconds
            ? "its newest row is " + span_text(*measure.age_seconds) + " old, and may be " +
                  std::get<std::string>(Kind<Micros>::say(source.freshness->max_age))
            : "has no rows that say how fresh it is",
        {{"newest", encode(measure.newest)}});
  for (const CheckResult& check : measure.checks)
    if (!check.passed && check.severity == CheckSeverity::error)
      add("check:" + check.name,
          "check \"" + check.name + "\" failed" +
              (check.fault.empty() ? " (" + std::to_string(check.violations) + " violations)"
                                   : ": it could not run"),
          encode(check).as_object());
  return out;
}

}  // namespace

struct Quality::Subject {
  VersionedSource source;
  std::vector<VersionedSource> all;  // of the project: a check may compare with others
  std::vector<ColumnClass> classes;
};

Result<Quality::Subject> Quality::subject(const Call& call, const std::string& name) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<Subject> {
    Subject out{.source = TRY(sources_named(tx, call.project, {name})).front()};
    std::vector<std::string> names;
    for (const auto& resource : TRY(resources::list(tx, call.project, "source")))
      names.push_back(resource.name);
    out.all = TRY(sources_named(tx, call.project, names));
    out.classes = TRY(column_classes(tx, call.project, out.source.source));
    return out;
  });
}

Result<Measure> Quality::check(const Call& call, const SourceName& name) {
  return measure(call, TRY(subject(call, name.name)), false);
}
Result<Measure> Quality::refresh(const Call& call, const SourceName& name) {
  return measure(call, TRY(subject(call, name.name)), true);
}

Result<Measure> Quality::measure(const Call& call, const Subject& subject, bool with_profile) {
  const Source& source = subject.source.source;
  Measure out{.project = call.project,
              .source = source.name,
              .version = subject.source.version,
              .at = clock_.now(),
              .actor = call.actor};
  std::optional<SourceProfile> profile;
  if (const auto looked = look(subject, with_profile, out, profile); !looked) {
    out.fault = looked.error().message;
    out.passed = false;
    out.fresh = !source.freshness;
  }
  TRY(keep(call, subject, out, profile));
  return out;
}

Result<void> Quality::look(const Subject& subject, bool with_profile, Measure& out,
                           std::optional<SourceProfile>& profile) {
  const Source& source = subject.source.source;
  Snapshots& snapshots = catalog_.snapshots();
  const auto session = TRY(olap_.session());
  for (const Violation& fault : drift(source, TRY(snapshots.columns(*session, source, true)))) {
    out.drift.push_back(fault.field + " " + fault.problem);
    out.passed = false;
  }
  out.snapshot_digest = TRY(snapshots.digest(source));
  const Extent extent = TRY(snapshots.extent(source));
  out.bytes = extent.bytes;

  const auto checks = checks_of(source);
  std::set<std::string> wanted{source.name};
  for (const SourceCheck& check : checks)
    if (const auto tables = session->tables_of(sql_of(check, source, out.at)))
      wanted.insert(tables->begin(), tables->end());
  std::vector<Source> bound;
  for (const VersionedSource& one : subject.all)
    if (wanted.contains(one.source.name)) bound.push_back(one.source);
  TRY(snapshots.bind(*session, bound));

  const std::string table = olap::quoted_name(source.name);
  const auto counted =
      TRY(session->query("SELECT count(*), " +
                         (source.event_time ? "max(" + olap::quoted_name(*source.event_time) + ")"
                                            : std::string("NULL")) +
                         " FROM " + table));
  out.row_count = std::get<std::int64_t>(counted.rows.at(0).at(0));
  if (const auto* newest = std::get_if<std::int64_t>(&counted.rows.at(0).at(1)))
    out.newest = Timestamp(Micros(*newest));
  else if (!source.event_time && extent.changed != Timestamp{})
    out.newest = extent.changed;
  judge_freshness(source, out);
  if (source.kafka) out.checks.push_back(messages_check(TRY(snapshots.rejects(source))));
  for (const SourceCheck& check : checks) {
    out.checks.push_back(TRY(run_check(*session, check, sql_of(check, source, out.at))));
    if (!out.checks.back().passed && check.severity == CheckSeverity::error) out.passed = false;
  }
  if (!with_profile) return {};
  TableProfile made = TRY(profile_of(*session, "SELECT * FROM " + table));
  redact(made.columns, subject.classes);
  profile = SourceProfile{.project = out.project,
                          .source = out.source,
                          .version = out.version,
                          .snapshot_digest = out.snapshot_digest,
                          .at = out.at,
                          .row_count = made.row_count,
                          .sampled_rows = made.sampled_rows,
                          .columns = std::move(made.columns)};
  return {};
}

Result<void> Quality::keep(const Call& call, const Subject& subject, const Measure& measure,
                           const std::optional<SourceProfile>& profile) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    TRY(sql::insert(tx, "source_measures", measure));
    if (profile)
      TRY(sql::insert(tx, "source_profiles", *profile,
                      "ON CONFLICT (project, source, version, snapshot_digest) DO UPDATE SET at = "
                      "excluded.at, columns = excluded.columns"));
    TRY(store::prune(tx, measure.project, measure.source, measures_kept, profiles_kept));
    if (tell_)
      for (const Failure& failure : failures_of(subject.source.source, measure))
        TRY(tell_(tx, call, measure.at, failure));
    return {};
  });
}

Result<MeasureList> Quality::history(const Call& call, const MeasureQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<MeasureList> {
    TRY(resources::get(tx, call.project, "source", query.name));
    return MeasureList{TRY(store::measures(tx, call.project, query.name, query.limit))};
  });
}

Result<SourceProfile> Quality::profile(const Call& call, const ProfileQuery& query) {
  return db_.read(call, [&](sql::Tx& tx) -> Result<SourceProfile> {
    const auto source = TRY(resources::declared<Source>(tx, call.project, "source", query.name));
    auto found = TRY(store::profile(tx, call.project, query.name, query.snapshot));
    if (found.empty())
      return Error{Code::not_found, "there is no profile of source " + query.name +
                                        (query.snapshot.empty() ? "" : " at " + query.snapshot) +
                                        "; measure it with penstock sources refresh " + query.name};
    // A class may have become stricter since it was measured.
    redact(found.front().columns, TRY(column_classes(tx, call.project, source)));
    return std::move(found.front());
  });
}

Result<bool> Quality::run_due() {
  const Call call{.actor = "service:catalog"};
  const Timestamp now = clock_.now();
  const auto due = TRY(db_.read(call, [&](sql::Tx& tx) { return store::due(tx, now); }));
  if (due.empty()) return false;
  Call owner = call;
  owner.project = due.front().project;
  // Claimed before it is looked at, so that of several servers one does.
  const bool mine =
      TRY(db_.write(owner, [&](sql::Tx& tx) { return store::claim(tx, due.front(), now); }));
  if (!mine) return true;
  if (const auto done = refresh(owner, {due.front().source}); !done)
    log::warn("source_not_measured",
              {{"source", due.front().source}, {"error", done.error().message}});
  return true;
}

}  // namespace penstock::catalog
