#include "tracking/search.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace penstock::tracking {
namespace {

struct Token {
  enum class Kind { word, text, number, symbol, end } kind = Kind::end;
  std::string text;        // a word keeps its quotes' contents and its dots
  bool is_quoted = false;  // of a word: it began with a quote, so it is a name or a text
};

std::string lower(std::string text) {
  for (char& letter : text)
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return text;
}

Error unreadable(const std::string& problem) {
  return {Code::invalid_argument, "Invalid filter or order: " + problem};
}

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  Result<Token> next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
    if (at_ == text_.size()) return Token{};
    const char letter = text_[at_];
    if (letter == '\'') return quoted(Token::Kind::text);
    if (letter == '"' || letter == '`') return word();
    if (std::isdigit(static_cast<unsigned char>(letter)) || letter == '-' || letter == '+')
      return number();
    if (std::isalpha(static_cast<unsigned char>(letter)) || letter == '_') return word();
    for (const std::string_view symbol : {"!=", "<=", ">=", "=", "<", ">", "(", ")", ","})
      if (text_.compare(at_, symbol.size(), symbol) == 0) {
        at_ += symbol.size();
        return Token{Token::Kind::symbol, std::string(symbol)};
      }
    return unreadable("'" + text_.substr(at_, 20) + "' is not expected");
  }

 private:
  Result<Token> quoted(Token::Kind kind) {
    const char quote = text_[at_];
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string::npos)
      return unreadable("a quote " + std::string(1, quote) + " is not closed");
    Token token{kind, text_.substr(at_ + 1, end - at_ - 1), true};
    at_ = end + 1;
    return token;
  }
  Result<Token> number() {
    const std::size_t begin = at_++;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '.' ||
            ((text_[at_] == '-' || text_[at_] == '+') &&
             std::tolower(static_cast<unsigned char>(text_[at_ - 1])) == 'e')))
      ++at_;
    return Token{Token::Kind::number, text_.substr(begin, at_ - begin)};
  }
  // metrics.`a b`, params."x", tags.mlflow.user, "run name"
  Result<Token> word() {
    Token token{Token::Kind::word, ""};
    token.is_quoted = text_[at_] == '"' || text_[at_] == '`';
    while (at_ < text_.size()) {
      const char letter = text_[at_];
      if (letter == '"' || letter == '`') {
        token.text += TRY(quoted(Token::Kind::word)).text;
      } else if (std::isalnum(static_cast<unsigned char>(letter)) || letter == '_' ||
                 letter == '.' || letter == '/' || letter == '-' || letter == ':' ||
                 static_cast<unsigned char>(letter) >= 0x80) {
        token.text += letter;
        ++at_;
      } else {
        break;
      }
    }
    return token;
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

enum class Field { attribute, metric, param, tag, dataset };
struct Key {
  Field field = Field::attribute;
  std::string name;
  bool is_number = false;
};

struct Attribute {
  std::string_view word, column;
  bool is_number;
};
constexpr std::array run_attributes = {
    Attribute{"run_id", "t.id", false},
    Attribute{"run_uuid", "t.id", false},
    Attribute{"run_name", "t.name", false},
    Attribute{"run name", "t.name", false},
    Attribute{"name", "t.name", false},
    Attribute{"status", "t.status", false},
    Attribute{"artifact_uri", "t.artifact_uri", false},
    Attribute{"user_id", "t.user_id", false},
    Attribute{"user", "t.user_id", false},
    Attribute{"lifecycle_stage", "t.lifecycle", false},
    Attribute{"experiment_id", "t.experiment", true},
    Attribute{"start_time", "t.start_time", true},
    Attribute{"created", "t.start_time", true},
    Attribute{"end_time", "t.end_time", true},
};
constexpr std::array experiment_attributes = {
    Attribute{"name", "t.name", false},
    Attribute{"experiment_id", "t.id", true},
    Attribute{"creation_time", "t.created_at", true},
    Attribute{"last_update_time", "t.updated_at", true},
};

constexpr std::array model_attributes = {
    Attribute{"name", "t.name", false},
    Attribute{"model_id", "t.id", false},
    Attribute{"model_type", "t.model_type", false},
    Attribute{"status", "t.status", false},
    Attribute{"source_run_id", "t.source_run", false},
    Attribute{"creation_timestamp", "t.created_at", true},
    Attribute{"creation_time", "t.created_at", true},
    Attribute{"last_updated_timestamp", "t.updated_at", true},
    Attribute{"last_updated_time", "t.updated_at", true},
};

constexpr std::array registered_attributes = {
    Attribute{"name", "t.name", false},
    Attribute{"creation_timestamp", "t.created_at", true},
    Attribute{"timestamp", "t.updated_at", true},
    Attribute{"last_updated_timestamp", "t.updated_at", true},
};
constexpr std::array version_attributes = {
    Attribute{"name", "t.model", false},
    Attribute{"version_number", "t.version", true},
    Attribute{"run_id", "t.run", false},
    Attribute{"source_path", "t.source", false},
    Attribute{"creation_timestamp", "t.created_at", true},
    Attribute{"last_updated_timestamp", "t.updated_at", true},
};

constexpr std::string_view prompt_tag = "mlflow.prompt.is_prompt";

class Compiler {
 public:
  Compiler(Subject subject, Compiled& out) : subject_(subject), out_(out) {}

  Result<void> filter(const std::string& text) {
    Lexer lexer(text);
    Token token = TRY(lexer.next());
    while (token.kind != Token::Kind::end) {
      TRY(comparison(lexer, token));
      token = TRY(lexer.next());
      if (token.kind == Token::Kind::end) break;
      if (lower(token.text) != "and")
        return unreadable("'" + token.text + "' stands where AND is expected");
      token = TRY(lexer.next());
      if (token.kind == Token::Kind::end) return unreadable("nothing follows AND");
    }
    return {};
  }

  Result<void> order(const std::vector<std::string>& clauses) {
    for (const std::string& clause : clauses) {
      Lexer lexer(clause);
      const Key key = TRY(key_of(TRY(lexer.next())));
      std::string direction = "ASC";
      if (const Token word = TRY(lexer.next()); word.kind != Token::Kind::end) {
        direction = lower(word.text);
        if (direction != "asc" && direction != "desc")
          return unreadable("'" + word.text + "' in '" + clause + "' must be ASC or DESC");
        if (TRY(lexer.next()).kind != Token::Kind::end)
          return unreadable("'" + clause + "' must be one key and ASC or DESC");
      }
      add_order(key, direction);
    }
    return {};
  }

 private:
  std::string mark(Scalar value) {
    out_.parameters.push_back(std::move(value));
    return "$" + std::to_string(out_.parameters.size());
  }

  Result<Key> key_of(const Token& token) {
    if (token.kind != Token::Kind::word && token.kind != Token::Kind::text)
      return unreadable("'" + token.text + "' stands where a key is expected");
    const std::size_t dot = token.text.find('.');
    const std::string head = dot == std::string::npos ? "" : lower(token.text.substr(0, dot));
    const std::string tail = dot == std::string::npos ? "" : token.text.substr(dot + 1);
    const auto is = [&](std::initializer_list<std::string_view> words) {
      return std::find(words.begin(), words.end(), head) != words.end();
    };
    if (is({"tag", "tags"})) return named(Key{Field::tag, tail}, token);
    if ((subject_ == Subject::run || subject_ == Subject::logged_model) &&
        is({"param", "params", "parameter", "parameters"}))
      return named(Key{Field::param, tail}, token);
    if (subject_ == Subject::run) {
      if (is({"metric", "metrics"})) return named(Key{Field::metric, tail, true}, token);
      if (is({"dataset", "datasets"})) {
        for (const std::string_view known : {"name", "digest", "context"})
          if (tail == known) return Key{Field::dataset, tail};
        return unreadable("'" + token.text + "' must be dataset.name, .digest or .context");
      }
    }
    const bool prefixed = is({"attribute", "attributes", "attr", "run"});
    return attribute(prefixed ? tail : token.text, token);
  }
  static Result<Key> named(Key key, const Token& token) {
    if (key.name.empty()) return unreadable("'" + token.text + "' names no key");
    return key;
  }
  Result<Key> attribute(const std::string& name, const Token& token) {
    const auto find = [&](const auto& known) -> Result<Key> {
      for (const Attribute& one : known)
        if (one.word == lower(name))
          return Key{Field::attribute, std::string(one.column), one.is_number};
      std::string words;
      for (const Attribute& one : known)
        words += (words.empty() ? "" : ", ") + std::string(one.word);
      return unreadable("'" + token.text + "' is no attribute; known are " + words +
                        ", and metrics., params., tags. before a key");
    };
    if (subject_ == Subject::run) return find(run_attributes);
    if (subject_ == Subject::registered_model) return find(registered_attributes);
    if (subject_ == Subject::model_version) return find(version_attributes);
    return subject_ == Subject::experiment ? find(experiment_attributes) : find(model_attributes);
  }

  Result<void> comparison(Lexer& lexer, const Token& first) {
    const Key key = TRY(key_of(first));
    const Token word = TRY(lexer.next());
    std::string op = lower(word.text);
    if (op == "is") return null_check(lexer, key);
    if (op == "not") {
      op = "not " + lower(TRY(lexer.next()).text);
      if (op != "not in") return unreadable("NOT must be followed by IN");
    }
    if (op == "in" || op == "not in") return list_check(lexer, key, op);
    const bool is_text_op = op == "like" || op == "ilike";
    const bool is_order_op = op == "<" || op == "<=" || op == ">" || op == ">=";
    if (!is_text_op && !is_order_op && op != "=" && op != "!=")
      return unreadable("'" + word.text +
                        "' is no comparator; known are =, !=, <, <=, >, >=, LIKE, ILIKE, IN, IS");
    if ((is_text_op && key.is_number) || (is_order_op && !key.is_number))
      return unreadable("'" + word.text + "' does not go with '" + first.text + "'");
    const Scalar value = TRY(value_of(TRY(lexer.next()), key, first));
    if (key.field == Field::tag && key.name == prompt_tag && op == "!=") {
      // Models have no such tag, and are what the client asks for.
      condition("NOT EXISTS (" + rows_of(key) + " AND x.value = " + mark(value) + ")");
      return {};
    }
    const std::string marked = mark(value);
    if (op == "ilike")
      add(key, [&](const std::string& column) {
        return "lower(" + column + ") LIKE lower(" + marked + ")";
      });
    else
      add(key, [&](const std::string& column) {
        return column + " " + (op == "!=" ? "<>" : op == "like" ? "LIKE" : op) + " " + marked;
      });
    return {};
  }

  Result<Scalar> value_of(const Token& token, const Key& key, const Token& first) {
    if (!key.is_number) {
      const bool is_text =
          token.kind == Token::Kind::text || (token.kind == Token::Kind::word && token.is_quoted);
      if (!is_text)
        return unreadable("'" + first.text + "' is compared with a text in quotes, not with " +
                          token.text);
      return Scalar(token.text);
    }
    double value = 0;
    const std::string text = token.text.starts_with("+") ? token.text.substr(1) : token.text;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size())
      return unreadable("'" + first.text + "' is compared with a number, not with '" + token.text +
                        "'");
    if (key.field == Field::metric) return Scalar(value);
    if (std::abs(value) > 9e15 || value != std::floor(value))
      return unreadable("'" + first.text + "' is compared with a whole number, not with '" +
                        token.text + "'");
    return Scalar(static_cast<std::int64_t>(value));
  }

  Result<void> list_check(Lexer& lexer, const Key& key, const std::string& op) {
    if (key.field != Field::attribute && key.field != Field::dataset)
      return unreadable("IN goes with attributes and datasets alone");
    if (TRY(lexer.next()).text != "(") return unreadable("IN must be followed by ('a', 'b')");
    std::string marks;
    while (true) {
      const Scalar value = TRY(value_of(TRY(lexer.next()), key, Token{Token::Kind::word, "IN"}));
      marks += (marks.empty() ? "" : ", ") + mark(value);
      if (out_.parameters.size() > 1'000) return unreadable("IN may have 1000 values");
      const Token then = TRY(lexer.next());
      if (then.text == ")") break;
      if (then.text != ",") return unreadable("IN must be followed by ('a', 'b')");
    }
    add(key, [&](const std::string& column) {
      return column + (op == "in" ? " IN (" : " NOT IN (") + marks + ")";
    });
    return {};
  }

  Result<void> null_check(Lexer& lexer, const Key& key) {
    Token word = TRY(lexer.next());
    const bool negated = lower(word.text) == "not";
    if (negated) word = TRY(lexer.next());
    if (lower(word.text) != "null") return unreadable("IS must be followed by NULL or NOT NULL");
    if (key.field == Field::attribute) {
      condition(key.name + (negated ? " IS NOT NULL" : " IS NULL"));
      return {};
    }
    if (key.field == Field::dataset) return unreadable("IS NULL does not go with datasets");
    const std::string there = rows_of(key);
    condition((negated ? "EXISTS (" : "NOT EXISTS (") + there + ")");
    return {};
  }

  void condition(const std::string& text) {
    out_.where += (out_.where.empty() ? "" : " AND ") + text;
  }

  // Where the values of a key are: a table, and the condition that its rows are of this subject.
  struct Values {
    std::string table, condition;
  };
  Values values_of(const Key& key, const std::string& as) {
    const bool is_param = key.field == Field::param;
    if (subject_ == Subject::experiment)
      return {"experiment_tags", as + ".project = t.project AND " + as + ".experiment = t.id AND " +
                                     as + ".key = " + mark(key.name)};
    if (subject_ == Subject::registered_model)
      return {"registered_model_tags", as + ".project = t.project AND " + as +
                                           ".model = t.name AND " + as +
                                           ".key = " + mark(key.name)};
    if (subject_ == Subject::model_version)
      return {"version_tags", as + ".project = t.project AND " + as + ".model = t.model AND " + as +
                                  ".version = t.version AND " + as + ".key = " + mark(key.name)};
    if (subject_ == Subject::logged_model)
      return {is_param ? "logged_model_params" : "logged_model_tags",
              as + ".model = t.number AND " + as + ".key = " + mark(key.name)};
    if (key.field == Field::dataset) return {"run_datasets", as + ".run = t.number"};
    return {key.field == Field::metric ? "latest_metrics"
            : is_param                 ? "tracked_params"
                                       : "tracked_tags",
            as + ".run = t.number AND " + as + ".key = " + mark(key.name)};
  }
  std::string rows_of(const Key& key) {
    const Values values = values_of(key, "x");
    return "SELECT 1 FROM " + values.table + " x WHERE " + values.condition;
  }

  template <class Say>
  void add(const Key& key, const Say& say) {
    if (key.field == Field::attribute) return condition(say(key.name));
    if (key.field == Field::dataset)
      return condition("EXISTS (SELECT 1 FROM run_datasets x WHERE x.run = t.number AND " +
                       say("x." + key.name) + ")");
    const std::string not_nan = key.field == Field::metric ? " AND NOT x.is_nan" : "";
    condition("EXISTS (" + rows_of(key) + not_nan + " AND " + say("x.value") + ")");
  }

  void add_order(const Key& key, const std::string& direction) {
    std::string column = key.name, rank;
    if (key.field != Field::attribute) {
      const std::string name = "o" + std::to_string(joined_++);
      const Values values = values_of(key, name);
      out_.joins += " LEFT JOIN " + values.table + " " + name + " ON " + values.condition;
      column = name + (key.field == Field::dataset ? "." + key.name : ".value");
      if (key.field == Field::metric)
        rank =
            "CASE WHEN " + column + " IS NULL THEN 2 WHEN " + name + ".is_nan THEN 1 ELSE 0 END, ";
    }
    if (rank.empty() && column != "t.id" && column != "t.start_time" && column != "t.created_at")
      rank = "CASE WHEN " + column + " IS NULL THEN 1 ELSE 0 END, ";
    out_.order += (out_.order.empty() ? "" : ", ") + rank + column + " " + direction;
  }

  Subject subject_;
  Compiled& out_;
  int joined_ = 0;
};

}  // namespace

Result<Compiled> compile(Subject subject, const std::string& filter,
                         const std::vector<std::string>& order_by) {
  Compiled out;
  Compiler compiler(subject, out);
  TRY(compiler.filter(filter));
  TRY(compiler.order(order_by));
  return out;
}

}  // namespace penstock::tracking
