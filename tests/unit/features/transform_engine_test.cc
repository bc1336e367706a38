#include "tests/unit/features/transform_fixture.h"

namespace penstock::features::transform {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

class EngineTest : public TransformTest {
 protected:
  EngineTest() {
    columns_ = {{"x", Type::real, {Scalar(7.5)}},
                {"zero", Type::real, {Scalar(-0.0)}},
                {"inf", Type::real, {Scalar(infinity)}},
                {"none", Type::real, {Scalar()}},
                {"i", Type::bigint, {Scalar(std::int64_t{7})}},
                {"big", Type::bigint, {Scalar(most)}},
                {"yes", Type::boolean, {Scalar(true)}},
                {"no", Type::boolean, {Scalar(false)}},
                {"maybe", Type::boolean, {Scalar()}},
                {"word", Type::text, {Scalar(std::string("  Héllo "))}},
                // 2024-02-29T23:59:58.5Z and 1969-12-31T00:00:00Z
                {"t", Type::timestamp, {Scalar(std::int64_t{1'709'251'198'500'000})}},
                {"before", Type::timestamp, {Scalar(std::int64_t{-86'400'000'000})}}};
  }
};

struct Case {
  std::string expression, value;
};

TEST_F(EngineTest, ComputesAsItsDocumentationSays) {
  const Case cases[] = {
      {"x + 1", "8.5"},
      {"i + 1", "8"},
      {"-i", "-7"},
      {"-x", "-7.5"},
      {"i * 1.5", "10.5"},
      {"i / 2", "3.5"},
      {"i // 2", "3"},
      {"-i // 2", "-3"},
      {"-i % 4", "-3"},
      {"x % 2", "1.5"},
      {"x / zero", "null"},
      {"x % 0", "null"},
      {"i // 0", "null"},
      {"i % 0", "null"},
      {"big + 1", "null"},
      {"big * 2", "null"},
      {"-(-big - 1)", "null"},
      {"abs(-big - 1)", "null"},
      {"(-big - 1) // -1", "null"},
      {"(-big - 1) % -1", "0"},
      {"big + 1.0", "9.2233720368547758e+18"},
      {"inf - inf", "nan"},
      {"inf - inf = inf - inf", "true"},
      {"inf - inf > inf", "true"},
      {"zero", "0"},
      {"CAST(zero AS VARCHAR)", "\"-0.0\""},
      {"zero = 0", "true"},
      {"2 ^ 10", "1024"},
      {"pow(-8, 1.0 / 3)", "null"},
      {"1e308 * 10", "inf"},
      {"0.1 + 0.2", "0.30000000000000004"},
      {"0.1e0", "0.10000000000000001"},
      {"1.2345678901234567e-7", "1.2345678901234566e-07"},
      {"7.2057594037927933e16", "72057594037927936"},
      {"123456789012345678901234567890.5", "1.2345678901234568e+29"},
      {"round(2.5)", "3"},
      {"round(-2.5)", "-3"},
      {"round(7.456, 2)", "7.46"},
      {"round(1234, -2)", "1200"},
      {"round(x, 400)", "7.5"},
      {"ceil(x) - floor(x)", "1"},
      {"sign(-x)", "-1"},
      {"sqrt(-1)", "null"},
      {"ln(0)", "null"},
      {"log10(1000)", "3"},
      {"log2(8)", "3"},
      {"exp(0)", "1"},
      {"none + 1", "null"},
      {"none IS NULL", "true"},
      {"none IS NOT NULL", "false"},
      {"none = none", "null"},
      {"none IS DISTINCT FROM none", "false"},
      {"none IS DISTINCT FROM 1", "true"},
      {"maybe AND no", "false"},
      {"maybe AND yes", "null"},
      {"maybe OR yes", "true"},
      {"NOT maybe", "null"},
      {"yes IS TRUE", "true"},
      {"coalesce(none, i, 3)", "7"},
      {"coalesce(none, i)", "7"},
      {"ifnull(none, 2)", "2"},
      {"nullif(i, 7.0)", "null"},
      {"nullif(i, 8)", "7"},
      {"CASE WHEN maybe THEN 1 WHEN yes THEN 2.5 ELSE 3 END", "2.5"},
      {"CASE i WHEN 6 THEN 'six' WHEN 7 THEN 'seven' END", "\"seven\""},
      {"CASE WHEN no THEN 1 END", "null"},
      {"if(i > 6, 'a', 'b')", "\"a\""},
      {"i BETWEEN 7 AND 8", "true"},
      {"i NOT BETWEEN 7 AND 8", "false"},
      {"i IN (1, 7)", "true"},
      {"i IN (1, NULL)", "null"},
      {"i NOT IN (1, NULL)", "null"},
      {"i NOT IN (1, 2)", "true"},
      {"least(3, none, 1.5)", "1.5"},
      {"greatest(none, none)", "null"},
      {"greatest(inf - inf, inf)", "nan"},
      {"CAST(x AS BIGINT)", "8"},
      {"CAST(6.5 AS BIGINT)", "6"},
      {"CAST(1e19 AS BIGINT)", "null"},
      {"CAST('12' AS BIGINT)", "12"},
      {"CAST('12x' AS BIGINT)", "null"},
      {"'1e3'::DOUBLE", "1000"},
      {"CAST(yes AS DOUBLE)", "1"},
      {"CAST(zero AS BOOLEAN)", "false"},
      {"CAST(x AS VARCHAR)", "\"7.5\""},
      {"CAST(1e15 AS VARCHAR)", "\"1000000000000000.0\""},
      {"CAST(1e16 AS VARCHAR)", "\"1e+16\""},
      {"CAST(yes AS VARCHAR)", "\"true\""},
      {"true", "true"},
      {"''", "\"\""},
      {"'' = ''", "true"},
      {"length(word)", "8"},
      {"upper(trim(word))", "\"HéLLO\""},
      {"substring(word, 4, 2)", "\"él\""},
      {"substring(word, -2)", "\"o \""},
      {"substring(word FROM 3 FOR 1)", "\"H\""},
      {"concat('a', NULL, 'b')", "\"ab\""},
      {"'a' || NULL", "null"},
      {"'a' || 'b'", "\"ab\""},
      {"replace('aXbX', 'X', '--')", "\"a--b--\""},
      {"contains(word, 'llo')", "true"},
      {"starts_with(word, 'H')", "false"},
      {"'abc' < 'abd'", "true"},
      {"hour(t)", "23"},
      {"extract(year FROM t)", "2024"},
      {"month(t)", "2"},
      {"day(t)", "29"},
      {"doy(t)", "60"},
      {"dow(t)", "4"},
      {"second(t)", "58"},
      {"epoch(t)", "1709251198.5"},
      {"epoch_ms(t)", "1709251198500"},
      {"t - before", "1709337598.5"},
      {"dow(before)", "3"},
      {"year(before)", "1969"},
      {"t > TIMESTAMP '2024-02-29 23:00:00'", "true"},
      {"t - TIMESTAMP '2024-02-29'", "86398.5"},
      {"round(haversine_km(52.52, 13.405, 48.8566, 2.3522))", "877"},
      {"haversine_km(91, 0, 0, 0)", "null"},
      {"x -- a comment", "7.5"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.expression);
    const std::string found = value(c.expression);
    EXPECT_EQ(found, c.value);
  }
}

TEST_F(EngineTest, RefusesWhatItMayNotOrCannotSay) {
  const Case cases[] = {
      {"now()", "calls now, which is no function of an expression; there are abs, atan2, ceil,"},
      {"current_timestamp", "reads current_timestamp, which is no input and no feature before it"},
      {"random()", "calls random, which is no function"},
      {"uuid()", "calls uuid"},
      {"sum(x)", "calls sum, which is no function"},
      {"count(*)", "calls count_star"},
      {"sum(x) FILTER (WHERE yes)", "calls sum as an aggregate"},
      {"sum(x) OVER ()", "over a window"},
      {"(SELECT 1)", "holds a subquery"},
      {"EXISTS (SELECT 1)", "holds a subquery"},
      {"x IN (SELECT 1)", "holds a subquery"},
      {"y + 1", "reads y, which is no input and no feature before it; there are "},
      {"t.x", "names a column of a table"},
      {"$1", "holds parameter"},
      {"*", "holds star"},
      {"", "is no SQL expression"},
      {"x +", "is no SQL expression: syntax error"},
      {"x, i", "calls row"},
      {"x) FROM (SELECT 1", "must be one expression"},
      {"x AS y", "is no SQL expression"},
      {"x); SELECT (1", "must be one expression"},
      {"x + word", "gives (double, text) to +, which takes (bigint, bigint) or (double, double)"},
      {"word = 1", "mixes text and bigint in a comparison"},
      {"CASE WHEN x THEN 1 END", "gives double to CASE WHEN, which takes a boolean"},
      {"coalesce(x, word)", "mixes double and text in coalesce"},
      {"x AND yes", "gives double to AND"},
      {"lower(x)", "gives (double) to lower, which takes (text)"},
      {"CAST(x AS INTEGER)", "casts to INTEGER; there are DOUBLE, BIGINT"},
      {"CAST(word AS DATE)", "casts to DATE"},
      {"18446744073709551616", "holds a whole number beyond 64 bits"},
      {"9223372036854775808", "holds a whole number beyond 64 bits"},
      {"1e999", "number that is too large"},
      {"INTERVAL 1 DAY", "casts to INTEGER"},
      {"[1, 2]", "calls list_value"},
      {"x::DECIMAL(3, 1)", "casts to DECIMAL"},
      {"date_part('week', t)", "takes a part of a time that is not there"},
      {"date_part(word, t)", "takes a part of a time that is not there"},
      {"x.lower()", "calls x.lower"},
      {"word COLLATE nocase", "holds collate"},
      {std::string("x\0", 2), "must not hold a NUL byte"},
      {std::string(5'000, ' ') + "x", "must be at most 4000 characters"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.expression);
    const std::string found = value(c.expression);
    EXPECT_TRUE(found.starts_with("! ")) << found;
    EXPECT_NE(found.find(c.value), std::string::npos) << found;
  }
}

TEST_F(EngineTest, BoundsTheSizeAndTheDepthOfAnExpression) {
  std::string deep = "x", wide = "x";
  for (int i = 0; i < 80; ++i) deep = "(" + deep + " + x)";
  EXPECT_NE(value(deep).find("nested"), std::string::npos) << value(deep);
  const auto repeated = [](const std::string& text, int times) {
    std::string out;
    for (int i = 0; i < times; ++i) out += text;
    return out;
  };
  EXPECT_EQ(value(repeated("(", 1'900) + "1" + repeated(")", 1'900)), "1");
  for (const std::string& text :
       {repeated("NOT ", 900) + "yes", "x" + repeated("::DOUBLE", 480),
        "x" + repeated("[1]", 1'300),
        repeated("CASE WHEN ", 250) + "yes" + repeated(" THEN yes END", 250),
        repeated("[", 1'900) + repeated("]", 1'900), "x" + repeated(" IS NULL", 480),
        repeated("abs(", 900) + "x" + repeated(")", 900)})
    EXPECT_TRUE(value(text).starts_with("! ")) << text;
  for (int i = 0; i < 300; ++i) wide = i % 2 ? "abs(" + wide + ")" : wide + "+x";
  EXPECT_TRUE(value(wide).starts_with("! "));
  std::string list = "i IN (0";
  for (int i = 1; i < 900; ++i) list += "," + std::to_string(i % 10);
  EXPECT_NE(value(list + ")").find("is too long"), std::string::npos) << value(list + ")");
  // Texts that grow by doubling end as null, not as all the memory there is.
  std::string text = "word";
  for (int i = 0; i < 25; ++i) text = "concat(" + text + ", 'x')";
  EXPECT_EQ(value("length(" + text + ")"), "33");
  Compiler compiler(
      [](const std::string& name) {
        return name == "w" ? std::optional(Type::text) : std::nullopt;
      },
      {"w"});
  std::string name = "w";
  for (int i = 0; i < 30; ++i) {
    const std::string expression = "concat(" + name + ", " + name + ")";
    name = "w" + std::to_string(i);
    test::must(compiler.add(name, expression, test::must(parse(*session_, expression)), {}));
  }
  const auto made = std::move(compiler).finish();
  Frame frame(made.program, 1);
  *frame.argument(0) = cell_of(std::string_view("0123456789"));
  frame.run(1);
  EXPECT_EQ(frame.output(0)->size, 20u);
  EXPECT_EQ(frame.output(11)->size, 40'960u);
  EXPECT_FALSE(frame.output(12)->valid);
  EXPECT_EQ(frame.output(29)->size, 0u);  // a null is no text to CONCAT
}

TEST_F(EngineTest, GivesTheTypeThatIsAskedFor) {
  EXPECT_EQ(bits_of(run(test::must(compile("i", Type::real)), 1).at(0)), bits_of(Scalar(7.0)));
  EXPECT_EQ(run(test::must(compile("NULL", Type::text)), 1).at(0), Scalar());
  EXPECT_FALSE(compile("x", Type::bigint));
  EXPECT_FALSE(compile("word", Type::real));
}

}  // namespace
}  // namespace penstock::features::transform
