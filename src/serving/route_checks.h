// What a route's declaration must be right about before it is declared.
#pragma once

#include "base/call.h"
#include "ports/sql.h"
#include "serving/route.h"

namespace penstock::serving {

// Rules that can be read, a sticky unit that is known, fallbacks that are declared, take the same
// entities and lead nowhere back, shares from 0 to 1, an experiment of its own whose weights may
// move where it wants them to. invalid_argument names the field.
Result<void> check_routing(sql::Tx& tx, const Call& call, Timestamp now,
                           const RouteDeclaration& route);

}  // namespace penstock::serving
