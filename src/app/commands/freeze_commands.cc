// freezes: list, override.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

std::string joined(const json::value& list) {
  std::string out;
  for (const json::value& one : list.as_array())
    out += (out.empty() ? "" : ", ") + std::string(one.as_string());
  return out.empty() ? "all" : out;
}

std::string when(const json::value& view) {
  if (!text_of(view, "fault").empty()) return "IN FORCE: " + text_of(view, "fault");
  if (text_of(view, "since").empty()) return "over";
  if (view.at("in_force").as_bool()) return "IN FORCE until " + text_of(view, "until");
  return "from " + text_of(view, "since") + " until " + text_of(view, "until");
}

void list(Globals& globals) {
  const auto answer = globals.ask("GET", "/api/v1/freezes");
  if (!answer) return;
  globals.show(*answer, [&] {
    std::vector<std::vector<std::string>> rows;
    for (const json::value& view : answer->at("freezes").as_array()) {
      const json::value& freeze = view.at("freeze");
      rows.push_back({text_of(freeze, "name"), when(view), joined(freeze.at("applies_to")),
                      joined(freeze.at("routes")), joined(freeze.at("models")),
                      text_of(freeze, "owner"), text_of(freeze, "reason")});
    }
    print_table({"NAME", "WHEN", "APPLIES TO", "ROUTES", "MODELS", "OWNER", "REASON"}, rows);
  });
}

void let_through(Globals& globals, const std::string& subject, const std::string& reason) {
  const auto answer = globals.ask("POST", "/api/v1/freezes:override",
                                  json::object{{"subject", subject}, {"reason", reason}});
  if (!answer) return;
  globals.show(*answer, [&] {
    for (const json::value& one : answer->at("overrides").as_array())
      std::cout << "freeze " << text_of(one, "freeze_name") << " does not hold " << subject
                << " until " << text_of(one, "until") << "\n";
    std::cout << "incident:" << text_of(*answer, "incident") << " says so to others\n";
  });
}

}  // namespace

void add_freeze_commands(CLI::App& parent, Globals& globals) {
  CLI::App* freezes =
      parent.add_subcommand("freezes", "Times in which nothing is released or approved");
  freezes->require_subcommand(1);
  freezes->add_subcommand("list", "List freezes and when they hold")->callback([&globals] {
    list(globals);
  });
  CLI::App* command = freezes->add_subcommand(
      "override", "Let one release or version through the freezes of now; operators only");
  auto subject = std::make_shared<std::string>(), reason = std::make_shared<std::string>();
  command->add_option("subject", *subject, "release:ID or model:NAME@v4")->required();
  command->add_option("--reason", *reason, "why it cannot wait")->required();
  command->callback([&globals, subject, reason] { let_through(globals, *subject, *reason); });
}

}  // namespace penstock::app
