// serve: runs the server until a signal ends it.
#include <csignal>
#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/config.h"
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
  if (!system.grpc_address().empty())
    std::cout << "penstock serves grpc://" << system.grpc_address() << "\n";
  if (!system.first_admin_token().empty())
    std::cout << "the first admin token, kept in " << options.data
              << "/admin.token: " << system.first_admin_token() << "\n";
  std::cout << std::flush;
  int signal = 0;
  sigwait(&signals, &signal);
  log::info("stopping", {{"signal", signal}});
  system.stop();
}

// What the flags do not say comes from the file that --config names, or from DATA/penstock.yaml.
Result<void> configure(std::string file, const std::vector<std::string>& given,
                       SystemOptions& options) {
  std::error_code fault;
  if (file.empty() && std::filesystem::exists(options.data + "/penstock.yaml", fault))
    file = options.data + "/penstock.yaml";
  return merge(file.empty() ? Config{} : TRY(read_config(file)), given, options);
}

}  // namespace

void add_serve_command(CLI::App& parent, Globals& globals) {
  CLI::App* command = parent.add_subcommand("serve", "Run the server");
  auto options = std::make_shared<SystemOptions>();
  auto file = std::make_shared<std::string>();
  command->add_option("--data", options->data, "directory of all that is kept")->required();
  command->add_option("--config", *file, "what no flag says; DATA/penstock.yaml if it is there");
  command->add_option("--sources", options->sources,
                      "where relative paths of sources start; DATA/sources if not said");
  command->add_option("--http", options->http, "IP:PORT to listen on")->capture_default_str();
  command->add_option("--grpc", options->grpc,
                      "IP:PORT of gRPC, such as 127.0.0.1:8001; off if not said");
  command->add_option("--auth", options->auth, "token, or none on a loopback address")
      ->capture_default_str();
  command->add_option("--metadata", options->metadata,
                      "sqlite, postgresql://..., ${ENV:NAME} or file:PATH; sqlite if not said");
  command->add_option(
      "--artifacts", options->artifacts,
      "s3://BUCKET/PREFIX, with its keys in the configuration; DATA/blobs if not said");
  command->add_option("--online-store", options->online_store,
                      "rocksdb, redis://HOST:PORT, redis+cluster://HOST:PORT,..., ${ENV:NAME} or "
                      "file:PATH; rocksdb if not said");
  command->add_option("--workers", options->workers, "threads that handle requests")
      ->capture_default_str()
      ->check(CLI::Range(1, 256));
  command->callback([&globals, command, options, file] {
    std::vector<std::string> given;
    for (const CLI::Option* option : command->get_options())
      if (option->count() > 0) given.push_back(option->get_single_name());
    const auto configured = configure(*file, given, *options);
    if (!configured) return globals.fail(configured.error());
    serve(globals, *options);
  });
}

}  // namespace penstock::app
