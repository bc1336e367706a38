// What filters and orders of every kind share: comparisons read, and said in SQL.
#pragma once

#include <functional>

#include "ports/sql.h"
#include "tracking/lexer.h"

namespace penstock::tracking {

// What follows SELECT ... FROM <table>: joins, conditions, order; and the parameters that they
// name, from $1.
struct Clauses {
  std::string joins, where, order;
  sql::Row parameters;
};

struct Comparison {
  std::string op;                   // lower case; "null" and "not null" too
  std::vector<std::string> values;  // one, but of a list; none of a null check
  bool is_number = false;           // the value is a number without quotes

  bool is_null_check() const { return op == "null" || op == "not null"; }
  bool is_list() const { return op == "in" || op == "not in"; }
  bool is_like() const { return op == "like" || op == "ilike"; }
  bool is_regex() const { return op == "rlike"; }
  bool is_order() const { return op.front() == '<' || op.front() == '>'; }
};

// Comparisons joined by AND. `take` gets the key of each, and what follows it. RLIKE is refused but
// where `regexes`.
Result<void> each_comparison(
    const std::string& filter,
    const std::function<Result<void>(const Token&, const Comparison&)>& take, bool regexes = false);
// `take` gets the key of each, and "ASC" or "DESC".
Result<void> each_order(const std::vector<std::string>& clauses,
                        const std::function<Result<void>(const Token&, const std::string&)>& take);

// The letters of `special` stand for themselves in a pattern with ESCAPE '!'.
std::string escaped(const std::string& text, std::string_view special);

// Writes conditions, every value of the caller a parameter.
class Conditions {
 public:
  explicit Conditions(Clauses& out) : out_(out) {}

  std::string mark(Scalar value);
  void add(const std::string& condition);
  void order(const std::string& column, const std::string& direction, bool may_be_null);
  // A text column compared; and one of whole numbers. `first` names it in errors.
  Result<std::string> text(const std::string& column, const Comparison& comparison,
                           const Token& first);
  Result<std::string> number(const std::string& column, const Comparison& comparison,
                             const Token& first);
  // `pattern` with ESCAPE '!': databases differ in what escapes a wildcard where none is named.
  std::string like(const std::string& column, std::string pattern, bool any_case);
  // Whether `regex` is found somewhere in the column.
  std::string regex(const std::string& column, std::string regex);

 private:
  Clauses& out_;
};

}  // namespace penstock::tracking
