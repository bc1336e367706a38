#pragma once

#include "app/command.h"

namespace penstock::app {

// features get-historical.
void add_get_historical(CLI::App& features, Globals& globals);

}  // namespace penstock::app
