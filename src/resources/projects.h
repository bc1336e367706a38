// Which projects declare things of a kind.
#pragma once

#include "ports/sql.h"

namespace penstock::resources {

Result<std::vector<std::string>> projects_with(sql::Tx& tx, std::string_view kind);

}  // namespace penstock::resources
