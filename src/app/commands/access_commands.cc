// tokens, whoami.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

struct NewToken {
  std::string name, actor, tenant, project, expires_in;
  std::vector<std::string> roles;
};

void create(Globals& globals, const NewToken& token) {
  json::object body{{"name", token.name},
                    {"actor", token.actor},
                    {"roles", json::array(token.roles.begin(), token.roles.end())},
                    {"tenant", token.tenant},
                    {"project", token.project}};
  if (!token.expires_in.empty()) body["expires_in"] = token.expires_in;
  const auto answer = globals.ask("POST", "/api/v1/tokens", body);
  // The token alone on its line, so that a script can take it.
  if (answer) globals.show(*answer, [&] { std::cout << text_of(*answer, "token") << "\n"; });
}

// "developer, approver" of a JSON list.
std::string words_of(const json::value& list) {
  std::string out;
  for (const json::value& word : list.as_array())
    out += (out.empty() ? "" : ", ") + std::string(word.as_string());
  return out;
}

}  // namespace

void add_access_commands(CLI::App& parent, Globals& globals) {
  CLI::App* tokens = parent.add_subcommand("tokens", "Who may do what");
  tokens->require_subcommand(1);
  CLI::App* make = tokens->add_subcommand("create", "Make a token and print it, once");
  auto token = std::make_shared<NewToken>();
  make->add_option("name", token->name, "what it is for")->required();
  make->add_option("--actor", token->actor, "user:NAME or service:NAME")->required();
  make->add_option("--role", token->roles, "viewer, developer, approver, operator or admin")
      ->required();
  make->add_option("--tenant", token->tenant, "who pays; yours if not said");
  make->add_option("--project", token->project, "who owns; yours if not said");
  make->add_option("--expires", token->expires_in, "30d, 12h, ...; never if not said");
  make->callback([&globals, token] { create(globals, *token); });

  CLI::App* list = tokens->add_subcommand("list", "List tokens, without their texts");
  list->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/tokens");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& one : answer->at("tokens").as_array())
        rows.push_back({text_of(one, "id"), text_of(one, "name"), text_of(one, "actor"),
                        words_of(one.at("roles")), text_of(one, "tenant"), text_of(one, "project"),
                        text_of(one, "expires_at"),
                        text_of(one, "revoked_at").empty() ? "" : "revoked"});
      print_table({"ID", "NAME", "ACTOR", "ROLES", "TENANT", "PROJECT", "EXPIRES", ""}, rows);
    });
  });
  CLI::App* revoke = tokens->add_subcommand("revoke", "Revoke a token");
  auto id = std::make_shared<std::string>();
  revoke->add_option("id", *id)->required();
  revoke->callback([&globals, id] {
    const auto answer = globals.ask("DELETE", "/api/v1/tokens/" + net::percent_encoded(*id));
    if (answer) globals.show(*answer, [&] { std::cout << "revoked " << *id << "\n"; });
  });
  parent.add_subcommand("whoami", "Say who the token is")->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/whoami");
    if (answer)
      globals.show(*answer, [&] {
        std::cout << text_of(*answer, "actor") << ", " << words_of(answer->at("roles"))
                  << ", tenant " << text_of(*answer, "tenant") << ", project "
                  << text_of(*answer, "project") << "\n";
      });
  });
}

}  // namespace penstock::app
