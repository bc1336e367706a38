#include "policies/select.h"

#include <algorithm>
#include <array>

namespace penstock::policies {
namespace {

struct Token {
  enum class Kind { word, name, text, number, symbol } kind;
  std::string text;  // words in lower case
};

Error refuse(const std::string& problem) {
  return {Code::invalid_argument, "sql " + problem, {{"sql", problem}}};
}

bool begins_word(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_';
}
bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

class Reader {
 public:
  explicit Reader(std::string_view sql) : sql_(sql) {}

  Result<std::vector<Token>> all() {
    while (at_ < sql_.size()) TRY(next());
    while (!tokens_.empty() && tokens_.back().text == ";") tokens_.pop_back();
    return std::move(tokens_);
  }

 private:
  bool ahead(std::string_view text) const { return sql_.substr(at_).starts_with(text); }
  void add(Token::Kind kind, std::string text) { tokens_.push_back({kind, std::move(text)}); }

  Result<void> next() {
    const char letter = sql_[at_];
    if (letter == ' ' || letter == '\n' || letter == '\t' || ahead("\r\n")) {
      ++at_;
    } else if (ahead("--")) {
      // To PostgreSQL a carriage return ends a comment, to SQLite it does not.
      const std::string_view comment = sql_.substr(at_, sql_.find('\n', at_) - at_);
      if (comment.find('\r') < comment.size() - 1)
        return refuse("holds a carriage return in a comment");
      at_ = std::min(sql_.find('\n', at_), sql_.size());
    } else if (letter == '\'') {
      TRY(text());
    } else if (letter == '"') {
      TRY(quoted());
    } else if (begins_word(letter)) {
      TRY(word());
    } else if (is_digit(letter)) {
      const std::size_t begin = at_;
      while (at_ < sql_.size() &&
             (begins_word(sql_[at_]) || is_digit(sql_[at_]) || sql_[at_] == '.'))
        ++at_;
      add(Token::Kind::number, std::string(sql_.substr(begin, at_ - begin)));
    } else {
      TRY(symbol());
    }
    return {};
  }
  // '' within a text stands for one quote: two texts side by side read the same here.
  Result<void> text() {
    const std::size_t end = sql_.find('\'', at_ + 1);
    if (end == sql_.npos) return refuse("holds a text that does not end");
    at_ = end + 1;
    add(Token::Kind::text, "'");
    return {};
  }
  Result<void> quoted() {
    const std::size_t end = sql_.find('"', at_ + 1);
    if (end == sql_.npos) return refuse("holds a quoted name that does not end");
    const std::string name(sql_.substr(at_ + 1, end - at_ - 1));
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char letter) {
      return letter == '_' || is_digit(letter) || (letter >= 'a' && letter <= 'z');
    });
    if (!plain)
      return refuse("quotes \"" + name + "\"; names are lower case letters, digits and _");
    at_ = end + 1;
    if (ahead("\"")) return refuse("has a quote within the name " + name);
    add(Token::Kind::name, name);
    return {};
  }
  Result<void> word() {
    std::string out;
    for (; at_ < sql_.size() && (begins_word(sql_[at_]) || is_digit(sql_[at_])); ++at_)
      out += sql_[at_] >= 'A' && sql_[at_] <= 'Z' ? static_cast<char>(sql_[at_] + 32) : sql_[at_];
    if (at_ < sql_.size() && (sql_[at_] == '\'' || sql_[at_] == '"'))
      return refuse("has a quote right after " + out + "; write texts as '...' alone");
    add(Token::Kind::word, out);
    return {};
  }
  Result<void> symbol() {
    const char letter = sql_[at_];
    if (letter < ' ' || letter > '~')
      return refuse("holds a character other than ASCII outside of a text");
    if (std::string_view("(),.;+-*/%<>=|!").find(letter) == std::string_view::npos) {
      std::string problem = "holds ? outside of a text";
      problem[6] = letter;
      return refuse(problem);
    }
    if (ahead("/*")) return refuse("holds a comment in /* */; use -- to the end of the line");
    if (ahead("->")) return refuse("takes JSON apart; the views have columns for what is in it");
    add(Token::Kind::symbol, std::string(1, letter));
    ++at_;
    return {};
  }

  std::string_view sql_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

// Called as functions, and read alike by both databases.
constexpr std::array functions = {"count",      "sum",     "min",   "max",         "avg",
                                  "coalesce",   "nullif",  "lower", "upper",       "length",
                                  "substr",     "replace", "trim",  "ltrim",       "rtrim",
                                  "abs",        "round",   "cast",  "row_number",  "rank",
                                  "dense_rank", "lag",     "lead",  "first_value", "last_value"};
// Words that a parenthesis may follow and that call nothing.
constexpr std::array before_parenthesis = {
    "select", "from",   "where",     "and",    "or",     "not",      "in",      "exists",
    "on",     "using",  "as",        "when",   "then",   "else",     "case",    "union",
    "all",    "except", "intersect", "by",     "having", "distinct", "between", "like",
    "is",     "join",   "limit",     "offset", "over",   "filter",   "escape"};
constexpr std::array never = {
    "with",    "recursive", "insert",  "update",  "delete",    "drop",    "create",  "alter",
    "attach",  "detach",    "pragma",  "into",    "table",     "lateral", "only",    "tablesample",
    "copy",    "merge",     "grant",   "for",     "returning", "call",    "execute", "vacuum",
    "explain", "values",    "indexed", "collate", "window",    "fetch",   "ilike",   "similar",
    "glob",    "regexp",    "match",   "array",   "row",       "any",     "some"};
constexpr std::array ends_from = {"where",  "group", "having", "order",    "limit",
                                  "offset", "union", "except", "intersect"};

template <std::size_t size>
bool has(const std::array<const char*, size>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Follows the clauses of the statement: where the name of a table stands, it must be a view's.
class Walker {
 public:
  Walker(const std::vector<Token>& tokens, const std::vector<std::string>& known)
      : tokens_(tokens), known_(known) {}

  Result<std::vector<std::string>> views() {
    if (tokens_.empty() || !is_word(0, "select")) return refuse("must be one SELECT statement");
    scopes_.emplace_back();
    for (at_ = 0; at_ < tokens_.size(); ++at_) TRY(step());
    if (scopes_.size() != 1) return refuse("has a ( that is not closed");
    TRY(expects_nothing());
    return std::move(read_);
  }

 private:
  // One SELECT, or whatever else stands in parentheses.
  struct Scope {
    bool in_from = false, expects_table = false;
  };

  bool is_word(std::size_t at, std::string_view text) const {
    return at < tokens_.size() && tokens_[at].kind == Token::Kind::word && tokens_[at].text == text;
  }
  bool is_symbol(std::size_t at, std::string_view text) const {
    return at < tokens_.size() && tokens_[at].kind == Token::Kind::symbol &&
           tokens_[at].text == text;
  }
  Result<void> expects_nothing() const {
    if (scopes_.back().expects_table) return refuse("names no view after FROM");
    return {};
  }

  Result<void> step() {
    const Token& token = tokens_[at_];
    switch (token.kind) {
      case Token::Kind::word: return word(token.text);
      case Token::Kind::name: return name(token.text);
      case Token::Kind::symbol: return symbol(token.text);
      case Token::Kind::text:
      case Token::Kind::number: return expects_nothing();
    }
    return {};
  }

  Result<void> word(const std::string& text) {
    if (has(never, text)) return refuse("must not use " + upper(text));
    if (text == "in" && !is_symbol(at_ + 1, "(")) return refuse("must have a ( after IN");
    if (text == "from") return from();
    if (text == "join") {
      if (!scopes_.back().in_from) return refuse("has a JOIN outside of FROM");
      return expect_table();
    }
    if (text == "select") {
      TRY(expects_nothing());
      scopes_.back() = {};
      return {};
    }
    if (has(ends_from, text)) {
      TRY(expects_nothing());
      scopes_.back().in_from = false;
      return {};
    }
    return name(text);
  }

  Result<void> from() {
    // x IS [NOT] DISTINCT FROM y compares.
    const bool compares = at_ >= 2 && is_word(at_ - 1, "distinct") &&
                          (is_word(at_ - 2, "is") || is_word(at_ - 2, "not"));
    if (compares) return {};
    scopes_.back().in_from = true;
    return expect_table();
  }
  Result<void> expect_table() {
    TRY(expects_nothing());
    scopes_.back().expects_table = true;
    return {};
  }

  Result<void> name(const std::string& text) {
    for (const char* own : {"pg_", "sqlite_", "information_schema", "penstock_"})
      if (text.starts_with(own)) return refuse("must not use " + text);
    for (const char* clock : {"current_", "session_", "localtime"})
      if (text.starts_with(clock))
        return refuse("must not use " + text + "; the time is policy_subject.now");
    const bool called = is_symbol(at_ + 1, "(");
    if (scopes_.back().expects_table) return table(text);
    if (!called) return {};
    if (tokens_[at_].kind == Token::Kind::word &&
        (has(functions, text) || has(before_parenthesis, text)))
      return {};
    // A view's alias may be followed by nothing of the kind; all else is a call.
    return refuse("calls " + text + ", which policies may not; they may call " + all_functions());
  }

  Result<void> table(const std::string& text) {
    scopes_.back().expects_table = false;
    if (is_symbol(at_ + 1, "(") || is_symbol(at_ + 1, "."))
      return refuse("reads " + text + (is_symbol(at_ + 1, "(") ? "(" : ".") +
                    "; policies read views by their bare names: penstock policies views");
    if (std::find(known_.begin(), known_.end(), text) == known_.end())
      return refuse("reads " + text +
                    ", which is no view that policies may read: penstock policies views");
    if (std::find(read_.begin(), read_.end(), text) == read_.end()) read_.push_back(text);
    return {};
  }

  Result<void> symbol(const std::string& text) {
    if (text == ";") return refuse("must be one statement");
    if (text == "(") {
      const bool select = is_word(at_ + 1, "select");
      const bool tables = scopes_.back().expects_table && !select;
      scopes_.back().expects_table = false;
      scopes_.push_back({.in_from = tables, .expects_table = tables});
      return {};
    }
    TRY(expects_nothing());
    if (text == ")") {
      if (scopes_.size() == 1) return refuse("has a ) too many");
      scopes_.pop_back();
    } else if (text == "," && scopes_.back().in_from) {
      scopes_.back().expects_table = true;
    }
    return {};
  }

  static std::string upper(std::string text) {
    for (char& letter : text)
      if (letter >= 'a' && letter <= 'z') letter = static_cast<char>(letter - 32);
    return text;
  }
  static std::string all_functions() {
    std::string out;
    for (const char* one : functions) out += (out.empty() ? "" : ", ") + std::string(one);
    return out;
  }

  const std::vector<Token>& tokens_;
  const std::vector<std::string>& known_;
  std::size_t at_ = 0;
  std::vector<Scope> scopes_;
  std::vector<std::string> read_;
};

}  // namespace

Result<std::vector<std::string>> views_read(std::string_view sql,
                                            const std::vector<std::string>& known) {
  const auto tokens = TRY(Reader(sql).all());
  return Walker(tokens, known).views();
}

std::string without_end(std::string sql) {
  while (!sql.empty() && std::string_view(" \n\t\r;").find(sql.back()) != std::string_view::npos)
    sql.pop_back();
  return sql;
}

}  // namespace penstock::policies
