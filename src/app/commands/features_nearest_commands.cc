// features nearest.
#include <charconv>
#include <fstream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

struct Options {
  std::string feature, vector, metric = "cosine";
  std::vector<std::string> entity;
  std::string where;
  std::int64_t k = 10, effort = 0;
  bool exact = false;
};

// "0.1, 0.2", "[0.1, 0.2]", or @FILE that holds the like.
Result<json::array> vector_of(const std::string& text) {
  std::string list = text;
  if (text.starts_with("@")) {
    std::ifstream file(text.substr(1));
    if (!file) return Error{Code::invalid_argument, text.substr(1) + " cannot be read"};
    list = std::string(std::istreambuf_iterator<char>(file), {});
  }
  const auto outer = [](char c) {
    return std::string_view("[] ,\t\r\n").find(c) != std::string::npos;
  };
  json::array out;
  const char* at = list.data();
  const char* const end = at + list.size();
  for (;;) {
    while (at != end && outer(*at)) ++at;
    if (at == end) return out;
    double number = 0;
    const auto [rest, fault] = std::from_chars(at, end, number);
    if (fault != std::errc{} || (rest != end && !outer(*rest)))
      return Error{Code::invalid_argument,
                   "--vector must be numbers with commas between them, or @FILE; element " +
                       std::to_string(out.size() + 1) + " is none"};
    out.push_back(number);
    at = rest;
  }
}

Result<json::object> body_of(const Options& options) {
  const std::size_t colon = options.feature.find(':');
  if (colon == std::string::npos)
    return Error{Code::invalid_argument,
                 "\"" + options.feature + "\" is no feature; write VIEW:FEATURE"};
  json::object body{{"view", options.feature.substr(0, colon)},
                    {"feature", options.feature.substr(colon + 1)},
                    {"vector", TRY(vector_of(options.vector))},
                    {"k", options.k},
                    {"metric", options.metric},
                    {"exact", options.exact}};
  json::object entity;
  for (const std::string& text : options.entity) {
    const auto [key, value] = TRY(pair_of(text));
    entity[key] = value;
  }
  body["entity"] = std::move(entity);
  if (options.effort > 0) body["effort"] = options.effort;
  if (!options.where.empty()) {
    const auto [feature, text] = TRY(pair_of(options.where));
    boost::system::error_code fault;
    json::value value = json::parse(text, fault);
    if (fault) value = json::value(text);
    body["filter"] = {{"feature", feature}, {"equals", std::move(value)}};
  }
  return body;
}

void show(const json::value& found) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : found.at("neighbours").as_array()) {
    std::string entity;
    for (const auto& key : one.at("entity").as_object())
      entity += (entity.empty() ? "" : ", ") + std::string(key.key()) + "=" +
                std::string(key.value().as_string());
    rows.push_back({entity, text_of(one, "distance"), text_of(one, "event_time"),
                    text_of(one, "age_seconds")});
  }
  print_table({"ENTITY", "DISTANCE", "AS OF", "AGE (S)"}, rows);
}

}  // namespace

void add_nearest_command(CLI::App& features, Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      features.add_subcommand("nearest", "Find the entities whose embedding is nearest");
  command->add_option("feature", options->feature, "VIEW:FEATURE or VIEW@VERSION:FEATURE")
      ->required();
  command->add_option("--vector", options->vector, "Near to this: 0.1,0.2,0.3 or @FILE");
  command->add_option("--entity", options->entity, "Near to this entity: a join key, item=7");
  command->add_option("-k", options->k, "How many, at most 1000");
  command->add_option("--metric", options->metric, "cosine, dot or euclidean");
  command->add_flag("--exact", options->exact, "Look at every row");
  command->add_option("--where", options->where, "Only where another feature is so: shop=berlin");
  command->add_option("--effort", options->effort,
                      "How many rows an approximate search keeps in sight");
  command->callback([&globals, options] {
    const auto body = body_of(*options);
    if (!body) return globals.fail(body.error());
    const auto found = globals.ask("POST", "/api/v1/features:nearest", *body);
    if (!found) return;
    globals.show(*found, [&] { show(*found); });
  });
}

}  // namespace penstock::app
