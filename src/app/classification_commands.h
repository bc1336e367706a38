// classification, and what of `sources` is about classes: after add_catalog_commands().
#pragma once

#include "app/command.h"

namespace penstock::app {

void add_classification_commands(CLI::App& parent, Globals& globals);

}  // namespace penstock::app
