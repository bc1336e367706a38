// The statements of suggestions and runs.
#pragma once

#include "classification/suggestion.h"
#include "ports/sql.h"

namespace penstock::classification::store {

Result<std::vector<Suggestion>> suggestions(sql::Tx& tx, const std::string& project,
                                            const SuggestionQuery& query);
Result<std::vector<Suggestion>> suggestion(sql::Tx& tx, const std::string& project,
                                           const std::string& source, const std::string& column,
                                           const std::string& tag);
// In the place of the one of its column and tag.
Result<void> put(sql::Tx& tx, const Suggestion& suggestion);
Result<void> remove(sql::Tx& tx, const Suggestion& suggestion);

Result<void> put(sql::Tx& tx, const ClassificationRun& run);
// Of all projects, the longest ago first.
Result<std::vector<ClassificationRun>> runs(sql::Tx& tx, std::int64_t limit);

}  // namespace penstock::classification::store
