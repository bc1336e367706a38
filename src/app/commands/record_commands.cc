// models: show, card, bom, diff.
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/commands/record_commands.h"
#include "app/commands/version_path.h"

namespace penstock::app {
namespace {

std::string joined(const json::value& list, std::string_view field = "") {
  std::string out;
  for (const json::value& item : list.as_array())
    out += (out.empty() ? "" : ", ") +
           (field.empty() ? std::string(item.as_string()) : text_of(item, field));
  return out;
}

void print_record(const json::value& version) {
  for (const auto& field : version.at("record").as_object()) {
    if (field.value().is_null()) continue;
    if (field.value().is_object() && field.value().as_object().empty()) continue;
    std::cout << "  " << field.key() << ": " << text_of(version.at("record"), field.key());
    for (const json::value& reference : version.at("record_references").as_array())
      if (text_of(reference, "field") == field.key())
        std::cout << (text_of(reference, "standing") == "verified"
                          ? "  [verified" +
                                (text_of(reference, "urn").empty()
                                     ? std::string()
                                     : " " + text_of(reference, "urn")) +
                                "]"
                          : "  [declared, not verified]");
    std::cout << "\n";
  }
}

void print_evaluation(const json::value& facts) {
  const json::value& evaluation = facts.at("evaluation");
  if (evaluation.is_null()) return;
  std::int64_t judged = 0, failed = 0;
  const json::array& slices = evaluation.at("slices").as_array();
  for (const json::value& slice : slices) {
    judged += slice.at("judged").as_bool() ? 1 : 0;
    failed += slice.at("passed").as_bool() ? 0 : 1;
  }
  std::cout << "  evaluation: " << text_of(evaluation, "name")
            << (evaluation.at("passed").as_bool() ? ", passed" : ", NOT PASSED") << ", "
            << slices.size() << " slices, " << judged << " judged, " << failed << " failed\n";
}

void print_cost(const json::value& facts) {
  const json::value& cost = facts.at("training_cost");
  const std::string basis = text_of(cost, "basis");
  std::cout << "  training cost: ";
  if (basis == "not_recorded")
    std::cout << "not recorded";
  else
    std::cout << (cost.at("amount").is_null()
                      ? std::string("no price")
                      : text_of(cost, "amount") + " " + text_of(cost, "currency"))
              << ", " << text_of(cost, "compute_seconds") << " compute seconds ("
              << (basis == "ledger" ? "ledger" : "run") << ")";
  if (!cost.at("elapsed_seconds").is_null())
    std::cout << ", took " << text_of(cost, "elapsed_seconds") << " s";
  std::cout << "\n";
}

void print_where(const json::value& facts) {
  const json::array& deployments = facts.at("deployments").as_array();
  if (deployments.empty()) std::cout << "  deployed: on no route\n";
  for (const json::value& one : deployments)
    std::cout << "  deployed: route " << text_of(one, "route") << " as " << text_of(one, "arm")
              << ", weight " << text_of(one, "weight") << " of 10000, since "
              << text_of(one, "since") << "\n";
  for (const json::value& one : facts.at("releases").as_array())
    std::cout << "  release " << text_of(one, "id") << ": route " << text_of(one, "route") << ", v"
              << text_of(one, "from_version") << " to v" << text_of(one, "version") << ", "
              << text_of(one, "state") << "\n";
  for (const json::value& one : facts.at("incidents").as_array())
    std::cout << "  incident " << text_of(one, "id") << ": " << text_of(one, "severity") << ", "
              << text_of(one, "status") << ", " << text_of(one, "title") << "\n";
}

void print_version(const json::value& facts) {
  const json::value& version = facts.at("version");
  std::cout << "model:" << text_of(version, "model") << "@v" << text_of(version, "version") << "  "
            << text_of(version, "status") << "  registered " << text_of(version, "created_at")
            << " by " << text_of(version, "created_by") << "\n";
  print_record(version);
  print_evaluation(facts);
  if (!facts.at("features").as_array().empty())
    std::cout << "  features: " << facts.at("features").as_array().size() << " of "
              << text_of(facts, "feature_schema") << "\n";
  if (!facts.at("classification").is_null())
    std::cout << "  classification: " << text_of(facts, "classification") << "\n";
  if (!facts.at("aliases").as_array().empty())
    std::cout << "  aliases: " << joined(facts.at("aliases")) << "\n";
  print_cost(facts);
  if (!facts.at("files").as_array().empty())
    std::cout << "  files: " << joined(facts.at("files"), "path") << "\n";
  for (const json::value& one : facts.at("signatures").as_array())
    std::cout << "  signature: "
              << (one.at("verified").as_bool() ? "verified with signing key " + text_of(one, "key")
                                               : "NOT VERIFIED, " + text_of(one, "fault"))
              << "\n";
  print_where(facts);
  for (const json::value& approval : facts.at("approvals").as_array())
    std::cout << "  approved for " << text_of(approval, "scope") << " by "
              << text_of(approval, "approver") << " at " << text_of(approval, "at") << "\n";
  for (const json::value& blocker : facts.at("blockers").as_array())
    std::cout << "  blocks a release: " << blocker.as_string().c_str() << "\n";
}

std::string delta_text(const json::value& difference) {
  if (difference.at("delta").is_null()) return "";
  const double delta = difference.at("delta").to_number<double>();
  char text[48];
  std::snprintf(text, sizeof text, "  (%+.6g)", delta);
  return text;
}

void print_difference(const json::value& difference) {
  const std::string name = text_of(difference, "name");
  const bool was = !difference.at("before").is_null(), is = !difference.at("after").is_null();
  if (was && is)
    std::cout << "  ~ " << name << ": " << text_of(difference, "before") << " -> "
              << text_of(difference, "after") << delta_text(difference);
  else if (was || is)
    std::cout << (is ? "  + " : "  - ") << name << ": "
              << text_of(difference, is ? "after" : "before");
  else
    std::cout << "  ~ " << name;
  const std::string note = text_of(difference, "note");
  std::cout << (note.empty() ? "" : "  [" + note + "]") << "\n";
  for (const json::value& line : difference.at("lines").as_array())
    std::cout << "      " << line.as_string().c_str() << "\n";
}

void add_show(CLI::App& models, Globals& globals) {
  CLI::App* show = models.add_subcommand("show", "Show a model version: NAME@v4");
  auto name = std::make_shared<std::string>();
  show->add_option("version", *name, "NAME@v4")->required();
  show->callback([&globals, name] {
    const auto facts = ask_version(globals, *name);
    if (facts) globals.show(*facts, [&] { print_version(*facts); });
  });
}

// Prints, or writes where a file is named.
void give(Globals& globals, const std::string& text, const std::string& file) {
  if (file.empty()) {
    std::cout << text;
    return;
  }
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out)
    return globals.fail(
        {Code::invalid_argument, "cannot write " + file + "; choose another file with -o", {}});
  std::cout << "wrote " << file << "\n";
}

void add_documents(CLI::App& models, Globals& globals) {
  auto name = std::make_shared<std::string>(), file = std::make_shared<std::string>(),
       format = std::make_shared<std::string>("md");
  CLI::App* card = models.add_subcommand("card", "Write the model card of NAME@v4");
  card->add_option("version", *name, "NAME@v4")->required();
  card->add_option("--format", *format, "md or html")->check(CLI::IsMember({"md", "html"}));
  card->add_option("-o,--output", *file, "file to write; else it is printed");
  card->callback([&globals, name, file, format] {
    const auto path = version_path(*name);
    if (!path) return globals.fail(path.error());
    const std::string target = *path + "/card?format=" + *format;
    const auto answer = globals.client().send("GET", target);
    if (!answer) return globals.fail(answer.error());
    if (answer->status != 200) return void(globals.ask("GET", target));  // says what is wrong
    give(globals, answer->body, *file);
  });
  CLI::App* bom = models.add_subcommand("bom", "Write the bill of materials of NAME@v4: CycloneDX");
  bom->add_option("version", *name, "NAME@v4")->required();
  bom->add_option("-o,--output", *file, "file to write; else it is printed");
  bom->callback([&globals, name, file] {
    const auto path = version_path(*name);
    if (!path) return globals.fail(path.error());
    const auto answer = globals.ask("GET", *path + "/bom");
    if (answer) give(globals, json::serialize(*answer) + "\n", *file);
  });
}

void add_diff(CLI::App& models, Globals& globals) {
  auto before = std::make_shared<std::string>(), after = std::make_shared<std::string>();
  CLI::App* command = models.add_subcommand("diff", "Show all that differs: NAME@v3 v4");
  command->add_option("before", *before, "NAME@v3")->required();
  command->add_option("after", *after, "v4, or NAME@v4 of any model")->required();
  command->callback([&globals, before, after] {
    const auto path = version_path(*before);
    if (!path) return globals.fail(path.error());
    const auto diff = globals.ask("GET", *path + "/diff?other=" + net::percent_encoded(*after));
    if (!diff) return;
    globals.show(*diff, [&] {
      std::cout << text_of(*diff, "before") << " -> " << text_of(*diff, "after") << "\n";
      if (diff->at("same").as_bool()) std::cout << "nothing differs\n";
      for (const json::value& part : diff->at("parts").as_array()) {
        std::cout << "\n" << text_of(part, "name") << "\n";
        for (const json::value& one : part.at("differences").as_array()) print_difference(one);
      }
    });
  });
}

}  // namespace

void add_record_commands(CLI::App& models, Globals& globals) {
  add_show(models, globals);
  add_documents(models, globals);
  add_diff(models, globals);
}

}  // namespace penstock::app
