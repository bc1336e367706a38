#include "features/columns.h"

#include <algorithm>
#include <set>

#include "features/windows/plan.h"

namespace penstock::features {
namespace {

using Columns = std::set<std::pair<std::string, std::string>>;  // of a source, by their own names

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char letter) { return std::tolower(letter); });
  return out;
}

std::string text_in(const json::object& node, std::string_view key) {
  const json::value* found = node.if_contains(key);
  return found && found->is_string() ? std::string(found->get_string()) : std::string();
}

// The serialized tree of DuckDB's parser: nodes are objects with `class` and `type`.
class Reader {
 public:
  explicit Reader(const std::vector<catalog::VersionedSource>& sources) : sources_(sources) {}

  void know_tables(const json::value& from) {
    if (!from.is_object()) return;
    const json::object& node = from.get_object();
    if (text_in(node, "type") == "BASE_TABLE") {
      const std::string table = lower(text_in(node, "table_name"));
      const std::string alias = lower(text_in(node, "alias"));
      aliases_[alias.empty() ? table : alias] = table;
    }
    for (const char* side : {"left", "right"})
      if (const json::value* inner = node.if_contains(side)) know_tables(*inner);
  }

  // Every column that is named at or below `node`.
  void collect(const json::value& node, Columns& out) const {
    if (node.is_array())
      for (const json::value& item : node.get_array()) collect(item, out);
    if (!node.is_object()) return;
    const json::object& object = node.get_object();
    const std::string type = text_in(object, "type");
    if (type == "COLUMN_REF") named(object, out);
    if (type == "STAR") all(lower(text_in(object, "relation_name")), out);
    if (const json::value* columns = object.if_contains("using_columns");
        columns && columns->is_array())
      for (const json::value& column : columns->get_array())
        if (column.is_string()) add("", lower(std::string(column.get_string())), out);
    for (const auto& entry : object) collect(entry.value(), out);
  }

  void all(const std::string& relation, Columns& out) const {
    const std::string table = table_of(relation);
    for (const auto& source : sources_)
      if (table.empty() || lower(source.source.name) == table)
        for (const auto& column : source.source.columns) out.emplace(source.urn(), column.name);
  }

 private:
  std::string table_of(const std::string& relation) const {
    const auto found = aliases_.find(relation);
    return found == aliases_.end() ? "" : found->second;
  }

  void named(const json::object& node, Columns& out) const {
    const json::value* names = node.if_contains("column_names");
    if (!names || !names->is_array() || names->get_array().empty()) return;
    std::vector<std::string> parts;
    for (const json::value& name : names->get_array())
      if (name.is_string()) parts.push_back(lower(std::string(name.get_string())));
    if (parts.empty()) return;
    if (parts.size() == 1 && aliases_.contains(parts[0])) all(parts[0], out);  // a whole row
    // "t.column", or "column.field" of a struct: what fits is taken.
    if (parts.size() > 1 && !aliases_.contains(parts[0])) add("", parts[0], out);
    add(parts.size() > 1 ? table_of(parts[parts.size() - 2]) : "", parts.back(), out);
    if (parts.size() > 2) add(table_of(parts[0]), parts[1], out);
  }

  void add(const std::string& table, const std::string& column, Columns& out) const {
    for (const auto& source : sources_) {
      if (!table.empty() && lower(source.source.name) != table) continue;
      for (const auto& one : source.source.columns)
        if (lower(one.name) == column) out.emplace(source.urn(), one.name);
    }
  }

  const std::vector<catalog::VersionedSource>& sources_;
  std::map<std::string, std::string> aliases_;  // how the SQL calls a table, in lower case
};

bool holds_subquery(const json::value& node) {
  if (node.is_array())
    return std::any_of(node.get_array().begin(), node.get_array().end(), holds_subquery);
  if (!node.is_object()) return false;
  const json::object& object = node.get_object();
  const std::string type = text_in(object, "type");
  if (type == "SUBQUERY" || type == "SET_OPERATION_NODE" || type == "PIVOT" ||
      type == "TABLE_FUNCTION" || type == "RECURSIVE_CTE_NODE")
    return true;
  return std::any_of(object.begin(), object.end(),
                     [](const auto& entry) { return holds_subquery(entry.value()); });
}

// The one SELECT over tables that the statement is; null where it is more.
const json::object* plain_select(const json::value& statement) {
  const json::value* node = statement.as_object().if_contains("node");
  if (!node || !node->is_object()) return nullptr;
  const json::object& select = node->get_object();
  if (text_in(select, "type") != "SELECT_NODE" || holds_subquery(*node)) return nullptr;
  if (const json::value* ctes = select.if_contains("cte_map"); ctes && ctes->is_object())
    if (const json::value* map = ctes->get_object().if_contains("map");
        map && map->is_array() && !map->get_array().empty())
      return nullptr;
  return select.if_contains("select_list") ? &select : nullptr;
}

// What the select list calls an expression; empty for a star.
std::string output_of(const json::value& expression) {
  const json::object& node = expression.as_object();
  if (std::string alias = text_in(node, "alias"); !alias.empty()) return alias;
  if (text_in(node, "type") != "COLUMN_REF") return {};
  const json::value* names = node.if_contains("column_names");
  if (!names || !names->is_array() || names->get_array().empty()) return {};
  const json::value& last = names->get_array().back();
  return last.is_string() ? std::string(last.get_string()) : std::string();
}

}  // namespace

Result<std::vector<catalog::Edge>> column_edges(
    olap::Session& session, const FeatureView& view, const std::string& view_urn,
    const std::vector<catalog::VersionedSource>& sources, Timestamp at) {
  const auto table = TRY(session.query(
      "SELECT json_serialize_sql($1::VARCHAR, skip_empty := true, skip_null := true)", {view.sql}));
  boost::system::error_code fault;
  const json::value tree =
      json::parse(std::get<std::string>(table.rows.at(0).at(0)), fault, {}, {.max_depth = 1'000});
  std::vector<catalog::Edge> edges;
  if (fault || tree.at("error").as_bool()) return edges;
  const json::value& statement = tree.at("statements").as_array().at(0);
  Reader reader(sources);
  std::map<std::string, Columns> made;  // of features
  Columns beside;
  if (const json::object* select = plain_select(statement)) {
    if (const json::value* from = select->if_contains("from_table")) reader.know_tables(*from);
    for (const json::value& item : select->at("select_list").as_array()) {
      const std::string name = lower(output_of(item));
      Columns columns;
      reader.collect(item, columns);
      bool read = name.empty();
      for (const Feature& feature : view.features)
        for (const std::string& column_read : windows::columns_read(feature)) {
          if (lower(column_read) == name) {
            made[feature.name].insert(columns.begin(), columns.end());
            read = true;
          }
          if (!name.empty()) continue;
          for (const auto& column : columns)
            if (lower(column.second) == lower(column_read)) made[feature.name].insert(column);
        }
      if (!read) beside.insert(columns.begin(), columns.end());
    }
    for (const auto& entry : *select)
      if (entry.key() != "select_list") reader.collect(entry.value(), beside);
  } else {
    Columns all;
    reader.collect(statement, all);
    for (const Feature& feature : view.features) made[feature.name] = all;
    beside = all;
  }
  const auto add = [&](const std::string& from, const std::pair<std::string, std::string>& column,
                       const char* relation, const char* type) {
    edges.push_back({.from_urn = from,
                     .to_urn = catalog::column_urn(column.first, column.second),
                     .relation = relation,
                     .created_at = at,
                     .detail = {{"type", type}}});
  };
  for (const auto& [feature, columns] : made)
    for (const auto& column : columns)
      add(catalog::column_urn(view_urn, feature), column, "derived_from", "DIRECT");
  for (const auto& column : beside) add(view_urn, column, "depends_on", "INDIRECT");
  return edges;
}

}  // namespace penstock::features
