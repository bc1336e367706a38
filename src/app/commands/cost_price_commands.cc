// cost import-prices, cost reprice.
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/commands/cost_commands.h"
#include "base/yaml.h"
#include "costs/corrections.h"
#include "costs/litellm_prices.h"

namespace penstock::app {
namespace {

constexpr int turns_max = 1'000'000;

struct ImportOptions {
  std::string file, name = "litellm", owner = "finance", from;
  std::vector<std::string> models;
  bool plan = false, yaml = false;
};

Result<json::object> declaration_of(Globals& globals, const ImportOptions& options) {
  std::vector<costs::LitellmChoice> choices;
  for (const std::string& model : options.models) {
    const std::size_t equals = model.find('=');
    choices.push_back(
        {model.substr(0, equals), equals == std::string::npos ? "" : model.substr(equals + 1)});
  }
  const std::string from =
      options.from.empty() ? to_rfc3339(SystemClock().now()).substr(0, 10) : options.from;
  const auto begins = from_rfc3339(from);
  if (!begins) return Error{Code::invalid_argument, "--from must be a date or an RFC 3339 time"};
  const auto prices = TRY(costs::litellm_prices(TRY(read_file(options.file)), choices, *begins));
  costs::PriceList list{.name = options.name,
                        .owner = options.owner,
                        .description = "Imported from LiteLLM's price file",
                        .currency = "USD"};
  const auto known = globals.client().call(
      "GET", "/api/v1/resources/price_list/" + net::percent_encoded(options.name));
  if (known)
    list = TRY(decode<costs::PriceList>(known->at("declaration")));
  else if (known.error().code != Code::not_found)
    return known.error();
  list.prices = costs::merged(std::move(list.prices), prices);
  json::object declaration{{"kind", "price_list"}};
  const json::value encoded = encode(list);
  for (const auto& member : encoded.as_object()) declaration[member.key()] = member.value();
  return declaration;
}

void run_import(Globals& globals, const ImportOptions& options) {
  const auto declaration = declaration_of(globals, options);
  if (!declaration) return globals.fail(declaration.error());
  if (options.yaml) {
    std::cout << yaml::print(*declaration);
    return;
  }
  const auto answer =
      globals.ask("POST", "/api/v1/resources:apply",
                  json::object{{"documents", json::array{json::object{{"declaration", *declaration},
                                                                      {"file", options.file},
                                                                      {"lines", json::object{}}}}},
                               {"dry_run", options.plan}});
  if (!answer) return;
  globals.show(*answer, [&] {
    const json::value& change = answer->at("changes").as_array().at(0);
    std::cout << "price_list " << options.name << " @" << text_of(change, "version") << ": "
              << text_of(change, "action") << ", " << declaration->at("prices").as_array().size()
              << " prices" << (options.plan ? " (planned)" : "") << "\n";
  });
}

void add_import(CLI::App& cost, Globals& globals) {
  CLI::App* command = cost.add_subcommand(
      "import-prices", "Take models' prices from LiteLLM's price file into a price_list");
  auto options = std::make_shared<ImportOptions>();
  command->add_option("file", options->file, "model_prices_and_context_window.json")->required();
  command
      ->add_option("--models", options->models,
                   "keys of the file, KEY=MODEL where our name is another; without it the key "
                   "without its provider, as the upstream says it")
      ->required()
      ->delimiter(',');
  command->add_option("--name", options->name, "of the price_list");
  command->add_option("--owner", options->owner, "of the price_list, where it is new");
  command->add_option("--from", options->from, "the prices' first day; today if not given");
  command->add_flag("--plan", options->plan, "say what would change; change nothing");
  command->add_flag("--yaml", options->yaml, "print the declaration; change nothing");
  command->callback([&globals, options] { run_import(globals, *options); });
}

struct RepriceOptions {
  std::string from, until, reason, model, known_at;
  bool only_unpriced = false, plan = false;
};

void run_reprice(Globals& globals, const RepriceOptions& options) {
  json::object body{{"from", options.from},
                    {"until", options.until},
                    {"reason", options.reason},
                    {"only_unpriced", options.only_unpriced},
                    {"dry_run", options.plan}};
  if (!options.model.empty()) body["model"] = options.model;
  if (!options.known_at.empty()) body["known_at"] = options.known_at;
  std::int64_t examined = 0, repriced = 0, unpriced = 0;
  Money difference;
  json::array corrections;
  for (int turn = 0; turn < turns_max; ++turn) {
    const auto answer = globals.ask("POST", "/api/v1/costs:reprice", body);
    if (!answer) return;
    const auto out = decode<costs::RepriceOutput>(*answer);
    if (!out) return globals.fail(out.error());
    examined += out->examined;
    repriced += out->repriced;
    unpriced += out->unpriced;
    difference = difference + out->difference;
    if (!out->correction.empty()) corrections.push_back(json::value(out->correction));
    if (!out->next) break;
    body["after"] = encode(*out->next);
  }
  const json::object all{{"examined", examined},
                         {"repriced", repriced},
                         {"unpriced", unpriced},
                         {"difference", to_text(difference)},
                         {"corrections", corrections}};
  globals.show(all, [&] {
    std::cout << examined << " lines examined, " << repriced
              << (options.plan ? " would be repriced" : " repriced") << ", " << unpriced
              << " still without a price; the total " << (options.plan ? "would change" : "changed")
              << " by " << to_text(difference) << "\n";
  });
}

void add_reprice(CLI::App& cost, Globals& globals) {
  CLI::App* command = cost.add_subcommand(
      "reprice", "Price lines of a period by the prices as they are now: reverse and repost");
  auto options = std::make_shared<RepriceOptions>();
  command->add_option("--from", options->from, "RFC 3339 time or date")->required();
  command->add_option("--until", options->until, "RFC 3339 time or date")->required();
  command->add_option("--reason", options->reason, "goes into the audit log")->required();
  command->add_option("--model", options->model, "only of this model, ours or the upstream's");
  command->add_option("--known-at", options->known_at, "by the price lists as they were then");
  command->add_flag("--only-unpriced", options->only_unpriced, "leave what has a price");
  command->add_flag("--plan", options->plan, "say what would change; change nothing");
  command->callback([&globals, options] { run_reprice(globals, *options); });
}

}  // namespace

void add_cost_price_commands(CLI::App& cost, Globals& globals) {
  add_import(cost, globals);
  add_reprice(cost, globals);
}

}  // namespace penstock::app
