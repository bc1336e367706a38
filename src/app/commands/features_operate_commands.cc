// features: profile, from-predictions, repair.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/commands/features_commands.h"

namespace penstock::app {
namespace {

std::string rounded(const json::value& number) {
  if (!number.is_number()) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", number.to_number<double>());
  return text;
}

// "10 / 20 / 30": the quarters of the values.
std::string quarters(const json::value& column) {
  const json::array& all = column.at("quantiles").as_array();
  if (all.size() < 7) return "";
  return rounded(all[2]) + " / " + rounded(all[3]) + " / " + rounded(all[4]);
}

void print_profile(const json::value& answer) {
  const json::value& profile = answer.at("profile");
  std::cout << "feature_view:" << text_of(profile, "view") << "@" << text_of(profile, "version")
            << "  " << text_of(profile, "day").substr(0, 10) << "  "
            << text_of(profile, "row_count") << " rows  made " << text_of(profile, "at") << "\n";
  std::vector<std::vector<std::string>> rows;
  for (const json::value& column : profile.at("columns").as_array()) {
    std::string top;
    for (const json::value& value : column.at("top").as_array()) {
      if (top.size() > 30) break;
      top += (top.empty() ? "" : ", ") + text_of(value, "value") + " " + text_of(value, "rows");
    }
    rows.push_back({text_of(column, "name"), text_of(column, "type"), text_of(column, "nulls"),
                    text_of(column, "distinct"), text_of(column, "min"), text_of(column, "max"),
                    rounded(column.at("mean")), quarters(column), top});
  }
  print_table({"FEATURE", "TYPE", "NULLS", "DISTINCT", "MIN", "MAX", "MEAN", "QUARTERS", "TOP"},
              rows);
}

void add_profile(CLI::App& features, Globals& globals) {
  struct Options {
    std::string view, day;
    std::int64_t version = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      features.add_subcommand("profile", "What the values of a view look like on one day");
  command->add_option("view", options->view)->required();
  command->add_option("--day", options->day, "As 2013-07-01; else the newest that has rows");
  command->add_option("--version", options->version, "Of the view; else the newest");
  command->callback([&globals, options] {
    std::string target = "/api/v1/feature-views/" + net::percent_encoded(options->view) +
                         "/profile?version=" + std::to_string(options->version);
    if (!options->day.empty()) target += "&day=" + net::percent_encoded(options->day);
    const auto profile = globals.ask("GET", target);
    if (profile) globals.show(*profile, [&] { print_profile(*profile); });
  });
}

void add_from_predictions(CLI::App& features, Globals& globals) {
  struct Options {
    std::string route, from, to, labels, schema, dataset;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = features.add_subcommand(
      "from-predictions", "Make a dataset of the features that predictions were made from");
  command->add_option("--route", options->route, "Whose predictions")->required();
  command->add_option("--from", options->from, "An instant, as 2013-07-01T00:00:00Z")->required();
  command->add_option("--to", options->to, "An instant; it is not in it itself")->required();
  command->add_option("--labels", options->labels,
                      "A source with prediction and label, a SELECT of both, or @FILE; else the "
                      "labels that were told");
  command->add_option("--schema", options->schema, "Where predictions read more than one");
  command->add_option("--dataset", options->dataset, "Its name")->required();
  command->callback([&globals, options] {
    if (options->labels.starts_with("@")) {
      std::ifstream file(options->labels.substr(1));
      if (!file)
        return globals.fail(
            {Code::invalid_argument, options->labels.substr(1) + " cannot be read"});
      options->labels = std::string(std::istreambuf_iterator<char>(file), {});
    }
    const auto made = ask_long(globals, "/api/v1/features:from-predictions",
                               {{"route", options->route},
                                {"from", options->from},
                                {"to", options->to},
                                {"labels", options->labels},
                                {"feature_schema", options->schema},
                                {"dataset", options->dataset}});
    if (!made) return;
    globals.show(*made, [&] {
      std::cout << text_of(*made, "dataset") << "  " << text_of(*made, "row_count") << " rows, "
                << text_of(*made, "labelled") << " with a label, features as read by "
                << text_of(*made, "feature_schema") << "\n"
                << text_of(*made, "uri") << "\n";
    });
  });
}

void add_repair(CLI::App& features, Globals& globals) {
  auto views = std::make_shared<std::vector<std::string>>();
  CLI::App* command = features.add_subcommand(
      "repair", "Write rows anew that the online store lost behind its watermark");
  command->add_option("view", *views, "Names of views")->required();
  command->callback([&globals, views] {
    json::array names;
    for (const std::string& view : *views) names.push_back(json::value(view));
    const auto done =
        ask_long(globals, "/api/v1/features:repair", json::object{{"views", std::move(names)}});
    if (!done) return;
    globals.show(*done, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& view : done->at("views").as_array())
        rows.push_back(
            {text_of(view, "view"), text_of(view, "written"), text_of(view, "watermark")});
      print_table({"VIEW", "WRITTEN ANEW", "ONLINE UNTIL"}, rows);
    });
  });
}

}  // namespace

void add_features_operate_commands(CLI::App& features, Globals& globals) {
  add_profile(features, globals);
  add_from_predictions(features, globals);
  add_repair(features, globals);
}

}  // namespace penstock::app
