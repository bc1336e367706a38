#pragma once

#include "app/command.h"

namespace penstock::app {

// features: erase. Called where `features` is made.
void add_features_erase_command(CLI::App& features, Globals& globals);

}  // namespace penstock::app
