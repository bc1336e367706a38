// incidents
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

void print_incident(const json::value& detail) {
  const json::value& incident = detail.at("incident");
  std::cout << "incident:" << text_of(incident, "id") << "  " << text_of(incident, "severity")
            << "  " << text_of(incident, "status") << "\n  " << text_of(incident, "title")
            << "\n  about " << text_of(incident, "subject") << ", owner "
            << text_of(incident, "owner") << ", seen " << text_of(incident, "occurrences")
            << " times\n";
  for (const json::value& suspect : incident.at("suspects").as_array())
    std::cout << "  suspect: " << suspect.as_string().c_str() << "\n";
  for (const json::value& entry : detail.at("timeline").as_array())
    std::cout << "  " << text_of(entry, "at") << "  " << text_of(entry, "actor") << "  "
              << text_of(entry, "event") << "  " << text_of(entry, "detail") << "\n";
}

void add_incident_move(CLI::App& incidents, Globals& globals, const std::string& verb,
                       const std::string& status) {
  CLI::App* command = incidents.add_subcommand(verb, "Mark an incident as " + status);
  auto id = std::make_shared<std::string>(), comment = std::make_shared<std::string>();
  command->add_option("id", *id)->required();
  command->add_option("--comment", *comment);
  command->callback([&globals, id, comment, status] {
    const auto answer =
        globals.ask("POST", "/api/v1/incidents/" + net::percent_encoded(*id) + ":move",
                    json::object{{"status", status}, {"comment", *comment}});
    if (answer)
      globals.show(*answer, [&] { std::cout << "incident:" << *id << " is " << status << "\n"; });
  });
}

}  // namespace

void add_incident_commands(CLI::App& parent, Globals& globals) {
  CLI::App* incidents = parent.add_subcommand("incidents", "What a person must know about");
  incidents->require_subcommand(1);
  auto status = std::make_shared<std::string>(), id = std::make_shared<std::string>();
  CLI::App* list = incidents->add_subcommand("list", "List incidents, newest first");
  list->add_option("--status", *status, "open, acknowledged or resolved");
  list->callback([&globals, status] {
    const auto answer =
        globals.ask("GET", "/api/v1/incidents" +
                               (status->empty() ? "" : "?status=" + net::percent_encoded(*status)));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& incident : answer->at("incidents").as_array())
        rows.push_back({text_of(incident, "id"), text_of(incident, "severity"),
                        text_of(incident, "status"), text_of(incident, "owner"),
                        text_of(incident, "title")});
      print_table({"ID", "SEVERITY", "STATUS", "OWNER", "TITLE"}, rows);
    });
  });
  CLI::App* show = incidents->add_subcommand("show", "Show an incident with its timeline");
  show->add_option("id", *id)->required();
  show->callback([&globals, id] {
    const auto detail = globals.ask("GET", "/api/v1/incidents/" + net::percent_encoded(*id));
    if (detail) globals.show(*detail, [&] { print_incident(*detail); });
  });
  add_incident_move(*incidents, globals, "acknowledge", "acknowledged");
  add_incident_move(*incidents, globals, "resolve", "resolved");
}

}  // namespace penstock::app
