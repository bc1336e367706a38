// Whether what was read of a kind is still in force, inside a transaction of another component.
#pragma once

#include "ports/sql.h"

namespace penstock::resources {

// Another text whenever a declaration of this kind changed: names, versions and digests.
Result<std::string> fingerprint(sql::Tx& tx, const std::string& project, std::string_view kind);

}  // namespace penstock::resources
