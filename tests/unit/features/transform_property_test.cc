// Random expressions over random rows: one row at a time against many, against the same program as
// a function of DuckDB, and against DuckDB itself where both mean the same.
#include <random>

#include "tests/unit/features/transform_random.h"

namespace penstock::features::transform {
namespace {

class PropertyTest : public TransformTest {
 protected:
  void given(Random& random, std::size_t rows) {
    columns_ = random_columns(random, rows);
    std::string columns = "id BIGINT", places = "$1";
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      columns += ", " + columns_[i].name + " " + engine_type(columns_[i].type);
      places += ", $" + std::to_string(i + 2);
    }
    test::must(session_->run("CREATE OR REPLACE TEMP TABLE t (" + columns + ")"));
    for (std::size_t row = 0; row < rows; ++row) {
      std::vector<Scalar> values{static_cast<std::int64_t>(row)};
      for (const Values& column : columns_) values.push_back(column.values[row]);
      test::must(session_->query("INSERT INTO t VALUES (" + places + ")", values));
    }
  }

  // The values that DuckDB gives for each of the expressions, by expression.
  std::vector<std::vector<Scalar>> asked(const std::vector<std::string>& expressions) {
    std::string list;
    for (const std::string& one : expressions) list += (list.empty() ? "" : ", ") + one;
    const auto table = test::must(session_->query("SELECT " + list + " FROM t ORDER BY id"));
    std::vector<std::vector<Scalar>> out(expressions.size());
    for (const auto& row : table.rows)
      for (std::size_t i = 0; i < row.size(); ++i) {
        const auto* real = std::get_if<double>(&row[i]);
        out[i].push_back(real && *real == 0 ? Scalar(0.0) : row[i]);  // our zeros have no sign
      }
    return out;
  }

  // SQL that calls the program as a function of DuckDB.
  std::string defined(const std::shared_ptr<Compiled>& compiled, const std::string& name) {
    olap::Function function{
        .name = name, .arguments = {olap::Type::bigint}, .results = {}, .run = {}};
    std::string arguments = "id";
    for (std::size_t i = 0; i < compiled->arguments.size(); ++i) {
      function.arguments.push_back(
          olap_type(compiled->program.registers[compiled->program.arguments[i]]));
      arguments += ", " + compiled->arguments[i];
    }
    function.results = {olap_type(compiled->program.outputs[0].type)};
    function.run = [compiled](const olap::Chunk& in, olap::Chunk& out) {
      run_chunk(compiled->program, in, out);
    };
    test::must(session_->define(std::move(function)));
    return name + "(" + arguments + ").v0";
  }
};

TEST_F(PropertyTest, EveryWayOfRunningGivesTheSameBits) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    given(random, 150);
    std::vector<std::string> texts, calls;
    std::vector<std::vector<Scalar>> one_by_one;
    for (int i = 0; i < 40; ++i) {
      const Expression made = expression(random, columns_, random.type(), 5);
      auto compiled = std::make_shared<Compiled>(test::must(compile(made.ours)));
      texts.push_back(made.ours);
      one_by_one.push_back(run(*compiled, 1));
      for (const std::size_t at_once : {7u, 128u}) {
        const auto many = run(*compiled, at_once);
        for (std::size_t row = 0; row < many.size(); ++row)
          ASSERT_EQ(bits_of(many[row]), bits_of(one_by_one.back()[row])) << made.ours;
      }
      calls.push_back(
          defined(compiled, "f" + std::to_string(seed) + "_" + std::to_string(calls.size())));
    }
    const auto offline = asked(calls);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      ASSERT_EQ(offline[i].size(), one_by_one[i].size());
      for (std::size_t row = 0; row < offline[i].size(); ++row)
        ASSERT_EQ(bits_of(offline[i][row]), bits_of(one_by_one[i][row]))
            << texts[i] << " row " << row;
    }
  }
}

TEST_F(PropertyTest, GivesWhatDuckDbGivesWhereBothMeanTheSame) {
  std::size_t values = 0, nulls = 0;
  for (unsigned seed = 100; seed < 112; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    given(random, 60);
    std::vector<Expression> made;
    std::vector<std::string> theirs;
    for (int i = 0; i < 40; ++i) {
      made.push_back(expression(random, columns_, random.type(), 4));
      theirs.push_back(made.back().theirs);
    }
    const auto expected = asked(theirs);
    for (std::size_t i = 0; i < made.size(); ++i) {
      const auto found = run(test::must(compile(made[i].ours)), 64);
      for (std::size_t row = 0; row < found.size(); ++row) {
        ASSERT_EQ(bits_of(found[row]), bits_of(expected[i][row]))
            << made[i].ours << "\n"
            << made[i].theirs << "\nrow " << row;
        ++(found[row].index() == 0 ? nulls : values);
      }
    }
  }
  EXPECT_GT(values, nulls / 4);  // nulls alone would prove little
}

// Text that is nearly an expression, and text that is none: a value or a fault, never a crash.
TEST_F(PropertyTest, AnyTextIsCompiledOrRefused) {
  Random random(7);
  columns_ = random_columns(random, 3);
  static const std::vector<std::string> words = {"r",        "i",
                                                 "s",        "b",
                                                 "t",        "(",
                                                 ")",        "+",
                                                 "-",        "*",
                                                 "/",        "//",
                                                 "%",        "^",
                                                 ",",        "CASE",
                                                 "WHEN",     "THEN",
                                                 "ELSE",     "END",
                                                 "AND",      "OR",
                                                 "NOT",      "IS",
                                                 "NULL",     "IN",
                                                 "BETWEEN",  "1",
                                                 "0.5",      "1e9",
                                                 "'a'",      "''",
                                                 "\"x\"",    "coalesce(",
                                                 "nullif(",  "substring(",
                                                 "CAST(",    "AS",
                                                 "BIGINT",   "DOUBLE",
                                                 "now()",    "least(",
                                                 "||",       "=",
                                                 "<",        "extract(",
                                                 "year",     "FROM",
                                                 "hour(",    "::",
                                                 "[",        "]",
                                                 "{",        "}",
                                                 "?",        "$1",
                                                 ";",        "--",
                                                 "/*",       "*/",
                                                 "\\",       "\"",
                                                 "'",        ".",
                                                 "é",        "\x80",
                                                 "SELECT",   "t.r",
                                                 "DISTINCT", "FILTER",
                                                 "OVER",     "->",
                                                 "lambda",   "99999999999999999999",
                                                 "ORDER BY", "round("};
  std::size_t compiled = 0;
  for (int i = 0; i < 4'000; ++i) {
    std::string text;
    if (random.one_in(3)) {
      text = expression(random, columns_, random.type(), 3).ours;
      for (auto changes = random.below(3); changes >= 0 && !text.empty(); --changes) {
        const auto at =
            static_cast<std::size_t>(random.below(static_cast<std::int64_t>(text.size())));
        if (random.one_in(2))
          text.erase(at, 1);
        else
          text[at] = static_cast<char>(1 + random.below(126));
      }
    } else {
      for (auto count = random.below(14); count >= 0; --count)
        text +=
            words[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(words.size())))] +
            " ";
    }
    SCOPED_TRACE(text);
    const auto made = compile(text);
    if (made) {
      ++compiled;
      run(*made, 2);
    } else {
      ASSERT_EQ(made.error().code, Code::invalid_argument) << made.error().message;
      ASSERT_FALSE(made.error().message.empty());
    }
  }
  EXPECT_GT(compiled, 50u);
}

}  // namespace
}  // namespace penstock::features::transform
