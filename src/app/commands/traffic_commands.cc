// upstreams, budgets.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

std::string joined(const json::value& list) {
  std::string out;
  for (const json::value& one : list.as_array())
    out += (out.empty() ? "" : ", ") + std::string(one.as_string());
  return out;
}

void add_free(CLI::App& budgets, Globals& globals) {
  struct Options {
    std::string server, reason;
  };
  auto options = std::make_shared<Options>();
  CLI::App* free = budgets.add_subcommand(
      "free", "Give back what a server holds of shared budgets that will not come back");
  free->add_option("server", options->server, "as the incident of its silence says it")->required();
  free->add_option("--reason", options->reason, "for the audit log")->required();
  free->callback([&globals, options] {
    const auto answer =
        globals.ask("POST", "/api/v1/budgets:free",
                    json::object{{"server", options->server}, {"reason", options->reason}});
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("leases").as_array())
        rows.push_back({text_of(one, "budget"), text_of(one, "heard_of_at"), text_of(one, "freed"),
                        text_of(one, "unsettled")});
      print_table({"BUDGET", "HEARD OF AT", "FREED", "UNSETTLED"}, rows);
    });
  });
}

}  // namespace

void add_traffic_commands(CLI::App& parent, Globals& globals) {
  CLI::App* upstreams =
      parent.add_subcommand("upstreams", "The servers that routes call, and how they are");
  upstreams->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/upstreams");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("upstreams").as_array())
        rows.push_back({text_of(one, "name"), text_of(one, "address"), text_of(one, "breaker"),
                        text_of(one, "check"),
                        text_of(one, "failures") + " of " + text_of(one, "calls"),
                        text_of(one, "mean_micros"), joined(one.at("ejected_from")),
                        joined(one.at("routes"))});
      print_table({"NAME", "ADDRESS", "BREAKER", "CHECK", "FAILED", "MICROS", "EJECTED", "ROUTES"},
                  rows);
    });
  });
  // What is counted though nobody knows whether it was spent.
  const auto note_of = [](const json::value& budget) {
    const std::string unsettled = text_of(budget, "unsettled"), note = text_of(budget, "note");
    if (unsettled == "0") return note;
    return note + (note.empty() ? "" : "; ") + unsettled + " unsettled";
  };
  CLI::App* budgets = parent.add_subcommand("budgets", "What is spent and reserved of each budget");
  add_free(*budgets, globals);
  budgets->callback([&globals, note_of, budgets] {
    if (!budgets->get_subcommands().empty()) return;
    const auto answer = globals.ask("GET", "/api/v1/budgets");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("budgets").as_array())
        rows.push_back({text_of(one, "name"), text_of(one, "parent"), text_of(one, "period"),
                        text_of(one, "limit"), text_of(one, "spent"), text_of(one, "pending"),
                        text_of(one, "reserved"),
                        text_of(one, "action") + (one.at("hard").as_bool() ? ", hard" : ""),
                        note_of(one)});
      print_table(
          {"NAME", "PARENT", "PERIOD", "LIMIT", "SPENT", "PENDING", "RESERVED", "ACTION", "NOTE"},
          rows);
    });
  });
}

}  // namespace penstock::app
