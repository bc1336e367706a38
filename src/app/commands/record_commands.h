#pragma once

#include "app/command.h"

namespace penstock::app {

// models: show, card, bom, diff. Called where `models` is made.
void add_record_commands(CLI::App& models, Globals& globals);
// models: sign, signature, verify.
void add_signing_commands(CLI::App& models, Globals& globals);

// models: prepare.
void add_prepare_command(CLI::App& models, Globals& globals);

}  // namespace penstock::app
