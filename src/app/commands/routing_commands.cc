// experiments, predictions, routes shadows.
#include <cmath>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

std::string short_text(const json::value& object, std::string_view field, int places = 4) {
  const json::value* value = object.as_object().if_contains(field);
  if (!value || !value->is_number()) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", places, value->to_number<double>());
  return text;
}

std::string percent(const json::value& object, std::string_view field) {
  const json::value* value = object.as_object().if_contains(field);
  if (!value || !value->is_number()) return "-";
  char text[64];
  std::snprintf(text, sizeof text, "%.1f%%", value->to_number<double>() * 100);
  return text;
}

void print_shadows(const json::value& report) {
  std::cout << "route:" << text_of(report, "route") << "  shadows spent "
            << text_of(report, "spent_today") << " today";
  if (const std::string cap = text_of(report, "max_cost_per_day"); !cap.empty())
    std::cout << " of " << cap;
  std::cout << "\n";
  std::vector<std::vector<std::string>> rows, differences;
  for (const json::value& shadow : report.at("shadows").as_array()) {
    const std::string version = "v" + text_of(shadow, "version");
    rows.push_back({version, text_of(shadow, "running"), text_of(shadow, "calls"),
                    text_of(shadow, "errors"), percent(shadow, "agreement"),
                    text_of(shadow, "mirrored"), text_of(shadow, "not_mirrored"),
                    text_of(shadow, "capped"), text_of(shadow, "withheld")});
    for (const json::value& one : shadow.at("differences").as_array())
      differences.push_back({version, text_of(one, "what"), text_of(one, "count"),
                             short_text(one, "mean"), short_text(one, "p05"),
                             short_text(one, "p50"), short_text(one, "p95")});
  }
  print_table({"shadow", "running", "calls", "errors", "agreement", "mirrored", "busy", "capped",
               "withheld"},
              rows);
  if (!differences.empty())
    print_table({"shadow", "shadow minus live", "calls", "mean", "p05", "p50", "p95"}, differences);
}

void add_experiments(CLI::App& parent, Globals& globals) {
  CLI::App* experiments = parent.add_subcommand("experiments", "A/B experiments on routes");
  experiments->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  CLI::App* show = experiments->add_subcommand("show", "Show the arms and what they were rewarded");
  show->add_option("experiment", *id, "its id")->required();
  show->callback([&globals, id] {
    const auto answer = globals.ask("GET", "/api/v1/experiments/" + net::percent_encoded(*id));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << "experiment " << text_of(*answer, "id")
                << "  on route:" << text_of(*answer, "route")
                << (text_of(*answer, "adaptive") == "true" ? "  adaptive" : "");
      if (const std::string moved = text_of(*answer, "moved_at"); !moved.empty())
        std::cout << "  moved " << moved;
      std::cout << "\n";
      if (const std::string held = text_of(*answer, "held"); !held.empty())
        std::cout << "held: " << held << "\n";
      std::vector<std::vector<std::string>> rows;
      for (const json::value& arm : answer->at("arms").as_array()) {
        const json::value& reward = arm.at("reward");
        rows.push_back(
            {"v" + text_of(arm, "version"),
             short_text(json::object{{"w", std::stod(text_of(arm, "weight")) / 100}}, "w") + "%",
             text_of(arm, "calls"), text_of(arm, "errors"), text_of(arm, "rewards"),
             short_text(reward, "mean"), short_text(reward, "lower"), short_text(reward, "upper"),
             text_of(reward, "interval"), percent(arm, "best_chance")});
      }
      print_table({"arm", "traffic", "calls", "errors", "rewards", "mean", "lower", "upper",
                   "interval", "best"},
                  rows);
    });
  });
}

std::string said_or(const std::string& text, const char* otherwise) {
  return text.empty() ? otherwise : text;
}

void print_retention(const json::value& view) {
  std::cout << "predictions are kept " << said_or(text_of(view, "predictions"), "for ever");
  if (const std::string bytes = text_of(view, "prediction_bytes"); !bytes.empty())
    std::cout << ", at most " << bytes << " bytes of them";
  std::cout << "\n";
  std::vector<std::vector<std::string>> rows, readers;
  for (const json::value& one : view.at("topics").as_array()) {
    const std::string topic = text_of(one, "topic");
    rows.push_back({topic, text_of(one, "records"), text_of(one, "bytes"),
                    said_or(text_of(one, "oldest"), "-"),
                    said_or(text_of(one, "gone_until"), "-")});
    for (const json::value& reader : one.at("readers").as_array())
      readers.push_back({topic, text_of(reader, "name"), text_of(reader, "position"),
                         text_of(reader, "unread"), text_of(reader, "holds_up")});
  }
  print_table({"topic", "records", "bytes", "oldest", "gone until"}, rows);
  print_table({"topic", "reader", "position", "unread", "holds up"}, readers);
}

void add_retention(CLI::App& predictions, Globals& globals) {
  predictions.add_subcommand("retention", "How long predictions are kept, and what there is")
      ->callback([&globals] {
        const auto answer = globals.ask("GET", "/api/v1/retention");
        if (answer) globals.show(*answer, [&] { print_retention(*answer); });
      });
}

void add_predictions(CLI::App& parent, Globals& globals) {
  CLI::App* predictions = parent.add_subcommand("predictions", "What was answered, one by one");
  predictions->require_subcommand(1);
  add_retention(*predictions, globals);
  auto id = std::make_shared<std::string>();
  CLI::App* payload = predictions->add_subcommand(
      "payload", "Show what was asked and answered, where the route keeps it; this is audited");
  payload->add_option("prediction", *id, "its id")->required();
  payload->callback([&globals, id] {
    const auto answer =
        globals.ask("GET", "/api/v1/predictions/" + net::percent_encoded(*id) + "/payload");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << "prediction:" << text_of(*answer, "id")
                << "  on route:" << text_of(*answer, "route")
                << "  by model:" << text_of(*answer, "model") << "@v" << text_of(*answer, "version")
                << "\nkept until " << text_of(*answer, "until") << "\n";
      for (const json::value& one : answer->at("withheld").as_array())
        std::cout << "withheld: " << std::string_view(one.as_string()) << "\n";
      std::cout << "request: " << text_of(*answer, "request")
                << "\nanswer: " << text_of(*answer, "answer") << "\n";
    });
  });
}

}  // namespace

void add_shadows_command(CLI::App& routes, Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* shadows =
      routes.add_subcommand("shadows", "How a route's shadows compare with what was answered");
  shadows->add_option("route", *name, "its name")->required();
  shadows->callback([&globals, name] {
    const auto answer =
        globals.ask("GET", "/api/v1/routes/" + net::percent_encoded(*name) + "/shadows");
    if (answer) globals.show(*answer, [&] { print_shadows(*answer); });
  });
}

void add_routing_commands(CLI::App& parent, Globals& globals) {
  add_experiments(parent, globals);
  add_predictions(parent, globals);
}

}  // namespace penstock::app
