#include "tracking/search.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "tracking/lexer.h"

namespace penstock::tracking {
namespace {

enum class Field { attribute, metric, param, tag, dataset };
// id: a number that MLflow writes as a text in quotes.
enum class Type { text, number, id };
struct Key {
  Field field = Field::attribute;
  std::string name;
  Type type = Type::text;
  bool takes_lists = false;
};

// Which attributes may be filtered by, and which may be ordered by, as MLflow has them.
struct Attribute {
  std::string_view word, column;
  Type type = Type::text;
  bool takes_lists = false, orders = true, filters = true, may_miss = false;
};
constexpr std::array run_attributes = {
    Attribute{"run_id", "t.id", Type::text, true},
    Attribute{"run_name", "t.name"},
    Attribute{"run name", "t.name"},
    Attribute{"Run name", "t.name"},
    Attribute{"Run Name", "t.name"},
    Attribute{"status", "t.status"},
    Attribute{"artifact_uri", "t.artifact_uri"},
    Attribute{"user_id", "t.user_id"},
    Attribute{"start_time", "t.start_time", Type::number},
    Attribute{"created", "t.start_time", Type::number},
    Attribute{"Created", "t.start_time", Type::number},
    Attribute{.word = "end_time", .column = "t.end_time", .type = Type::number, .may_miss = true},
};
constexpr std::array experiment_attributes = {
    Attribute{"name", "t.name"},
    Attribute{"experiment_id", "t.id", Type::id, true},
    Attribute{"creation_time", "t.created_at", Type::number},
    Attribute{"last_update_time", "t.updated_at", Type::number},
};

constexpr std::array model_attributes = {
    Attribute{"name", "t.name", Type::text, true},
    Attribute{"model_id", "t.id", Type::text, true},
    Attribute{"model_type", "t.model_type", Type::text, true},
    Attribute{"status", "t.status", Type::text, true},
    Attribute{"source_run_id", "t.source_run", Type::text, true},
    Attribute{"creation_timestamp", "t.created_at", Type::number},
    Attribute{"creation_time", "t.created_at", Type::number},
    Attribute{"last_updated_timestamp", "t.updated_at", Type::number},
    Attribute{"last_updated_time", "t.updated_at", Type::number},
};

constexpr std::array registered_attributes = {
    Attribute{"name", "t.name", Type::text, true},
    Attribute{.word = "creation_timestamp", .column = "t.created_at", .filters = false},
    Attribute{.word = "timestamp", .column = "t.updated_at", .filters = false},
    Attribute{.word = "last_updated_timestamp", .column = "t.updated_at", .filters = false},
};
constexpr std::array version_attributes = {
    Attribute{"name", "t.name", Type::text, true},
    Attribute{"version_number", "t.version", Type::number},
    Attribute{"run_id", "t.run", Type::text, true, false},
    Attribute{"source_path", "t.source", Type::text, false, false},
    Attribute{.word = "creation_timestamp", .column = "t.created_at", .filters = false},
    Attribute{.word = "last_updated_timestamp", .column = "t.updated_at", .filters = false},
};

constexpr std::string_view prompt_tag = "mlflow.prompt.is_prompt";

class Compiler {
 public:
  Compiler(Subject subject, Compiled& out, const MetricScope& scope)
      : subject_(subject), out_(out), scope_(scope) {}

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
    if (!scope_.any_of.empty() && !compared_metric_)
      condition("EXISTS (SELECT 1 FROM logged_model_metrics x WHERE x.model = t.number" +
                on_datasets("x", scope_.any_of) + ")");
    return {};
  }

  Result<void> order(const std::vector<std::string>& clauses) {
    ordering_ = true;
    for (const std::string& clause : clauses) {
      Lexer lexer(clause);
      const Key key = TRY(key_of(TRY(lexer.next())));
      bool is_descending = false;
      if (const Token word = TRY(lexer.next()); word.kind != Token::Kind::end) {
        is_descending = lower(word.text) == "desc";
        if (!is_descending && lower(word.text) != "asc")
          return unreadable("'" + word.text + "' in '" + clause + "' must be ASC or DESC");
        if (TRY(lexer.next()).kind != Token::Kind::end)
          return unreadable("'" + clause + "' must be one key and ASC or DESC");
      }
      if (!ordered_.emplace(key.field, key.name).second)
        return unreadable("'" + clause + "' orders by a key that was named before");
      const auto place = static_cast<std::size_t>(&clause - clauses.data());
      add_order(key, is_descending,
                place < scope_.of_order.size() ? scope_.of_order[place] : OnDataset{});
    }
    return {};
  }

 private:
  std::string mark(Scalar value) {
    out_.parameters.push_back(std::move(value));
    return "$" + std::to_string(out_.parameters.size());
  }

  bool has_data() const { return subject_ == Subject::run || subject_ == Subject::logged_model; }

  Result<Key> key_of(const Token& token) {
    if (token.kind != Token::Kind::word)
      return unreadable("'" + token.text + "' stands where a key is expected");
    const std::size_t dot = token.quote ? std::string::npos : token.text.find('.');
    const std::string head = dot == std::string::npos ? "" : token.text.substr(0, dot);
    const std::string tail = dot == std::string::npos ? "" : token.text.substr(dot + 1);
    const auto is = [&](std::initializer_list<std::string_view> words) {
      return std::find(words.begin(), words.end(), head) != words.end();
    };
    const bool by_attribute_alone = ordering_ && !has_data();
    if (is({"tag", "tags"}) && !by_attribute_alone)
      return named(Key{.field = Field::tag, .name = tail}, token);
    if (has_data() && is({"param", "params", "parameter", "parameters"}))
      return named(Key{.field = Field::param, .name = tail}, token);
    if (has_data() && is({"metric", "metrics"}))
      return named(Key{.field = Field::metric, .name = tail, .type = Type::number}, token);
    if (subject_ == Subject::run) {
      if (is({"dataset", "datasets"}) && !ordering_) {
        for (const std::string_view known : {"name", "digest", "context"})
          if (tail == known) return Key{.field = Field::dataset, .name = tail, .takes_lists = true};
        return unreadable("'" + token.text + "' must be dataset.name, .digest or .context");
      }
    }
    const bool prefixed = is({"attribute"}) || (has_data() && is({"attributes", "attr", "run"}));
    return attribute(prefixed ? tail : token.text, token);
  }
  static Result<Key> named(Key key, const Token& token) {
    if (key.name.empty()) return unreadable("'" + token.text + "' names no key");
    return key;
  }
  Result<Key> attribute(const std::string& name, const Token& token) {
    const auto find = [&](const auto& known) -> Result<Key> {
      std::string words;
      for (const Attribute& one : known) {
        if (ordering_ ? !one.orders : !one.filters) continue;
        if (one.word == name)
          return Key{Field::attribute, std::string(one.column), one.type, one.takes_lists};
        words += (words.empty() ? "" : ", ") + std::string(one.word);
      }
      return unreadable("'" + token.text + "' is no attribute; known are " + words +
                        (has_data() ? ", and metrics., params., tags. before a key"
                                    : ", and tags. before a key"));
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
    if (op == "is") return null_check(lexer, key, first);
    if (op == "not") {
      op = "not " + lower(TRY(lexer.next()).text);
      if (op != "not in") return unreadable("NOT must be followed by IN");
    }
    if (op == "in" || op == "not in") return list_check(lexer, key, op, first);
    const bool is_text_op = op == "like" || op == "ilike";
    const bool is_order_op = op == "<" || op == "<=" || op == ">" || op == ">=";
    if (!is_text_op && !is_order_op && op != "=" && op != "!=")
      return unreadable("'" + word.text +
                        "' is no comparator; known are =, !=, <, <=, >, >=, LIKE, ILIKE, IN, IS");
    if ((is_text_op && key.type != Type::text) || (is_order_op && key.type != Type::number))
      return unreadable("'" + word.text + "' does not go with '" + first.text + "'");
    const Scalar value = TRY(value_of(TRY(lexer.next()), key, first));
    if (key.field == Field::tag && key.name == prompt_tag && for_models() &&
        value == Scalar(std::string(op == "!=" ? "true" : "false")) && (op == "!=" || op == "=")) {
      // Models have no such tag, and are what the client asks for.
      condition("NOT EXISTS (" + rows_of(key) + " AND x.value " + (op == "!=" ? "=" : "<>") + " " +
                mark(value) + ")");
      return {};
    }
    const std::string marked = mark(value);
    const std::string compared = (op == "!=" ? "<>" : op == "like" ? "LIKE" : op) + " " + marked;
    if (op == "ilike")
      add(key, [&](const std::string& column) {
        return "lower(" + column + ") LIKE lower(" + marked + ")";
      });
    else if (key.field == Field::metric)
      add_metric(key, compared, op == "!=");
    else
      add(key, [&](const std::string& column) { return column + " " + compared; });
    return {};
  }

  bool for_models() const {
    return subject_ == Subject::registered_model || subject_ == Subject::model_version;
  }

  Result<Scalar> value_of(const Token& token, const Key& key, const Token& first) {
    if (key.type != Type::number) {
      if (token.quote != '\'' && token.quote != '"')
        return unreadable("'" + first.text + "' is compared with a text in quotes, not with " +
                          token.text);
      if (key.type == Type::text) return Scalar(token.text);
      std::int64_t id = 0;
      const char* end = token.text.data() + token.text.size();
      const auto read = std::from_chars(token.text.data(), end, id);
      if (token.text.empty() || read.ec != std::errc() || read.ptr != end)
        return unreadable("'" + first.text + "' is compared with an id in quotes, not with '" +
                          token.text + "'");
      return Scalar(id);
    }
    double value = 0;
    const char* begin = token.text.data();
    const char* end = begin + token.text.size();
    const auto read = std::from_chars(begin, end, value);
    if (token.kind != Token::Kind::number || read.ec != std::errc() || read.ptr != end)
      return unreadable("'" + first.text + "' is compared with a number, not with '" + token.text +
                        "'");
    std::int64_t whole = 0;
    const auto exact = std::from_chars(begin, end, whole);
    if (key.field != Field::metric && exact.ec == std::errc() && exact.ptr == end)
      return Scalar(whole);
    return Scalar(value);
  }

  Result<void> list_check(Lexer& lexer, const Key& key, const std::string& op, const Token& first) {
    if (!key.takes_lists) return unreadable("IN does not go with '" + first.text + "'");
    const Error open = unreadable("IN must be followed by ('a', 'b')");
    if (TRY(lexer.next()).text != "(") return open;
    std::string marks;
    for (bool more = true; more;) {
      const Scalar value = TRY(value_of(TRY(lexer.next()), key, first));
      marks += (marks.empty() ? "" : ", ") + mark(value);
      if (out_.parameters.size() > 1'000) return unreadable("IN may have 1000 values");
      const Token then = TRY(lexer.next());
      if (then.kind != Token::Kind::symbol || (then.text != ")" && then.text != ",")) return open;
      more = then.text == ",";
    }
    add(key, [&](const std::string& column) {
      return column + (op == "in" ? " IN (" : " NOT IN (") + marks + ")";
    });
    return {};
  }

  Result<void> null_check(Lexer& lexer, const Key& key, const Token& first) {
    Token word = TRY(lexer.next());
    const bool negated = lower(word.text) == "not";
    if (negated) word = TRY(lexer.next());
    if (lower(word.text) != "null") return unreadable("IS must be followed by NULL or NOT NULL");
    const bool allowed = (key.field == Field::tag || key.field == Field::param) && !for_models();
    if (!allowed)
      return unreadable("IS NULL goes with tags and params, and not with '" + first.text + "'");
    condition((negated ? "EXISTS (" : "NOT EXISTS (") + rows_of(key) + ")");
    return {};
  }

  void condition(std::string text, Compiled::Cost cost = Compiled::Cost::value) {
    out_.conditions.push_back({.text = std::move(text), .cost = cost});
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
                                           ".model = t.model AND " + as +
                                           ".key = " + mark(key.name)};
    if (subject_ == Subject::model_version)
      return {"version_tags", as + ".project = t.project AND " + as + ".model = t.model AND " + as +
                                  ".version = t.version AND " + as + ".key = " + mark(key.name)};
    if (subject_ == Subject::logged_model && key.field == Field::metric)
      return {"logged_model_metrics",
              as + ".model = t.number AND " + as + ".key = " + mark(key.name)};
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
    if (key.field == Field::attribute) return condition(say(key.name), Compiled::Cost::own_row);
    const std::string column = key.field == Field::dataset ? "x." + key.name : "x.value";
    const std::string said = say(column);
    condition("EXISTS (" + rows_of(key) + " AND " + said + ")", said.starts_with(column + " = ")
                                                                    ? Compiled::Cost::equal_value
                                                                    : Compiled::Cost::value);
  }
  // NaN is stored as 0, and is unequal to every number and nothing else.
  void add_metric(const Key& key, const std::string& compared, bool holds_for_nan) {
    const std::string holds = holds_for_nan ? "(x.is_nan OR x.value " + compared + ")"
                                            : "NOT x.is_nan AND x.value " + compared;
    compared_metric_ = true;
    out_.conditions.push_back({.text = "EXISTS (" + rows_of(key) + " AND " + holds +
                                       on_datasets("x", scope_.any_of) + ")",
                               .metric = key.name,
                               .on_value = compared,
                               .holds_for_nan = holds_for_nan});
  }

  std::string on_datasets(const std::string& as, const std::vector<OnDataset>& datasets) {
    std::string out;
    for (const OnDataset& one : datasets) {
      out += (out.empty() ? " AND (" : " OR ") + ("(" + as) + ".dataset_name = " + mark(one.name);
      if (!one.digest.empty()) out += " AND " + as + ".dataset_digest = " + mark(one.digest);
      out += ")";
    }
    return out.empty() ? out : out + ")";
  }
  // The newest point of a logged model's metric, where another of the same would double the model.
  std::string newest_in(const std::string& as, const OnDataset& dataset) {
    std::vector<OnDataset> only;
    if (!dataset.name.empty()) only.push_back(dataset);
    const std::string later = "(n.at, n.step) > (" + as + ".at, " + as + ".step) OR (n.at = " + as +
                              ".at AND n.step = " + as + ".step AND n.run < " + as + ".run)";
    return on_datasets(as, only) + " AND NOT EXISTS (SELECT 1 FROM logged_model_metrics n WHERE " +
           "n.model = " + as + ".model AND n.key = " + as + ".key" + on_datasets("n", only) +
           " AND (" + later + "))";
  }

  static bool may_miss(const Key& key) {
    return key.field != Field::attribute || key.name == "t.end_time";
  }
  void add_order(const Key& key, bool is_descending, const OnDataset& dataset) {
    if (!may_miss(key)) return out_.order.push_back({key.name, is_descending});
    std::string column = key.name, rank = "CASE WHEN " + column + " IS NULL THEN 1 ELSE 0 END";
    if (key.field != Field::attribute) {
      const std::string name = "o" + std::to_string(out_.joins.size());
      Values values = values_of(key, name);
      if (subject_ == Subject::logged_model && key.field == Field::metric)
        values.condition += newest_in(name, dataset);
      if (key.field == Field::metric && out_.order.empty()) out_.walked_metric = key.name;
      out_.joins.push_back({values.table, name, values.condition});
      column = name + ".value";
      rank = key.field == Field::metric ? "CASE WHEN " + column + " IS NULL THEN 2 WHEN " + name +
                                              ".is_nan THEN 1 ELSE 0 END"
                                        : "CASE WHEN " + column + " IS NULL THEN 1 ELSE 0 END";
    }
    out_.order.push_back({rank, false});
    out_.order.push_back(
        {"coalesce(" + column + (key.type == Type::number ? ", 0)" : ", '')"), is_descending});
  }

  Subject subject_;
  Compiled& out_;
  const MetricScope& scope_;
  bool ordering_ = false, compared_metric_ = false;
  std::set<std::pair<Field, std::string>> ordered_;
};

}  // namespace

namespace {

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

}  // namespace

std::string Compiled::from(const std::string& table) const {
  std::string out = table;
  for (const Join& join : joins)
    out += " LEFT JOIN " + join.table + " " + join.name + " ON " + join.condition;
  return out;
}

std::string Compiled::where() const {
  std::string out;
  for (const Condition& one : conditions) out += " AND " + one.text;
  return out;
}

Compiled::Walk Compiled::walk(const std::string& table) const {
  const Join& metric = joins.front();
  Walk out{.from = metric.table + " " + metric.name + " CROSS JOIN " + table,
           .where = " AND " + metric.condition + " AND " + metric.name + ".is_nan = FALSE"};
  for (std::size_t i = 1; i < joins.size(); ++i)
    out.from += " LEFT JOIN " + joins[i].table + " " + joins[i].name + " ON " + joins[i].condition;
  // What an entry of the index can say comes first: a run's own row is read for matches alone.
  std::vector<Condition> ordered = conditions;
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const Condition& a, const Condition& b) { return a.cost < b.cost; });
  for (const Condition& one : ordered) {
    const bool here = one.metric == walked_metric && !one.on_value.empty();
    std::string text = here ? metric.name + ".value " + one.on_value : one.text;
    if (one.cost != Cost::own_row) replace_all(text, "t.number", metric.name + ".run");
    out.where += " AND " + text;
    out.is_all = out.is_all || (here && !one.holds_for_nan);
  }
  out.order = {{metric.name + ".value", order.at(1).is_descending}};
  out.order.insert(out.order.end(), order.begin() + 2, order.end());
  return out;
}

Result<Compiled> compile(Subject subject, const std::string& filter,
                         const std::vector<std::string>& order_by, const MetricScope& scope) {
  Compiled out;
  Compiler compiler(subject, out, scope);
  TRY(compiler.filter(filter));
  TRY(compiler.order(order_by));
  return out;
}

}  // namespace penstock::tracking
