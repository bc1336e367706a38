#include "graphs/table_graph.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <set>

#include "base/yaml.h"
#include "graphs/graph.h"

namespace penstock::graphs {
namespace {

constexpr std::array<std::string_view, 12> datatypes = {"BOOL",   "UINT8", "UINT16", "UINT32",
                                                        "UINT64", "INT8",  "INT16",  "INT32",
                                                        "INT64",  "FP32",  "FP64",   "BYTES"};

Error wrong(const std::string& path, const std::string& problem) {
  return {Code::invalid_argument, path + " " + problem, {{path, problem}}};
}
Error at_node(const TableNode& node, const std::string& field, const std::string& problem) {
  return wrong("nodes." + node.name + "." + field, problem);
}

bool is_name(std::string_view text) {
  const auto is_part = [](char letter) {
    return letter == '_' || (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
  };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') &&
         std::all_of(text.begin(), text.end(), is_part);
}

// A field that its kind needs, or that it does not know.
Result<void> need(const TableNode& node, TableNodeKind kind, const std::string& field, bool given) {
  if (given == (node.kind == kind)) return {};
  const std::string is(name_of(node.kind));
  return at_node(node, field, given ? "is no field of " + is : "is missing: " + is + " needs it");
}

Result<void> check_fields(const TableNode& node) {
  TRY(need(node, TableNodeKind::features, "feature_schema", node.feature_schema.has_value()));
  TRY(need(node, TableNodeKind::features, "keys", !node.keys.empty()));
  TRY(need(node, TableNodeKind::model, "model", node.model.has_value()));
  TRY(need(node, TableNodeKind::model, "inputs", !node.inputs.empty()));
  TRY(need(node, TableNodeKind::expression, "expression", node.expression.has_value()));
  if (!node.values.empty() && node.kind != TableNodeKind::expression)
    return at_node(node, "values", "is a field of expression alone");
  if (node.kind == TableNodeKind::model) TRY(model_of(node));
  return {};
}

// What a node reads: the field and the reference.
std::vector<std::pair<std::string, std::string>> reads_of(const TableNode& node) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [key, value] : node.keys) out.emplace_back("keys." + key, value);
  for (const auto& [key, value] : node.values) out.emplace_back("values." + key, value);
  for (const auto& [input, columns] : node.inputs)
    for (const std::string& column : columns) out.emplace_back("inputs." + input, column);
  return out;
}

bool contains_word(std::string_view text, std::string_view word) {
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + 1)) {
    const bool begins = at == 0 || !is_name(std::string("a") + text[at - 1]);
    const std::size_t end = at + word.size();
    if (begins && (end == text.size() || !is_name(std::string("a") + text[end]))) return true;
  }
  return false;
}

struct Placing {
  const TableGraph& graph;
  std::map<std::string, const TableNode*> nodes;
  std::set<std::string> inputs;
  std::map<std::string, int> state;  // 1: begun, 2: placed
  std::vector<const TableNode*> order;

  Result<void> check(const std::string& path, const std::string& text) {
    const auto reference = reference_of(text);
    if (!reference) return wrong(path, reference.error().message);
    const bool is_input = inputs.contains(reference->name);
    const auto node = nodes.find(reference->name);
    if (!is_input && node == nodes.end())
      return wrong(path, "is " + text + ", and there is no input or node " + reference->name);
    const bool whole = is_input || node->second->kind == TableNodeKind::expression;
    if (whole != reference->part.empty())
      return wrong(
          path, "is " + text +
                    (whole ? ", and " + reference->name + " is one value: write " + reference->name
                           : "; say which of its values: " + reference->name + ".NAME"));
    return {};
  }

  Result<void> place(const TableNode& node) {
    if (state[node.name] == 2) return {};
    if (state[node.name] == 1)
      return at_node(node, "name", "is in a circle: it needs what is made of it");
    state[node.name] = 1;
    for (const auto& [field, text] : reads_of(node)) {
      TRY(check("nodes." + node.name + "." + field, text));
      if (const auto needed = nodes.find(TRY(reference_of(text)).name); needed != nodes.end())
        TRY(place(*needed->second));
    }
    // An expression may name other expressions as they are.
    if (node.expression)
      for (const TableNode& other : graph.nodes)
        if (other.expression && other.name != node.name &&
            contains_word(*node.expression, other.name))
          TRY(place(other));
    state[node.name] = 2;
    order.push_back(&node);
    return {};
  }
};

}  // namespace

Result<TableGraph> read_table_graph(std::string_view text) {
  const auto named = [](const Error& error) {
    return Error{error.code, std::string(graph_file) + ": " + error.message, error.violations};
  };
  const auto documents = yaml::parse(text);
  if (!documents) return named(documents.error());
  if (documents->size() != 1)
    return Error{Code::invalid_argument, std::string(graph_file) + ": must be one YAML document"};
  auto declared = decode<TableGraph>(documents->front().value);
  if (!declared) return named(declared.error());
  return declared;
}

Result<Reference> reference_of(std::string_view text) {
  const Error none{Code::invalid_argument, "must be NAME, NODE.NAME or one of them with .COLUMN, " +
                                               std::string("not ") + std::string(text)};
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('.', at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    if (parts.back().empty()) return none;
    at = end + 1;
  }
  if (parts.size() > 3 || !is_name(parts[0])) return none;
  Reference out{.name = parts[0]};
  if (parts.size() > 1) {
    const std::string& last = parts.back();
    std::int64_t number = 0;
    const auto read = std::from_chars(last.data(), last.data() + last.size(), number);
    const bool is_column = read.ec == std::errc{} && read.ptr == last.data() + last.size();
    if (is_column) out.column = number;
    if (is_column ? number < 0 : parts.size() == 3) return none;
    if (!is_column || parts.size() == 3) out.part = parts[1];
  }
  return out;
}

Result<NodeModel> model_of(const TableNode& node) {
  const std::string text = node.model.value_or("");
  const std::size_t at = text.rfind('@');
  NodeModel out{.model = text.substr(0, at)};
  std::string_view number = at == std::string::npos ? "" : std::string_view(text).substr(at + 1);
  if (number.starts_with('v')) number.remove_prefix(1);
  const auto read = std::from_chars(number.data(), number.data() + number.size(), out.version);
  if (!out.model.empty() && read.ec == std::errc{} && read.ptr == number.data() + number.size() &&
      out.version > 0)
    return out;
  return at_node(node, "model", "must be a registered version such as risk@3, not " + text);
}

Result<std::vector<const TableNode*>> order_of(const TableGraph& graph) {
  Placing placing{.graph = graph};
  for (const TableInput& input : graph.inputs) {
    if (!is_name(input.name))
      return wrong("inputs." + input.name, "must be a name of letters, digits and _");
    if (std::find(datatypes.begin(), datatypes.end(), input.datatype) == datatypes.end())
      return wrong("inputs." + input.name + ".datatype",
                   "is " + input.datatype +
                       "; known are BOOL, UINT8 to UINT64, INT8 to INT64, "
                       "FP32, FP64 and BYTES");
    if (!placing.inputs.insert(input.name).second)
      return wrong("inputs." + input.name, "stands twice");
  }
  for (const TableNode& node : graph.nodes) {
    if (!is_name(node.name))
      return at_node(node, "name", "must be a name of letters, digits and _");
    if (placing.inputs.contains(node.name) || !placing.nodes.emplace(node.name, &node).second)
      return at_node(node, "name", "is taken; each input and node has one of its own");
    TRY(check_fields(node));
  }
  for (const TableNode& node : graph.nodes) TRY(placing.place(node));
  std::set<std::string> outputs;
  for (const TableOutput& output : graph.outputs) {
    const std::string path = "outputs." + output.name;
    if (!outputs.insert(output.name).second) return wrong(path, "stands twice");
    TRY(placing.check(path + ".from", output.from));
  }
  return std::move(placing.order);
}

}  // namespace penstock::graphs
