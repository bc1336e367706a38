// plan, apply, get: what is declared in YAML.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "app/declarations.h"

namespace penstock::app {
namespace {

void print_changes(const json::value& answer, bool planned) {
  std::size_t changed = 0, unchanged = 0;
  for (const json::value& change : answer.at("changes").as_array()) {
    const std::string action = text_of(change, "action");
    if (action == "unchanged") {
      ++unchanged;
      continue;
    }
    ++changed;
    std::string fields;
    for (const json::value& field : change.at("fields").as_array())
      fields += (fields.empty() ? " (" : ", ") + std::string(field.as_string());
    std::cout << (action == "create" ? "+ " : "~ ") << text_of(change, "kind") << " "
              << text_of(change, "name") << " @" << text_of(change, "version")
              << (fields.empty() ? "" : fields + ")") << "\n";
  }
  std::cout << changed << (planned ? " to change, " : " changed, ") << unchanged << " unchanged\n";
}

void run_apply(Globals& globals, const std::vector<std::string>& paths, bool dry_run) {
  const auto documents = read_declarations(paths);
  if (!documents) return globals.fail(documents.error());
  const auto answer = globals.ask("POST", "/api/v1/resources:apply",
                                  json::object{{"documents", *documents}, {"dry_run", dry_run}});
  if (answer) globals.show(*answer, [&] { print_changes(*answer, dry_run); });
}

void add_apply(CLI::App& parent, Globals& globals, const std::string& name,
               const std::string& description, bool dry_run) {
  CLI::App* command = parent.add_subcommand(name, description);
  auto paths = std::make_shared<std::vector<std::string>>();
  command->add_option("paths", *paths, "YAML files, or directories that hold some")->required();
  command->callback([&globals, paths, dry_run] { run_apply(globals, *paths, dry_run); });
}

void run_get(Globals& globals, const std::string& kind, const std::string& name) {
  if (!name.empty()) {
    const auto answer = globals.ask("GET", "/api/v1/resources/" + net::percent_encoded(kind) + "/" +
                                               net::percent_encoded(name));
    if (answer) globals.show(*answer, [&] { std::cout << yaml::print(answer->at("declaration")); });
    return;
  }
  const auto answer = globals.ask(
      "GET", "/api/v1/resources" + (kind.empty() ? "" : "?kind=" + net::percent_encoded(kind)));
  if (!answer) return;
  globals.show(*answer, [&] {
    std::vector<std::vector<std::string>> rows;
    for (const json::value& resource : answer->at("resources").as_array())
      rows.push_back({text_of(resource, "kind"), text_of(resource, "name"),
                      text_of(resource, "version"), text_of(resource, "owner"),
                      text_of(resource, "applied_at")});
    print_table({"KIND", "NAME", "VERSION", "OWNER", "APPLIED"}, rows);
  });
}

Result<std::string> read_text(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return Error{Code::invalid_argument, file.string() + ": cannot be read"};
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

// `files: [train.py]` in a declaration means the texts of the files beside it: the server gets what
// it needs, and a changed file is a changed declaration.
Result<void> take_files_along(json::object& declaration, const std::filesystem::path& folder) {
  json::value* names = declaration.if_contains("files");
  if (!names || !names->is_array()) return {};
  json::object texts;
  for (const json::value& name : names->get_array()) {
    if (!name.is_string())
      return Error{Code::invalid_argument, "files must be names of files beside the declaration"};
    texts[name.get_string()] = TRY(read_text(folder / std::string(name.get_string())));
  }
  *names = std::move(texts);
  return {};
}

}  // namespace

Result<json::array> read_declarations(const std::vector<std::string>& paths) {
  std::vector<std::filesystem::path> files;
  for (const std::string& path : paths) {
    std::error_code fault;
    if (std::filesystem::is_directory(path, fault)) {
      for (const auto& entry : std::filesystem::directory_iterator(path, fault))
        if (entry.path().extension() == ".yaml" || entry.path().extension() == ".yml")
          files.push_back(entry.path());
    } else {
      files.emplace_back(path);
    }
  }
  if (files.empty())
    return Error{Code::invalid_argument, "there is no .yaml file in " + paths.front()};
  std::sort(files.begin(), files.end());
  json::array documents;
  for (const auto& file : files) {
    const std::string text = TRY(read_text(file));
    auto parsed = yaml::parse(text);
    if (!parsed)
      return Error{Code::invalid_argument, file.string() + ": " + parsed.error().message};
    for (yaml::Document& document : *parsed) {
      if (!document.value.is_object())
        return Error{Code::invalid_argument,
                     file.string() + ": a declaration must be a mapping with kind and name"};
      TRY(take_files_along(document.value.as_object(), file.parent_path()));
      json::object lines;
      for (const auto& [path, line] : document.lines) lines[path] = line;
      documents.push_back({{"declaration", std::move(document.value)},
                           {"file", file.string()},
                           {"lines", std::move(lines)}});
    }
  }
  return documents;
}

void add_resource_commands(CLI::App& parent, Globals& globals) {
  add_apply(parent, globals, "plan", "Show what apply would change; change nothing", true);
  add_apply(parent, globals, "apply", "Make declarations true, all or none", false);
  CLI::App* get = parent.add_subcommand("get", "List what is declared, or show one declaration");
  auto kind = std::make_shared<std::string>(), name = std::make_shared<std::string>();
  get->add_option("kind", *kind, "source, feature_view, route, ...");
  get->add_option("name", *name, "its name");
  get->callback([&globals, kind, name] { run_get(globals, *kind, *name); });
}

}  // namespace penstock::app
