// sources, datasets.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

void print_source(const json::value& view) {
  const json::value& source = view.at("source");
  std::cout << "source:" << text_of(source, "name") << "@" << text_of(view, "version") << "  "
            << text_of(view, "classification") << "  owner " << text_of(source, "owner") << "\n";
  std::cout << "  " << text_of(source, "path") << " (" << text_of(source, "format") << ")\n";
  std::vector<std::vector<std::string>> rows;
  for (const json::value& column : source.at("columns").as_array())
    rows.push_back({text_of(column, "name"), text_of(column, "type"),
                    text_of(column, "classification"), text_of(column, "unit")});
  print_table({"COLUMN", "TYPE", "CLASS", "UNIT"}, rows);
  for (const json::value& change : view.at("changes").as_array())
    std::cout << "changed in version " << text_of(change, "version") << " ("
              << text_of(change, "at") << ", " << text_of(change, "actor")
              << "): " << text_of(change, "what") << "\n";
}

void add_sources(CLI::App& parent, Globals& globals) {
  CLI::App* sources = parent.add_subcommand("sources", "Where data comes from");
  sources->require_subcommand(1);
  sources->add_subcommand("list", "List sources")->callback([&globals] {
    const auto list = globals.ask("GET", "/api/v1/sources");
    if (!list) return;
    globals.show(*list, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& view : list->at("sources").as_array())
        rows.push_back({text_of(view.at("source"), "name"), text_of(view, "version"),
                        text_of(view.at("source"), "owner"), text_of(view, "classification"),
                        text_of(view.at("source"), "path")});
      print_table({"SOURCE", "VERSION", "OWNER", "CLASS", "PATH"}, rows);
    });
  });
  auto name = std::make_shared<std::string>();
  CLI::App* show = sources->add_subcommand("show", "Show a source and what changed in it");
  show->add_option("name", *name)->required();
  show->callback([&globals, name] {
    const auto view = globals.ask("GET", "/api/v1/sources/" + net::percent_encoded(*name));
    if (view) globals.show(*view, [&] { print_source(*view); });
  });
  CLI::App* check = sources->add_subcommand("check", "Run the quality checks of a source");
  check->add_option("name", *name)->required();
  check->callback([&globals, name] {
    const auto report =
        globals.ask("POST", "/api/v1/sources/" + net::percent_encoded(*name) + ":check");
    if (!report) return;
    globals.show(*report, [&] {
      std::cout << text_of(*report, "source") << "  " << text_of(*report, "row_count") << " rows\n";
      std::vector<std::vector<std::string>> rows;
      for (const json::value& result : report->at("checks").as_array())
        rows.push_back({result.at("passed").as_bool() ? "passed" : "failed",
                        text_of(result, "name"), text_of(result, "severity"),
                        text_of(result, "violations"), text_of(result, "fault")});
      print_table({"RESULT", "CHECK", "SEVERITY", "VIOLATIONS", "FAULT"}, rows);
    });
    if (!report->at("passed").as_bool()) globals.exit = Exit::failed;
  });
}

void print_dataset(const json::value& dataset) {
  std::cout << "dataset:" << text_of(dataset, "name") << "@" << text_of(dataset, "version") << "  "
            << text_of(dataset, "row_count") << " rows\n";
  for (const char* field :
       {"digest", "uri", "feature_schema", "known_as_of", "created_at", "created_by", "query"})
    if (const std::string text = text_of(dataset, field); !text.empty())
      std::cout << "  " << field << ": " << text << "\n";
  for (const json::value& source : dataset.at("sources").as_array())
    std::cout << "  made from " << std::string(source.as_string()) << "\n";
}

void add_datasets(CLI::App& parent, Globals& globals) {
  CLI::App* datasets = parent.add_subcommand("datasets", "Immutable snapshots of rows");
  datasets->require_subcommand(1);
  datasets->add_subcommand("list", "List datasets")->callback([&globals] {
    const auto list = globals.ask("GET", "/api/v1/datasets");
    if (!list) return;
    globals.show(*list, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& dataset : list->at("datasets").as_array())
        rows.push_back({text_of(dataset, "name"), text_of(dataset, "version"),
                        text_of(dataset, "row_count"), text_of(dataset, "feature_schema"),
                        text_of(dataset, "digest").substr(0, 12), text_of(dataset, "created_at")});
      print_table({"DATASET", "VERSION", "ROWS", "FEATURE SCHEMA", "DIGEST", "CREATED"}, rows);
    });
  });
  auto name = std::make_shared<std::string>();
  CLI::App* show = datasets->add_subcommand("show", "Show a dataset");
  show->add_option("dataset", *name)->required();
  show->callback([&globals, name] {
    std::string text = name->starts_with("dataset:") ? name->substr(8) : *name;
    const std::size_t at = text.find('@');
    if (at == std::string::npos || at == 0 || at + 1 == text.size())
      return globals.fail(
          {Code::invalid_argument, "\"" + *name + "\" names no version; write " + *name + "@1"});
    const auto dataset =
        globals.ask("GET", "/api/v1/datasets/" + net::percent_encoded(text.substr(0, at)) +
                               "/versions/" + net::percent_encoded(text.substr(at + 1)));
    if (dataset) globals.show(*dataset, [&] { print_dataset(*dataset); });
  });
}

}  // namespace

void add_catalog_commands(CLI::App& parent, Globals& globals) {
  add_sources(parent, globals);
  add_datasets(parent, globals);
}

}  // namespace penstock::app
