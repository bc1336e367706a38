#include "adapters/duckdb/tables.h"

namespace penstock::duckdb {
namespace {

using Scope = std::set<std::string, std::less<>>;

std::string_view text_at(const json::object& node, std::string_view key) {
  const json::value* found = node.if_contains(key);
  return found && found->is_string() ? std::string_view(found->as_string()) : std::string_view();
}

const json::object* object_at(const json::object& node, std::string_view key) {
  const json::value* found = node.if_contains(key);
  return found ? found->if_object() : nullptr;
}

class Walk {
 public:
  void visit(const json::value& value, const Scope& defined) {
    if (const json::array* list = value.if_array())
      for (const json::value& item : *list) visit(item, defined);
    if (const json::object* node = value.if_object()) visit_node(*node, defined);
  }

  std::set<std::string> found;

 private:
  void visit_node(const json::object& node, Scope defined) {
    if (text_at(node, "type") == "BASE_TABLE") take(node, defined);
    // Each definition sees those before it, and itself only where it is recursive: in
    // "WITH x AS (SELECT * FROM x)" the inner x is a table.
    if (const json::object* with = object_at(node, "cte_map"))
      if (const json::value* map = with->if_contains("map"); map && map->is_array())
        for (const json::value& entry : map->as_array()) {
          if (!entry.is_object()) continue;
          visit(entry, defined);
          defined.emplace(text_at(entry.as_object(), "key"));
        }
    if (text_at(node, "type") == "RECURSIVE_CTE_NODE") defined.emplace(text_at(node, "cte_name"));
    for (const auto& [key, value] : node)
      if (key != "cte_map") visit(value, defined);
  }

  void take(const json::object& node, const Scope& defined) {
    const std::string_view table = text_at(node, "table_name"),
                           schema = text_at(node, "schema_name"),
                           catalog = text_at(node, "catalog_name");
    if (schema.empty() && catalog.empty() && defined.contains(table)) return;
    std::string name;
    for (const std::string_view part : {catalog, schema})
      if (!part.empty()) name.append(part) += '.';
    found.insert(name.append(table));
  }
};

}  // namespace

std::set<std::string> tables_in(const json::value& tree) {
  Walk walk;
  walk.visit(tree, {});
  return std::move(walk.found);
}

}  // namespace penstock::duckdb
