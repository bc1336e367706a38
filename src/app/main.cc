#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <sodium.h>

#include "api/http/system_routes.h"
#include "app/command.h"

namespace {

using penstock::app::Globals;

// Words of each command, for `source <(penstock completion bash)`.
void print_completion(const CLI::App& app) {
  std::string words, cases;
  for (const CLI::App* command : app.get_subcommands({})) {
    words += (words.empty() ? "" : " ") + command->get_name();
    std::string inner;
    for (const CLI::App* sub : command->get_subcommands({})) inner += " " + sub->get_name();
    for (const CLI::Option* option : command->get_options())
      if (!option->get_lnames().empty()) inner += " --" + option->get_lnames().front();
    if (!inner.empty())
      cases += "    " + command->get_name() + ") words=\"" + inner.substr(1) + "\" ;;\n";
  }
  std::cout << "_penstock() {\n  local words=\"" << words
            << "\"\n  [ \"$COMP_CWORD\" -gt 1 ] && words=\"\"\n  case \"${COMP_WORDS[1]}\" in\n"
            << cases << "  esac\n  [ \"$COMP_CWORD\" -eq 1 ] && words=\"" << words
            << "\"\n  COMPREPLY=($(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n}\n"
               "complete -F _penstock penstock\n";
}

void add_commands(CLI::App& app, Globals& globals) {
  using namespace penstock::app;  // NOLINT(google-build-using-namespace): one list of them all
  add_serve_command(app, globals);
  add_demo_command(app, globals);
  add_resource_commands(app, globals);
  add_catalog_commands(app, globals);
  add_features_commands(app, globals);
  add_training_commands(app, globals);
  add_registry_commands(app, globals);
  add_serving_commands(app, globals);
  add_release_commands(app, globals);
  add_monitor_commands(app, globals);
  add_incident_commands(app, globals);
  add_cost_commands(app, globals);
  add_audit_commands(app, globals);
  add_access_commands(app, globals);
  CLI::App* completion = app.add_subcommand("completion", "Print a completion script for bash");
  completion->callback([&app] { print_completion(app); });
}

}  // namespace

int main(int argc, char** argv) {
  if (sodium_init() < 0) return EXIT_FAILURE;
  CLI::App app("Penstock: the system around the model", "penstock");
  app.set_version_flag("--version", std::string(penstock::api::version));
  app.require_subcommand(1);
  app.fallthrough();  // --server and the like may stand behind the subcommand
  Globals globals;
  app.add_option("--server", globals.server, "where the server is")
      ->envname("PENSTOCK_URL")
      ->capture_default_str();
  app.add_option("--token", globals.token, "who you are")->envname("PENSTOCK_TOKEN");
  app.add_flag("--json", globals.json, "print JSON");
  add_commands(app, globals);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& fault) {
    // Help and version are successes; all else is a wrong command line.
    return app.exit(fault) == 0 ? EXIT_SUCCESS : static_cast<int>(penstock::app::Exit::usage);
  }
  return static_cast<int>(globals.exit);
}
