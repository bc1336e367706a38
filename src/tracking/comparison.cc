#include "tracking/comparison.h"

#include <charconv>
#include <cmath>
#include <re2/re2.h>

namespace penstock::tracking {
namespace {

constexpr std::size_t pattern_max = 5'000, regex_max = 1'000, list_max = 1'000;

bool is_text(const Token& token) {
  return token.kind == Token::Kind::text || (token.kind == Token::Kind::word && token.quote != 0);
}

Result<Comparison> list_of(Lexer& lexer, Comparison out) {
  if (TRY(lexer.next()).text != "(") return unreadable("IN must be followed by ('a', 'b')");
  for (;;) {
    const Token value = TRY(lexer.next());
    if (value.kind == Token::Kind::end) return unreadable("the list after IN is not closed");
    if (!is_text(value))
      return unreadable("IN must be followed by texts in quotes, as ('a', 'b'), not by " +
                        value.text);
    out.values.push_back(value.text);
    if (out.values.size() > list_max)
      return unreadable("the list after IN may have " + std::to_string(list_max) + " texts");
    const Token next = TRY(lexer.next());
    if (next.text == ")") return out;
    if (next.text != ",") return unreadable("the list after IN is not closed");
  }
}

// Databases say less well what is wrong; and what RE2 takes, none of them takes long for.
Result<void> check_regex(const std::string& text, const Token& first) {
  if (text.size() > regex_max)
    return unreadable("the regular expression for '" + first.text + "' has " +
                      std::to_string(text.size()) + " bytes, and may have " +
                      std::to_string(regex_max));
  const RE2 regex(text, RE2::Quiet);
  if (regex.ok()) return {};
  return unreadable("the regular expression for '" + first.text +
                    "' cannot be read: " + regex.error());
}

Result<Comparison> comparison_of(Lexer& lexer, const Token& first, bool regexes) {
  const Token word = TRY(lexer.next());
  Comparison out{.op = lower(word.text)};
  if (out.op == "is") {
    out.op = lower(TRY(lexer.next()).text);
    if (out.op == "not") out.op += " " + lower(TRY(lexer.next()).text);
    if (!out.is_null_check()) return unreadable("IS must be followed by NULL or NOT NULL");
    return out;
  }
  if (out.op == "not") out.op += " " + lower(TRY(lexer.next()).text);
  if (out.is_regex() && !regexes)
    return unreadable("RLIKE is not known here; use LIKE or ILIKE with % and _");
  const bool is_known = out.is_list() || out.is_like() || out.is_regex() || out.op == "=" ||
                        out.op == "!=" || out.op == "<" || out.op == "<=" || out.op == ">" ||
                        out.op == ">=";
  if (!is_known)
    return unreadable("'" + word.text +
                      "' is no comparator; known are =, !=, <, <=, >, >=, LIKE, ILIKE, IN, NOT "
                      "IN, IS NULL, IS NOT NULL");
  if (out.is_list()) return list_of(lexer, std::move(out));
  const Token value = TRY(lexer.next());
  out.is_number = value.kind == Token::Kind::number;
  if (!out.is_number && !is_text(value))
    return unreadable("'" + first.text + "' is compared with a text in quotes, not with " +
                      value.text);
  if (out.is_like() && value.text.size() > pattern_max)
    return unreadable("the pattern for '" + first.text + "' has " +
                      std::to_string(value.text.size()) + " bytes, and may have " +
                      std::to_string(pattern_max));
  if (out.is_regex()) {
    if (out.is_number) return unreadable("RLIKE is followed by a text in quotes");
    TRY(check_regex(value.text, first));
  }
  out.values = {value.text};
  return out;
}

Result<void> check_key(const Token& token) {
  if (token.kind == Token::Kind::word || token.kind == Token::Kind::text) return {};
  return unreadable("'" + token.text + "' stands where a key is expected");
}

}  // namespace

Result<void> each_comparison(
    const std::string& filter,
    const std::function<Result<void>(const Token&, const Comparison&)>& take, bool regexes) {
  Lexer lexer(filter);
  Token token = TRY(lexer.next());
  while (token.kind != Token::Kind::end) {
    TRY(check_key(token));
    TRY(take(token, TRY(comparison_of(lexer, token, regexes))));
    token = TRY(lexer.next());
    if (token.kind == Token::Kind::end) break;
    if (lower(token.text) != "and")
      return unreadable("'" + token.text + "' stands where AND is expected");
    token = TRY(lexer.next());
    if (token.kind == Token::Kind::end) return unreadable("nothing follows AND");
  }
  return {};
}

Result<void> each_order(const std::vector<std::string>& clauses,
                        const std::function<Result<void>(const Token&, const std::string&)>& take) {
  for (const std::string& clause : clauses) {
    Lexer lexer(clause);
    const Token first = TRY(lexer.next());
    TRY(check_key(first));
    std::string direction = "asc";
    if (const Token word = TRY(lexer.next()); word.kind != Token::Kind::end) {
      direction = lower(word.text);
      if (direction != "asc" && direction != "desc")
        return unreadable("'" + word.text + "' in '" + clause + "' must be ASC or DESC");
      if (TRY(lexer.next()).kind != Token::Kind::end)
        return unreadable("'" + clause + "' must be one key and ASC or DESC");
    }
    TRY(take(first, direction == "asc" ? "ASC" : "DESC"));
  }
  return {};
}

std::string escaped(const std::string& text, std::string_view special) {
  std::string out;
  for (const char letter : text) {
    if (special.find(letter) != std::string_view::npos) out += '!';
    out += letter;
  }
  return out;
}

std::string Conditions::mark(Scalar value) {
  out_.parameters.push_back(std::move(value));
  return "$" + std::to_string(out_.parameters.size());
}

void Conditions::add(const std::string& condition) {
  out_.where += (out_.where.empty() ? "" : " AND ") + condition;
}

void Conditions::order(const std::string& column, const std::string& direction, bool may_be_null) {
  const auto separator = [&] { return out_.order.empty() ? "" : ", "; };
  if (may_be_null)
    out_.order += separator() + ("CASE WHEN " + column + " IS NULL THEN 1 ELSE 0 END");
  out_.order += separator() + (column + " " + direction);
}

Result<std::string> Conditions::text(const std::string& column, const Comparison& comparison,
                                     const Token& first) {
  if (comparison.is_null_check() || comparison.is_order())
    return unreadable("'" + (comparison.is_order() ? comparison.op : "is " + comparison.op) +
                      "' does not go with '" + first.text + "'");
  if (comparison.is_number)
    return unreadable("'" + first.text + "' is compared with a text in quotes, not with " +
                      comparison.values.front());
  if (comparison.is_like())
    return like(column, escaped(comparison.values.front(), "!"), comparison.op == "ilike");
  if (comparison.is_regex()) return regex(column, comparison.values.front());
  if (!comparison.is_list())
    return column + (comparison.op == "!=" ? " <> " : " = ") + mark(comparison.values.front());
  std::string marks;
  for (const std::string& value : comparison.values)
    marks += (marks.empty() ? "" : ", ") + mark(value);
  return column + (comparison.op == "in" ? " IN (" : " NOT IN (") + marks + ")";
}

Result<std::string> Conditions::number(const std::string& column, const Comparison& comparison,
                                       const Token& first) {
  if (comparison.is_null_check() || comparison.is_like() || comparison.is_regex() ||
      comparison.is_list())
    return unreadable("'" + comparison.op + "' does not go with '" + first.text +
                      "', which is a number");
  const std::string& text = comparison.values.front();
  const char* begin = text.data() + (text.starts_with("+") ? 1 : 0);
  double value = 0;
  const auto read = std::from_chars(begin, text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size() ||
      !(std::abs(value) < 9e15) || value != std::floor(value))
    return unreadable("'" + first.text + "' is compared with a whole number, not with '" + text +
                      "'");
  return column + (comparison.op == "!=" ? " <> " : " " + comparison.op + " ") +
         mark(static_cast<std::int64_t>(value));
}

// PostgreSQL has this function of its own; SQLite has it by its adapter.
std::string Conditions::regex(const std::string& column, std::string regex) {
  return "regexp_like(" + column + ", " + mark(std::move(regex)) + ")";
}

std::string Conditions::like(const std::string& column, std::string pattern, bool any_case) {
  const std::string marked = mark(std::move(pattern));
  return (any_case ? "lower(" + column + ") LIKE lower(" + marked + ")"
                   : column + " LIKE " + marked) +
         " ESCAPE '!'";
}

}  // namespace penstock::tracking
