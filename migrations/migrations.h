#pragma once

#include "ports/sql.h"

namespace penstock {

// Every numbered script of this folder, in order.
const std::vector<sql::Migration>& migrations();

}  // namespace penstock
