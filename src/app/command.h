// What every subcommand shares: where the server is, how to ask it, and how to say what it
// answered.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/described.h"
#include "net/client.h"

namespace CLI {
class App;
}

namespace penstock::app {

// Exit codes that scripts can use.
enum class Exit : int {
  ok = 0,
  failed = 1,       // the server said no, or a check did not hold
  usage = 2,        // the command line or a file is wrong
  unreachable = 3,  // no server
};

// The options that stand before or after any subcommand.
struct Globals {
  std::string server = "http://127.0.0.1:8080";  // --server, PENSTOCK_URL
  std::string token;                             // --token, PENSTOCK_TOKEN
  bool json = false;                             // --json
  Exit exit = Exit::ok;                          // what main returns

  // Asks the server; on an error prints it (with each violation on a line of its own) and sets
  // `exit`. Nothing then.
  std::optional<json::value> ask(std::string_view method, std::string_view target,
                                 const json::value& body = nullptr);
  net::Client client(Micros time_limit = std::chrono::seconds(60)) const;
  void fail(const Error& error);  // prints to standard error, sets `exit`
  // Prints `value` as JSON if --json, else calls `print_text`.
  void show(const json::value& value, const std::function<void()>& print_text) const;
};

// Rows under their headings, in columns; numbers to the right.
std::string table_text(const std::vector<std::string>& headings,
                       const std::vector<std::vector<std::string>>& rows);
void print_table(const std::vector<std::string>& headings,
                 const std::vector<std::vector<std::string>>& rows);
// A field of a JSON object as plain text: "" for null and absent.
std::string text_of(const json::value& object, std::string_view field);
// "KEY=VALUE", cut at the first "=".
Result<std::pair<std::string, std::string>> pair_of(const std::string& text);

// One function for each file of commands/: adds its subcommands to `parent`. The callbacks run at
// parse end.
void add_resource_commands(CLI::App& parent, Globals& globals);  // plan, apply, get
void add_artifact_commands(CLI::App& parent, Globals& globals);
void add_registry_commands(CLI::App& parent, Globals& globals);  // models
void add_source_commands(CLI::App& parent, Globals& globals);    // sources, search
void add_catalog_commands(CLI::App& parent, Globals& globals);   // datasets
void add_lineage_commands(CLI::App& parent, Globals& globals);   // trace, impact
void add_features_commands(CLI::App& parent, Globals& globals);  // features
void add_nearest_command(CLI::App& features, Globals& globals);  // features nearest
void add_training_commands(CLI::App& parent, Globals& globals);  // pipelines, runs, reproduce
void add_serving_commands(CLI::App& parent, Globals& globals);   // routes, predict, batch, stream
void add_routing_commands(CLI::App& parent, Globals& globals);   // experiments, predictions
void add_shadows_command(CLI::App& routes, Globals& globals);    // routes shadows
void add_monitor_commands(CLI::App& parent, Globals& globals);   // monitors
void add_release_commands(CLI::App& parent, Globals& globals);   // releases
void add_approval_commands(CLI::App& parent, Globals& globals);  // approvals
void add_policy_commands(CLI::App& parent, Globals& globals);    // policies
void add_freeze_commands(CLI::App& parent, Globals& globals);    // freezes
void add_incident_commands(CLI::App& parent, Globals& globals);  // incidents
void add_cost_commands(CLI::App& parent, Globals& globals);      // cost
void add_traffic_commands(CLI::App& parent, Globals& globals);   // upstreams, budgets
void add_audit_commands(CLI::App& parent, Globals& globals);     // audit
void add_evidence_commands(CLI::App& parent, Globals& globals);  // evidence
void add_access_commands(CLI::App& parent, Globals& globals);    // tokens
void add_serve_command(CLI::App& parent, Globals& globals);      // serve
void add_demo_command(CLI::App& parent, Globals& globals);       // demo

}  // namespace penstock::app
