// pipelines, runs, reproduce.
#include <chrono>
#include <iostream>
#include <thread>

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "base/yaml.h"

namespace penstock::app {
namespace {

bool is_finished(const json::value& detail) {
  const std::string status = text_of(detail.at("run"), "status");
  return status == "succeeded" || status == "failed";
}

void print_run(const json::value& detail) {
  const json::value& run = detail.at("run");
  std::cout << "run:" << text_of(run, "id") << "  " << text_of(run, "pipeline") << "@"
            << text_of(run, "pipeline_version") << "  " << text_of(run, "status");
  if (!text_of(run, "fault").empty()) std::cout << ": " << text_of(run, "fault");
  std::cout << "\n";
  for (const json::value& step : detail.at("steps").as_array()) {
    std::cout << "  " << text_of(step, "step") << "  "
              << (step.at("cached").as_bool() ? "cached" : text_of(step, "status"));
    for (const json::value& output : step.at("outputs").as_array())
      std::cout << "  " << text_of(output, "name") << " "
                << (text_of(output, "urn").empty() ? text_of(output, "digest").substr(0, 12)
                                                   : text_of(output, "urn"));
    std::cout << "\n";
  }
  for (const json::value& evaluation : detail.at("evaluations").as_array()) {
    const json::value& all = evaluation.at("slices").as_array().at(0);
    std::cout << "  evaluation:" << text_of(evaluation, "name") << "  "
              << (evaluation.at("passed").as_bool() ? "passed" : "NOT PASSED") << "  brier "
              << text_of(all, "brier") << ", baseline " << text_of(all, "baseline_brier")
              << ", better by " << text_of(all, "improvement") << " [" << text_of(all, "lower")
              << ", " << text_of(all, "upper") << "] on " << text_of(all, "rows") << " rows, "
              << evaluation.at("slices").as_array().size() - 1 << " slices\n";
  }
  for (const json::value& output : detail.at("reproduced").as_array())
    std::cout << "  " << text_of(output, "step") << "." << text_of(output, "output") << "  "
              << (output.at("same").as_bool() ? "same" : "DIFFERENT") << "\n";
}

// Waits for the end of a run, with a line of progress on a terminal.
std::optional<json::value> wait_for(Globals& globals, const std::string& id) {
  const bool terminal = isatty(STDERR_FILENO) && !globals.json;
  for (;;) {
    const auto detail = globals.ask("GET", "/api/v1/runs/" + id);
    if (!detail || is_finished(*detail)) {
      if (terminal) std::cerr << "\r\033[K";
      return detail;
    }
    if (terminal)
      std::cerr << "\r\033[K" << text_of(detail->at("run"), "status") << ", "
                << detail->at("steps").as_array().size() << " steps done" << std::flush;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

void follow(Globals& globals, const std::string& id) {
  const auto detail = wait_for(globals, id);
  if (!detail) return;
  globals.show(*detail, [&] { print_run(*detail); });
  if (text_of(detail->at("run"), "status") != "succeeded") globals.exit = Exit::failed;
  for (const json::value& output : detail->at("reproduced").as_array())
    if (!output.at("same").as_bool()) globals.exit = Exit::failed;
}

// NAME=VALUE, the value as YAML would read it.
Result<json::object> parameters_of(const std::vector<std::string>& texts) {
  json::object out;
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0)
      return Error{Code::invalid_argument, "\"" + text + "\" is no parameter; write NAME=VALUE"};
    const auto value = TRY(yaml::parse(text.substr(equals + 1)));
    out[text.substr(0, equals)] = value.empty() ? json::value(nullptr) : value.front().value;
  }
  return out;
}

void add_pipelines(CLI::App& parent, Globals& globals) {
  CLI::App* pipelines = parent.add_subcommand("pipelines", "Declared work, step by step");
  pipelines->require_subcommand(1);
  CLI::App* run = pipelines->add_subcommand("run", "Run a pipeline and wait for its end");
  auto name = std::make_shared<std::string>(), commit = std::make_shared<std::string>();
  auto texts = std::make_shared<std::vector<std::string>>();
  auto seed = std::make_shared<std::int64_t>(0);
  auto fresh = std::make_shared<bool>(false);
  run->add_option("pipeline", *name)->required();
  run->add_option("-p,--parameter", *texts, "NAME=VALUE");
  run->add_option("--seed", *seed, "of the steps' random numbers");
  run->add_flag("--no-cache", *fresh, "do every step again");
  run->add_option("--git-commit", *commit, "of the code");
  run->callback([&globals, name, texts, seed, fresh, commit] {
    const auto parameters = parameters_of(*texts);
    if (!parameters) return globals.fail(parameters.error());
    const auto answer =
        globals.ask("POST", "/api/v1/pipelines/" + net::percent_encoded(*name) + ":run",
                    json::object{{"parameters", *parameters},
                                 {"seed", *seed},
                                 {"use_cache", !*fresh},
                                 {"git_commit", *commit}});
    if (answer) follow(globals, text_of(*answer, "id"));
  });
}

void add_runs(CLI::App& parent, Globals& globals) {
  CLI::App* runs = parent.add_subcommand("runs", "Executions of pipelines");
  runs->require_subcommand(1);
  auto id = std::make_shared<std::string>();
  CLI::App* list = runs->add_subcommand("list", "List runs, newest first");
  list->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/runs");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& run : answer->at("runs").as_array())
        rows.push_back({text_of(run, "id"), text_of(run, "pipeline"), text_of(run, "status"),
                        text_of(run, "author"), text_of(run, "created_at")});
      print_table({"ID", "PIPELINE", "STATUS", "AUTHOR", "CREATED"}, rows);
    });
  });
  CLI::App* show = runs->add_subcommand("show", "Show a run");
  show->add_option("id", *id)->required();
  show->callback([&globals, id] {
    const auto detail = globals.ask("GET", "/api/v1/runs/" + net::percent_encoded(*id));
    if (detail) globals.show(*detail, [&] { print_run(*detail); });
  });
  CLI::App* reproduce = parent.add_subcommand("reproduce", "Run a run again and compare digests");
  reproduce->add_option("run", *id)->required();
  reproduce->callback([&globals, id] {
    const auto answer = globals.ask(
        "POST", "/api/v1/runs/" + net::percent_encoded(*id) + ":reproduce", json::object{});
    if (answer) follow(globals, text_of(*answer, "id"));
  });
}

void add_register(CLI::App& parent, Globals& globals) {
  CLI::App* runs = parent.get_subcommand("runs");
  CLI::App* command = runs->add_subcommand("register", "Register a run's model as a version");
  auto id = std::make_shared<std::string>();
  auto body = std::make_shared<std::map<std::string, std::string>>();
  command->add_option("id", *id)->required();
  for (const char* field : {"model", "owner", "rollback_to", "approved_for", "description"}) {
    std::string option(field);
    for (char& letter : option)
      if (letter == '_') letter = '-';
    CLI::Option* added = command->add_option_function<std::string>(
        "--" + option, [body, field](const std::string& text) { (*body)[field] = text; });
    if (option == "model" || option == "owner") added->required();
  }
  command->callback([&globals, id, body] {
    json::object fields;
    for (const auto& [name, text] : *body) fields[name] = text;
    const auto answer =
        globals.ask("POST", "/api/v1/runs/" + net::percent_encoded(*id) + ":register", fields);
    if (answer)
      globals.show(*answer, [&] {
        std::cout << "registered model:" << text_of(*answer, "model") << "@v"
                  << text_of(*answer, "version") << "\n";
      });
  });
}

}  // namespace

void add_training_commands(CLI::App& parent, Globals& globals) {
  add_pipelines(parent, globals);
  add_runs(parent, globals);
  add_register(parent, globals);
}

}  // namespace penstock::app
