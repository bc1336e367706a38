// classification, and what of sources is about classes.
#include <cstdio>
#include <iostream>

#include <CLI/CLI.hpp>

#include "app/classification_commands.h"

namespace penstock::app {
namespace {

std::string percent(const json::value& share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.0f%%", share.to_number<double>() * 100);
  return text;
}

std::string two_digits(const json::value& number) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", number.to_number<double>());
  return text;
}

void print_suggestions(const json::array& suggestions, bool with_source) {
  std::vector<std::vector<std::string>> rows;
  for (const json::value& one : suggestions) {
    const json::value& evidence = one.at("evidence");
    auto& row = rows.emplace_back();
    if (with_source) row.push_back(text_of(one, "source"));
    for (const char* field : {"column_name", "tag", "classification"})
      row.push_back(text_of(one, field));
    row.push_back(two_digits(one.at("confidence")));
    row.push_back(percent(evidence.at("share")));
    row.push_back(text_of(one, "rule") + "@" + text_of(one, "rule_version"));
    row.push_back(text_of(one, "status"));
    row.push_back(text_of(one, "changed"));
  }
  std::vector<std::string> headings{"COLUMN", "TAG",  "CLASS",  "CONFIDENCE",
                                    "PASSED", "RULE", "STATUS", "SINCE DECIDED"};
  if (with_source) headings.insert(headings.begin(), "SOURCE");
  print_table(headings, rows);
}

std::string listed(const json::value& texts) {
  std::string out;
  for (const json::value& text : texts.as_array())
    out += (out.empty() ? "" : ", ") + std::string(text.as_string());
  return out;
}

void print_suggestion(const json::value& one) {
  const json::value& evidence = one.at("evidence");
  std::cout << text_of(one, "column_name") << "  " << text_of(one, "tag") << "  "
            << text_of(one, "classification") << "  confidence " << two_digits(one.at("confidence"))
            << "  " << text_of(one, "status");
  if (const std::string who = text_of(one, "decided_by"); !who.empty())
    std::cout << " by " << who << " at " << text_of(one, "decided_at");
  std::cout << "\n  rule " << text_of(one, "rule") << "@" << text_of(one, "rule_version")
            << ", judged at " << text_of(one, "judged_at") << "\n  " << text_of(evidence, "matches")
            << " of " << text_of(evidence, "values") << " values passed ("
            << percent(evidence.at("share")) << "), " << text_of(evidence, "strong_matches")
            << " of them strong, " << text_of(evidence, "distinct_matches") << " distinct or more; "
            << text_of(evidence, "rows") << " rows sampled\n";
  if (const std::string words = listed(evidence.at("name_words")); !words.empty())
    std::cout << "  the name says: " << words << "\n";
  if (const std::string shapes = listed(evidence.at("examples")); !shapes.empty())
    std::cout << "  values look like: " << shapes << "\n";
  for (const char* field : {"comment", "changed"})
    if (const std::string text = text_of(one, field); !text.empty())
      std::cout << "  " << (std::string(field) == "changed" ? "since then: " : "comment: ") << text
                << "\n";
}

std::string suggestions_target(const std::string& source, const std::string& status,
                               const std::string& tag, bool changed) {
  std::string target = "/api/v1/classification/suggestions?source=" + net::percent_encoded(source);
  if (!status.empty()) target += "&status=" + net::percent_encoded(status);
  if (!tag.empty()) target += "&tag=" + net::percent_encoded(tag);
  if (changed) target += "&changed=true";
  return target;
}

void add_list(CLI::App& parent, Globals& globals) {
  struct Options {
    std::string source, status, tag;
    bool changed = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* list = parent.add_subcommand("list", "List what was suggested and decided");
  list->add_option("--source", options->source);
  list->add_option("--status", options->status, "suggested, confirmed or refused");
  list->add_option("--tag", options->tag, "pii.email, ...");
  list->add_flag("--changed", options->changed,
                 "Only what was decided and whose evidence is not what it was");
  list->callback([&globals, options] {
    const auto found = globals.ask("GET", suggestions_target(options->source, options->status,
                                                             options->tag, options->changed));
    if (found)
      globals.show(*found, [&] { print_suggestions(found->at("suggestions").as_array(), true); });
  });
}

void add_show(CLI::App& parent, Globals& globals) {
  auto source = std::make_shared<std::string>(), column = std::make_shared<std::string>();
  CLI::App* show = parent.add_subcommand("show", "Show the evidence for a source's suggestions");
  show->add_option("source", *source)->required();
  show->add_option("column", *column, "only of this column");
  show->callback([&globals, source, column] {
    const auto found = globals.ask("GET", suggestions_target(*source, "", "", false));
    if (!found) return;
    globals.show(*found, [&] {
      for (const json::value& one : found->at("suggestions").as_array())
        if (column->empty() || text_of(one, "column_name") == *column) print_suggestion(one);
    });
  });
}

void add_decision(CLI::App& parent, Globals& globals, const std::string& decision,
                  const std::string& description) {
  struct Options {
    std::string source, column, tag, comment;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = parent.add_subcommand(decision, description);
  command->add_option("source", options->source)->required();
  command->add_option("column", options->column)->required();
  command->add_option("tag", options->tag)->required();
  command->add_option("--comment", options->comment);
  command->callback([&globals, options, decision] {
    const auto answer = globals.ask(
        "POST", "/api/v1/sources/" + net::percent_encoded(options->source) + "/suggestions:decide",
        json::object{{"column_name", options->column},
                     {"tag", options->tag},
                     {"decision", decision},
                     {"comment", options->comment}});
    if (answer)
      globals.show(*answer, [&] {
        std::cout << options->tag << " of column " << options->column << " is "
                  << text_of(*answer, "status") << "\n";
      });
  });
}

void add_rules(CLI::App& parent, Globals& globals) {
  parent.add_subcommand("rules", "List the rules that suggest classes")->callback([&globals] {
    const auto list = globals.ask("GET", "/api/v1/classification/rules");
    if (!list) return;
    globals.show(*list, [&] {
      std::vector<std::vector<std::string>> rows;
      for (const json::value& rule : list->at("rules").as_array())
        rows.push_back({text_of(rule, "id") + "@" + text_of(rule, "version"), text_of(rule, "tag"),
                        text_of(rule, "classification"), text_of(rule, "looks_at")});
      print_table({"RULE", "TAG", "CLASS", "LOOKS AT"}, rows);
    });
  });
}

void add_classify(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  auto rows = std::make_shared<std::int64_t>(10'000);
  CLI::App* classify = sources.add_subcommand(
      "classify", "Suggest classes and tags of a source's columns from a sample of its values");
  classify->add_option("name", *name)->required();
  classify->add_option("--rows", *rows, "rows to sample")->check(CLI::Range(1, 100'000));
  classify->callback([&globals, name, rows] {
    const auto report =
        globals.ask("POST", "/api/v1/sources/" + net::percent_encoded(*name) + ":classify",
                    json::object{{"rows", *rows}});
    if (!report) return;
    globals.show(*report, [&] {
      std::cout << text_of(*report, "source") << "  " << text_of(*report, "sampled") << " of "
                << text_of(*report, "rows") << " rows sampled"
                << (report->at("partial").as_bool() ? ", time was up" : "") << "; "
                << text_of(*report, "added") << " new, " << text_of(*report, "judged_again")
                << " judged again, " << text_of(*report, "withdrawn") << " withdrawn, "
                << text_of(*report, "changed") << " decided and changed since\n";
      print_suggestions(report->at("suggestions").as_array(), false);
    });
  });
}

void add_classes(CLI::App& sources, Globals& globals) {
  auto name = std::make_shared<std::string>();
  CLI::App* classes =
      sources.add_subcommand("classes", "Show the class of each column as it stands, and why");
  classes->add_option("name", *name)->required();
  classes->callback([&globals, name] {
    const auto found =
        globals.ask("GET", "/api/v1/sources/" + net::percent_encoded(*name) + "/classes");
    if (!found) return;
    globals.show(*found, [&] {
      std::cout << text_of(*found, "source") << "  " << text_of(*found, "classification") << "\n";
      std::vector<std::vector<std::string>> rows;
      for (const json::value& column : found->at("columns").as_array())
        rows.push_back({text_of(column, "column"), text_of(column, "classification"),
                        text_of(column, "declared"), text_of(column, "confirmed"),
                        text_of(column, "lowered"), listed(column.at("tags"))});
      print_table({"COLUMN", "CLASS", "DECLARED", "CONFIRMED", "LOWERED TO", "TAGS"}, rows);
    });
  });
}

void add_lower(CLI::App& sources, Globals& globals) {
  struct Options {
    std::string name, column, to, reason;
  };
  auto options = std::make_shared<Options>();
  CLI::App* lower =
      sources.add_subcommand("lower-class", "Ask for an approval to lower the class of a column");
  lower->add_option("name", options->name)->required();
  lower->add_option("column", options->column)->required();
  lower->add_option("class", options->to, "public, internal or confidential")->required();
  lower->add_option("--reason", options->reason, "what the approver should know")->required();
  lower->callback([&globals, options] {
    const auto asked = globals.ask(
        "POST", "/api/v1/sources/" + net::percent_encoded(options->name) + ":lower-class",
        json::object{{"column_name", options->column},
                     {"classification", options->to},
                     {"reason", options->reason}});
    if (!asked) return;
    globals.show(*asked, [&] {
      const json::value& lowering = asked->at("lowering");
      std::cout << "asked to lower " << options->column << " of source " << options->name << ": "
                << text_of(lowering, "from_class") << " -> " << text_of(lowering, "to_class")
                << "\nanother person approves it with: penstock approvals give "
                << text_of(*asked, "subject") << " --for " << text_of(*asked, "scope") << "\n";
    });
  });
}

}  // namespace

void add_classification_commands(CLI::App& parent, Globals& globals) {
  CLI::App* classification =
      parent.add_subcommand("classification", "What rules suggest of columns, and who agreed");
  classification->require_subcommand(1);
  add_list(*classification, globals);
  add_show(*classification, globals);
  add_decision(*classification, globals, "confirm", "Give a column the tag and its class");
  add_decision(*classification, globals, "refuse", "Say that a column is not that");
  add_rules(*classification, globals);
  CLI::App* sources = parent.get_subcommand("sources");
  add_classify(*sources, globals);
  add_classes(*sources, globals);
  add_lower(*sources, globals);
}

}  // namespace penstock::app
