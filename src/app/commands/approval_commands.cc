// approvals: list, show, give, withdraw.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

using Text = std::shared_ptr<std::string>;

void add_list(CLI::App& approvals, Globals& globals) {
  CLI::App* command = approvals.add_subcommand("list", "List what waits for approval");
  auto mine = std::make_shared<bool>(false), closed = std::make_shared<bool>(false);
  command->add_flag("--mine", *mine, "only what waits for me");
  command->add_flag("--closed", *closed, "also what waits for nobody any more");
  command->callback([&globals, mine, closed] {
    const auto answer =
        globals.ask("GET", std::string("/api/v1/approvals?mine=") + (*mine ? "true" : "false") +
                               "&closed=" + (*closed ? "true" : "false"));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& waiting : answer->at("requests").as_array()) {
        const json::value &request = waiting.at("request"), &standing = waiting.at("standing");
        rows.push_back({text_of(request, "subject"), text_of(request, "scope"),
                        text_of(standing, "given") + " of " + text_of(standing, "needed"),
                        text_of(request, "asked_by"), text_of(request, "expires_at"),
                        waiting.at("waits_for_me").as_bool() ? "you" : text_of(request, "state"),
                        text_of(request, "summary")});
      }
      print_table({"SUBJECT", "SCOPE", "GIVEN", "ASKED BY", "UNTIL", "WAITS FOR", "SUMMARY"}, rows);
    });
  });
}

void print_history(const json::value& history) {
  for (const json::value& request : history.at("requests").as_array())
    std::cout << "asked for " << text_of(request, "scope") << " by " << text_of(request, "asked_by")
              << " at " << text_of(request, "at") << ": " << text_of(request, "state")
              << "\n  digest " << text_of(request, "digest") << "\n";
  for (const json::value& approval : history.at("approvals").as_array()) {
    std::cout << "approved for " << text_of(approval, "scope") << " by "
              << text_of(approval, "approver") << " at " << text_of(approval, "at") << "  "
              << text_of(approval, "comment") << "\n  id " << text_of(approval, "id")
              << "\n  digest " << text_of(approval, "digest");
    if (!text_of(approval, "expires_at").empty())
      std::cout << "\n  until " << text_of(approval, "expires_at");
    if (!text_of(approval, "ended_at").empty())
      std::cout << "\n  ended at " << text_of(approval, "ended_at") << " by "
                << text_of(approval, "ended_by") << ": " << text_of(approval, "ended_why");
    std::cout << "\n";
  }
}

void add_show(CLI::App& approvals, Globals& globals) {
  CLI::App* command = approvals.add_subcommand("show", "Show who approved a subject, and of what");
  auto subject = std::make_shared<std::string>();
  command->add_option("subject", *subject, "URN, e.g. model:NAME@v4")->required();
  command->callback([&globals, subject] {
    const auto answer =
        globals.ask("GET", "/api/v1/approvals/history?subject=" + net::percent_encoded(*subject));
    if (answer) globals.show(*answer, [&] { print_history(*answer); });
  });
}

void add_give(CLI::App& approvals, Globals& globals) {
  CLI::App* command = approvals.add_subcommand("give", "Approve a subject as it stands");
  const Text subject = std::make_shared<std::string>(), scope = std::make_shared<std::string>(),
             comment = std::make_shared<std::string>(), digest = std::make_shared<std::string>();
  command->add_option("subject", *subject, "URN, e.g. model:NAME@v4")->required();
  command->add_option("--for", *scope, "scope, e.g. production")->required();
  command->add_option("--comment", *comment, "why");
  command->add_option("--digest", *digest, "refuse if it is not this any more");
  command->callback([&globals, subject, scope, comment, digest] {
    const auto answer = globals.ask(
        "POST", "/api/v1/approvals:give",
        json::object{
            {"subject", *subject}, {"scope", *scope}, {"comment", *comment}, {"digest", *digest}});
    if (!answer) return;
    globals.show(*answer, [&] {
      const json::value &approval = answer->at("approval"), &standing = answer->at("standing");
      std::cout << text_of(approval, "approver") << " approved " << text_of(approval, "subject")
                << " for " << text_of(approval, "scope") << " until "
                << text_of(approval, "expires_at") << "; " << text_of(standing, "given") << " of "
                << text_of(standing, "needed") << " approvals"
                << (standing.at("granted").as_bool() ? "" : ", and it waits for more") << "\n";
    });
  });
}

void add_withdraw(CLI::App& approvals, Globals& globals) {
  CLI::App* command = approvals.add_subcommand("withdraw", "Take an approval back");
  const Text id = std::make_shared<std::string>(), reason = std::make_shared<std::string>();
  command->add_option("id", *id, "of the approval; penstock approvals show SUBJECT")->required();
  command->add_option("--reason", *reason, "why")->required();
  command->callback([&globals, id, reason] {
    const auto answer =
        globals.ask("POST", "/api/v1/approvals/" + net::percent_encoded(*id) + ":withdraw",
                    json::object{{"reason", *reason}});
    if (answer)
      globals.show(*answer, [&] {
        std::cout << "the approval of " << text_of(*answer, "subject") << " for "
                  << text_of(*answer, "scope") << " is withdrawn\n";
      });
  });
}

}  // namespace

void add_approval_commands(CLI::App& parent, Globals& globals) {
  CLI::App* approvals = parent.add_subcommand("approvals", "Who agreed to what, and what waits");
  approvals->require_subcommand(1);
  add_list(*approvals, globals);
  add_show(*approvals, globals);
  add_give(*approvals, globals);
  add_withdraw(*approvals, globals);
}

}  // namespace penstock::app
