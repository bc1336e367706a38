#pragma once

#include <memory>
#include <string>

#include "ports/sql.h"

namespace penstock::sqlite {

// Opens or makes the database file; ":memory:" for a private one. unavailable with the path and the
// reason where it cannot.
Result<std::unique_ptr<sql::Database>> open(const std::string& path);

}  // namespace penstock::sqlite
