// serve: runs the server until a signal ends it.
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/system.h"
#include "base/log.h"

namespace penstock::app {
namespace {

void serve(Globals& globals, const SystemOptions& options) {
  // Blocked before any thread starts, so that all inherit it and only sigwait takes them.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  System system;
  const auto started = system.start(options);
  if (!started) return globals.fail(started.error());
  std::cout << "penstock serves http://" << system.address() << "\n";
  if (!system.first_admin_token().empty())
    std::cout << "the first admin token, kept in " << options.data
              << "/admin.token: " << system.first_admin_token() << "\n";
  std::cout << std::flush;
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("stopping", {{"signal", signal}});
  system.stop();
}

}  // namespace

void add_serve_command(CLI::App& parent, Globals& globals) {
  CLI::App* command = parent.add_subcommand("serve", "Run the server");
  auto options = std::make_shared<SystemOptions>();
  command->add_option("--data", options->data, "directory of all that is kept")->required();
  command->add_option("--sources", options->sources,
                      "where relative paths of sources start; DATA/sources if not said");
  command->add_option("--http", options->http, "IP:PORT to listen on")->capture_default_str();
  command->add_option("--auth", options->auth, "token, or none on a loopback address")
      ->capture_default_str();
  command->add_option("--workers", options->workers, "threads that handle requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command->callback([&globals, options] { serve(globals, *options); });
}

}  // namespace penstock::app
