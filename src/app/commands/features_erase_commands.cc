// features erase: the right to erasure.
#include "app/commands/features_erase_commands.h"

#include <iostream>

#include <CLI/CLI.hpp>

namespace penstock::app {
namespace {

void print_erased(const json::value& erased) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& view : erased.at("views").as_array())
    rows.push_back({text_of(view, "view"), text_of(view, "rows")});
  print_table({"VIEW", "ONLINE ROWS ERASED"}, rows);
  std::cout << "\nEvents up to " << text_of(erased, "erased_at")
            << " stay away; the audit log names the entity "
            << erased.at("entities").at(0).as_string().c_str() << ".\n";
  rows.clear();
  for (const json::value& held : erased.at("still_held").as_array()) {
    const std::string count = text_of(held, "rows");
    rows.push_back({text_of(held, "what"), count.empty() ? "look there" : count});
  }
  if (rows.empty()) return;
  std::cout << "\nNothing is taken out of these, which never change or are not ours:\n";
  print_table({"STILL HELD BY", "ROWS"}, rows);
  if (const std::string more = text_of(erased, "not_examined"); more != "0")
    std::cout << more << " more files were not looked at\n";
}

}  // namespace

void add_features_erase_command(CLI::App& features, Globals& globals) {
  struct Options {
    std::vector<std::string> entity;
    std::string view, reason;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      features.add_subcommand("erase", "Take an entity out of the features, and keep it out");
  command->add_option("--entity", options->entity, "A join key: carrier=UA")->required();
  command->add_option("--view", options->view, "Only this one; else every view with these keys");
  command->add_option("--reason", options->reason, "Kept in the audit log; name nobody in it");
  command->callback([&globals, options] {
    json::object entity;
    for (const std::string& text : options->entity) {
      const auto pair = pair_of(text);
      if (!pair) return globals.fail(pair.error());
      entity[pair->first] = pair->second;
    }
    auto erased = globals.client(std::chrono::hours(1))
                      .call("POST", "/api/v1/features:erase",
                            json::object{{"entities", json::array{entity}},
                                         {"view", options->view},
                                         {"reason", options->reason}});
    if (!erased) return globals.fail(erased.error());
    globals.show(*erased, [&] { print_erased(*erased); });
  });
}

}  // namespace penstock::app
