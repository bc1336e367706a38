#include "tracking/trace_search.h"

#include <array>
#include <charconv>
#include <cmath>
#include <re2/re2.h>

#include "base/described.h"

namespace penstock::tracking {
namespace {

enum class Field { attribute, tag, metadata, run, prompt, span, span_attribute, assessment, issue };
struct Key {
  Field field = Field::attribute;
  std::string name;         // of an attribute and of a span: its column
  std::string kind;         // of an assessment
  bool is_number = false;   // of an attribute
  bool may_be_null = true;  // of an attribute
};

struct Attribute {
  std::string_view word, column;
  bool is_number, may_be_null;
};
constexpr std::string_view ended = "(t.request_time + coalesce(t.duration, 0))";
constexpr std::array attributes = {
    Attribute{"request_id", "t.id", false, false},
    Attribute{"trace_id", "t.id", false, false},
    Attribute{"client_request_id", "t.client_request_id", false, false},
    Attribute{"status", "t.state", false, false},
    Attribute{"state", "t.state", false, false},
    Attribute{"timestamp_ms", "t.request_time", true, false},
    Attribute{"timestamp", "t.request_time", true, false},
    Attribute{"request_time", "t.request_time", true, false},
    Attribute{"execution_time_ms", "t.duration", true, true},
    Attribute{"execution_time", "t.duration", true, true},
    Attribute{"execution_duration", "t.duration", true, true},
    Attribute{"end_time_ms", ended, true, false},
    Attribute{"end_time", ended, true, false},
    Attribute{"experiment_id", "t.experiment", true, false},
};

// As it stands within the quotes of JSON.
std::string as_json(const std::string& text) {
  const std::string quoted = json::serialize(json::string(text));
  return quoted.substr(1, quoted.size() - 2);
}

// A trace's name, run and prompts are words of its own, and stand in its tags and links.
Result<Key> word_key(const std::string& word, const Token& token) {
  if (word == "name") return Key{Field::tag, "mlflow.traceName"};
  if (word == "run_id") return Key{Field::run, "run"};
  if (word == "prompt") return Key{Field::prompt, "prompt"};
  if (word == "text") return Key{Field::span, "body"};
  std::string words;
  for (const Attribute& one : attributes) {
    if (one.word == word)
      return Key{Field::attribute, std::string(one.column), "", one.is_number, one.may_be_null};
    words += std::string(one.word) + ", ";
  }
  return unreadable("'" + token.text + "' is no attribute of a trace; known are " + words +
                    "name, run_id, prompt, text, and tags., metadata., span., feedback., "
                    "expectation. before a key");
}

Result<Key> span_key(const std::string& tail, const Token& token) {
  for (const std::string_view column : {"name", "type", "status"})
    if (tail == column) return Key{Field::span, std::string(column)};
  if (tail == "content") return Key{Field::span, "body"};
  constexpr std::string_view prefix = "attributes.";
  if (tail.starts_with(prefix) && tail.size() > prefix.size())
    return Key{Field::span_attribute, tail.substr(prefix.size())};
  return unreadable("'" + token.text +
                    "' must be span.name, span.type, span.status or span.attributes.KEY");
}

Result<Key> key_of(const Token& token) {
  const std::size_t dot = token.text.find('.');
  const std::string head = dot == std::string::npos ? "" : lower(token.text.substr(0, dot));
  const std::string tail = dot == std::string::npos ? "" : token.text.substr(dot + 1);
  if (dot != std::string::npos && tail.empty())
    return unreadable("'" + token.text + "' names no key");
  if (head == "metadata" || head == "request_metadata") return Key{Field::metadata, tail};
  if (head == "feedback" || head == "expectation") return Key{Field::assessment, tail, head};
  if (head == "span") return span_key(tail, token);
  if (head == "issue" && tail == "id") return Key{Field::issue, "key"};
  if (head == "tag" || head == "tags")
    return tail == "mlflow.linkedPrompts" ? Key{Field::prompt, "prompt"} : Key{Field::tag, tail};
  const bool prefixed =
      head == "trace" || head == "attribute" || head == "attributes" || head == "attr";
  return word_key(lower(prefixed ? tail : token.text), token);
}

class Compiler {
 public:
  explicit Compiler(Clauses& out) : out_(out), conditions_(out) {}

  Result<void> filter(const std::string& text) {
    const auto take = [&](const Token& first, const Comparison& comparison) {
      return add(first, comparison);
    };
    TRY(each_comparison(text, take, true));
    if (!span_.empty())
      conditions_.add("EXISTS (SELECT 1 FROM trace_spans x WHERE x.trace = t.number AND " + span_ +
                      ")");
    return {};
  }

  Result<void> order(const std::vector<std::string>& clauses) {
    return each_order(
        clauses, [&](const Token& first, const std::string& direction) -> Result<void> {
          const Key key = TRY(key_of(first));
          const bool is_pair = key.field == Field::tag || key.field == Field::metadata;
          if (!is_pair && key.field != Field::attribute)
            return unreadable("traces cannot be ordered by '" + first.text + "'");
          conditions_.order(is_pair ? joined_value(key) : key.name, direction,
                            is_pair || key.may_be_null);
          return {};
        });
  }

 private:
  static std::string table_of(const Key& key) {
    return key.field == Field::tag ? "trace_tags" : "trace_metadata";
  }
  std::string joined_value(const Key& key) {
    const std::string name = "o" + std::to_string(joined_++);
    out_.joins += " LEFT JOIN " + table_of(key) + " " + name + " ON " + name +
                  ".trace = t.number AND " + name + ".key = " + conditions_.mark(key.name);
    return name + ".value";
  }

  Result<void> add(const Token& first, const Comparison& comparison) {
    const Key key = TRY(key_of(first));
    switch (key.field) {
      case Field::attribute:
        conditions_.add(TRY(key.is_number ? conditions_.number(key.name, comparison, first)
                                          : conditions_.text(key.name, comparison, first)));
        return {};
      case Field::tag:
      case Field::metadata: return add_pair(key, comparison, first);
      case Field::span: return add_span(key, comparison, first);
      case Field::span_attribute: return add_span_attribute(key, comparison, first);
      case Field::assessment: return add_assessment(key, comparison, first);
      case Field::run: return add_link("trace_runs", key, comparison, first);
      case Field::prompt:
      case Field::issue: break;
    }
    if (comparison.op != "=") return unreadable("'" + first.text + "' goes with = alone");
    if (key.field == Field::prompt) return add_link("trace_prompts", key, comparison, first);
    return add_link("assessments", key, comparison, first, "x.kind = 'issue' AND ");
  }

  Result<void> add_link(const std::string& table, const Key& key, const Comparison& comparison,
                        const Token& first, const std::string& also = "") {
    conditions_.add("EXISTS (SELECT 1 FROM " + table + " x WHERE " + also +
                    "x.trace = t.number AND " +
                    TRY(conditions_.text("x." + key.name, comparison, first)) + ")");
    return {};
  }

  Result<void> add_pair(const Key& key, const Comparison& comparison, const Token& first) {
    const std::string rows =
        "EXISTS (SELECT 1 FROM " + table_of(key) +
        " x WHERE x.trace = t.number AND x.key = " + conditions_.mark(key.name);
    if (comparison.is_null_check())
      conditions_.add((comparison.op == "null" ? "NOT " : "") + rows + ")");
    else
      conditions_.add(rows + " AND " + TRY(conditions_.text("x.value", comparison, first)) + ")");
    return {};
  }

  // One span must have all that is asked of spans.
  void span(const std::string& condition) { span_ += (span_.empty() ? "" : " AND ") + condition; }

  Result<void> add_span(const Key& key, Comparison comparison, const Token& first) {
    if (key.name == "body") {
      if (!comparison.is_like() && !comparison.is_regex())
        return unreadable("'" + first.text + "' goes with LIKE, ILIKE and RLIKE");
      if (comparison.is_like()) comparison.values.front() = as_json(comparison.values.front());
    }
    span(TRY(conditions_.text("x." + key.name, comparison, first)));
    return {};
  }

  // Attributes stand in the body, as {"key":"K","value":{"string_value":"V"}}. A pattern that is
  // open at its front, or at its end, reaches into lists and maps.
  Result<void> add_span_attribute(const Key& key, const Comparison& comparison,
                                  const Token& first) {
    const std::string front = "%{\"key\":\"" + escaped(as_json(key.name), "%_!") + "\",\"value\":{";
    if (comparison.is_like()) {
      const std::string pattern = escaped(as_json(comparison.values.front()), "!");
      span(conditions_.like("x.body",
                            front + (pattern.starts_with("%") ? "" : "\"string!_value\":\"") +
                                pattern + (pattern.ends_with("%") ? "%" : "\"}%"),
                            comparison.op == "ilike"));
      return {};
    }
    if (comparison.is_regex()) {
      add_attribute_regex(key.name, comparison.values.front());
      return {};
    }
    if (comparison.op != "=" && comparison.op != "in")
      return unreadable("'" + first.text + "' goes with =, IN, LIKE, ILIKE and RLIKE");
    std::string any;
    for (const std::string& value : comparison.values) {
      const std::string plain = escaped(as_json(value), "%_!");
      for (const std::string& said :
           {"\"string!_value\":\"" + plain + "\"", "\"int!_value\":\"" + plain + "\"",
            "\"double!_value\":" + plain, "\"bool!_value\":" + plain})
        any += (any.empty() ? "" : " OR ") + conditions_.like("x.body", front + said + "}%", false);
    }
    span("(" + any + ")");
    return {};
  }

  // Found within the text of the attribute: "^" and "$" are its front and its end.
  void add_attribute_regex(const std::string& name, std::string regex) {
    const bool from_front = regex.starts_with('^'), to_end = regex.ends_with('$');
    if (from_front) regex.erase(0, 1);
    if (to_end) regex.pop_back();
    const std::string letters = R"re(([^"\\]|\\.)*)re";
    span(conditions_.regex("x.body", R"re(\{"key":")re" + RE2::QuoteMeta(as_json(name)) +
                                         R"re(","value":\{"string_value":")re" +
                                         (from_front ? "" : letters) + "(" + regex + ")" +
                                         (to_end ? "\"" : "")));
  }

  // What is overridden does not count.
  Result<void> add_assessment(const Key& key, Comparison comparison, const Token& first) {
    const std::string rows =
        "EXISTS (SELECT 1 FROM assessments x WHERE x.trace = t.number AND x.is_valid AND x.kind "
        "= " +
        conditions_.mark(key.kind) + " AND x.key = " + conditions_.mark(key.name);
    if (comparison.is_null_check()) {
      conditions_.add((comparison.op == "null" ? "NOT " : "") + rows + ")");
      return {};
    }
    if (!comparison.is_order()) {
      comparison.is_number = false;  // values are texts there, numbers too
      conditions_.add(rows + " AND " + TRY(conditions_.text("x.value", comparison, first)) + ")");
      return {};
    }
    double value = 0;
    const std::string& text = comparison.values.front();
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc() || read.ptr != text.data() + text.size() || !std::isfinite(value))
      return unreadable("'" + first.text + "' is compared with a number, not with '" + text + "'");
    conditions_.add(rows + " AND x.number " + comparison.op + " " + conditions_.mark(value) + ")");
    return {};
  }

  Clauses& out_;
  Conditions conditions_;
  std::string span_;
  int joined_ = 0;
};

}  // namespace

Result<Clauses> compile_traces(const std::string& filter,
                               const std::vector<std::string>& order_by) {
  Clauses out;
  Compiler compiler(out);
  TRY(compiler.filter(filter));
  TRY(compiler.order(order_by));
  return out;
}

}  // namespace penstock::tracking
