// trace, impact.
#include <fstream>
#include <iostream>
#include <map>
#include <set>

#include <CLI/CLI.hpp>

#include "app/command.h"
#include "base/time.h"

namespace penstock::app {
namespace {

// A graph as a tree: each node in full where it comes first, and by its URN alone after that.
class Tree {
 public:
  Tree(const json::value& trace, bool upstream, std::ostream& out) : out_(out) {
    for (const json::value& node : trace.at("nodes").as_array())
      nodes_[text_of(node, "urn")] = &node;
    for (const json::value& edge : trace.at("edges").as_array()) {
      const std::string from = text_of(edge, upstream ? "from_urn" : "to_urn");
      const std::string to = text_of(edge, upstream ? "to_urn" : "from_urn");
      below_[from].emplace_back(text_of(edge, "relation"), to);
    }
  }

  void print(const std::string& urn, const std::string& lead = "", const std::string& mark = "",
             const std::string& relation = "") {
    out_ << lead << mark << (relation.empty() ? "" : relation + " ") << urn;
    if (!shown_.insert(urn).second) {
      out_ << (below_.contains(urn) ? "  (above)" : "") << "\n";
      return;
    }
    if (const auto node = nodes_.find(urn); node != nodes_.end()) print_facts(*node->second);
    out_ << "\n";
    const std::string deeper = lead + (mark.empty() ? "" : mark.starts_with("└") ? "   " : "│  ");
    const auto& next = below_[urn];
    for (std::size_t i = 0; i < next.size(); ++i)
      print(next[i].second, deeper, i + 1 == next.size() ? "└─ " : "├─ ", next[i].first);
  }

 private:
  void print_facts(const json::value& node) {
    for (const auto& [field, before] :
         {std::pair{"owner", "  owner "}, std::pair{"classification", "  "},
          std::pair{"cost", "  cost "}, std::pair{"summary", "  "}}) {
      std::string text = text_of(node, field);
      if (text.empty()) continue;
      if (text.size() > 60) text = text.substr(0, text.find_first_of(".\n", 0)).substr(0, 60);
      out_ << before << text;
    }
    const json::value* tags = node.as_object().if_contains("tags");
    if (!tags || tags->as_array().empty()) return;
    out_ << "  tags";
    for (const json::value& tag : tags->as_array()) out_ << " " << std::string(tag.as_string());
  }

  std::ostream& out_;
  std::map<std::string, const json::value*> nodes_;
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> below_;
  std::set<std::string> shown_;
};

// What both commands are asked with.
struct Options {
  std::string urn, format = "text", output, as_of;
  int depth = 32, limit = 1'000;
  bool downstream = false;

  std::string query() const {
    std::string text = "?urn=" + net::percent_encoded(urn) + "&depth=" + std::to_string(depth) +
                       "&limit=" + std::to_string(limit);
    if (!as_of.empty()) text += "&as_of=" + net::percent_encoded(as_of);
    return text;
  }
};

void add_options(CLI::App& command, Options& options, const std::string& what) {
  command.add_option("urn", options.urn, what)->required();
  command.add_option("--depth", options.depth)->check(CLI::Range(0, 1'000));
  command.add_option("--limit", options.limit, "Of things, the nearest first")
      ->check(CLI::Range(1, 5'000));
  command.add_option("--as-of", options.as_of, "What held then: 2026-05-01T00:00:00Z");
  command.add_option("--format", options.format)->check(CLI::IsMember({"text", "json", "svg"}));
  command.add_option("-o,--output", options.output, "A file instead of the terminal");
}

// Into the file that was named, or to the terminal.
void put_out(Globals& globals, const Options& options, const std::string& text) {
  if (options.output.empty()) {
    std::cout << text;
    return;
  }
  std::ofstream file(options.output, std::ios::binary);
  file << text;
  file.close();
  if (!file)
    globals.fail({Code::unavailable, "cannot write " + options.output + "; name another file"});
}

// Pictures are drawn by the server; the rest is made here of its JSON.
void show(Globals& globals, const Options& options, const std::string& target,
          const std::function<std::string(const json::value&)>& as_text) {
  if (options.format == "svg" && !globals.json) {
    const auto answer = globals.client().send("GET", target + "&format=svg");
    if (!answer) return globals.fail(answer.error());
    if (answer->status == 200) return put_out(globals, options, answer->body);
  }
  const auto found = globals.ask("GET", target);
  if (!found) return;
  const bool as_json = globals.json || options.format == "json";
  put_out(globals, options, as_json ? json::serialize(*found) + "\n" : as_text(*found));
}

std::string more_of(const json::value& found, std::size_t shown) {
  if (!found.at("truncated").as_bool()) return "";
  return "... the nearest " + std::to_string(shown) + " of " + text_of(found, "total") +
         "; ask with a smaller --depth or a greater --limit\n";
}

void add_trace(CLI::App& parent, Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* trace =
      parent.add_subcommand("trace", "What a thing was made from, back to the sources");
  add_options(*trace, *options, "prediction:ID, model:NAME@v1, source:NAME#column, ...");
  trace->add_flag("--downstream", options->downstream, "What was made from it");
  trace->callback([&globals, options] {
    const std::string target = "/api/v1/trace" + options->query() +
                               "&direction=" + (options->downstream ? "downstream" : "upstream");
    show(globals, *options, target, [&](const json::value& found) {
      std::ostringstream text;
      Tree(found, !options->downstream, text).print(options->urn);
      text << more_of(found, found.at("nodes").as_array().size());
      return text.str();
    });
  });
}

std::string impact_text(const json::value& found) {
  std::map<std::string, const json::value*> nodes;
  for (const json::value& node : found.at("nodes").as_array()) nodes[text_of(node, "urn")] = &node;
  std::vector<std::vector<std::string>> rows;
  for (const json::value& owner : found.at("owners").as_array())
    for (const json::value& affected : owner.at("urns").as_array()) {
      const std::string urn(affected.as_string());
      rows.push_back({text_of(owner, "owner"), urn, text_of(*nodes.at(urn), "depth"),
                      text_of(*nodes.at(urn), "classification")});
    }
  if (rows.empty()) return "nothing is known to depend on " + text_of(found, "urn") + "\n";
  return table_text({"OWNER", "AFFECTED", "STEPS", "CLASS"}, rows) + more_of(found, rows.size());
}

void add_impact(CLI::App& parent, Globals& globals) {
  auto options = std::make_shared<Options>();
  CLI::App* impact =
      parent.add_subcommand("impact", "What breaks, and for whom, if a thing or a column changes");
  add_options(*impact, *options, "source:NAME#column, dataset:NAME@1, ...");
  impact->callback([&globals, options] {
    show(globals, *options, "/api/v1/impact" + options->query(), impact_text);
  });
}

}  // namespace

void add_lineage_commands(CLI::App& parent, Globals& globals) {
  add_trace(parent, globals);
  add_impact(parent, globals);
}

}  // namespace penstock::app
