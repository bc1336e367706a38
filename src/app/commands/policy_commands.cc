// policies: list, views, show, install, check, results.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "base/yaml.h"

namespace penstock::app {
namespace {

using Text = std::shared_ptr<std::string>;

std::string joined(const json::value& list) {
  std::string out;
  for (const json::value& one : list.as_array())
    out += (out.empty() ? "" : ", ") + std::string(one.as_string());
  return out;
}

void add_list(CLI::App& policies, Globals& globals) {
  policies.add_subcommand("list", "List policies")->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/policies");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("policies").as_array()) {
        const json::value& policy = one.at("policy");
        rows.push_back({text_of(policy, "name"), text_of(policy, "severity"),
                        joined(policy.at("applies_to")), text_of(policy, "owner"),
                        text_of(one, "version"), text_of(policy, "message")});
      }
      print_table({"NAME", "SEVERITY", "APPLIES TO", "OWNER", "VERSION", "MESSAGE"}, rows);
    });
  });
}

void print_view(const json::value& view) {
  std::cout << text_of(view, "name") << "\n  " << text_of(view, "description") << "\n";
  std::vector<std::vector<std::string>> rows;
  for (const json::value& column : view.at("columns").as_array())
    rows.push_back(
        {text_of(column, "name"), text_of(column, "type"), text_of(column, "description")});
  print_table({"COLUMN", "TYPE", "WHAT"}, rows);
}

void add_views(CLI::App& policies, Globals& globals) {
  CLI::App* command = policies.add_subcommand("views", "Show what policies may read");
  const Text name = std::make_shared<std::string>();
  command->add_option("name", *name, "of one view: its columns");
  command->callback([&globals, name] {
    const auto answer = globals.ask("GET", "/api/v1/policies/views");
    if (!answer) return;
    const auto& views = answer->at("views").as_array();
    if (!name->empty()) {
      for (const json::value& view : views)
        if (text_of(view, "name") == *name) return globals.show(view, [&] { print_view(view); });
      return globals.fail(
          {Code::not_found, "there is no view " + *name + "; penstock policies views lists them"});
    }
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& view : views)
        rows.push_back({text_of(view, "name"), text_of(view, "description")});
      print_table({"VIEW", "WHAT"}, rows);
    });
  });
}

void add_show(CLI::App& policies, Globals& globals) {
  CLI::App* command =
      policies.add_subcommand("show", "Print a policy, or the default ones, as YAML");
  const Text name = std::make_shared<std::string>();
  command->add_option("name", *name, "of a policy, or defaults")->required();
  command->callback([&globals, name] {
    if (*name == "defaults") {
      const auto answer = globals.ask("GET", "/api/v1/policies/defaults");
      if (answer) globals.show(*answer, [&] { std::cout << text_of(*answer, "yaml"); });
      return;
    }
    const auto answer =
        globals.ask("GET", "/api/v1/resources/policy/" + net::percent_encoded(*name));
    if (!answer) return;
    globals.show(*answer, [&] {
      json::object document{{"kind", "policy"}};
      for (const auto& field : answer->at("declaration").as_object())
        document[field.key()] = field.value();
      std::cout << yaml::print(document);
    });
  });
}

void add_install(CLI::App& policies, Globals& globals) {
  CLI::App* command =
      policies.add_subcommand("install", "Declare the policies that come with the program");
  const Text what = std::make_shared<std::string>("defaults");
  auto replace = std::make_shared<bool>(false);
  command->add_option("set", *what, "defaults")->check(CLI::IsMember({"defaults"}));
  command->add_flag("--replace", *replace, "also those that were changed here");
  command->callback([&globals, what, replace] {
    const auto answer =
        globals.ask("POST", "/api/v1/policies:install", json::object{{"replace", *replace}});
    if (!answer) return;
    globals.show(*answer, [&] {
      for (const json::value& change : answer->at("changes").as_array())
        std::cout << text_of(change, "action") << " policy " << text_of(change, "name") << "\n";
      for (const json::value& kept : answer->at("kept").as_array())
        std::cout << "kept policy " << kept.as_string().c_str() << " as it is\n";
    });
  });
}

std::string said_of(const json::value& finding) {
  const std::string outcome = text_of(finding, "outcome");
  if (outcome == "passed") return "holds";
  if (outcome == "failed") return "FAILED TO RUN";
  return finding.at("allowed").as_bool() ? "warns" : "REFUSES";
}

void add_check(CLI::App& policies, Globals& globals) {
  CLI::App* command =
      policies.add_subcommand("check", "Ask the policies; nothing is kept or refused");
  const Text subject = std::make_shared<std::string>(), route = std::make_shared<std::string>(),
             purpose = std::make_shared<std::string>(),
             action = std::make_shared<std::string>("release");
  command->add_option("subject", *subject, "URN, e.g. model:NAME@v4")->required();
  command->add_option("--action", *action, "register, approve, release or read")
      ->check(CLI::IsMember({"register", "approve", "release", "read"}))
      ->capture_default_str();
  command->add_option("--route", *route, "of a release");
  command->add_option("--purpose", *purpose, "of a read, e.g. dataset:NAME");
  command->callback([&globals, subject, action, route, purpose] {
    const auto answer = globals.ask(
        "POST", "/api/v1/policies:check",
        json::object{
            {"subject", *subject}, {"action", *action}, {"route", *route}, {"purpose", *purpose}});
    if (!answer) return;
    const bool allowed = answer->at("allowed").as_bool();
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& finding : answer->at("findings").as_array())
        rows.push_back({text_of(finding, "policy"), said_of(finding), text_of(finding, "message")});
      if (!rows.empty()) print_table({"POLICY", "SAYS", "WHY"}, rows);
      std::cout << "to " << *action << " " << *subject << " would be "
                << (allowed ? "allowed" : "refused") << "\n";
    });
    if (!allowed) globals.exit = Exit::failed;
  });
}

void add_results(CLI::App& policies, Globals& globals) {
  CLI::App* command = policies.add_subcommand("results", "List what policies said, newest first");
  const Text subject = std::make_shared<std::string>(), policy = std::make_shared<std::string>();
  command->add_option("--subject", *subject, "URN");
  command->add_option("--policy", *policy, "name");
  command->callback([&globals, subject, policy] {
    const auto answer =
        globals.ask("GET", "/api/v1/policies/results?subject=" + net::percent_encoded(*subject) +
                               "&policy=" + net::percent_encoded(*policy));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("results").as_array())
        rows.push_back({text_of(one, "at"), text_of(one, "action"), text_of(one, "subject"),
                        text_of(one, "policy"), text_of(one, "policy_version"), said_of(one),
                        text_of(one, "actor")});
      print_table({"AT", "ACTION", "SUBJECT", "POLICY", "VERSION", "SAID", "ASKED BY"}, rows);
    });
  });
}

}  // namespace

void add_policy_commands(CLI::App& parent, Globals& globals) {
  CLI::App* policies = parent.add_subcommand("policies", "What must hold before something is done");
  policies->require_subcommand(1);
  add_list(*policies, globals);
  add_views(*policies, globals);
  add_show(*policies, globals);
  add_install(*policies, globals);
  add_check(*policies, globals);
  add_results(*policies, globals);
}

}  // namespace penstock::app
