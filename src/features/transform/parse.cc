#include "features/transform/compile.h"

#include "base/json.h"

namespace penstock::features::transform {
namespace {

Error refused(std::string what) { return {Code::invalid_argument, std::move(what)}; }

constexpr std::string_view before = "SELECT (";

// The one expression that the statement selects; null where the text closed the parenthesis and
// went on.
const json::value* only_expression(const json::value& tree) {
  const json::array& statements = tree.at("statements").as_array();
  if (statements.size() != 1) return nullptr;
  const json::object& statement = statements[0].as_object();
  const json::value* node = statement.if_contains("node");
  const std::size_t known = 1 + (statement.contains("named_param_map") ? 1 : 0);
  if (!node || !node->is_object() || statement.size() != known) return nullptr;
  const json::object& select = node->get_object();
  for (const auto& [key, value] : select) {
    const bool plain =
        key == "type" ? value == "SELECT_NODE"
        : key == "from_table"
            ? value.is_object() && value.get_object().if_contains("type") &&
                  value.at("type") == "EMPTY"
            : key == "select_list" || (key == "aggregate_handling" && value == "STANDARD_HANDLING");
    if (!plain) return nullptr;
  }
  const json::value* list = select.if_contains("select_list");
  if (!list || !list->is_array() || list->get_array().size() != 1) return nullptr;
  const json::value& expression = list->get_array()[0];
  if (!expression.is_object() || expression.get_object().contains("alias")) return nullptr;
  return &expression;
}

}  // namespace

Result<json::value> parse(olap::Session& session, const std::string& expression) {
  if (expression.size() > expression_max)
    return refused("must be at most " + std::to_string(expression_max) + " characters");
  if (expression.find('\0') != std::string::npos) return refused("must not hold a NUL byte");
  // The newline ends a comment that may close the expression.
  const std::string statement = std::string(before) + expression + "\n)";
  const auto answer = session.query(
      "SELECT json_serialize_sql($1::VARCHAR, skip_empty := true, skip_null := true)", {statement});
  if (!answer) {
    if (answer.error().code != Code::invalid_argument) return answer.error();
    return refused("is no SQL expression: " + answer.error().message);
  }
  const auto* text = std::get_if<std::string>(&answer->rows.at(0).at(0));
  boost::system::error_code fault;
  const json::value tree =
      text ? parse_json(*text, fault, {}, {.max_depth = 8 * depth_max}) : json::value();
  if (fault || !tree.is_object())
    return refused("is nested too deeply, or holds a number that is too large");
  if (tree.at("error").as_bool())
    return refused("is no SQL expression: " +
                   std::string(tree.at("error_message").is_string()
                                   ? tree.at("error_message").get_string()
                                   : json::string("it cannot be parsed")));
  const json::value* found = only_expression(tree);
  if (!found) return refused("must be one expression, without FROM, names of its own or commas");
  return *found;
}

}  // namespace penstock::features::transform
