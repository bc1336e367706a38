// cost: reports.
#include "app/commands/cost_commands.h"

#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "costs/reports.h"

namespace penstock::app {
namespace {

struct ReportOptions {
  std::string by = "model,tenant", from, until, tenant, route, model, meter, mode;
  bool csv = false, focus = false;
};

std::string query_of(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string query;
  for (const auto& [name, value] : fields)
    if (!value.empty())
      query += (query.empty() ? "?" : "&") + name + "=" + net::percent_encoded(value);
  return query;
}

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string out = "\"";
  for (const char letter : text) out += letter == '"' ? "\"\"" : std::string(1, letter);
  return out + "\"";
}

void print_csv(const std::vector<std::string>& headings,
               const std::vector<std::vector<std::string>>& rows) {
  const auto print = [](const std::vector<std::string>& cells) {
    for (std::size_t at = 0; at < cells.size(); ++at)
      std::cout << (at == 0 ? "" : ",") << csv_cell(cells[at]);
    std::cout << "\n";
  };
  print(headings);
  for (const auto& row : rows) print(row);
}

void warn_of_unpriced(const std::string& what) {
  std::cerr << what << ": no price covers it, and no amount counts it; add one to a price_list and "
            << "run penstock cost reprice\n";
}

void print_report(const json::value& answer, const ReportOptions& options) {
  std::vector<std::string> headings;
  for (const json::value& dimension : answer.at("dimensions").as_array())
    headings.emplace_back(dimension.as_string());
  // Requests and microseconds do not add up: a quantity is shown where the meter is.
  const bool by_meter = options.by.find("meter") != std::string::npos || !options.meter.empty();
  if (by_meter) headings.emplace_back(options.csv ? "quantity" : "QUANTITY");
  headings.emplace_back(options.csv ? "amount" : "AMOUNT");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& row : answer.at("rows").as_array()) {
    auto& cells = rows.emplace_back();
    for (const json::value& key : row.at("keys").as_array()) cells.emplace_back(key.as_string());
    if (by_meter) cells.push_back(text_of(row, "quantity"));
    const bool unknown = row.at("unpriced") == row.at("quantity") && row.at("quantity") != 0;
    cells.push_back(unknown ? "unpriced" : text_of(row, "amount"));
  }
  if (options.csv) {
    print_csv(headings, rows);
  } else {
    print_table(headings, rows);
    std::cout << "total " << text_of(answer, "total") << " " << text_of(answer, "currency") << "\n";
  }
  std::string unpriced;
  for (const json::value& meter : answer.at("unpriced").as_array())
    unpriced += (unpriced.empty() ? "" : ", ") + std::string(meter.as_string());
  if (!unpriced.empty()) warn_of_unpriced("some of " + unpriced);
}

void run_focus(Globals& globals, const ReportOptions& options) {
  const auto answer = globals.ask(
      "GET", "/api/v1/costs/focus" + query_of({{"from", options.from}, {"until", options.until}}));
  if (!answer) return;
  globals.show(*answer, [&] {
    std::cout << text_of(*answer, "csv");
    if (answer->at("unpriced") != 0)
      warn_of_unpriced(text_of(*answer, "unpriced") + " rows are not in this file");
  });
}

void run_report(Globals& globals, const ReportOptions& options) {
  if (options.focus) return run_focus(globals, options);
  const auto answer = globals.ask("GET", "/api/v1/costs" + query_of({{"by", options.by},
                                                                     {"from", options.from},
                                                                     {"until", options.until},
                                                                     {"tenant", options.tenant},
                                                                     {"route", options.route},
                                                                     {"model", options.model},
                                                                     {"meter", options.meter},
                                                                     {"mode", options.mode}}));
  if (answer) globals.show(*answer, [&] { print_report(*answer, options); });
}

void print_showback(const json::value& answer) {
  for (const json::value& tenant : answer.at("tenants").as_array()) {
    std::cout << "tenant " << text_of(tenant, "tenant") << "\n";
    std::vector<std::vector<std::string>> rows;
    for (const json::value& row : tenant.at("rows").as_array())
      rows.push_back(
          {costs::name_of_version(text_of(row, "model"), row.at("version").to_number<int>()),
           text_of(row, "meter"), text_of(row, "quantity"),
           text_of(row, "pricing") == "priced" ? text_of(row, "amount") : "unpriced"});
    print_table({"MODEL", "METER", "QUANTITY", "AMOUNT"}, rows);
    std::cout << "total " << text_of(tenant, "total") << "\n\n";
  }
  std::cout << "all " << text_of(answer, "total") << " " << text_of(answer, "currency") << "\n";
}

void print_lines(const json::value& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& line : answer.at("lines").as_array())
    rows.push_back({text_of(line, "meter"), text_of(line, "entry"), text_of(line, "quantity"),
                    text_of(line, "pricing") == "priced"
                        ? text_of(line, "price") + " / " + text_of(line, "per")
                        : "unpriced",
                    text_of(line, "amount"), text_of(line, "price_list"),
                    text_of(line, "posted_at"), text_of(line, "correction")});
  print_table(
      {"METER", "ENTRY", "QUANTITY", "PRICE", "AMOUNT", "PRICE LIST", "POSTED", "CORRECTION"},
      rows);
  std::cout << "total " << text_of(answer, "total") << "\n";
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return Error{Code::invalid_argument, path + ": cannot be read"};
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

void add_cost_commands(CLI::App& parent, Globals& globals) {
  CLI::App* cost = parent.add_subcommand("cost", "What calls cost, by one or two dimensions");
  cost->require_subcommand(0, 1);
  auto options = std::make_shared<ReportOptions>();
  cost->add_option("--by", options->by,
                   "one or two of model, version, tenant, project, route, release, user, meter, "
                   "mode, upstream, experiment, hour, day, month");
  cost->add_option("--from", options->from, "RFC 3339 time or date");
  cost->add_option("--until", options->until, "RFC 3339 time or date");
  cost->add_option("--tenant", options->tenant, "only of this tenant");
  cost->add_option("--route", options->route, "only of this route");
  cost->add_option("--model", options->model, "only of this model");
  cost->add_option("--meter", options->meter, "only of this meter, as prompt_tokens");
  cost->add_option("--mode", options->mode, "only online, batch, stream, shadow or offline");
  CLI::Option* csv = cost->add_flag("--csv", options->csv, "as comma-separated values");
  cost->add_flag("--focus", options->focus, "as FOCUS 1.2, the FinOps format of bills")
      ->excludes(csv);
  cost->callback([&globals, options, cost] {
    if (cost->get_subcommands().empty()) run_report(globals, *options);
  });

  CLI::App* showback = cost->add_subcommand("showback", "What each tenant spent, on what");
  auto from = std::make_shared<std::string>(), until = std::make_shared<std::string>();
  showback->add_option("--from", *from, "RFC 3339 time or date");
  showback->add_option("--until", *until, "RFC 3339 time or date");
  showback->callback([&globals, from, until] {
    const auto answer = globals.ask(
        "GET", "/api/v1/costs/showback" + query_of({{"from", *from}, {"until", *until}}));
    if (answer) globals.show(*answer, [&] { print_showback(*answer); });
  });

  CLI::App* lines =
      cost->add_subcommand("lines", "The ledger's lines of one call, corrections too");
  auto source = std::make_shared<std::string>(), id = std::make_shared<std::string>();
  lines->add_option("source", *source, "inference, or whoever posted it")->required();
  lines->add_option("id", *id, "the call's")->required();
  lines->callback([&globals, source, id] {
    const auto answer =
        globals.ask("GET", "/api/v1/costs/lines" + query_of({{"source", *source}, {"id", *id}}));
    if (answer) globals.show(*answer, [&] { print_lines(*answer); });
  });
  add_cost_price_commands(*cost, globals);
  add_cost_change_commands(*cost, globals);
}

}  // namespace penstock::app
