#include "catalog/search_store.h"

namespace penstock::catalog::store {
namespace {

// The first three letters, which may be more bytes.
std::string prefix_of(const std::string& word) {
  std::size_t letters = 0, at = 0;
  for (; at < word.size(); ++at)
    if ((static_cast<unsigned char>(word[at]) & 0xC0) != 0x80 && ++letters > 3) break;
  return word.substr(0, at);
}

// A statement as it grows, with the values of its parameters.
class Statement {
 public:
  std::string text;
  sql::Row values;

  std::string mark(Scalar value) {
    values.push_back(std::move(value));
    return "$" + std::to_string(values.size());
  }
};

// Words of three letters and more are found by how they begin, shorter ones as they are.
std::string begins(Statement& out, const std::string& project, const std::string& word) {
  const std::string mark = out.mark(word);
  return "project = " + out.mark(project) + " AND prefix = " + out.mark(prefix_of(word)) +
         " AND substr(term, 1, length(CAST(" + mark + " AS TEXT))) = " + mark;
}

// WITH found (urn, score): what has all words and one value of each facet, but for `except`.
void add_found(Statement& out, const SearchFilter& filter, const std::string& except = "") {
  std::string from;
  if (filter.words.empty()) {
    from = "SELECT urn, CAST(0 AS BIGINT) AS score FROM search_documents WHERE project = " +
           out.mark(filter.project);
  } else {
    std::string hits;
    for (const WeightedWord& word : filter.words) {
      const std::string exact = out.mark(word.word);
      hits += (hits.empty() ? "" : " UNION ALL ") +
              std::string("SELECT urn, max(CASE WHEN term = ") + exact +
              " THEN 2 * weight ELSE weight END) * " + std::to_string(word.rarity) +
              " AS score FROM search_terms WHERE " + begins(out, filter.project, word.word) +
              " GROUP BY urn";
    }
    from = "SELECT urn, CAST(sum(score) AS BIGINT) AS score FROM (" + hits +
           ") AS hits GROUP BY urn HAVING count(*) = " + std::to_string(filter.words.size());
  }
  std::string conditions;
  for (const auto& [facet, values] : filter.by_facet) {
    if (values.empty() || facet == except) continue;
    std::string marks;
    for (const std::string& value : values) marks += (marks.empty() ? "" : ", ") + out.mark(value);
    conditions += (conditions.empty() ? " WHERE" : " AND") +
                  std::string(" urn IN (SELECT urn FROM search_facets WHERE project = ") +
                  out.mark(filter.project) + " AND facet = " + out.mark(facet) + " AND value IN (" +
                  marks + "))";
  }
  out.text = "WITH found (urn, score) AS (SELECT urn, score FROM (" + from + ") AS matched" +
             conditions + ") ";
}

Result<std::int64_t> number(sql::Tx& tx, const Statement& statement) {
  const auto rows = TRY(tx.run(statement.text, statement.values));
  return std::get<std::int64_t>(rows.at(0).at(0));
}

Result<void> put_facet(sql::Tx& tx, const SearchDocument& document, const std::string& facet,
                       const std::string& value) {
  if (value.empty()) return {};
  TRY(tx.run("INSERT INTO search_facets (project, facet, value, urn) VALUES ($1, $2, $3, $4)",
             {document.project, facet, value, document.urn}));
  return {};
}

}  // namespace

Result<std::int64_t> search_position(sql::Tx& tx) {
  const auto rows = TRY(tx.run("SELECT position FROM search_position WHERE id = 1", {}));
  return rows.empty() ? 0 : std::get<std::int64_t>(rows.front().at(0));
}

Result<void> move_search(sql::Tx& tx, std::int64_t position) {
  TRY(tx.run("UPDATE search_position SET position = $1 WHERE id = 1", {position}));
  return {};
}

Result<void> remove_documents(sql::Tx& tx, const std::string& project, const std::string& urn) {
  // Most subjects are new: looking costs a tenth of deleting nothing from three tables.
  const auto there = TRY(tx.run(
      "SELECT urn FROM search_documents WHERE project = $1 AND urn = $2 UNION ALL SELECT urn "
      "FROM search_documents WHERE project = $1 AND parent = $2",
      {project, urn}));
  for (const sql::Row& row : there)
    for (const char* table : {"search_terms", "search_facets", "search_documents"})
      TRY(tx.run("DELETE FROM " + std::string(table) + " WHERE project = $1 AND urn = $2",
                 {project, row.at(0)}));
  return {};
}

Result<void> put_document(sql::Tx& tx, const SearchDocument& document,
                          const std::map<std::string, std::int64_t>& words,
                          const std::string& place) {
  TRY(sql::insert(tx, "search_documents", document));
  // Many rows a statement: on PostgreSQL each is a round trip.
  for (auto at = words.begin(); at != words.end();) {
    Statement insert;
    insert.text = "INSERT INTO search_terms (project, prefix, term, urn, weight) VALUES ";
    for (int row = 0; row < 25 && at != words.end(); ++row, ++at) {
      insert.text += (row ? ", (" : "(") + insert.mark(document.project);
      for (const std::string& value : {prefix_of(at->first), at->first, document.urn})
        insert.text += ", " + insert.mark(value);
      insert.text += ", " + insert.mark(at->second) + ")";
    }
    TRY(tx.run(insert.text, insert.values));
  }
  TRY(put_facet(tx, document, "kind", document.kind));
  TRY(put_facet(tx, document, "owner", document.owner));
  TRY(put_facet(tx, document, "classification", document.classification));
  for (const std::string& tag : document.tags) TRY(put_facet(tx, document, "tag", tag));
  if (!place.empty()) TRY(put_facet(tx, document, "place", place));
  return {};
}

Result<std::int64_t> count_documents(sql::Tx& tx, const std::string& project) {
  Statement statement;
  statement.text =
      "SELECT count(*) FROM search_documents WHERE project = " + statement.mark(project);
  return number(tx, statement);
}

Result<std::int64_t> count_having(sql::Tx& tx, const std::string& project,
                                  const std::string& word) {
  Statement statement;
  statement.text =
      "SELECT count(DISTINCT urn) FROM search_terms WHERE " + begins(statement, project, word);
  return number(tx, statement);
}

Result<std::int64_t> count_found(sql::Tx& tx, const SearchFilter& filter) {
  Statement statement;
  add_found(statement, filter);
  statement.text += "SELECT count(*) FROM found";
  return number(tx, statement);
}

Result<std::vector<SearchHit>> found(sql::Tx& tx, const SearchFilter& filter, std::int64_t limit,
                                     std::int64_t offset) {
  Statement statement;
  add_found(statement, filter);
  statement.text +=
      "SELECT d.urn, d.kind, d.name, d.owner, d.classification, d.tags, d.summary, f.score FROM "
      "found AS f JOIN search_documents AS d ON d.urn = f.urn AND d.project = " +
      statement.mark(filter.project) + " ORDER BY f.score DESC, d.urn LIMIT " +
      statement.mark(limit) + " OFFSET " + statement.mark(offset);
  return sql::select<SearchHit>(tx, statement.text, statement.values);
}

Result<std::vector<FacetValue>> facet_counts(sql::Tx& tx, const SearchFilter& filter,
                                             const std::string& facet) {
  Statement statement;
  add_found(statement, filter, facet);
  statement.text +=
      "SELECT s.value, count(*) FROM found AS f JOIN search_facets AS s ON s.urn = "
      "f.urn AND s.project = " +
      statement.mark(filter.project) + " AND s.facet = " + statement.mark(facet) +
      " GROUP BY s.value ORDER BY count(*) DESC, s.value LIMIT 50";
  return sql::select<FacetValue>(tx, statement.text, statement.values);
}

}  // namespace penstock::catalog::store
