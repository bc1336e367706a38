// features: list, materialize, get-online, verify, and those of other files.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/commands/features_commands.h"
#include "app/commands/features_erase_commands.h"
#include "app/commands/features_historical.h"

namespace penstock::app {
namespace {

json::array list_of(const std::vector<std::string>& texts) {
  json::array out;
  for (const std::string& text : texts) out.push_back(json::value(text));
  return out;
}

std::string work_of(const json::value& status, std::string_view field) {
  return status.at("work").is_null() ? "" : text_of(status.at("work"), field);
}

std::string freshness_of(const json::value& status) {
  if (status.at("fresh").is_null()) return "";
  return status.at("fresh").as_bool() ? "yes" : "NO";
}

void add_list(CLI::App& features, Globals& globals) {
  features.add_subcommand("list", "List feature views and how fresh they are")
      ->callback([&globals] {
        const auto list = globals.ask("GET", "/api/v1/feature-views");
        if (!list) return;
        globals.show(*list, [&] {
          std::vector<std::vector<std::string>> rows;
          for (const json::value& status : list->at("views").as_array())
            rows.push_back(
                {text_of(status.at("view"), "name"), text_of(status, "version"),
                 text_of(status.at("view"), "entity"), text_of(status.at("view"), "owner"),
                 std::to_string(status.at("view").at("features").as_array().size()),
                 text_of(status.at("view"), "ttl"), text_of(status, "watermark"),
                 freshness_of(status), work_of(status, "last_run"), work_of(status, "row_count"),
                 work_of(status, "next_run"), work_of(status, "last_error").substr(0, 60)});
          print_table({"VIEW", "VERSION", "ENTITY", "OWNER", "FEATURES", "TTL", "ONLINE UNTIL",
                       "FRESH", "LAST RUN", "ROWS", "NEXT RUN", "LAST ERROR"},
                      rows);
        });
      });
}

void add_materialize(CLI::App& features, Globals& globals) {
  struct Options {
    std::string until;
    std::vector<std::string> views;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      features.add_subcommand("materialize", "Move what arrived into the online store");
  command->add_option("--until", options->until, "An instant, as 2013-07-01T00:00:00Z")->required();
  command->add_option("--view", options->views, "Only these; else every online view");
  command->callback([&globals, options] {
    const auto moved = ask_long(globals, "/api/v1/features:materialize",
                                {{"until", options->until}, {"views", list_of(options->views)}});
    if (!moved) return;
    globals.show(*moved, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& view : moved->at("views").as_array())
        rows.push_back({text_of(view, "view"), text_of(view, "rows"), text_of(view, "written"),
                        text_of(view, "ignored"), text_of(view, "rejected"),
                        text_of(view, "watermark")});
      print_table({"VIEW", "ROWS", "WRITTEN", "IGNORED", "REJECTED", "ONLINE UNTIL"}, rows);
      for (const json::value& view : moved->at("views").as_array())
        for (const json::value& check : view.at("checks").as_array())
          std::cout << text_of(view, "view") << ": " << text_of(check, "what")
                    << (check.at("reject_rows").as_bool() ? ", kept out" : "") << "\n";
    });
  });
}

// "4d", "3h", "90s", "0.25s".
std::string age_text(const json::value& seconds) {
  if (!seconds.is_number()) return "";
  const double age = seconds.to_number<double>();
  char text[32];
  if (age >= 172'800)
    std::snprintf(text, sizeof text, "%.0fd", age / 86'400);
  else if (age >= 7'200)
    std::snprintf(text, sizeof text, "%.0fh", age / 3'600);
  else
    std::snprintf(text, sizeof text, "%.3gs", age);
  return text;
}

void add_get_online(CLI::App& features, Globals& globals) {
  struct Options {
    std::string schema, at;
    std::vector<std::string> names, entity;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = features.add_subcommand("get-online", "Read one entity's features");
  command->add_option("--schema", options->schema,
                      "A feature schema: features_v1 or features_v1@1");
  command->add_option("--feature", options->names, "view:feature, instead of a schema");
  command->add_option("--entity", options->entity, "A join key or an input: carrier=UA")
      ->required();
  command->add_option("--at", options->at, "An instant; else now");
  command->callback([&globals, options] {
    json::object entity;
    for (const std::string& text : options->entity) {
      const auto pair = pair_of(text);
      if (!pair) return globals.fail(pair.error());
      entity[pair->first] = pair->second;
    }
    json::object body{{"feature_schema", options->schema},
                      {"features", list_of(options->names)},
                      {"entities", json::array{entity}}};
    if (!options->at.empty()) body["event_time"] = options->at;
    const auto found = globals.ask("POST", "/api/v1/features:online", body);
    if (!found) return;
    globals.show(*found, [&] {
      std::vector<std::vector<std::string>> rows;
      const json::object& row = found->at("rows").at(0).as_object();
      for (std::size_t i = 0; i < found->at("names").as_array().size(); ++i) {
        const json::object one{{"name", found->at("names").at(i)},
                               {"value", row.at("values").at(i)},
                               {"status", row.at("statuses").at(i)},
                               {"time", row.at("event_times").at(i)},
                               {"age", row.at("ages").at(i)}};
        rows.push_back({text_of(one, "name"), text_of(one, "value"), text_of(one, "status"),
                        text_of(one, "time"), age_text(one.at("age"))});
      }
      print_table({"FEATURE", "VALUE", "STATUS", "AS OF", "AGE"}, rows);
    });
  });
}

void add_verify(CLI::App& features, Globals& globals) {
  struct Options {
    std::string name;
    std::int64_t sample = 1000;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      features.add_subcommand("verify", "Compare online values with the offline join");
  command->add_option("name", options->name, "A feature view or a feature schema")->required();
  command->add_option("--sample", options->sample, "Entities of each view");
  command->callback([&globals, options] {
    const auto found = ask_long(globals, "/api/v1/features:verify",
                                {{"name", options->name}, {"sample", options->sample}});
    if (!found) return;
    globals.show(*found, [&] {
      std::cout << text_of(*found, "entities") << " entities, " << text_of(*found, "values")
                << " values, " << text_of(*found, "differing") << " differ";
      if (const std::string count = text_of(*found, "predictions"); count != "0")
        std::cout << ", with the transforms of " << count
                  << (count == "1" ? " prediction" : " predictions");
      std::cout << "\n";
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : found->at("differences").as_array())
        rows.push_back({text_of(one, "view"), text_of(one, "entity"), text_of(one, "feature"),
                        text_of(one, "online"), text_of(one, "offline"), text_of(one, "cause")});
      if (!rows.empty())
        print_table({"VIEW", "ENTITY", "FEATURE", "ONLINE", "OFFLINE", "CAUSE"}, rows);
    });
    if (text_of(*found, "differing") != "0") globals.exit = Exit::failed;
  });
}

}  // namespace

std::optional<json::value> ask_long(Globals& globals, const std::string& target,
                                    const json::value& body) {
  auto answer = globals.client(std::chrono::hours(1)).call("POST", target, body);
  if (answer) return std::move(answer).take();
  globals.fail(answer.error());
  return {};
}

void add_features_commands(CLI::App& parent, Globals& globals) {
  CLI::App* features = parent.add_subcommand("features", "Named features of entities");
  features->require_subcommand(1);
  add_list(*features, globals);
  add_materialize(*features, globals);
  add_get_online(*features, globals);
  add_get_historical(*features, globals);
  add_verify(*features, globals);
  add_features_erase_command(*features, globals);
  add_features_operate_commands(*features, globals);
  add_nearest_command(*features, globals);
}

}  // namespace penstock::app
