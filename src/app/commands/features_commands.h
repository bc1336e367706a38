// Parts of the features command that stand in files of their own.
#pragma once

#include "app/command.h"

namespace penstock::app {

// profile, from-predictions.
void add_features_operate_commands(CLI::App& features, Globals& globals);

// Long work: joins over years of rows.
std::optional<json::value> ask_long(Globals& globals, const std::string& target,
                                    const json::value& body);

}  // namespace penstock::app
