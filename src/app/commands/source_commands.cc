// sources, search.
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/declarations.h"
#include "base/yaml.h"

namespace penstock::app {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string path_of(const std::string& name, const std::string& rest = "") {
  return "/api/v1/sources/" + net::percent_encoded(name) + rest;
}

// Long work: all rows of a source.
std::optional<json::value> ask_long(Globals& globals, const std::string& target,
                                    const json::value& body = nullptr) {
  auto answer = globals.client(std::chrono::hours(1)).call("POST", target, body);
  if (answer) return std::move(answer).take();
  globals.fail(answer.error());
  return {};
}

std::string place_of(const json::value& source) {
  const json::value& postgres = source.at("postgres");
  if (const json::value& kafka = source.at("kafka"); !kafka.is_null())
    return text_of(kafka, "topic") + " (kafka, connection " + text_of(kafka, "connection") + ")";
  if (const std::string connection = text_of(source, "connection"); !connection.empty())
    return text_of(source, "path") + " (" + text_of(source, "format") + ", connection " +
           connection + ")";
  return postgres.is_null() ? text_of(source, "path") + " (" + text_of(source, "format") + ")"
                            : text_of(postgres, "table") + " (postgres)";
}

void print_columns(const json::value& columns) {
  Rows rows;
  for (const json::value& column : columns.as_array())
    rows.push_back({text_of(column, "name"), text_of(column, "type"),
                    column.at("nullable").as_bool() ? "" : "not null",
                    text_of(column, "classification"), text_of(column, "unit")});
  print_table({"COLUMN", "TYPE", "NULL", "CLASS", "UNIT"}, rows);
}

void print_source(const json::value& view) {
  const json::value& source = view.at("source");
  std::cout << "source:" << text_of(source, "name") << "@" << text_of(view, "version") << "  "
            << text_of(view, "classification") << "  owner " << text_of(source, "owner") << "\n";
  std::cout << "  " << place_of(source) << "\n";
  print_columns(source.at("columns"));
  for (const json::value& change : view.at("changes").as_array())
    std::cout << "changed in version " << text_of(change, "version") << " ("
              << text_of(change, "at") << ", " << text_of(change, "actor")
              << "): " << text_of(change, "what") << "\n";
}

void add_list_and_show(CLI::App& sources, Globals& globals) {
  sources.add_subcommand("list", "List sources")->callback([&globals] {
    const auto list = globals.ask("GET", "/api/v1/sources");
    if (!list) return;
    globals.show(*list, [&] {
      Rows rows;
      for (const json::value& view : list->at("sources").as_array())
        rows.push_back({text_of(view.at("source"), "name"), text_of(view, "version"),
                        text_of(view.at("source"), "owner"), text_of(view, "classification"),
                        place_of(view.at("source"))});
      print_table({"SOURCE", "VERSION", "OWNER", "CLASS", "PLACE"}, rows);
    });
  });
  auto name = std::make_shared<std::string>();
  CLI::App* show = sources.add_subcommand("show", "Show a source and what changed in it");
  show->add_option("name", *name)->required();
  show->callback([&globals, name] {
    const auto view = globals.ask("GET", path_of(*name));
    if (view) globals.show(*view, [&] { print_source(*view); });
  });
}

// What people need not read: fields that are empty or say what would be so without them.
json::value pruned(const json::value& value) {
  if (const json::array* list = value.if_array()) {
    json::array out;
    for (const json::value& item : *list) out.push_back(pruned(item));
    return out;
  }
  const json::object* object = value.if_object();
  if (!object) return value;
  json::object out;
  for (const auto& [key, item] : *object) {
    const bool empty = item.is_null() || (item.is_string() && item.get_string().empty()) ||
                       (item.is_array() && item.get_array().empty()) ||
                       (item.is_object() && item.get_object().empty());
    const bool usual = (key == "nullable" && item == json::value(true)) ||
                       (key == "compatibility" && item == json::value("none"));
    if (!empty && !usual) out[key] = key == "contract" ? item : pruned(item);
  }
  return out;
}

bool write_or_print(Globals& globals, const std::string& path, const std::string& text) {
  if (path.empty()) {
    std::cout << text;
    return true;
  }
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return true;
  globals.fail({Code::invalid_argument, path + ": cannot be written"});
  return false;
}

std::string declaration_text(const json::value& source) {
  json::object declaration{{"kind", "source"}};
  const json::value without = pruned(source);
  for (const auto& [key, item] : without.as_object())
    if (key != "format" || !source.at("path").as_string().empty()) declaration[key] = item;
  return yaml::print(declaration);
}

void add_discover(CLI::App& sources, Globals& globals) {
  struct Options {
    std::string location, table, topic, name, owner, format, connection, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      sources.add_subcommand("discover", "Propose a declaration from what is there");
  command
      ->add_option("location", options->location,
                   "A file or directory of the server, or s3://BUCKET/PREFIX/; with --table a "
                   "PostgreSQL connection, such as ${ENV:WAREHOUSE}")
      ->required();
  command->add_option("--table", options->table, "A table there: public.flights");
  command->add_option("--topic", options->topic,
                      "A topic of Kafka; the location is the name of its connection");
  command->add_option("--connection", options->connection,
                      "Of s3://: its name in penstock.yaml; else the only one");
  command->add_option("--name", options->name, "What to call the source");
  command->add_option("--owner", options->owner, "Whose it is; else you");
  command->add_option("--format", options->format, "parquet, csv or json");
  command->add_option("-o,--output", options->output, "A file to write; else it is printed");
  command->callback([&globals, options] {
    json::object body{{"name", options->name}, {"owner", options->owner}};
    if (!options->format.empty()) body["format"] = options->format;
    if (!options->connection.empty()) body["connection"] = options->connection;
    if (!options->topic.empty())
      body["kafka"] = json::object{{"connection", options->location}, {"topic", options->topic}};
    else if (options->table.empty())
      body["path"] = options->location;
    else
      body["postgres"] = json::object{{"connection", options->location}, {"table", options->table}};
    const auto found = ask_long(globals, "/api/v1/sources:discover", body);
    if (!found) return;
    if (globals.json) return globals.show(*found, [] {});
    std::string text;
    for (const json::value& note : found->at("notes").as_array())
      text += "# " + std::string(note.as_string()) + "\n";
    text += declaration_text(found->at("source"));
    if (write_or_print(globals, options->output, text) && !options->output.empty())
      std::cout << "wrote " << options->output << "; look at it, then: penstock apply "
                << options->output << "\n";
  });
}

void add_schema(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  auto version = std::make_shared<int>(0);
  CLI::App* command = sources.add_subcommand("schema", "Show the schema of a source");
  command->add_option("name", *name)->required();
  command->add_option("--version", *version, "Else the newest")->check(CLI::PositiveNumber);
  command->callback([&globals, name, version] {
    const auto schema =
        globals.ask("GET", path_of(*name, "/schema?version=" + std::to_string(*version)));
    if (!schema) return;
    globals.show(*schema, [&] {
      std::cout << text_of(*schema, "source") << "  compatibility "
                << text_of(*schema, "compatibility") << "\n";
      print_columns(schema->at("columns"));
      Rows rows;
      for (const json::value& one : schema->at("versions").as_array()) {
        std::string changes;
        for (const json::value& change : one.at("changes").as_array())
          changes += (changes.empty() ? "" : "; ") + std::string(change.as_string());
        rows.push_back({text_of(one, "version"), text_of(one, "applied_at"),
                        text_of(one, "applied_by"), changes});
      }
      print_table({"VERSION", "APPLIED", "BY", "CHANGES"}, rows);
    });
  });
}

std::string faults_text(const json::value& faults) {
  std::string out;
  for (const json::value& fault : faults.as_array())
    out += (out.empty() ? "" : "; ") + text_of(fault, "what");
  return out.empty() ? "yes" : "no: " + out;
}

void add_compatibility(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  auto file = std::make_shared<std::string>();
  CLI::App* command =
      sources.add_subcommand("compatibility", "Which versions of a source read each other's rows");
  command->add_option("name", *name)->required();
  command->add_option("-f,--file", *file, "A declaration that is not applied yet");
  command->callback([&globals, name, file] {
    json::object body;
    if (!file->empty()) {
      const auto documents = read_declarations({*file});
      if (!documents) return globals.fail(documents.error());
      for (const json::value& document : *documents)
        if (text_of(document.at("declaration"), "name") == *name)
          body["candidate"] = document.at("declaration");
      if (!body.contains("candidate"))
        return globals.fail({Code::invalid_argument, *file + " declares no source " + *name});
    }
    const auto report = globals.ask("POST", path_of(*name, ":compatibility"), body);
    if (!report) return;
    globals.show(*report, [&] {
      std::cout << text_of(*report, "source") << "  compatibility " << text_of(*report, "mode")
                << (report->at("allowed").as_bool() ? "" : "  BROKEN") << "\n";
      Rows rows;
      for (const json::value& pair : report->at("pairs").as_array())
        rows.push_back({text_of(pair, "before"),
                        pair.at("after").as_int64() ? text_of(pair, "after") : "candidate",
                        faults_text(pair.at("backward_faults")),
                        faults_text(pair.at("forward_faults"))});
      print_table({"BEFORE", "AFTER", "NEW READS OLD", "OLD READS NEW"}, rows);
    });
    if (!report->at("allowed").as_bool()) globals.exit = Exit::failed;
  });
}

void print_measure(const json::value& measure) {
  std::cout << "source:" << text_of(measure, "source") << "@" << text_of(measure, "version") << "  "
            << text_of(measure, "row_count") << " rows  "
            << (measure.at("passed").as_bool() ? "passed" : "FAILED") << "\n";
  if (const std::string newest = text_of(measure, "newest"); !newest.empty())
    std::cout << "  newest " << newest << (measure.at("fresh").as_bool() ? "" : "  TOO OLD")
              << "\n";
  if (const std::string fault = text_of(measure, "fault"); !fault.empty())
    std::cout << "  fault: " << fault << "\n";
  for (const json::value& drift : measure.at("drift").as_array())
    std::cout << "  drift: " << std::string(drift.as_string()) << "\n";
  Rows rows;
  for (const json::value& result : measure.at("checks").as_array())
    rows.push_back({result.at("passed").as_bool() ? "passed" : "failed", text_of(result, "name"),
                    text_of(result, "severity"), text_of(result, "violations"),
                    text_of(result, "fault")});
  if (!rows.empty()) print_table({"RESULT", "CHECK", "SEVERITY", "VIOLATIONS", "FAULT"}, rows);
}

void add_measures(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  for (const auto& [word, what] :
       {std::pair{"check", "Run the quality checks of a source and keep what they found"},
        std::pair{"refresh", "Check a source and profile its columns"}}) {
    CLI::App* command = sources.add_subcommand(word, what);
    command->add_option("name", *name)->required();
    command->callback([&globals, name, verb = std::string(word)] {
      const auto measure = ask_long(globals, path_of(*name, ":" + verb));
      if (!measure) return;
      globals.show(*measure, [&] { print_measure(*measure); });
      if (!measure->at("passed").as_bool()) globals.exit = Exit::failed;
    });
  }
  CLI::App* history = sources.add_subcommand("history", "What was measured, newest first");
  history->add_option("name", *name)->required();
  history->callback([&globals, name] {
    const auto list = globals.ask("GET", path_of(*name, "/measures"));
    if (!list) return;
    globals.show(*list, [&] {
      Rows rows;
      for (const json::value& measure : list->at("measures").as_array()) {
        std::string failed = text_of(measure, "fault");
        for (const json::value& check : measure.at("checks").as_array())
          if (!check.at("passed").as_bool())
            failed += (failed.empty() ? "" : ", ") + text_of(check, "name");
        rows.push_back({text_of(measure, "at"), text_of(measure, "version"),
                        text_of(measure, "row_count"),
                        measure.at("fresh").as_bool() ? "fresh" : "stale",
                        measure.at("passed").as_bool() ? "passed" : "failed", failed,
                        text_of(measure, "snapshot_digest").substr(0, 12)});
      }
      print_table({"AT", "VERSION", "ROWS", "FRESH", "RESULT", "FAILED", "SNAPSHOT"}, rows);
    });
  });
}

std::string rounded(const json::value& column, const char* field) {
  const json::value& value = column.at(field);
  if (!value.is_number()) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value.to_number<double>());
  return text;
}

void add_profile(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  auto snapshot = std::make_shared<std::string>();
  CLI::App* command = sources.add_subcommand("profile", "What the columns of a source look like");
  command->add_option("name", *name)->required();
  command->add_option("--snapshot", *snapshot, "The beginning of a digest; else the newest");
  command->callback([&globals, name, snapshot] {
    const auto profile =
        globals.ask("GET", path_of(*name, "/profile?snapshot=" + net::percent_encoded(*snapshot)));
    if (!profile) return;
    globals.show(*profile, [&] {
      std::cout << "source:" << text_of(*profile, "source") << "@" << text_of(*profile, "version")
                << "  " << text_of(*profile, "row_count") << " rows  snapshot "
                << text_of(*profile, "snapshot_digest").substr(0, 12) << "  "
                << text_of(*profile, "at") << "\n";
      Rows rows;
      for (const json::value& column : profile->at("columns").as_array()) {
        std::string top;
        for (const json::value& value : column.at("top").as_array()) {
          if (top.size() > 30) break;
          top += (top.empty() ? "" : ", ") + text_of(value, "value") + " " + text_of(value, "rows");
        }
        rows.push_back({text_of(column, "name"), text_of(column, "type"), text_of(column, "nulls"),
                        text_of(column, "distinct"), text_of(column, "min"), text_of(column, "max"),
                        rounded(column, "mean"), rounded(column, "stddev"), top});
      }
      print_table({"COLUMN", "TYPE", "NULLS", "DISTINCT", "MIN", "MAX", "MEAN", "STDDEV", "TOP"},
                  rows);
    });
  });
}

void add_contracts(CLI::App& sources, Globals& globals) {
  struct Options {
    std::string file, owner, output;
  };
  auto options = std::make_shared<Options>();
  CLI::App* take = sources.add_subcommand(
      "import-contract", "Read an Open Data Contract (ODCS 3) as declarations of sources");
  take->add_option("file", options->file)->required();
  take->add_option("--owner", options->owner, "Else who the contract names");
  take->add_option("-o,--output", options->output, "A file to write; else they are printed");
  take->callback([&globals, options] {
    std::ifstream file(options->file, std::ios::binary);
    if (!file) return globals.fail({Code::invalid_argument, options->file + ": cannot be read"});
    const auto documents = yaml::parse(std::string(std::istreambuf_iterator<char>(file), {}));
    if (!documents)
      return globals.fail(
          {Code::invalid_argument, options->file + ": " + documents.error().message});
    if (documents->size() != 1 || !documents->front().value.is_object())
      return globals.fail({Code::invalid_argument, options->file + ": must hold one contract"});
    const auto read =
        globals.ask("POST", "/api/v1/contracts:import",
                    {{"contract", documents->front().value}, {"owner", options->owner}});
    if (!read) return;
    if (globals.json) return globals.show(*read, [] {});
    std::string text;
    for (const json::value& warning : read->at("warnings").as_array())
      std::cerr << "warning: " << std::string(warning.as_string()) << "\n";
    for (const json::value& source : read->at("sources").as_array())
      text += (text.empty() ? "" : "---\n") + declaration_text(source);
    write_or_print(globals, options->output, text);
  });
  auto name = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>();
  CLI::App* give =
      sources.add_subcommand("export-contract", "Give a source as an Open Data Contract");
  give->add_option("name", *name)->required();
  give->add_option("-o,--output", *output, "A file to write; else it is printed");
  give->callback([&globals, name, output] {
    const auto made = globals.ask("GET", path_of(*name, "/contract"));
    if (!made) return;
    if (globals.json) return globals.show(made->at("contract"), [] {});
    write_or_print(globals, *output, yaml::print(made->at("contract")));
  });
}

void add_search(CLI::App& parent, Globals& globals) {
  struct Options {
    std::vector<std::string> words, kinds, owners, classes, tags, places;
    int limit = 20, offset = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand("search", "Find things by their words");
  command->add_option("words", options->words, "Each must begin a word of what is found");
  command->add_option("--kind", options->kinds, "source, column, dataset, model, ...");
  command->add_option("--owner", options->owners);
  command->add_option("--class", options->classes, "public, internal, confidential, restricted");
  command->add_option("--tag", options->tags);
  command->add_option("--place", options->places, "Of sources: file, s3, postgres, kafka");
  command->add_option("--limit", options->limit)->check(CLI::Range(1, 100));
  command->add_option("--offset", options->offset)->check(CLI::Range(0, 10'000));
  command->callback([&globals, options] {
    const auto list = [](const std::vector<std::string>& values, const char* between) {
      std::string out;
      for (const std::string& value : values) out += (out.empty() ? "" : between) + value;
      return net::percent_encoded(out);
    };
    const auto result = globals.ask(
        "GET", "/api/v1/search?text=" + list(options->words, " ") +
                   "&kind=" + list(options->kinds, ",") + "&owner=" + list(options->owners, ",") +
                   "&classification=" + list(options->classes, ",") +
                   "&tag=" + list(options->tags, ",") + "&place=" + list(options->places, ",") +
                   "&limit=" + std::to_string(options->limit) +
                   "&offset=" + std::to_string(options->offset));
    if (!result) return;
    globals.show(*result, [&] {
      Rows rows;
      for (const json::value& hit : result->at("hits").as_array()) {
        std::string summary = text_of(hit, "summary");
        summary = summary.substr(0, summary.find('\n'));
        rows.push_back({text_of(hit, "urn"), text_of(hit, "owner"), text_of(hit, "classification"),
                        summary.size() > 60 ? summary.substr(0, 57) + "..." : summary});
      }
      print_table({"FOUND", "OWNER", "CLASS", "SUMMARY"}, rows);
      std::cout << text_of(*result, "total") << " found";
      for (const auto& [facet, values] : result->at("facets").as_object()) {
        if (values.as_array().empty()) continue;
        std::cout << "; " << std::string(facet);
        for (std::size_t i = 0; i < values.as_array().size() && i < 6; ++i)
          std::cout << (i ? ", " : " ") << text_of(values.as_array()[i], "value") << " "
                    << text_of(values.as_array()[i], "count");
      }
      std::cout << "\n";
      if (const std::string next = text_of(*result, "next_offset"); !next.empty())
        std::cout << "more with --offset " << next << "\n";
    });
  });
}

}  // namespace

void add_source_commands(CLI::App& parent, Globals& globals) {
  CLI::App* sources = parent.add_subcommand("sources", "Where data comes from");
  sources->require_subcommand(1);
  add_list_and_show(*sources, globals);
  add_discover(*sources, globals);
  add_schema(*sources, globals);
  add_compatibility(*sources, globals);
  add_measures(*sources, globals);
  add_profile(*sources, globals);
  add_contracts(*sources, globals);
  add_search(parent, globals);
}

}  // namespace penstock::app
