// cost reverse, share, reconcile, reconciliations.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/commands/cost_commands.h"
#include "base/id.h"
#include "costs/reconcile.h"

namespace penstock::app {
namespace {

struct ReverseOptions {
  std::string source, id, meter, reason, correction;
  std::string quantity, tenant, route, model, user;
};

// Absent fields keep what the line says; none at all: nothing stands in its place.
json::object replacement_of(const ReverseOptions& options) {
  json::object out;
  if (!options.quantity.empty()) out["quantity"] = std::stoll(options.quantity);
  for (const auto& [name, value] :
       {std::pair("tenant", &options.tenant), std::pair("route", &options.route),
        std::pair("model", &options.model), std::pair("user_tag", &options.user)})
    if (!value->empty()) out[name] = *value;
  return out;
}

void run_reverse(Globals& globals, const ReverseOptions& options) {
  json::object line{{"source", options.source}, {"id", options.id}};
  if (!options.meter.empty()) line["meter"] = options.meter;
  if (const json::object with = replacement_of(options); !with.empty()) line["replacement"] = with;
  const std::string id =
      options.correction.empty() ? new_ulid(SystemClock().now()) : options.correction;
  const auto answer = globals.ask(
      "POST", "/api/v1/costs/corrections",
      json::object{{"id", id}, {"reason", options.reason}, {"lines", json::array{line}}});
  if (!answer) return;
  globals.show(*answer, [&] {
    std::cout << "correction " << text_of(*answer, "id");
    if (answer->at("repeated").as_bool())
      std::cout << " was already made at " << text_of(*answer, "at") << ", and nothing changed now";
    std::cout << ": " << text_of(*answer, "reversed") << " lines taken back, "
              << text_of(*answer, "reposted") << " posted instead; the total changed by "
              << text_of(*answer, "difference") << "\n";
  });
}

void add_reverse(CLI::App& cost, Globals& globals) {
  CLI::App* command = cost.add_subcommand(
      "reverse", "Take lines back; with a replacement, post what is right in their place");
  auto options = std::make_shared<ReverseOptions>();
  command->add_option("source", options->source, "inference, share:ID, ...")->required();
  command->add_option("id", options->id, "the call's; all of the source if not given");
  command->add_option("--meter", options->meter, "one meter's line alone");
  command->add_option("--reason", options->reason, "goes into the audit log")->required();
  command->add_option("--correction", options->correction,
                      "an id of yours: the same correction again is not made again");
  command->add_option("--quantity", options->quantity, "what is right")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--tenant", options->tenant, "what is right");
  command->add_option("--route", options->route, "what is right");
  command->add_option("--model", options->model, "what is right; its price is looked up");
  command->add_option("--user", options->user, "what is right");
  command->callback([&globals, options] { run_reverse(globals, *options); });
}

struct ShareOptions {
  std::string id, amount, from, until, by = "requests", over = "tenant", tenant, route, model,
                                       description;
};

void print_shares(const json::value& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& part : answer.at("shares").as_array())
    rows.push_back({text_of(part, "tenant"), text_of(part, "route"), text_of(part, "model"),
                    text_of(part, "measured"), text_of(part, "amount")});
  print_table({"TENANT", "ROUTE", "MODEL", "MEASURED", "AMOUNT"}, rows);
  std::cout << "total " << text_of(answer, "total") << " as " << text_of(answer, "source")
            << (answer.at("repeated").as_bool() ? ", as it was split before" : "") << "\n";
}

void add_share(CLI::App& cost, Globals& globals) {
  CLI::App* command = cost.add_subcommand("share", "Split a bill over those who shared it");
  auto options = std::make_shared<ShareOptions>();
  command->add_option("id", options->id, "yours, as the number of the bill")->required();
  command->add_option("--amount", options->amount, "of the bill")->required();
  command->add_option("--from", options->from, "the hour it begins with")->required();
  command->add_option("--until", options->until, "the hour it ends before")->required();
  command->add_option("--by", options->by, "requests, tokens, gpu_time or cost");
  command->add_option("--over", options->over, "one or more of tenant, route, model");
  command->add_option("--tenant", options->tenant, "only over what this tenant used");
  command->add_option("--route", options->route, "only over what this route used");
  command->add_option("--model", options->model, "only over what this model used");
  command->add_option("--description", options->description, "what the bill is for");
  command->callback([&globals, options] {
    const auto answer = globals.ask("POST", "/api/v1/costs/shares",
                                    json::object{{"id", options->id},
                                                 {"amount", options->amount},
                                                 {"from", options->from},
                                                 {"until", options->until},
                                                 {"by", options->by},
                                                 {"over", options->over},
                                                 {"tenant", options->tenant},
                                                 {"route", options->route},
                                                 {"model", options->model},
                                                 {"description", options->description}});
    if (answer) globals.show(*answer, [&] { print_shares(*answer); });
  });
}

void print_reconciliation(const json::value& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& row : answer.at("rows").as_array())
    rows.push_back({text_of(row, "provider"), text_of(row, "day"), text_of(row, "model"),
                    text_of(row, "meter"), text_of(row, "reported_quantity"),
                    text_of(row, "metered_quantity"), text_of(row, "reported_amount"),
                    text_of(row, "metered_amount"), text_of(row, "outcome")});
  print_table({"PROVIDER", "DAY", "MODEL", "METER", "REPORTED", "METERED", "REPORTED AMOUNT",
               "METERED AMOUNT", "OUTCOME"},
              rows);
  std::cout << text_of(answer, "differences") << " of " << rows.size() << " differ\n";
}

struct ReconcileOptions {
  std::string file, provider, upstream, tolerance = "0.01";
};

void run_reconcile(Globals& globals, const ReconcileOptions& options) {
  const auto text = read_file(options.file);
  if (!text) return globals.fail(text.error());
  const auto rows = costs::read_report(*text);
  if (!rows) {
    Error error = rows.error();
    error.message = options.file + ": " + error.message;
    return globals.fail(error);
  }
  const auto answer = globals.ask("POST", "/api/v1/costs/reconciliations",
                                  json::object{{"provider", options.provider},
                                               {"upstream", options.upstream},
                                               {"tolerance", options.tolerance},
                                               {"rows", encode(*rows)}});
  if (!answer) return;
  globals.show(*answer, [&] { print_reconciliation(*answer); });
  if (answer->at("differences") != 0) globals.exit = Exit::failed;
}

void add_reconcile(CLI::App& cost, Globals& globals) {
  CLI::App* command = cost.add_subcommand(
      "reconcile", "Compare a provider's report (CSV or JSON, by day and model) with the ledger");
  auto options = std::make_shared<ReconcileOptions>();
  command->add_option("file", options->file, "with day, model, meter, quantity, amount")
      ->required();
  command->add_option("--provider", options->provider)->required();
  command->add_option("--upstream", options->upstream,
                      "whose lines; those of the provider's name if not given, * for all");
  command->add_option("--tolerance", options->tolerance, "share that may differ: 0.01 is 1%");
  command->callback([&globals, options] { run_reconcile(globals, *options); });

  CLI::App* list = cost.add_subcommand("reconciliations", "How providers' reports compared");
  auto provider = std::make_shared<std::string>();
  auto differing = std::make_shared<bool>(false);
  list->add_option("--provider", *provider);
  list->add_flag("--differing", *differing, "only what differs");
  list->callback([&globals, provider, differing] {
    const auto answer = globals.ask(
        "GET", "/api/v1/costs/reconciliations?provider=" + net::percent_encoded(*provider) +
                   (*differing ? "&only_differences=true" : ""));
    if (answer) globals.show(*answer, [&] { print_reconciliation(*answer); });
  });
}

}  // namespace

void add_cost_change_commands(CLI::App& cost, Globals& globals) {
  add_reverse(cost, globals);
  add_share(cost, globals);
  add_reconcile(cost, globals);
}

}  // namespace penstock::app
