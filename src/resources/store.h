// The table of declarations. One function is one statement.
#pragma once

#include "ports/sql.h"
#include "resources/resource.h"

namespace penstock::resources::store {

// The newest version where `version` is 0.
Result<std::vector<Resource>> find(sql::Tx& tx, const std::string& project, std::string_view kind,
                                   std::string_view name, std::int64_t version);
// The newest of each name, by kind and name; every kind where `kind` is empty.
Result<std::vector<Resource>> newest(sql::Tx& tx, const std::string& project,
                                     std::string_view kind);
Result<std::vector<Resource>> newest_of(
    sql::Tx& tx, const std::string& project,
    const std::vector<std::pair<std::string, std::string>>& names);

Result<std::string> fingerprint(sql::Tx& tx, const std::string& project, std::string_view kind);
Result<std::vector<std::string>> projects_with(sql::Tx& tx, std::string_view kind);

}  // namespace penstock::resources::store
