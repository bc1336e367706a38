// What the SQL of a policy may hold. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace penstock::policies {

// The views that `sql` reads, each once, of those in `known`. Refused, with the word that is at
// fault: everything but one SELECT over these views by the functions that SQLite and PostgreSQL
// agree on. Whatever engines could read in two ways (escape texts, nested comments, odd quotes) is
// refused too, so that nothing hides in it.
Result<std::vector<std::string>> views_read(std::string_view sql,
                                            const std::vector<std::string>& known);

// The same SQL without what may stand at its end and cannot be put in parentheses.
std::string without_end(std::string sql);

}  // namespace penstock::policies
