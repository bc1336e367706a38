#include "serving/rule.h"

#include <algorithm>
#include <re2/re2.h>

namespace penstock::serving {
namespace {

constexpr std::string_view known_texts =
    R"(tenant, user, actor, header("name"), cookie("name"), entity("key") and "a literal")";
constexpr std::string_view known_tests =
    "==, !=, in (...), .startsWith(...), .endsWith(...), .contains(...) and .matches(...)";

enum class Of { literal, tenant, user, actor, header, cookie, entity };
enum class Op { both, either, no, equal, unequal, among, starts, ends, contains, matches };

bool is_space(char letter) {
  return letter == ' ' || letter == '\t' || letter == '\n' || letter == '\r';
}
bool is_letter(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_';
}
char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

struct Text {
  Of of = Of::literal;
  std::string name;  // of a header, cookie or entity key; or the literal
};

std::string_view value_of(const Text& text, const Caller& caller) {
  switch (text.of) {
    case Of::literal: return text.name;
    case Of::tenant: return caller.tenant;
    case Of::user: return caller.user;
    case Of::actor: return caller.actor;
    case Of::header: return header_of(caller, text.name);
    case Of::cookie: return cookie_of(caller, text.name);
    case Of::entity: return entity_of(caller, text.name);
  }
  return {};
}

}  // namespace

std::string_view header_of(const Caller& caller, std::string_view name) {
  return caller.header && *caller.header ? (*caller.header)(name) : std::string_view();
}

std::string_view cookie_of(const Caller& caller, std::string_view name) {
  std::string_view rest = header_of(caller, "cookie");
  while (!rest.empty()) {
    std::string_view pair = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    while (!pair.empty() && is_space(pair.front())) pair.remove_prefix(1);
    while (!pair.empty() && is_space(pair.back())) pair.remove_suffix(1);
    if (pair.size() <= name.size() || pair[name.size()] != '=' || !pair.starts_with(name)) continue;
    pair.remove_prefix(name.size() + 1);
    if (pair.size() >= 2 && pair.front() == '"' && pair.back() == '"')
      pair = pair.substr(1, pair.size() - 2);
    return pair;
  }
  return {};
}

std::string_view entity_of(const Caller& caller, std::string_view key) {
  if (!caller.entities) return {};
  const auto found = caller.entities->find(std::string(key));
  return found == caller.entities->end() ? std::string_view() : std::string_view(found->second);
}

struct Expression::Node {
  Op op = Op::equal;
  std::size_t left = 0, right = 0;  // nodes, of both, either and no
  Text text = {}, other = {};       // of comparisons
  std::vector<std::string> among = {};
  std::unique_ptr<const re2::RE2> pattern = {};
};

Expression::Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

bool Expression::holds(const Caller& caller) const {
  return !nodes_.empty() && holds(nodes_.back(), caller);
}

bool Expression::holds(const Node& node, const Caller& caller) const {
  switch (node.op) {
    case Op::both: return holds(nodes_[node.left], caller) && holds(nodes_[node.right], caller);
    case Op::either: return holds(nodes_[node.left], caller) || holds(nodes_[node.right], caller);
    case Op::no: return !holds(nodes_[node.left], caller);
    default: break;
  }
  const std::string_view text = value_of(node.text, caller);
  switch (node.op) {
    case Op::equal: return text == value_of(node.other, caller);
    case Op::unequal: return text != value_of(node.other, caller);
    case Op::among:
      return std::find(node.among.begin(), node.among.end(), text) != node.among.end();
    case Op::starts: return text.starts_with(value_of(node.other, caller));
    case Op::ends: return text.ends_with(value_of(node.other, caller));
    case Op::contains: return text.find(value_of(node.other, caller)) != std::string_view::npos;
    case Op::matches:
      return re2::RE2::PartialMatch(
          re2::StringPiece(text.data(), std::min(text.size(), matched_text_max)), *node.pattern);
    default: return false;
  }
}

// Recursive descent; each function reads one level of binding.
class ExpressionParser {
 public:
  ExpressionParser(std::string_view text, const std::vector<std::string>& entity_keys)
      : text_(text), entity_keys_(entity_keys) {}

  Result<Expression> parse() {
    if (text_.size() > rule_text_max)
      return wrong(rule_text_max,
                   "a rule has at most " + std::to_string(rule_text_max) + " characters");
    TRY(either(0));
    skip();
    if (at_ < text_.size()) return wrong(at_, "the rule should end, or go on with && or ||");
    return std::move(out_);
  }

 private:
  using Node = Expression::Node;

  Error wrong(std::size_t at, const std::string& problem) const {
    std::string found =
        at < text_.size() ? " before '" + std::string(text_.substr(at, 12)) + "'" : " at its end";
    for (char& letter : found)
      if (static_cast<unsigned char>(letter) < 0x20 || static_cast<unsigned char>(letter) > 0x7e)
        letter = '?';
    return {Code::invalid_argument,
            "at character " + std::to_string(at + 1) + found + ": " + problem};
  }

  void skip() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  bool take(std::string_view token) {
    skip();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  std::string_view word() {
    skip();
    const std::size_t start = at_;
    while (at_ < text_.size() && is_letter(text_[at_])) ++at_;
    return text_.substr(start, at_ - start);
  }
  std::size_t add(Node node) {
    out_.nodes_.push_back(std::move(node));
    return out_.nodes_.size() - 1;
  }

  Result<std::size_t> either(std::size_t depth) {
    std::size_t left = TRY(both(depth));
    while (take("||")) {
      const std::size_t right = TRY(both(depth));
      left = add({.op = Op::either, .left = left, .right = right});
    }
    return left;
  }
  Result<std::size_t> both(std::size_t depth) {
    std::size_t left = TRY(one(depth));
    while (take("&&")) {
      const std::size_t right = TRY(one(depth));
      left = add({.op = Op::both, .left = left, .right = right});
    }
    return left;
  }
  Result<std::size_t> one(std::size_t depth) {
    skip();
    if (depth > rule_depth_max)
      return wrong(
          at_, "parentheses and negations go at most " + std::to_string(rule_depth_max) + " deep");
    if (!text_.substr(at_).starts_with("!=") && take("!")) {
      const std::size_t inside = TRY(one(depth + 1));
      return add({.op = Op::no, .left = inside});
    }
    if (!take("(")) return test();
    const std::size_t inside = TRY(either(depth + 1));
    if (!take(")")) return wrong(at_, "a ) is missing");
    return inside;
  }

  Result<std::size_t> test() {
    Node node{.text = TRY(text())};
    if (take("==") || take("!=")) {
      node.op = text_[at_ - 2] == '=' ? Op::equal : Op::unequal;
      node.other = TRY(text());
      return add(std::move(node));
    }
    if (take(".")) return method(std::move(node));
    const std::size_t start = at_;
    if (word() == "in") return among(std::move(node));
    return wrong(start, "a test must follow; known are " + std::string(known_tests));
  }

  Result<std::size_t> method(Node node) {
    const std::size_t start = at_;
    const std::string_view name = word();
    if (name == "startsWith")
      node.op = Op::starts;
    else if (name == "endsWith")
      node.op = Op::ends;
    else if (name == "contains")
      node.op = Op::contains;
    else if (name == "matches")
      node.op = Op::matches;
    else
      return wrong(start, "the test is unknown; known are " + std::string(known_tests));
    if (!take("(")) return wrong(at_, "a ( must follow");
    skip();
    const std::size_t argument = at_;
    node.other = TRY(text());
    if (!take(")")) return wrong(at_, "a ) is missing");
    if (node.op != Op::matches) return add(std::move(node));
    if (node.other.of != Of::literal) return wrong(argument, "a pattern must be a literal");
    re2::RE2::Options options(re2::RE2::Quiet);
    options.set_max_mem(256 << 10);
    node.pattern = std::make_unique<const re2::RE2>(node.other.name, options);
    if (!node.pattern->ok())
      return wrong(argument, "the pattern is none of RE2: " + node.pattern->error());
    return add(std::move(node));
  }

  Result<std::size_t> among(Node node) {
    node.op = Op::among;
    const bool square = take("[");
    if (!square && !take("(")) return wrong(at_, "a list must follow: in (\"a\", \"b\")");
    do {
      skip();
      if (at_ >= text_.size() || text_[at_] != '"')
        return wrong(at_, "a list holds literals in double quotes");
      node.among.push_back(TRY(literal()));
    } while (take(","));
    if (!take(square ? "]" : ")"))
      return wrong(at_, square ? "a , or ] must follow" : "a , or ) must follow");
    return add(std::move(node));
  }

  Result<Text> text() {
    skip();
    const std::size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '"') return Text{Of::literal, TRY(literal())};
    const std::string_view name = word();
    if (name == "tenant") return Text{Of::tenant, {}};
    if (name == "user") return Text{Of::user, {}};
    if (name == "actor") return Text{Of::actor, {}};
    if (name == "header") return named(Of::header);
    if (name == "cookie") return named(Of::cookie);
    if (name == "entity") return named(Of::entity);
    return wrong(start, "a text must stand here; known are " + std::string(known_texts));
  }

  Result<Text> named(Of of) {
    if (!take("(")) return wrong(at_, "a ( must follow");
    skip();
    const std::size_t start = at_;
    if (at_ >= text_.size() || text_[at_] != '"')
      return wrong(at_, "a name in double quotes must stand here");
    std::string name = TRY(literal());
    if (!take(")")) return wrong(at_, "a ) is missing");
    if (name.empty()) return wrong(start, "a name must not be empty");
    if (of == Of::header) std::transform(name.begin(), name.end(), name.begin(), lower);
    if (of == Of::entity &&
        std::find(entity_keys_.begin(), entity_keys_.end(), name) == entity_keys_.end()) {
      std::string known;
      for (const std::string& key : entity_keys_) known += (known.empty() ? "" : ", ") + key;
      return wrong(
          start, "the route has no such entity key; known are " + (known.empty() ? "none" : known));
    }
    return Text{of, std::move(name)};
  }

  Result<std::string> literal() {
    const std::size_t start = at_++;
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      char letter = text_[at_++];
      if (letter == '\\') {
        if (at_ >= text_.size()) break;
        letter = text_[at_++];
        if (letter == 'n')
          letter = '\n';
        else if (letter == 't')
          letter = '\t';
        else if (letter != '"' && letter != '\\')
          return wrong(at_ - 2, R"(escapes are \" \\ \n and \t; write \\ for one backslash)");
      }
      out += letter;
    }
    if (at_ >= text_.size()) return wrong(start, "the text is not closed by a \"");
    ++at_;
    return out;
  }

  std::string_view text_;
  const std::vector<std::string>& entity_keys_;
  std::size_t at_ = 0;
  Expression out_;
};

Result<Expression> Expression::compile(std::string_view text,
                                       const std::vector<std::string>& entity_keys) {
  return ExpressionParser(text, entity_keys).parse();
}

Result<std::shared_ptr<const Rules>> Rules::compile(const std::vector<RoutingRule>& rules,
                                                    const std::vector<std::string>& entity_keys) {
  auto out = std::make_shared<Rules>();
  for (std::size_t i = 0; i < rules.size(); ++i) {
    auto when = Expression::compile(rules[i].when, entity_keys);
    if (!when) {
      const std::string field = "rules[" + std::to_string(i) + "].when";
      return Error{Code::invalid_argument,
                   field + " cannot be read: " + when.error().message,
                   {{field, "cannot be read: " + when.error().message}}};
    }
    out->rules_.push_back({std::move(*when), rules[i].version});
  }
  return std::shared_ptr<const Rules>(std::move(out));
}

}  // namespace penstock::serving
