#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <sodium.h>

#include "adapters/s3/s3.h"
#include "api/http/system_routes.h"
#include "app/classification_commands.h"
#include "app/command.h"
#include "app/completion.h"

namespace {

using penstock::app::Globals;

void add_commands(CLI::App& app, Globals& globals) {
  using namespace penstock::app;  // NOLINT(google-build-using-namespace): one list of them all
  add_serve_command(app, globals);
  add_demo_command(app, globals);
  add_resource_commands(app, globals);
  add_source_commands(app, globals);
  add_catalog_commands(app, globals);
  add_classification_commands(app, globals);
  add_lineage_commands(app, globals);
  add_features_commands(app, globals);
  add_training_commands(app, globals);
  add_artifact_commands(app, globals);
  add_registry_commands(app, globals);
  add_serving_commands(app, globals);
  add_routing_commands(app, globals);
  add_release_commands(app, globals);
  add_approval_commands(app, globals);
  add_policy_commands(app, globals);
  add_freeze_commands(app, globals);
  add_monitor_commands(app, globals);
  add_incident_commands(app, globals);
  add_cost_commands(app, globals);
  add_traffic_commands(app, globals);
  add_audit_commands(app, globals);
  add_evidence_commands(app, globals);
  add_access_commands(app, globals);
  add_completion_command(app);
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
  penstock::s3::end();
  return static_cast<int>(globals.exit);
}
