// artifacts: collect.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "artifacts/collector.h"

namespace penstock::app {

void add_artifact_commands(CLI::App& parent, Globals& globals) {
  CLI::App* artifacts = parent.add_subcommand("artifacts", "Files of runs, models and steps");
  artifacts->require_subcommand(1);
  CLI::App* collect =
      artifacts->add_subcommand("collect", "Free the files that nothing refers to any more");
  auto input = std::make_shared<artifacts::CollectInput>();
  collect->add_option("--unused-for", input->unused_for, "since somebody last brought the bytes")
      ->capture_default_str();
  collect->add_flag("--dry-run", input->dry_run, "only say what would go");
  collect->add_option("--limit", input->limit, "of files looked at")->capture_default_str();
  collect->callback([&globals, input] {
    const auto answer = globals.ask("POST", "/api/v1/artifacts:collect", encode(*input));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << text_of(*answer, "files") << " files of " << text_of(*answer, "bytes")
                << (input->dry_run ? " bytes would go, " : " bytes are gone, ")
                << text_of(*answer, "kept") << " old ones are in use\n";
      if (answer->at("more") == json::value(true))
        std::cout << "the limit came first; ask again for the rest\n";
    });
  });
}

}  // namespace penstock::app
