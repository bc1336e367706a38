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
  collect->add_option("--limit", input->limit, "of files that one request looks at")
      ->capture_default_str();
  collect->callback([&globals, input] {
    artifacts::Collected all{.dry_run = input->dry_run, .more = true};
    while (all.more) {  // a request takes so long at most; the rest is asked for anew
      const auto answer = globals.ask("POST", "/api/v1/artifacts:collect", encode(*input));
      if (!answer) return;
      const auto part = decode<artifacts::Collected>(*answer);
      if (!part) return globals.fail(part.error());
      all.files += part->files;
      all.bytes += part->bytes;
      all.kept += part->kept;
      all.more = part->more;
      input->after = part->next;
    }
    globals.show(encode(all), [&] {
      std::cout << all.files << " files of " << all.bytes
                << (all.dry_run ? " bytes would go, " : " bytes are gone, ") << all.kept
                << " old ones are in use\n";
    });
  });
}

}  // namespace penstock::app
