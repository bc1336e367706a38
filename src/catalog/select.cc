#include <algorithm>
#include <array>

#include "catalog/service.h"

namespace penstock::catalog {
namespace {

bool starts_word(char letter) {
  return std::isalpha(static_cast<unsigned char>(letter)) || letter == '_';
}
bool in_word(char letter) {
  return std::isalnum(static_cast<unsigned char>(letter)) || letter == '_';
}

// What of a statement is code: words in lower case, and single other characters. Texts, comments
// and quoted names say nothing about what it does (a quoted name that is called like a function is
// still called). Where engines do not agree on where a text or comment ends, code could hide: that
// is refused, with a reason.
Result<std::vector<std::string>> tokens_of(std::string_view sql) {
  std::vector<std::string> tokens;
  std::size_t at = 0;
  const auto skip_past = [&](std::string_view mark, std::size_t from) {
    const std::size_t found = sql.find(mark, from);
    at = found == std::string_view::npos ? sql.size() : found + mark.size();
  };
  while (at < sql.size()) {
    const char letter = sql[at];
    if (sql.substr(at, 2) == "--") {
      skip_past("\n", at);
    } else if (sql.substr(at, 2) == "/*") {
      const std::size_t begin = at + 2;
      skip_past("*/", begin);
      if (sql.substr(begin, at - begin).find("/*") != std::string_view::npos)
        return Error{Code::invalid_argument, "must not hold a comment within a comment"};
    } else if (letter == '\'') {
      if (!tokens.empty() && tokens.back() == "e" && sql[at - 1] != ' ')
        return Error{Code::invalid_argument, "must not hold an escape text (E'...')"};
      skip_past("'", at + 1);
      tokens.emplace_back("'");
    } else if (letter == '"') {
      const std::size_t begin = at + 1;
      skip_past("\"", begin);
      std::string name(sql.substr(begin, at - begin - 1));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      tokens.push_back("\"" + name);
    } else if (starts_word(letter)) {
      std::string word;
      for (; at < sql.size() && in_word(sql[at]); ++at)
        word += static_cast<char>(std::tolower(static_cast<unsigned char>(sql[at])));
      tokens.push_back(std::move(word));
    } else {
      if (letter == '$' &&
          (at + 1 == sql.size() || !std::isdigit(static_cast<unsigned char>(sql[at + 1]))))
        return Error{Code::invalid_argument, "must not hold a text in dollars; use '...'"};
      if (!std::isspace(static_cast<unsigned char>(letter))) tokens.emplace_back(1, letter);
      ++at;
    }
  }
  return tokens;
}

bool reaches_outside(std::string name) {
  if (name.starts_with("\"")) name.erase(0, 1);
  static constexpr std::array prefixes = {"read_",    "parquet_",     "sniff_",     "duckdb_",
                                          "pragma_",  "pg_",          "sqlite_",    "lo_",
                                          "dblink",   "json_execute", "arrow_scan", "postgres_",
                                          "iceberg_", "delta_",       "load_",      "penstock_"};
  static constexpr std::array names = {
      "glob",           "getenv",          "query",
      "query_table",    "current_setting", "set_config",
      "seq_scan",       "write_log",       "getvariable",
      "which_secret",   "checkpoint",      "test_all_types",
      "from_substrait", "enable_logging",  "parse_duckdb_log_message"};
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const char* prefix) { return name.starts_with(prefix); }) ||
         std::find(names.begin(), names.end(), name) != names.end();
}

Error refuse(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, field + " " + problem, {{field, problem}}};
}

}  // namespace

Result<void> check_repeatable(std::string_view sql, const std::string& field) {
  static constexpr std::array changing = {"random",
                                          "setseed",
                                          "uuid",
                                          "gen_random_uuid",
                                          "uuidv4",
                                          "uuidv7",
                                          "now",
                                          "today",
                                          "nextval",
                                          "currval",
                                          "txid_current",
                                          "transaction_timestamp",
                                          "current_date",
                                          "current_time",
                                          "localtime",
                                          "current_timestamp",
                                          "localtimestamp",
                                          "tablesample",
                                          "get_current_time",
                                          "get_current_timestamp",
                                          "current_localtimestamp"};
  const auto tokens = tokens_of(sql);
  if (!tokens) return refuse(field, tokens.error().message);
  for (std::size_t i = 0; i < tokens->size(); ++i) {
    const std::string& token = (*tokens)[i];
    const bool call = i + 1 < tokens->size() && (*tokens)[i + 1] == "(";
    // A column may be called today; only what is called, or stands for a call, changes.
    const bool bare = token.starts_with("current_") || token == "localtimestamp" ||
                      token == "localtime" || token == "tablesample";
    if ((call || bare) && std::find(changing.begin(), changing.end(), token) != changing.end())
      return refuse(field,
                    "must not use " + token + ": the same inputs would not give the same rows");
    if (token == "sample" && i > 0 && (*tokens)[i - 1] == "using")
      return refuse(field,
                    "must not use USING SAMPLE: the same inputs would not give the same rows");
  }
  return {};
}

Result<void> check_select(std::string_view sql, const std::string& field) {
  auto read = tokens_of(sql);
  if (!read) return refuse(field, read.error().message);
  std::vector<std::string> tokens = std::move(read).take();
  while (!tokens.empty() && tokens.back() == ";") tokens.pop_back();
  if (tokens.empty() || (tokens[0] != "select" && tokens[0] != "with"))
    return refuse(field, "must be a SELECT (or WITH ... SELECT) statement");
  static constexpr std::array changing = {"insert",   "update", "delete", "drop",    "create",
                                          "alter",    "attach", "copy",   "install", "pragma",
                                          "truncate", "detach", "vacuum", "merge",   "grant"};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::string& token = tokens[i];
    const std::string next = i + 1 < tokens.size() ? tokens[i + 1] : "";
    if (token == ";") return refuse(field, "must be a single statement");
    if (next == "(" && reaches_outside(token))
      return refuse(field, "must not call " + token + ": it reads only what it was given by name");
    // A CTE may hold INSERT in PostgreSQL. A column of such a name is followed by other things.
    if (std::find(changing.begin(), changing.end(), token) != changing.end() &&
        (next == "into" || next == "from" || next == "table" || next == "view" || next == "set" ||
         (token == "update" && starts_word(next.empty() ? ' ' : next[0]) && i > 0 &&
          tokens[i - 1] == "(")))
      return refuse(field, "must not change anything (" + token + ")");
  }
  return {};
}

}  // namespace penstock::catalog
