// Random rows, and random expressions over them in two spellings: ours, and what DuckDB must be
// told for the same meaning (its faults are our nulls).
#pragma once

#include <random>

#include "tests/unit/features/transform_fixture.h"

namespace penstock::features::transform {

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t below(std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(engine_);
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(below(static_cast<std::int64_t>(list.size())))];
  }
  Type type() {
    static const std::vector<Type> types = {Type::real, Type::real, Type::bigint, Type::boolean,
                                            Type::text};
    return of(types);
  }
  double real() {
    static const std::vector<double> special = {0.0,
                                                -0.0,
                                                1.0,
                                                -1.0,
                                                0.5,
                                                2.5,
                                                -2.5,
                                                1e300,
                                                -1e300,
                                                5e-324,
                                                1e-7,
                                                1e16,
                                                123456.789,
                                                std::numeric_limits<double>::infinity(),
                                                -std::numeric_limits<double>::infinity(),
                                                std::numeric_limits<double>::quiet_NaN(),
                                                9007199254740993.0,
                                                9.3e18,
                                                0.1};
    if (one_in(2)) return of(special);
    return std::uniform_real_distribution<double>(-1000, 1000)(engine_);
  }
  std::int64_t whole() {
    static const std::vector<std::int64_t> special = {0,
                                                      1,
                                                      -1,
                                                      2,
                                                      7,
                                                      -13,
                                                      1000,
                                                      4'611'686'018'427'387'904,
                                                      std::numeric_limits<std::int64_t>::max(),
                                                      std::numeric_limits<std::int64_t>::min(),
                                                      9'007'199'254'740'993};
    return one_in(2) ? of(special) : below(2'000) - 1'000;
  }
  std::int64_t instant() {
    static const std::vector<std::int64_t> special = {0,
                                                      -1,
                                                      1'709'251'198'500'000,
                                                      -62'135'596'800'000'000,
                                                      253'402'300'799'999'999,
                                                      9'223'372'036'854'775'806,
                                                      -9'223'372'022'400'000'000,
                                                      951'782'400'000'000};
    if (one_in(2)) return of(special);
    return (below(8'000'000'000) - 4'000'000'000) * 1'000'000 + below(1'000'000);
  }
  std::string text() {
    static const std::vector<std::string> some = {"",     "a",  "abc", " Ab ", "h€llo", "日本語",
                                                  "12",   "-7", "1.5", "1e5",  "true",  "f",
                                                  "aaaa", "ab", "0",   "xyz",  "A b C"};
    return of(some);
  }
  Scalar value(Type type) {
    if (one_in(6)) return {};
    switch (type) {
      case Type::real: return real();
      case Type::bigint: return whole();
      case Type::boolean: return one_in(2);
      case Type::text: return text();
      case Type::timestamp: return instant();
    }
    return {};
  }

 private:
  std::mt19937 engine_;
};

inline std::string engine_type(Type type) {
  return type == Type::real   ? "DOUBLE"
         : type == Type::text ? "VARCHAR"
                              : std::string(type_name(type));
}
inline olap::Type olap_type(Type type) {
  switch (type) {
    case Type::real: return olap::Type::real;
    case Type::bigint: return olap::Type::bigint;
    case Type::boolean: return olap::Type::boolean;
    case Type::text: return olap::Type::text;
    case Type::timestamp: return olap::Type::timestamp;
  }
  return olap::Type::other;
}

inline std::vector<Values> random_columns(Random& random, std::size_t rows) {
  std::vector<Values> out = {
      {"r", Type::real, {}},   {"q", Type::real, {}},      {"i", Type::bigint, {}},
      {"k", Type::bigint, {}}, {"b", Type::boolean, {}},   {"s", Type::text, {}},
      {"w", Type::text, {}},   {"t", Type::timestamp, {}}, {"u", Type::timestamp, {}}};
  for (Values& column : out)
    for (std::size_t row = 0; row < rows; ++row) column.values.push_back(random.value(column.type));
  return out;
}

// One row at a time, as the function of an engine does it.
inline void run_chunk(const Program& program, const olap::Chunk& in, olap::Chunk& out) {
  Frame frame(program, 1);
  for (std::size_t row = 0; row < in.rows; ++row) {
    for (std::size_t i = 0; i < program.arguments.size(); ++i) {
      const auto& values = in.columns[i + 1];
      const Type type = program.registers[program.arguments[i]];
      *frame.argument(i) = !values.valid[row]   ? Cell()
                           : type == Type::real ? cell_of(values.real[row])
                           : type == Type::text ? cell_of(std::string_view(values.text[row]))
                                                : cell_of(values.whole[row]);
    }
    frame.run(1);
    const Cell& cell = *frame.output(0);
    out.columns[0].valid[row] = cell.valid;
    if (!cell.valid) continue;
    if (program.outputs[0].type == Type::real)
      out.columns[0].real[row] = cell.real;
    else if (program.outputs[0].type == Type::text)
      out.columns[0].text[row] = cell.view();
    else
      out.columns[0].whole[row] = cell.whole;
  }
}

struct Expression {
  std::string ours, theirs;
};

Expression expression(Random& random, const std::vector<Values>& columns, Type type, int depth);

namespace detail {

struct Maker {
  Random& random;
  const std::vector<Values>& columns;
  int depth;

  Expression of(Type type) const { return expression(random, columns, type, depth - 1); }
  // "name(a, b)", or with TRY around it.
  Expression call(const std::string& name, const std::vector<Expression>& values,
                  bool fails) const {
    Expression out{name + "(", (fails ? "TRY(" : "") + name + "("};
    for (std::size_t i = 0; i < values.size(); ++i) {
      out.ours += (i ? ", " : "") + values[i].ours;
      out.theirs += (i ? ", " : "") + values[i].theirs;
    }
    return {out.ours + ")", out.theirs + (fails ? "))" : ")")};
  }
  Expression infix(const Expression& a, const std::string& sign, const Expression& b,
                   bool fails) const {
    return {"(" + a.ours + " " + sign + " " + b.ours + ")",
            (fails ? "TRY(" : "(") + a.theirs + " " + sign + " " + b.theirs + ")"};
  }
  Expression without(const Expression& a, const std::string& value) const {
    return {"nullif(" + a.ours + ", " + value + ")", "nullif(" + a.theirs + ", " + value + ")"};
  }

  Expression leaf(Type type) const;
  Expression real() const;
  Expression whole() const;
  Expression truth() const;
  Expression text() const;
  Expression any(Type type) const;
};

inline Expression Maker::leaf(Type type) const {
  std::vector<std::string> names;
  for (const Values& column : columns)
    if (column.type == type) names.push_back(column.name);
  if (!names.empty() && !random.one_in(4)) {
    const std::string name = random.of(names);
    return {name, name};
  }
  switch (type) {
    case Type::real: {
      const double value = random.real();
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.17e", std::isfinite(value) ? value : 1.25);
      return {digits, digits};
    }
    case Type::bigint: {
      // A bare number is 32 bits to DuckDB.
      const std::string number = std::to_string(random.below(2'000) - 1'000);
      return {number, "CAST(" + number + " AS BIGINT)"};
    }
    case Type::boolean:
      return random.one_in(2) ? Expression{"true", "true"} : Expression{"false", "false"};
    case Type::text: {
      const std::string text = olap::quoted_text(random.text());
      return {text, text};
    }
    case Type::timestamp: return {names.at(0), names.at(0)};
  }
  return {};
}

inline Expression Maker::real() const {
  static const std::vector<std::string> plain = {"abs", "ceil", "floor", "round", "trunc", "exp"};
  static const std::vector<std::string> partial = {"sqrt", "ln", "log10", "log2"};
  const std::string zero = "0.0e0";
  switch (random.below(10)) {
    case 0: return infix(of(Type::real), "/", without(of(Type::real), zero), false);
    case 1: return infix(of(Type::real), "%", without(of(Type::real), zero), false);
    case 2: return call(random.of(plain), {of(Type::real)}, false);
    case 3: return call(random.of(partial), {of(Type::real)}, true);
    case 4: return call("pow", {call("abs", {of(Type::real)}, false), of(Type::real)}, false);
    case 5: {
      const Expression inner = of(random.one_in(2) ? Type::bigint : Type::boolean);
      return {"CAST(" + inner.ours + " AS DOUBLE)", "CAST(" + inner.theirs + " AS DOUBLE)"};
    }
    case 6: {
      const std::string digits = std::to_string(random.below(6));  // to DuckDB round(inf, -1) is 0
      return call("round", {of(Type::real), {digits, digits}}, false);
    }
    case 7: return call("epoch", {leaf(Type::timestamp)}, false);
    case 8: return infix(of(Type::bigint), "*", of(Type::real), false);
    default: {
      static const std::vector<std::string> signs = {"+", "-", "*"};
      return infix(of(Type::real), random.of(signs), of(Type::real), false);
    }
  }
}

inline Expression Maker::whole() const {
  static const std::vector<std::string> parts = {"year",   "month",  "day",       "hour",
                                                 "minute", "second", "dayofweek", "dayofyear",
                                                 "isodow", "quarter"};
  static const std::vector<std::string> signs = {"+", "-", "*", "//"};
  switch (random.below(7)) {
    case 0: return call("abs", {of(Type::bigint)}, true);
    case 1: return infix(of(Type::bigint), "%", without(of(Type::bigint), "-1"), false);
    case 2: {
      const Expression inner = of(random.one_in(3) ? Type::boolean : Type::real);
      return {"CAST(" + inner.ours + " AS BIGINT)", "TRY_CAST(" + inner.theirs + " AS BIGINT)"};
    }
    case 3: {
      const Expression part = call(random.of(parts), {leaf(Type::timestamp)}, false);
      return {part.ours, "CAST(" + part.theirs + " AS BIGINT)"};
    }
    case 4: return call("length", {of(Type::text)}, false);
    default: return infix(of(Type::bigint), random.of(signs), of(Type::bigint), true);
  }
}

inline Expression Maker::truth() const {
  static const std::vector<std::string> signs = {
      "=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"};
  const Type type = random.one_in(6) ? Type::timestamp : random.type();
  const auto one = [&] { return type == Type::timestamp ? leaf(type) : of(type); };
  switch (random.below(8)) {
    case 0: return infix(of(Type::boolean), "AND", of(Type::boolean), false);
    case 1: return infix(of(Type::boolean), "OR", of(Type::boolean), false);
    case 2: {
      const Expression inner = of(Type::boolean);
      return {"(NOT " + inner.ours + ")", "(NOT " + inner.theirs + ")"};
    }
    case 3: {
      const Expression inner = one();
      const std::string is = random.one_in(2) ? " IS NULL)" : " IS NOT NULL)";
      return {"(" + inner.ours + is, "(" + inner.theirs + is};
    }
    case 4: {
      const Expression in = one(), low = one(), high = one();
      return {"(" + in.ours + " BETWEEN " + low.ours + " AND " + high.ours + ")",
              "(" + in.theirs + " BETWEEN " + low.theirs + " AND " + high.theirs + ")"};
    }
    case 5: {
      const Expression in = one(), a = one(), b = one();
      const std::string word = random.one_in(2) ? " IN (" : " NOT IN (";
      return {"(" + in.ours + word + a.ours + ", " + b.ours + "))",
              "(" + in.theirs + word + a.theirs + ", " + b.theirs + "))"};
    }
    case 6: return call("contains", {of(Type::text), of(Type::text)}, false);
    default: return infix(one(), random.of(signs), one(), false);
  }
}

inline Expression Maker::text() const {
  static const std::vector<std::string> plain = {"lower", "upper", "trim", "ltrim", "rtrim"};
  switch (random.below(7)) {
    case 0: return call(random.of(plain), {of(Type::text)}, false);
    case 1: return call("concat", {of(Type::text), of(Type::text), of(Type::text)}, false);
    case 2: return infix(of(Type::text), "||", of(Type::text), false);
    case 3: return call("replace", {of(Type::text), of(Type::text), of(Type::text)}, false);
    case 4: {
      const std::string from = std::to_string(random.below(12) - 6),
                        count = std::to_string(random.below(9) - 3);
      return call("substring", {of(Type::text), {from, from}, {count, count}}, false);
    }
    case 5: {
      static const std::vector<Type> types = {Type::real, Type::bigint, Type::boolean};
      const Expression inner = of(random.of(types));
      return {"CAST(" + inner.ours + " AS VARCHAR)",
              "replace(CAST(" + inner.theirs + " AS VARCHAR), '-nan', 'nan')"};
    }
    default: return leaf(Type::text);
  }
}

inline Expression Maker::any(Type type) const {
  switch (random.below(5)) {
    case 0: return call("coalesce", {of(type), of(type)}, false);
    case 1: return call("nullif", {of(type), of(type)}, false);
    case 2: return call(random.one_in(2) ? "least" : "greatest", {of(type), of(type)}, false);
    case 3: return call("if", {of(Type::boolean), of(type), of(type)}, false);
    default: {
      const Expression when = of(Type::boolean), then = of(type), other = of(type);
      return {
          "CASE WHEN " + when.ours + " THEN " + then.ours + " ELSE " + other.ours + " END",
          "CASE WHEN " + when.theirs + " THEN " + then.theirs + " ELSE " + other.theirs + " END"};
    }
  }
}

}  // namespace detail

inline Expression expression(Random& random, const std::vector<Values>& columns, Type type,
                             int depth) {
  const detail::Maker maker{random, columns, depth};
  if (depth <= 0 || random.one_in(6)) return maker.leaf(type);
  if (random.one_in(4)) return maker.any(type);
  switch (type) {
    case Type::real: return maker.real();
    case Type::bigint: return maker.whole();
    case Type::boolean: return maker.truth();
    default: return maker.text();
  }
}

}  // namespace penstock::features::transform
