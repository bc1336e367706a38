// What releases a version had, for those who only ask.
#pragma once

#include "ports/sql.h"
#include "release/release.h"

namespace penstock::release {

// Every release to or from this version, newest first.
Result<std::vector<Release>> releases_of(sql::Tx& tx, const std::string& project,
                                         const std::string& model, std::int64_t version);

}  // namespace penstock::release
