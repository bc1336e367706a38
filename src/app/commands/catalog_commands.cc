// datasets.
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

void print_dataset(const json::value& dataset) {
  std::cout << "dataset:" << text_of(dataset, "name") << "@" << text_of(dataset, "version") << "  "
            << text_of(dataset, "row_count") << " rows\n";
  for (const char* field :
       {"digest", "uri", "feature_schema", "known_as_of", "created_at", "created_by", "query"})
    if (const std::string text = text_of(dataset, field); !text.empty())
      std::cout << "  " << field << ": " << text << "\n";
  std::map<std::string, std::string> digests;
  for (const json::value& snapshot : dataset.at("snapshots").as_array())
    digests[text_of(snapshot, "urn")] = " at " + text_of(snapshot, "digest").substr(0, 12);
  for (const json::value& source : dataset.at("sources").as_array()) {
    const std::string urn(source.as_string());
    std::cout << "  made from " << urn << digests[urn] << "\n";
  }
}

void add_create_and_diff(CLI::App& datasets, Globals& globals) {
  auto name = std::make_shared<std::string>();
  auto sql = std::make_shared<std::string>();
  CLI::App* create = datasets.add_subcommand(
      "create", "Make a dataset from a query; the same inputs are the same dataset");
  create->add_option("name", *name, "dataset_2026_05_01")->required();
  create->add_option("--sql", *sql, "SELECT over sources and datasets, or @FILE")->required();
  create->callback([&globals, name, sql] {
    std::string text = *sql;
    if (text.starts_with("@")) {
      std::ifstream file(text.substr(1), std::ios::binary);
      if (!file) return globals.fail({Code::invalid_argument, text.substr(1) + ": cannot be read"});
      text.assign(std::istreambuf_iterator<char>(file), {});
    }
    const auto made = globals.client(std::chrono::hours(1))
                          .call("POST", "/api/v1/datasets", {{"name", *name}, {"sql", text}});
    if (!made) return globals.fail(made.error());
    globals.show(*made, [&] { print_dataset(*made); });
  });
  auto before = std::make_shared<std::string>();
  auto after = std::make_shared<std::string>();
  CLI::App* diff = datasets.add_subcommand("diff", "What differs between two datasets");
  diff->add_option("before", *before, "NAME@1")->required();
  diff->add_option("after", *after, "NAME@2")->required();
  diff->callback([&globals, before, after] {
    const auto found =
        globals.ask("GET", "/api/v1/datasets:diff?before=" + net::percent_encoded(*before) +
                               "&after=" + net::percent_encoded(*after));
    if (!found) return;
    globals.show(*found, [&] {
      std::cout << text_of(*found, "before") << " -> " << text_of(*found, "after") << "  "
                << (found->at("same").as_bool() ? "the same bytes"
                                                : text_of(*found, "rows_before") + " -> " +
                                                      text_of(*found, "rows_after") + " rows")
                << "\n";
      if (const std::string only = text_of(*found, "only_before"); !only.empty())
        std::cout << "  " << only << " rows gone, " << text_of(*found, "only_after") << " new\n";
      for (const json::value& change : found->at("changes").as_array())
        std::cout << "  " << std::string(change.as_string()) << "\n";
    });
  });
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
  add_create_and_diff(*datasets, globals);
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

void add_catalog_commands(CLI::App& parent, Globals& globals) { add_datasets(parent, globals); }

}  // namespace penstock::app
