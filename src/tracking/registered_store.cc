#include "tracking/registered_store.h"

#include <map>

namespace penstock::tracking::store {
namespace {

constexpr std::size_t at_once = 200;

// $1 is the project; the rest are what `name_of` says of each item.
template <class T, class NameOf>
std::pair<std::string, sql::Row> names_in(const std::string& project, const std::vector<T>& items,
                                          std::size_t from, std::size_t until,
                                          const NameOf& name_of) {
  std::pair<std::string, sql::Row> out{"", {project}};
  for (std::size_t i = from; i < until; ++i) {
    const sql::Row values = name_of(items[i]);
    std::string tuple;
    for (const Scalar& value : values) {
      out.second.push_back(value);
      tuple += (tuple.empty() ? "$" : ", $") + std::to_string(out.second.size());
    }
    out.first += (i == from ? "" : ", ") + (values.size() > 1 ? "(" + tuple + ")" : tuple);
  }
  return out;
}

using VersionKey = std::pair<std::string, std::int64_t>;

Result<void> add_details(sql::Tx& tx, const Call& call, std::vector<VersionView>& out,
                         std::size_t from, std::size_t until) {
  std::map<VersionKey, VersionView*> by_key;
  for (std::size_t i = from; i < until; ++i)
    by_key[{out[i].note.model, out[i].note.version}] = &out[i];
  const auto [keys, parameters] =
      names_in(call.project, out, from, until, [](const VersionView& one) {
        return sql::Row{one.note.model, one.note.version};
      });
  // The keys drive: each is one look into the table's own index.
  const std::string with =
      "WITH k (model, version) AS (VALUES " + keys + ") SELECT t.model, t.version, t.";
  const std::string where =
      " t ON t.project = $1 AND t.model = k.model AND t.version = k.version ORDER BY 1, 2, 3";
  const auto read = [&](const std::string& column, const std::string& table,
                        const auto& add) -> Result<void> {
    const std::string text = with + column + " FROM k JOIN " + table + where;
    for (const sql::Row& row : TRY(tx.run(text, parameters)))
      add(*by_key.at({std::get<std::string>(row[0]), std::get<std::int64_t>(row[1])}), row);
    return {};
  };
  TRY(read("key, t.value", "version_tags", [](VersionView& one, const sql::Row& row) {
    one.tags.push_back({std::get<std::string>(row[2]), std::get<std::string>(row[3])});
  }));
  TRY(read("alias", "model_aliases", [](VersionView& one, const sql::Row& row) {
    one.aliases.push_back(std::get<std::string>(row[2]));
  }));
  return read("stage", "version_stages",
              [](VersionView& one, const sql::Row& row) { sql::from_sql(row[2], one.stage); });
}

// The newest version of each stage of each of these models. What has no row in version_stages is
// stage None, and is most of them.
Result<std::vector<VersionNote>> newest(sql::Tx& tx, const std::string& models,
                                        const sql::Row& parameters) {
  static const std::string text =
      "SELECT " + columns_in<VersionNote>("n") +
      " FROM (SELECT m.model AS model, (SELECT v.version FROM version_notes v WHERE v.project = $1 "
      "AND v.model = m.model AND NOT v.hidden AND NOT EXISTS (SELECT 1 FROM version_stages s WHERE "
      "s.project = $1 AND s.model = m.model AND s.version = v.version AND s.stage <> 'None') ORDER "
      "BY v.version DESC LIMIT 1) AS version FROM registered_models m WHERE m.project = $1 AND "
      "m.model IN (";
  static const std::string rest =
      ") UNION ALL SELECT s.model, max(s.version) FROM version_stages s JOIN version_notes v ON "
      "v.project = $1 AND v.model = s.model AND v.version = s.version AND NOT v.hidden WHERE "
      "s.project = $1 AND s.stage <> 'None' AND s.model IN (";
  static const std::string end =
      ") GROUP BY s.model, s.stage) newest CROSS JOIN version_notes n WHERE n.project = $1 AND "
      "n.model = newest.model AND n.version = newest.version ORDER BY n.model, n.version";
  return sql::select<VersionNote>(tx, text + models + rest + models + end, parameters);
}

Result<void> add_details(sql::Tx& tx, const Call& call, std::vector<RegisteredModelView>& out,
                         std::size_t from, std::size_t until) {
  std::map<std::string, RegisteredModelView*> by_model;
  for (std::size_t i = from; i < until; ++i) by_model[out[i].model.model] = &out[i];
  const auto [models, parameters] =
      names_in(call.project, out, from, until,
               [](const RegisteredModelView& one) { return sql::Row{one.model.model}; });
  const std::string where = " WHERE project = $1 AND model IN (" + models + ") ORDER BY model, 2";
  for (const sql::Row& row :
       TRY(tx.run("SELECT model, key, value FROM registered_model_tags" + where, parameters)))
    by_model.at(std::get<std::string>(row[0]))
        ->tags.push_back({std::get<std::string>(row[1]), std::get<std::string>(row[2])});
  for (const sql::Row& row :
       TRY(tx.run("SELECT model, alias, version FROM model_aliases" + where, parameters)))
    by_model.at(std::get<std::string>(row[0]))
        ->aliases.push_back({std::get<std::string>(row[1]), std::get<std::int64_t>(row[2])});
  for (VersionView& one : TRY(views(tx, call, TRY(newest(tx, models, parameters)))))
    by_model.at(one.note.model)->latest.push_back(std::move(one));
  return {};
}

}  // namespace

Result<RegisteredModel> registered_model(sql::Tx& tx, const Call& call, const std::string& name) {
  static const std::string text = "SELECT " + columns<RegisteredModel>() +
                                  " FROM registered_models WHERE project = $1 AND name = $2";
  auto found = TRY(sql::select<RegisteredModel>(tx, text, {call.project, name}));
  if (found.empty())
    return Error{Code::not_found, "Registered Model with name=" + name + " not found"};
  return std::move(found.front());
}

Result<bool> is_prompt(sql::Tx& tx, const std::string& project, const std::string& model) {
  return !TRY(tx.run("SELECT 1 FROM registered_model_tags WHERE project = $1 AND model = $2 AND "
                     "key = 'mlflow.prompt.is_prompt' AND value IN ('true', 'True')",
                     {project, model}))
              .empty();
}

Result<VersionNote> note(sql::Tx& tx, const Call& call, const RegisteredModel& model,
                         std::int64_t version) {
  static const std::string text =
      "SELECT " + columns<VersionNote>() +
      " FROM version_notes WHERE project = $1 AND model = $2 AND version = $3 AND NOT hidden";
  auto found = TRY(sql::select<VersionNote>(tx, text, {call.project, model.model, version}));
  if (found.empty())
    return Error{Code::not_found, "Model Version (name=" + model.name +
                                      ", version=" + std::to_string(version) + ") not found"};
  return std::move(found.front());
}

Result<std::vector<VersionView>> views(sql::Tx& tx, const Call& call,
                                       std::vector<VersionNote> notes) {
  std::vector<VersionView> out;
  out.reserve(notes.size());
  for (VersionNote& one : notes) out.push_back({.note = std::move(one)});
  for (std::size_t from = 0; from < out.size(); from += at_once)
    TRY(add_details(tx, call, out, from, std::min(from + at_once, out.size())));
  return out;
}

Result<VersionView> view(sql::Tx& tx, const Call& call, VersionNote note) {
  std::vector<VersionNote> one;
  one.push_back(std::move(note));
  return std::move(TRY(views(tx, call, std::move(one))).front());
}

Result<std::vector<RegisteredModelView>> views(sql::Tx& tx, const Call& call,
                                               std::vector<RegisteredModel> models) {
  std::vector<RegisteredModelView> out;
  out.reserve(models.size());
  for (RegisteredModel& one : models) out.push_back({.model = std::move(one)});
  for (std::size_t from = 0; from < out.size(); from += at_once)
    TRY(add_details(tx, call, out, from, std::min(from + at_once, out.size())));
  return out;
}

Result<RegisteredModelView> view(sql::Tx& tx, const Call& call, RegisteredModel model) {
  std::vector<RegisteredModel> one;
  one.push_back(std::move(model));
  return std::move(TRY(views(tx, call, std::move(one))).front());
}

Result<void> put_alias(sql::Tx& tx, const std::string& project, const std::string& model,
                       const Alias& alias) {
  TRY(tx.run(
      "INSERT INTO model_aliases (project, model, alias, version) VALUES ($1, $2, $3, $4) ON "
      "CONFLICT (project, model, alias) DO UPDATE SET version = excluded.version",
      {project, model, alias.alias, alias.version}));
  return {};
}

Result<std::optional<std::int64_t>> remove_alias(sql::Tx& tx, const std::string& project,
                                                 const std::string& model,
                                                 const std::string& alias) {
  const auto gone = TRY(
      tx.run("DELETE FROM model_aliases WHERE project = $1 AND model = $2 AND alias = $3 RETURNING "
             "version",
             {project, model, alias}));
  if (gone.empty()) return std::optional<std::int64_t>();
  return std::optional(std::get<std::int64_t>(gone.front().at(0)));
}

Result<void> put_stage(sql::Tx& tx, const std::string& project, const std::string& model,
                       std::int64_t version, Stage stage, std::int64_t at) {
  TRY(
      tx.run("INSERT INTO version_stages (project, model, version, stage, at) VALUES ($1, $2, $3, "
             "$4, $5) ON CONFLICT (project, model, version) DO UPDATE SET stage = excluded.stage, "
             "at = excluded.at",
             {project, model, version, sql::to_sql(stage), at}));
  return {};
}

Result<void> archive_others(sql::Tx& tx, const std::string& project, const std::string& model,
                            std::int64_t version, Stage stage, std::int64_t at) {
  TRY(
      tx.run("UPDATE version_stages SET stage = 'Archived', at = $5 WHERE project = $1 AND model = "
             "$2 AND stage = $4 AND version <> $3",
             {project, model, version, sql::to_sql(stage), at}));
  return {};
}

}  // namespace penstock::tracking::store
