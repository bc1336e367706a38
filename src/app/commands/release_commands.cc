// releases: start, list, show, looks, approve, rollback, cancel, replay.
#include <cmath>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/declarations.h"
#include "registry/version.h"

namespace penstock::app {
namespace {

std::string path_of(const std::string& id, const std::string& rest = "") {
  return "/api/v1/releases/" + net::percent_encoded(id) + rest;
}

void print_release(const json::value& detail) {
  const json::value& release = detail.at("release");
  std::cout << "release:" << text_of(release, "id") << "  " << text_of(release, "route")
            << " from v" << text_of(release, "from_version") << " to v"
            << text_of(release, "version") << "  " << text_of(release, "state");
  if (text_of(release, "state") == "canary") std::cout << " stage " << text_of(release, "stage");
  std::cout << "\n  " << text_of(release, "reason") << "; by " << text_of(release, "author")
            << "\n";
  for (const json::value& approval : detail.at("approvals").as_array())
    std::cout << "  approved by " << text_of(approval, "approver") << " at "
              << text_of(approval, "at") << "\n";
  std::vector<std::vector<std::string>> rows;
  const auto e_of = [](const json::value& look, const char* field) {
    char text[40];
    std::snprintf(text, sizeof text, "%.3g", std::exp(look.at(field).to_number<double>()));
    return std::string(text);
  };
  for (const json::value& look : detail.at("last_looks").as_array())
    rows.push_back({text_of(look, "guard"), text_of(look, "number"), e_of(look, "harm_log_e"),
                    e_of(look, "harm_threshold"), e_of(look, "safe_log_e"),
                    e_of(look, "safe_threshold"), text_of(look, "verdict")});
  if (!rows.empty())
    print_table({"GUARD", "LOOKS", "E HARM", "AT", "E SAFE", "AT", "VERDICT"}, rows);
  for (const json::value& reach : detail.at("reach").as_array())
    std::cout << "  " << text_of(reach, "guard") << ": an hour of this traffic shows a ratio of "
              << text_of(reach, "ratio") << " after about " << text_of(reach, "bad_events")
              << " bad events\n";
}

struct Start {
  std::string route, version, plan;
};

void start(Globals& globals, const Start& start) {
  const auto name = registry::version_name(start.version);
  if (!name) return globals.fail(name.error());
  json::object body{{"route", start.route}, {"model", name->model}, {"version", name->version}};
  if (!start.plan.empty()) {
    const auto documents = read_declarations({start.plan});
    if (!documents) return globals.fail(documents.error());
    body["plan"] = documents->at(0).at("declaration");
  }
  const auto answer = globals.ask("POST", "/api/v1/releases", body);
  if (answer)
    globals.show(*answer, [&] {
      std::cout << "release:" << text_of(*answer, "id")
                << " waits for approval; penstock releases approve " << text_of(*answer, "id")
                << "\n";
    });
}

void add_act(CLI::App& releases, Globals& globals, const std::string& verb,
             const std::string& description) {
  CLI::App* command = releases.add_subcommand(verb, description);
  auto id = std::make_shared<std::string>(), reason = std::make_shared<std::string>();
  command->add_option("id", *id)->required();
  command->add_option("--reason", *reason, "why");
  command->callback([&globals, id, reason, verb] {
    const auto answer =
        globals.ask("POST", path_of(*id, ":" + verb), json::object{{"reason", *reason}});
    if (answer)
      globals.show(*answer, [&] {
        std::cout << "release:" << *id << " is " << text_of(*answer, "state") << "\n";
      });
  });
}

void add_readers(CLI::App& releases, Globals& globals) {
  auto id = std::make_shared<std::string>();
  CLI::App* show = releases.add_subcommand("show", "Show a release and its guards");
  show->add_option("id", *id)->required();
  show->callback([&globals, id] {
    const auto detail = globals.ask("GET", path_of(*id));
    if (detail) globals.show(*detail, [&] { print_release(*detail); });
  });
  CLI::App* looks = releases.add_subcommand("looks", "Show every look of every guard");
  looks->add_option("id", *id)->required();
  looks->callback([&globals, id] {
    const auto answer = globals.ask("GET", path_of(*id, "/looks"));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& look : answer->at("looks").as_array())
        rows.push_back({text_of(look, "guard"), text_of(look, "number"), text_of(look, "rho"),
                        text_of(look, "canary_bad") + "/" + text_of(look, "canary_calls"),
                        text_of(look, "baseline_bad") + "/" + text_of(look, "baseline_calls"),
                        text_of(look, "harm_log_e"), text_of(look, "safe_log_e"),
                        text_of(look, "verdict")});
      print_table(
          {"GUARD", "LOOK", "RHO", "CANARY", "BASELINE", "LN E HARM", "LN E SAFE", "VERDICT"},
          rows);
    });
  });
  CLI::App* replay = releases.add_subcommand("replay", "Compute every verdict again and compare");
  replay->add_option("id", *id)->required();
  replay->callback([&globals, id] {
    const auto answer = globals.ask("POST", path_of(*id, ":replay"), json::object{});
    if (!answer) return;
    const bool same = answer->at("same").as_bool();
    globals.show(*answer, [&] {
      std::cout << text_of(*answer, "looks") << " looks, "
                << (same ? "the same verdicts" : "DIFFERENT: " + text_of(*answer, "fault")) << "\n";
    });
    if (!same) globals.exit = Exit::failed;
  });
}

}  // namespace

void add_release_commands(CLI::App& parent, Globals& globals) {
  CLI::App* releases = parent.add_subcommand("releases", "Moving a route to another version");
  releases->require_subcommand(1);
  CLI::App* begin = releases->add_subcommand("start", "Ask for a release");
  auto input = std::make_shared<Start>();
  begin->add_option("route", input->route)->required();
  begin->add_option("version", input->version, "MODEL@v4")->required();
  begin->add_option("--plan", input->plan, "YAML file: shadow, canary, guards, ...");
  begin->callback([&globals, input] { start(globals, *input); });
  CLI::App* list = releases->add_subcommand("list", "List releases, newest first");
  list->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/releases");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& release : answer->at("releases").as_array())
        rows.push_back({text_of(release, "id"), text_of(release, "route"),
                        text_of(release, "model") + "@v" + text_of(release, "version"),
                        text_of(release, "state"), text_of(release, "reason")});
      print_table({"ID", "ROUTE", "VERSION", "STATE", "WHY"}, rows);
    });
  });
  add_readers(*releases, globals);
  add_act(*releases, globals, "approve", "Approve a release; the author cannot");
  add_act(*releases, globals, "rollback", "Go back to the version before, at once");
  add_act(*releases, globals, "cancel", "Withdraw a release that has no traffic");
}

}  // namespace penstock::app
