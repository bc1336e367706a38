#include "classification/store.h"

namespace penstock::classification::store {

Result<std::vector<Suggestion>> suggestions(sql::Tx& tx, const std::string& project,
                                            const SuggestionQuery& query) {
  static const std::string text =
      "SELECT " + columns<Suggestion>() +
      " FROM classification_suggestions WHERE project = $1 AND ($2 = '' OR source = $2) AND ($3 = "
      "'' OR status = $3) AND ($4 = '' OR tag = $4) AND ($5 = 0 OR changed <> '') ORDER BY source, "
      "column_name, confidence DESC, tag LIMIT $6";
  return sql::select<Suggestion>(tx, text,
                                 {project, query.source, query.status, query.tag,
                                  std::int64_t{query.changed ? 1 : 0}, query.limit});
}

Result<std::vector<Suggestion>> suggestion(sql::Tx& tx, const std::string& project,
                                           const std::string& source, const std::string& column,
                                           const std::string& tag) {
  static const std::string text = "SELECT " + columns<Suggestion>() +
                                  " FROM classification_suggestions WHERE project = $1 AND source "
                                  "= $2 AND column_name = $3 AND tag = $4";
  return sql::select<Suggestion>(tx, text, {project, source, column, tag});
}

Result<void> put(sql::Tx& tx, const Suggestion& suggestion) {
  TRY(remove(tx, suggestion));
  return sql::insert(tx, "classification_suggestions", suggestion);
}

Result<void> remove(sql::Tx& tx, const Suggestion& suggestion) {
  TRY(
      tx.run("DELETE FROM classification_suggestions WHERE project = $1 AND source = $2 AND "
             "column_name = $3 AND tag = $4",
             {suggestion.project, suggestion.source, suggestion.column_name, suggestion.tag}));
  return {};
}

Result<void> put(sql::Tx& tx, const ClassificationRun& run) {
  TRY(tx.run("DELETE FROM classification_runs WHERE project = $1 AND source = $2",
             {run.project, run.source}));
  return sql::insert(tx, "classification_runs", run);
}

Result<std::vector<ClassificationRun>> runs(sql::Tx& tx, std::int64_t limit) {
  static const std::string text = "SELECT " + columns<ClassificationRun>() +
                                  " FROM classification_runs ORDER BY judged_at, project, source "
                                  "LIMIT $1";
  return sql::select<ClassificationRun>(tx, text, {limit});
}

}  // namespace penstock::classification::store
