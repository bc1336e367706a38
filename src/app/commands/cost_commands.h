// Parts of `penstock cost`, a file each.
#pragma once

#include <string>

#include "app/command.h"

namespace penstock::app {

void add_cost_price_commands(CLI::App& cost, Globals& globals);   // import-prices, reprice
void add_cost_change_commands(CLI::App& cost, Globals& globals);  // reverse, share, reconcile, ...

Result<std::string> read_file(const std::string& path);

}  // namespace penstock::app
