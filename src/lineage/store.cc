#include "lineage/store.h"

#include <algorithm>

namespace penstock::lineage::store {
namespace {

constexpr std::size_t subjects_at_once = 200;

// "$2, $3, $4", and the values behind `row`.
std::string marks_for(const std::vector<std::string>& values, std::size_t from, std::size_t count,
                      sql::Row& row) {
  std::string marks;
  for (std::size_t i = from; i < std::min(from + count, values.size()); ++i) {
    row.push_back(values[i]);
    marks += (marks.empty() ? "$" : ", $") + std::to_string(row.size());
  }
  return marks;
}

StoredName name_from(const sql::Row& row) {
  StoredName name;
  sql::from_sql(row.at(0), name.project);
  sql::from_sql(row.at(1), name.kind);
  sql::from_sql(row.at(2), name.namespace_);
  sql::from_sql(row.at(3), name.name);
  sql::from_sql(row.at(4), name.urn);
  sql::from_sql(row.at(5), name.seen_at);
  return name;
}

constexpr const char* name_columns = "project, kind, namespace, name, urn, seen_at";

std::string times_of(const EventQuery& query, sql::Row& row) {
  std::string text;
  if (query.after) {
    row.push_back(sql::to_sql(*query.after));
    text += " AND at >= $" + std::to_string(row.size());
  }
  if (query.before) {
    row.push_back(sql::to_sql(*query.before));
    text += " AND at < $" + std::to_string(row.size());
  }
  return text;
}

}  // namespace

Result<std::optional<std::string>> urn_of(sql::Tx& tx, const std::string& project,
                                          const std::string& kind, const Name& name) {
  const auto rows =
      TRY(tx.run("SELECT urn FROM openlineage_names WHERE project = $1 AND kind = $2 "
                 "AND namespace = $3 AND name = $4",
                 {project, kind, name.space, name.name}));
  if (rows.empty()) return std::optional<std::string>();
  return std::optional(std::get<std::string>(rows.front().at(0)));
}

Result<void> put_name(sql::Tx& tx, const std::string& project, const std::string& kind,
                      const Name& name, const std::string& urn, Timestamp at) {
  TRY(
      tx.run("INSERT INTO openlineage_names (project, kind, namespace, name, urn, seen_at) VALUES "
             "($1, $2, $3, $4, $5, $6) ON CONFLICT (project, kind, namespace, name) DO UPDATE SET "
             "urn = excluded.urn",
             {project, kind, name.space, name.name, urn, sql::to_sql(at)}));
  return {};
}

Result<std::vector<StoredName>> names_of(sql::Tx& tx, const std::string& project,
                                         const std::vector<std::string>& urns) {
  std::vector<StoredName> out;
  for (std::size_t at = 0; at < urns.size(); at += subjects_at_once) {
    sql::Row row{project};
    const std::string marks = marks_for(urns, at, subjects_at_once, row);
    for (const sql::Row& found :
         TRY(tx.run(std::string("SELECT ") + name_columns +
                        " FROM openlineage_names WHERE project = $1 AND urn IN (" + marks +
                        ") ORDER BY seen_at, namespace, name",
                    row)))
      out.push_back(name_from(found));
  }
  return out;
}

Result<std::vector<StoredName>> names(sql::Tx& tx, const std::string& project,
                                      const std::string& kind, const std::string& space,
                                      std::int64_t limit, std::int64_t offset) {
  std::vector<StoredName> out;
  for (const sql::Row& found :
       TRY(tx.run(std::string("SELECT ") + name_columns +
                      " FROM openlineage_names WHERE project = $1 AND ($2 = '' OR kind = $2) AND "
                      "($3 = '' OR namespace = $3) ORDER BY namespace, name LIMIT $4 OFFSET $5",
                  {project, kind, space, limit, offset})))
    out.push_back(name_from(found));
  return out;
}

Result<std::vector<std::string>> namespaces(sql::Tx& tx, const std::string& project) {
  std::vector<std::string> out;
  for (const sql::Row& found :
       TRY(tx.run("SELECT DISTINCT namespace FROM openlineage_names WHERE project = $1 ORDER BY "
                  "namespace LIMIT 10000",
                  {project})))
    out.push_back(std::get<std::string>(found.at(0)));
  return out;
}

Result<std::optional<Facet>> facet(sql::Tx& tx, const std::string& project,
                                   const std::string& subject, const std::string& name) {
  static const std::string text =
      "SELECT " + columns<Facet>() +
      " FROM openlineage_facets WHERE project = $1 AND subject = $2 AND name = $3";
  auto found = TRY(sql::select<Facet>(tx, text, {project, subject, name}));
  if (found.empty()) return std::optional<Facet>();
  return std::optional(std::move(found.front()));
}

Result<void> put_facet(sql::Tx& tx, const Facet& facet) {
  return sql::insert(tx, "openlineage_facets", facet,
                     "ON CONFLICT (project, subject, name) DO UPDATE SET at = excluded.at, body = "
                     "excluded.body");
}

Result<std::vector<Facet>> facets(sql::Tx& tx, const std::string& project,
                                  const std::vector<std::string>& subjects,
                                  const std::vector<std::string>& names) {
  std::vector<Facet> out;
  for (std::size_t at = 0; at < subjects.size(); at += subjects_at_once) {
    sql::Row row{project};
    std::string text = "SELECT " + columns<Facet>() +
                       " FROM openlineage_facets WHERE project = $1 AND subject IN (" +
                       marks_for(subjects, at, subjects_at_once, row) + ")";
    if (!names.empty()) text += " AND name IN (" + marks_for(names, 0, names.size(), row) + ")";
    auto found = TRY(sql::select<Facet>(tx, text + " ORDER BY subject, name", row));
    out.insert(out.end(), std::make_move_iterator(found.begin()),
               std::make_move_iterator(found.end()));
  }
  return out;
}

Result<std::optional<Run>> run(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Run>() + " FROM openlineage_runs WHERE project = $1 AND id = $2";
  auto found = TRY(sql::select<Run>(tx, text, {project, id}));
  if (found.empty()) return std::optional<Run>();
  return std::optional(std::move(found.front()));
}

Result<void> put_run(sql::Tx& tx, const Run& run) {
  return sql::insert(tx, "openlineage_runs", run,
                     "ON CONFLICT (project, id) DO UPDATE SET job = excluded.job, state = "
                     "excluded.state, started_at = excluded.started_at, at = excluded.at, ended_at "
                     "= excluded.ended_at, parent = excluded.parent");
}

Result<void> put_run_dataset(sql::Tx& tx, const std::string& project, const std::string& run,
                             const std::string& direction, const std::string& dataset) {
  TRY(
      tx.run("INSERT INTO openlineage_run_datasets (project, run, direction, dataset) VALUES ($1, "
             "$2, $3, $4) ON CONFLICT (project, run, direction, dataset) DO NOTHING",
             {project, run, direction, dataset}));
  return {};
}

Result<std::vector<RunDataset>> run_datasets(sql::Tx& tx, const std::string& project,
                                             const std::string& run) {
  return sql::select<RunDataset>(tx,
                                 "SELECT run, direction, dataset FROM openlineage_run_datasets "
                                 "WHERE project = $1 AND run = $2 ORDER BY direction, dataset",
                                 {project, run});
}

Result<std::optional<Run>> writer_of(sql::Tx& tx, const std::string& project,
                                     const std::string& dataset, Timestamp until) {
  auto found = TRY(sql::select<Run>(
      tx,
      "SELECT r.project, r.id, r.job, r.state, r.started_at, r.at, r.ended_at, r.parent FROM "
      "openlineage_run_datasets AS d JOIN openlineage_runs AS r ON r.project = d.project AND r.id "
      "= d.run WHERE d.project = $1 AND d.dataset = $2 AND d.direction = 'output' AND r.started_at "
      "<= $3 ORDER BY r.started_at DESC, r.id LIMIT 1",
      {project, dataset, sql::to_sql(until)}));
  if (found.empty()) return std::optional<Run>();
  return std::optional(std::move(found.front()));
}

Result<std::optional<Timestamp>> newest_complete(sql::Tx& tx, const std::string& project,
                                                 const std::string& job,
                                                 const std::string& direction) {
  const auto rows = TRY(
      tx.run("SELECT r.started_at FROM openlineage_runs AS r WHERE r.project = $1 AND r.job = $2 "
             "AND r.state = 'COMPLETE' AND EXISTS (SELECT 1 FROM openlineage_run_datasets AS d "
             "WHERE d.project = r.project AND d.run = r.id AND d.direction = $3) ORDER BY "
             "r.started_at DESC LIMIT 1",
             {project, job, direction}));
  if (rows.empty()) return std::optional<Timestamp>();
  Timestamp at;
  sql::from_sql(rows.front().at(0), at);
  return std::optional(at);
}

Result<std::vector<Used>> used(sql::Tx& tx, const std::string& project, const std::string& job,
                               const std::string& direction, std::optional<Timestamp> from) {
  return sql::select<Used>(
      tx,
      "SELECT d.dataset, min(r.started_at) FROM openlineage_runs AS r JOIN "
      "openlineage_run_datasets AS d ON d.project = r.project AND d.run = r.id WHERE r.project = "
      "$1 AND r.job = $2 AND d.direction = $3 AND r.started_at >= $4 GROUP BY d.dataset ORDER BY "
      "d.dataset",
      {project, job, direction, sql::to_sql(from.value_or(Timestamp::min()))});
}

Result<std::vector<Used>> declared(sql::Tx& tx, const std::string& project, const std::string& job,
                                   const std::string& direction) {
  return sql::select<Used>(tx,
                           "SELECT dataset, at FROM openlineage_job_datasets WHERE project = $1 "
                           "AND job = $2 AND direction = $3 ORDER BY dataset",
                           {project, job, direction});
}

Result<void> declare(sql::Tx& tx, const std::string& project, const std::string& job,
                     const std::string& direction, const std::vector<std::string>& datasets,
                     Timestamp at) {
  TRY(
      tx.run("DELETE FROM openlineage_job_datasets WHERE project = $1 AND job = $2 AND direction = "
             "$3",
             {project, job, direction}));
  for (const std::string& dataset : datasets)
    TRY(
        tx.run("INSERT INTO openlineage_job_datasets (project, job, direction, dataset, at) VALUES "
               "($1, $2, $3, $4, $5) ON CONFLICT (project, job, direction, dataset) DO NOTHING",
               {project, job, direction, dataset, sql::to_sql(at)}));
  return {};
}

Result<bool> put_event(sql::Tx& tx, const std::string& project, const Event& event, Timestamp now) {
  const auto rows = TRY(
      tx.run("INSERT INTO openlineage_events (project, digest, at, received_at, kind, run, body) "
             "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (project, digest) DO NOTHING "
             "RETURNING 1",
             {project, event.digest, sql::to_sql(event.at), sql::to_sql(now),
              std::string(name_of(event.kind)), event.run, event.body}));
  return !rows.empty();
}

Result<std::vector<std::string>> events(sql::Tx& tx, const std::string& project,
                                        const EventQuery& query) {
  sql::Row row{project};
  std::string text = "SELECT body FROM openlineage_events WHERE project = $1" +
                     times_of(query, row) +
                     (query.newest_first ? " ORDER BY at DESC, digest" : " ORDER BY at, digest");
  row.insert(row.end(), {query.limit, query.offset});
  text += " LIMIT $" + std::to_string(row.size() - 1) + " OFFSET $" + std::to_string(row.size());
  std::vector<std::string> out;
  for (const sql::Row& found : TRY(tx.run(text, row)))
    out.push_back(std::get<std::string>(found.at(0)));
  return out;
}

Result<std::int64_t> count_events(sql::Tx& tx, const std::string& project,
                                  const EventQuery& query) {
  sql::Row row{project};
  const std::string times = times_of(query, row);
  const auto rows =
      TRY(tx.run("SELECT count(*) FROM openlineage_events WHERE project = $1" + times, row));
  return std::get<std::int64_t>(rows.front().at(0));
}

Result<void> merge(sql::Tx& tx, const std::string& project, const std::string& old,
                   const std::string& kept) {
  TRY(tx.run("UPDATE openlineage_names SET urn = $3 WHERE project = $1 AND urn = $2",
             {project, old, kept}));
  TRY(
      tx.run("INSERT INTO openlineage_run_datasets (project, run, direction, dataset) SELECT "
             "project, run, direction, CAST($3 AS TEXT) FROM openlineage_run_datasets WHERE "
             "project = $1 AND dataset = $2 ON CONFLICT (project, run, direction, dataset) DO "
             "NOTHING",
             {project, old, kept}));
  TRY(tx.run("DELETE FROM openlineage_run_datasets WHERE project = $1 AND dataset = $2",
             {project, old}));
  TRY(
      tx.run("INSERT INTO openlineage_job_datasets (project, job, direction, dataset, at) SELECT "
             "project, job, direction, CAST($3 AS TEXT), at FROM openlineage_job_datasets WHERE "
             "project = $1 AND dataset = $2 ON CONFLICT (project, job, direction, dataset) DO "
             "NOTHING",
             {project, old, kept}));
  TRY(tx.run("DELETE FROM openlineage_job_datasets WHERE project = $1 AND dataset = $2",
             {project, old}));
  TRY(
      tx.run("INSERT INTO openlineage_facets (project, subject, name, at, body) SELECT project, "
             "CAST($3 AS TEXT), name, at, body FROM openlineage_facets WHERE project = $1 AND "
             "subject = $2 ON CONFLICT (project, subject, name) DO NOTHING",
             {project, old, kept}));
  TRY(tx.run("DELETE FROM openlineage_facets WHERE project = $1 AND subject = $2", {project, old}));
  return {};
}

}  // namespace penstock::lineage::store
