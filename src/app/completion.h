// Completion scripts for shells, made from the commands as they are.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace penstock::app {

// What the shell reads: `source <(penstock completion bash)`. `shell` is bash, zsh or fish.
std::string completion_script(const CLI::App& app, const std::string& shell);

// Adds `completion`, which prints it.
void add_completion_command(CLI::App& app);

}  // namespace penstock::app
