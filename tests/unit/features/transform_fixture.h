// Expressions compiled over columns of values, without a feature store around them.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "adapters/duckdb/duckdb.h"
#include "features/transform/compile.h"
#include "tests/support/fixture.h"

namespace penstock::features::transform {

struct Values {
  std::string name;
  Type type = Type::real;
  std::vector<Scalar> values;
};

// Every bit of it, where a NaN is a NaN.
inline std::string bits_of(const Scalar& value) {
  if (const auto* real = std::get_if<double>(&value)) {
    if (std::isnan(*real)) return "nan";
    return "double " + json::serialize(to_json(value)) + " " +
           std::to_string(std::bit_cast<std::uint64_t>(*real));
  }
  return json::serialize(to_json(value));
}

class TransformTest : public testing::Test {
 protected:
  struct Compiled {
    Program program;
    std::vector<std::string> arguments;
  };

  Result<Compiled> compile(const std::string& expression, std::optional<Type> type = {}) {
    std::vector<std::string> names;
    for (const Values& column : columns_) names.push_back(column.name);
    Compiler compiler(
        [&](const std::string& name) -> std::optional<Type> {
          for (const Values& column : columns_)
            if (column.name == name) return column.type;
          return {};
        },
        names);
    const json::value tree = TRY(parse(*session_, expression));
    TRY(compiler.add("out", expression, tree, type));
    auto made = std::move(compiler).finish();
    return Compiled{std::move(made.program), std::move(made.arguments)};
  }

  // The values of all rows, computed `at_once` at a time.
  std::vector<Scalar> run(const Compiled& compiled, std::size_t at_once) {
    const std::size_t rows = columns_.front().values.size();
    std::vector<Scalar> out;
    Frame frame(compiled.program, at_once);
    for (std::size_t from = 0; from < rows; from += at_once) {
      const std::size_t count = std::min(at_once, rows - from);
      for (std::size_t i = 0; i < compiled.arguments.size(); ++i)
        for (const Values& column : columns_)
          if (column.name == compiled.arguments[i])
            for (std::size_t row = 0; row < count; ++row)
              frame.argument(i)[row] = cell_of(column.type, column.values[from + row]);
      frame.run(count);
      for (std::size_t row = 0; row < count; ++row)
        out.push_back(scalar_of(compiled.program.outputs[0].type, frame.output(0)[row]));
    }
    return out;
  }

  // Of the first row, as text; or the fault.
  std::string value(const std::string& expression) {
    const auto compiled = compile(expression);
    if (!compiled) return "! " + compiled.error().message;
    const Scalar out = run(*compiled, 1).at(0);
    if (const auto* real = std::get_if<double>(&out)) {
      char text[64];
      std::snprintf(text, sizeof text, "%.17g", *real);
      return text;
    }
    return json::serialize(to_json(out));
  }

  std::unique_ptr<olap::Engine> engine_ = duckdb::open({.threads = 2});
  std::unique_ptr<olap::Session> session_ = test::must(engine_->session());
  std::vector<Values> columns_;
};

}  // namespace penstock::features::transform
