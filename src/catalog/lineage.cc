#include "catalog/lineage.h"

#include <map>
#include <tuple>

namespace penstock::catalog {
namespace {

// Rows of one INSERT: few statements for an event of 3,000 columns, and few texts to prepare.
constexpr std::size_t rows_at_once = 40;

Result<std::int64_t> last_change(sql::Tx& tx, const std::string& project) {
  const auto rows =
      TRY(tx.run("SELECT change FROM lineage_counters WHERE project = $1", {project}));
  std::int64_t change = 0;
  if (!rows.empty()) sql::from_sql(rows.front().at(0), change);
  return change;
}

Result<void> keep_change(sql::Tx& tx, const std::string& project, std::int64_t change) {
  TRY(
      tx.run("INSERT INTO lineage_counters (project, change) VALUES ($1, $2) ON CONFLICT (project) "
             "DO UPDATE SET change = excluded.change",
             {project, change}));
  return {};
}

std::string put_statement(std::size_t rows) {
  std::string text = "INSERT INTO lineage_edges (" + columns<Edge>() + ") VALUES ";
  int mark = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    text += row ? ", (" : "(";
    for (int column = 0; column < 8; ++column)
      text += (column ? ", $" : "$") + std::to_string(++mark);
    text += ")";
  }
  return text +
         " ON CONFLICT (project, from_urn, to_urn, relation) DO UPDATE SET created_at = CASE WHEN "
         "excluded.created_at < lineage_edges.created_at THEN excluded.created_at ELSE "
         "lineage_edges.created_at END, masking = excluded.masking, detail = excluded.detail, "
         "change = excluded.change WHERE excluded.created_at < lineage_edges.created_at OR "
         "excluded.masking <> lineage_edges.masking OR excluded.detail <> lineage_edges.detail "
         "RETURNING 1";
}

Result<bool> put(sql::Tx& tx, const std::vector<const Edge*>& edges, std::size_t from,
                 std::size_t count) {
  static const std::string many = put_statement(rows_at_once), one = put_statement(1);
  sql::Row row;
  for (std::size_t i = from; i < from + count; ++i)
    for_each_member(*edges[i],
                    [&](auto, auto& field, auto&) { row.push_back(sql::to_sql(field)); });
  return !TRY(tx.run(count == 1 ? one : many, row)).empty();
}

bool is_plain(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '-' || letter == '_' || letter == '.';
}

int hex_value(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

}  // namespace

Result<void> add_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation) {
  return add_edges(tx, call,
                   {Edge{.from_urn = std::string(from_urn),
                         .to_urn = std::string(to_urn),
                         .relation = std::string(relation),
                         .created_at = at}});
}

Result<void> add_edges(sql::Tx& tx, const Call& call, std::vector<Edge> edges) {
  const std::int64_t change = TRY(last_change(tx, call.project)) + 1;
  // One statement cannot meet a row twice.
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const Edge*> once;
  for (Edge& edge : edges) {
    edge.project = call.project;
    edge.change = change;
    once[{edge.from_urn, edge.to_urn, edge.relation}] = &edge;
  }
  std::vector<const Edge*> all;
  for (const auto& [key, edge] : once) all.push_back(edge);
  bool changed = false;
  std::size_t at = 0;
  while (at < all.size()) {
    const std::size_t count = all.size() - at >= rows_at_once ? rows_at_once : 1;
    if (TRY(put(tx, all, at, count))) changed = true;
    at += count;
  }
  if (changed) TRY(keep_change(tx, call.project, change));
  return {};
}

Result<void> end_edge(sql::Tx& tx, const Call& call, Timestamp at, std::string_view from_urn,
                      std::string_view to_urn, std::string_view relation) {
  static const std::string text =
      "DELETE FROM lineage_edges WHERE project = $1 AND from_urn = $2 AND to_urn = $3 AND relation "
      "= $4 RETURNING " +
      columns<Edge>();
  const auto ended = TRY(sql::select<Edge>(
      tx, text, {call.project, std::string(from_urn), std::string(to_urn), std::string(relation)}));
  if (ended.empty()) return {};
  const Edge& edge = ended.front();
  const std::int64_t change = TRY(last_change(tx, call.project)) + 1;
  TRY(tx.run("INSERT INTO lineage_past_edges (" + columns<Edge>() +
                 ", removed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
             {edge.project, edge.from_urn, edge.to_urn, edge.relation, sql::to_sql(edge.created_at),
              edge.masking, sql::to_sql(edge.detail), change,
              sql::to_sql(std::max(at, edge.created_at))}));
  return keep_change(tx, call.project, change);
}

Result<std::vector<Edge>> edges_from(sql::Tx& tx, const std::string& project,
                                     const std::string& from_urn) {
  static const std::string text = "SELECT " + columns<Edge>() +
                                  " FROM lineage_edges WHERE project = $1 AND from_urn = $2 "
                                  "ORDER BY to_urn, relation";
  return sql::select<Edge>(tx, text, {project, from_urn});
}

Result<std::vector<Edge>> edges_to(sql::Tx& tx, const std::string& project,
                                   const std::string& to_urn) {
  static const std::string text = "SELECT " + columns<Edge>() +
                                  " FROM lineage_edges WHERE project = $1 AND to_urn = $2 "
                                  "ORDER BY from_urn, relation";
  return sql::select<Edge>(tx, text, {project, to_urn});
}

Result<std::vector<Edge>> edges_touching(sql::Tx& tx, const std::string& project,
                                         const std::string& urn) {
  static const std::string text =
      "SELECT " + columns<Edge>() +
      " FROM lineage_edges WHERE project = $1 AND (from_urn = $2 OR to_urn = $2 OR "
      "substr(from_urn, 1, length(CAST($3 AS TEXT))) = $3 OR "
      "substr(to_urn, 1, length(CAST($3 AS TEXT))) = $3) ORDER BY from_urn, to_urn, relation";
  return sql::select<Edge>(tx, text, {project, urn, urn + "#"});
}

Result<void> class_changed(sql::Tx& tx, const Call& call, std::string_view urn) {
  const std::int64_t change = TRY(last_change(tx, call.project)) + 1;
  TRY(
      tx.run("INSERT INTO lineage_touched (project, urn, change) VALUES ($1, $2, $3) ON CONFLICT "
             "(project, urn) DO UPDATE SET change = excluded.change",
             {call.project, std::string(urn), change}));
  return keep_change(tx, call.project, change);
}

ColumnUrn column_urn(std::string_view urn) {
  const std::size_t hash = urn.find('#');
  if (hash == urn.npos) return {std::string(urn), ""};
  return {std::string(urn.substr(0, hash)), unescaped(urn.substr(hash + 1))};
}

std::string column_urn(std::string_view object, std::string_view column) {
  return std::string(object) + "#" + escaped(column, true);
}

std::string escaped(std::string_view text, bool keep_slash) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char letter = text[i];
    if (text.substr(i).starts_with("://")) {
      out += "._.";
      i += 2;
    } else if (letter == '.' && text.substr(i + 1).starts_with("_")) {
      out += "._2E";
    } else if (is_plain(letter) || (keep_slash && letter == '/')) {
      out += letter;
    } else {
      const auto byte = static_cast<unsigned char>(letter);
      out += "._";
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!text.substr(i).starts_with("._")) {
      out += text[i];
    } else if (text.substr(i + 2).starts_with(".")) {
      out += "://";
      i += 2;
    } else {
      const int high = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      const int low = i + 3 < text.size() ? hex_value(text[i + 3]) : -1;
      if (high < 0 || low < 0) {
        out += text[i];
        continue;
      }
      out += static_cast<char>(high << 4 | low);
      i += 3;
    }
  }
  return out;
}

}  // namespace penstock::catalog
