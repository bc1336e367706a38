// routes, predict, batch, stream.
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/command.h"

namespace penstock::app {
namespace {

std::string fixed(const json::value& object, std::string_view field, int places) {
  const json::value* value = object.as_object().if_contains(field);
  if (!value || !value->is_number()) return "";
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", places, value->to_number<double>());
  return text;
}

std::string share_of(const json::value& target) {
  if (text_of(target, "arm") == "shadow") return "shadow";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", target.at("weight").to_number<double>() / 100);
  return text;
}

void print_targets(const json::value& route) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& target : route.at("targets").as_array())
    rows.push_back({"v" + text_of(target, "version"), text_of(target, "arm"), share_of(target),
                    text_of(target, "ready"), text_of(target, "answered"),
                    text_of(target, "errors"), text_of(target, "mirrored"),
                    text_of(target, "release")});
  print_table({"version", "arm", "traffic", "ready", "answered", "errors", "mirrored", "release"},
              rows);
}

void add_routes(CLI::App& parent, Globals& globals) {
  CLI::App* routes = parent.add_subcommand("routes", "The names that callers use");
  routes->require_subcommand(1);
  routes->add_subcommand("list", "List routes")->callback([&globals] {
    const auto answer = globals.ask("GET", "/api/v1/routes");
    if (!answer) return;
    globals.show(*answer, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& route : answer->at("routes").as_array()) {
        std::string versions;
        for (const json::value& target : route.at("targets").as_array())
          versions += (versions.empty() ? "v" : ", v") + text_of(target, "version") + " " +
                      share_of(target);
        rows.push_back({text_of(route, "name"), text_of(route, "model"),
                        versions.empty() ? "not in service" : versions, text_of(route, "owner")});
      }
      print_table({"route", "model", "versions", "owner"}, rows);
    });
  });
  add_shadows_command(*routes, globals);
  auto name = std::make_shared<std::string>();
  CLI::App* show = routes->add_subcommand("show", "Show a route and what its versions answered");
  show->add_option("route", *name, "its name")->required();
  show->callback([&globals, name] {
    const auto answer = globals.ask("GET", "/api/v1/routes/" + net::percent_encoded(*name));
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << "route:" << text_of(*answer, "name") << "  model " << text_of(*answer, "model")
                << "  owner " << text_of(*answer, "owner") << "  threshold "
                << text_of(*answer, "threshold") << "\n";
      print_targets(*answer);
    });
  });
}

void add_predict(CLI::App& parent, Globals& globals) {
  struct Options {
    std::string route, event_time, id;
    std::vector<std::string> entities;
  };
  auto options = std::make_shared<Options>();
  CLI::App* predict = parent.add_subcommand("predict", "Predict for one entity");
  predict->add_option("route", options->route, "the route's name")->required();
  predict->add_option("--entity", options->entities, "a join key: KEY=VALUE (again for each)");
  predict->add_option("--event-time", options->event_time, "features as of this RFC 3339 time");
  predict->add_option("--id", options->id, "of a call that may be sent again");
  predict->callback([&globals, options] {
    json::object entities;
    for (const std::string& entity : options->entities) {
      const std::size_t equals = entity.find('=');
      if (equals == std::string::npos)
        return globals.fail({Code::invalid_argument, "--entity " + entity + " must be KEY=VALUE"});
      entities[entity.substr(0, equals)] = entity.substr(equals + 1);
    }
    json::object body{{"entities", entities}};
    if (!options->event_time.empty()) body["event_time"] = options->event_time;
    if (!options->id.empty()) body["id"] = options->id;
    const auto answer = globals.ask(
        "POST", "/api/v1/routes/" + net::percent_encoded(options->route) + ":predict", body);
    if (!answer) return;
    globals.show(*answer, [&] {
      std::cout << "score " << fixed(*answer, "score", 4) << "  decision "
                << text_of(*answer, "decision") << "  by model:" << text_of(*answer, "model")
                << "@v" << text_of(*answer, "version") << "\nprediction:" << text_of(*answer, "id")
                << "\n";
    });
  });
}

void print_partitions(const json::value& answer) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& partition : answer.at("partitions").as_array())
    rows.push_back({text_of(partition, "day"), "v" + text_of(partition, "version"),
                    text_of(partition, "rows"), text_of(partition, "features_as_of"),
                    text_of(partition, "digest").substr(0, 12), text_of(partition, "path")});
  print_table({"day", "version", "rows", "oldest feature", "digest", "path"}, rows);
}

void add_batch(CLI::App& parent, Globals& globals) {
  struct Options {
    std::string route, output, rows;
    std::int64_t version = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* batch = parent.add_subcommand("batch", "Score rows offline");
  batch->require_subcommand(1);
  CLI::App* score = batch->add_subcommand("score", "Score rows as of each one's time, by day");
  score->add_option("--route", options->route, "whose model and rules")->required();
  score->add_option("--rows", options->rows, "SELECT of id, the join keys and event_time")
      ->required();
  score->add_option("--output", options->output, "name of the output")->required();
  score->add_option("--version", options->version, "of the model; else the one that is live");
  score->callback([&globals, options] {
    const auto answer = globals.client(std::chrono::hours(1))
                            .call("POST", "/api/v1/batch:score",
                                  json::object{{"route", options->route},
                                               {"rows", options->rows},
                                               {"output", options->output},
                                               {"version", options->version}});
    if (!answer) return globals.fail(answer.error());
    globals.show(*answer, [&] {
      std::cout << text_of(*answer, "rows") << " rows; published " << text_of(*answer, "published")
                << " of " << answer->at("partitions").as_array().size()
                << " partitions (the others stood already)\n";
      print_partitions(*answer);
    });
  });
  CLI::App* show = batch->add_subcommand("show", "List the partitions of an output");
  show->add_option("output", options->output, "its name")->required();
  show->callback([&globals, options] {
    const auto answer =
        globals.ask("GET", "/api/v1/batch/" + net::percent_encoded(options->output));
    if (answer) globals.show(*answer, [&] { print_partitions(*answer); });
  });
}

// JSON lines of {"key": ..., "value": {...}}, sent in stretches.
Result<std::int64_t> push(const Globals& globals, const std::string& topic, std::istream& lines) {
  net::Client client = globals.client();
  const std::string path = "/api/v1/topics/" + net::percent_encoded(topic) + "/records";
  std::int64_t sent = 0, number = 0;
  json::array records;
  const auto flush = [&]() -> Result<void> {
    if (records.empty()) return {};
    const auto count = static_cast<std::int64_t>(records.size());
    TRY(client.call("POST", path, json::object{{"records", std::move(records)}}));
    records = {};
    sent += count;
    return {};
  };
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty()) continue;
    boost::system::error_code fault;
    json::value record = json::parse(line, fault);
    if (fault)
      return Error{Code::invalid_argument,
                   "line " + std::to_string(number) + ": is no JSON: " + fault.message()};
    records.push_back(std::move(record));
    if (records.size() == 1'000) TRY(flush());
  }
  TRY(flush());
  return sent;
}

void add_stream(CLI::App& parent, Globals& globals) {
  struct Options {
    std::string name, file = "-";
    std::int64_t offset = 0, limit = 20;
  };
  auto options = std::make_shared<Options>();
  CLI::App* stream = parent.add_subcommand("stream", "Topics, and streams that decide on them");
  stream->require_subcommand(1);

  CLI::App* send = stream->add_subcommand("push", "Append JSON lines {\"key\":..., \"value\":...}");
  send->add_option("topic", options->name, "the topic")->required();
  send->add_option("-f,--file", options->file, "the file; - for standard input");
  send->callback([&globals, options] {
    std::ifstream file;
    if (options->file != "-") file.open(options->file);
    if (options->file != "-" && !file)
      return globals.fail({Code::invalid_argument, "cannot read " + options->file});
    const auto sent = push(globals, options->name, options->file == "-" ? std::cin : file);
    if (!sent) return globals.fail(sent.error());
    globals.show(json::object{{"sent", *sent}},
                 [&] { std::cout << "sent " << *sent << " records\n"; });
  });

  CLI::App* status = stream->add_subcommand("status", "Show where a stream stands");
  status->add_option("stream", options->name, "its name")->required();
  status->callback([&globals, options] {
    const auto answer =
        globals.ask("GET", "/api/v1/streams/" + net::percent_encoded(options->name));
    if (!answer) return;
    globals.show(*answer, [&] {
      print_table({"stream", "position", "lag", "decided", "duplicates", "errors"},
                  {{text_of(*answer, "name"), text_of(*answer, "position"), text_of(*answer, "lag"),
                    text_of(*answer, "decided"), text_of(*answer, "duplicates"),
                    text_of(*answer, "errors")}});
    });
  });

  CLI::App* read = stream->add_subcommand("read", "Print records of a topic as JSON lines");
  read->add_option("topic", options->name, "the topic")->required();
  read->add_option("--offset", options->offset, "the first one");
  read->add_option("--limit", options->limit, "at most this many");
  read->callback([&globals, options] {
    const auto answer =
        globals.ask("GET", "/api/v1/topics/" + net::percent_encoded(options->name) +
                               "/records?offset=" + std::to_string(options->offset) +
                               "&limit=" + std::to_string(options->limit));
    if (!answer) return;
    globals.show(*answer, [&] {
      for (const json::value& record : answer->at("records").as_array())
        std::cout << json::serialize(record) << "\n";
    });
  });
}

}  // namespace

void add_serving_commands(CLI::App& parent, Globals& globals) {
  add_routes(parent, globals);
  add_predict(parent, globals);
  add_batch(parent, globals);
  add_stream(parent, globals);
}

}  // namespace penstock::app
