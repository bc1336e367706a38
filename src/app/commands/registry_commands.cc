// models: register, list, export, approve.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/commands/record_commands.h"
#include "app/commands/version_path.h"
#include "app/declarations.h"
#include "base/id.h"

namespace penstock::app {
namespace {

// Sends the files below `directory` as one artifact.
Result<std::string> upload(const Globals& globals, const std::string& directory) {
  namespace fs = std::filesystem;
  net::Client client = globals.client(std::chrono::minutes(10));
  const std::string id = new_ulid(SystemClock().now());
  std::error_code fault;
  for (const auto& entry : fs::recursive_directory_iterator(directory, fault)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream stream(entry.path(), std::ios::binary);
    const std::string bytes(std::istreambuf_iterator<char>(stream), {});
    const auto sent = TRY(client.send("PUT",
                                      "/api/v1/uploads/" + id + "/files/" +
                                          fs::relative(entry.path(), directory).generic_string(),
                                      bytes, {{"content-type", "application/octet-stream"}}));
    if (sent.status != 200) return Error{Code::failed_precondition, sent.body};
  }
  if (fault) return Error{Code::invalid_argument, directory + ": " + fault.message()};
  const auto artifact =
      TRY(client.call("POST", "/api/v1/uploads/" + id + ":commit", json::object{}));
  return text_of(artifact, "uri");
}

Result<json::value> read_record(const Globals& globals, const std::string& file,
                                const std::string& artifact) {
  const auto documents = TRY(read_declarations({file}));
  if (documents.size() != 1)
    return Error{Code::invalid_argument, file + ": must hold exactly one record"};
  json::value record = documents[0].at("declaration");
  if (!artifact.empty()) record.as_object()["artifact_uri"] = TRY(upload(globals, artifact));
  return record;
}

// The record as it was written: what nobody wrote is left out.
json::object written_record(const json::value& detail) {
  json::object out;
  for (const auto& field : detail.at("version").at("record").as_object()) {
    const bool empty =
        field.value().is_null() || (field.value().is_object() && field.value().as_object().empty());
    if (!empty) out[field.key()] = field.value();
  }
  return out;
}

void add_register(CLI::App& models, Globals& globals) {
  CLI::App* command = models.add_subcommand("register", "Register a model version with its record");
  auto file = std::make_shared<std::string>(), artifact = std::make_shared<std::string>();
  command->add_option("-f,--file", *file, "YAML file of the record")->required();
  command->add_option("--artifact", *artifact, "directory to upload as its files");
  command->callback([&globals, file, artifact] {
    const auto record = read_record(globals, *file, *artifact);
    if (!record) return globals.fail(record.error());
    const auto answer = globals.ask("POST", "/api/v1/models:register", *record);
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << "registered model:" << text_of(*answer, "model") << "@v"
                << text_of(*answer, "version") << "\n";
      for (const json::value& reference : answer->at("record_references").as_array())
        if (text_of(reference, "standing") == "declared")
          std::cout << "  declared, not verified: " << text_of(reference, "field") << " "
                    << text_of(reference, "text") << " (blocks a release)\n";
    });
  });
}

void add_readers(CLI::App& models, Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* export_record = models.add_subcommand("export", "Print the record as YAML");
  export_record->add_option("version", *name, "NAME@v4")->required();
  export_record->callback([&globals, name] {
    const auto detail = ask_version(globals, *name);
    if (!detail) return;
    const json::object record = written_record(*detail);
    globals.show(record, [&] { std::cout << yaml::print(record); });
  });
  CLI::App* list = models.add_subcommand("list", "List model versions");
  list->add_option("model", *name, "only of this model");
  list->callback([&globals, name] {
    const auto answer = globals.ask(
        "GET", "/api/v1/models" + (name->empty() ? "" : "?model=" + net::percent_encoded(*name)));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& version : answer->at("versions").as_array())
        rows.push_back({text_of(version, "model"), "v" + text_of(version, "version"),
                        text_of(version, "status"), text_of(version.at("record"), "owner"),
                        text_of(version.at("record"), "training_data"),
                        text_of(version, "created_at")});
      print_table({"MODEL", "VERSION", "STATUS", "OWNER", "TRAINING DATA", "REGISTERED"}, rows);
    });
  });
}

void add_approve(CLI::App& models, Globals& globals) {
  CLI::App* command = models.add_subcommand("approve", "Approve a model version for a scope");
  auto name = std::make_shared<std::string>(), scope = std::make_shared<std::string>(),
       comment = std::make_shared<std::string>();
  command->add_option("version", *name, "NAME@v4")->required();
  command->add_option("--for", *scope, "scope, e.g. production-canary")->required();
  command->add_option("--comment", *comment, "why");
  command->callback([&globals, name, scope, comment] {
    const auto path = version_path(*name);
    if (!path) return globals.fail(path.error());
    const auto answer = globals.ask("POST", *path + ":approve",
                                    json::object{{"scope", *scope}, {"comment", *comment}});
    if (answer)
      globals.show(*answer, [&] {
        std::cout << text_of(*answer, "approver") << " approved " << text_of(*answer, "subject")
                  << " for " << text_of(*answer, "scope") << "\n";
      });
  });
}

}  // namespace

void add_registry_commands(CLI::App& parent, Globals& globals) {
  CLI::App* models = parent.add_subcommand("models", "Model versions and their records");
  models->require_subcommand(1);
  add_register(*models, globals);
  add_readers(*models, globals);
  add_record_commands(*models, globals);
  add_signing_commands(*models, globals);
  add_approve(*models, globals);
  add_prepare_command(*models, globals);
}

}  // namespace penstock::app
