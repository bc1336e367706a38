// monitors.
#include <iostream>
#include <sstream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

// Four places are what a person reads; --json has them all.
std::string short_number(const json::value& object, std::string_view field) {
  const json::value* value = object.as_object().if_contains(field);
  if (!value || value->is_null()) return "";
  std::ostringstream text;
  text.precision(4);
  text << value->to_number<double>();
  return text.str();
}

std::string version_of(const json::value& object) {
  const std::string model = text_of(object, "model");
  return model.empty() ? "" : model + "@v" + text_of(object, "version");
}

void print_monitors(const json::value& list) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& view : list.at("monitors").as_array()) {
    const json::value& monitor = view.at("monitor");
    const std::string feature = text_of(monitor, "feature");
    rows.push_back({text_of(monitor, "name"), text_of(monitor, "route"),
                    text_of(monitor, "quantity") + (feature.empty() ? "" : " " + feature),
                    text_of(view, "day"), short_number(view, "value"),
                    short_number(monitor, "threshold"), text_of(view, "verdict"),
                    text_of(view, "reason")});
  }
  print_table({"NAME", "ROUTE", "WATCHES", "DAY", "VALUE", "THRESHOLD", "VERDICT", "WHY"}, rows);
}

void print_monitor(const json::value& view) {
  const json::value& monitor = view.at("monitor");
  std::cout << text_of(monitor, "name") << " watches " << text_of(monitor, "quantity") << " "
            << text_of(monitor, "feature") << " of route " << text_of(monitor, "route") << " over "
            << text_of(monitor, "window_days") << " days, owner " << text_of(monitor, "owner")
            << ", threshold " << short_number(monitor, "threshold") << ": "
            << text_of(view, "verdict") << " " << text_of(view, "reason") << "\n";
  std::vector<std::vector<std::string>> rows;
  for (const json::value& result : view.at("results").as_array())
    rows.push_back({text_of(result, "day"), version_of(result), text_of(result, "verdict"),
                    short_number(result, "value"), text_of(result, "calls"),
                    text_of(result, "reason")});
  print_table({"DAY", "VERSION", "VERDICT", "VALUE", "CALLS", "WHY"}, rows);
}

void print_stats(const json::value& output, bool by_day) {
  std::vector<std::string> headings = {"VERSION", "ARM",    "CALLS", "ERRORS",
                                       "P50 MS",  "P99 MS", "SCORE", "DECIDE",
                                       "LABELS",  "WRONG",  "BRIER", "AGE P99 S"};
  if (by_day) headings.insert(headings.begin(), "DAY");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : output.at("stats").as_array()) {
    auto& row = rows.emplace_back();
    if (by_day) row.push_back(text_of(one, "day"));
    row.insert(row.end(),
               {version_of(one), text_of(one, "arm"), text_of(one, "calls"), text_of(one, "errors"),
                short_number(one, "p50_ms"), short_number(one, "p99_ms"),
                short_number(one, "mean_score"), short_number(one, "decision_rate"),
                text_of(one, "labels"), short_number(one, "wrong_rate"), short_number(one, "brier"),
                short_number(one, "p99_age_seconds")});
  }
  print_table(headings, rows);
  if (const std::string refused = text_of(output, "refused"); refused != "0")
    std::cout << refused
              << " calls were not counted: event times out of range, or too many versions\n";
}

}  // namespace

void add_monitor_commands(CLI::App& parent, Globals& globals) {
  CLI::App* monitors = parent.add_subcommand("monitors", "Drift, quality and latency of routes");
  monitors->require_subcommand(1);
  auto name = std::make_shared<std::string>(), by = std::make_shared<std::string>("version");

  CLI::App* list = monitors->add_subcommand("list", "List monitors with what they said last");
  list->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/monitors");
    if (answer) globals.show(*answer, [&] { print_monitors(*answer); });
  });
  CLI::App* show = monitors->add_subcommand("show", "Show a monitor with all that it said");
  show->add_option("name", *name)->required();
  show->callback([&globals, name] {
    const auto answer = globals.ask("GET", "/api/v1/monitors/" + net::percent_encoded(*name));
    if (answer) globals.show(*answer, [&] { print_monitor(*answer); });
  });
  CLI::App* stats = monitors->add_subcommand("stats", "What a route's versions did");
  stats->add_option("route", *name)->required();
  stats->add_option("--by", *by, "version or day")->check(CLI::IsMember({"version", "day"}));
  stats->callback([&globals, name, by] {
    const auto answer =
        globals.ask("GET", "/api/v1/routes/" + net::percent_encoded(*name) + "/stats?by=" + *by);
    if (answer) globals.show(*answer, [&] { print_stats(*answer, *by == "day"); });
  });
}

}  // namespace penstock::app
