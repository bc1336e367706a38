#include "serving/rule.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/fixture.h"

namespace penstock::serving {
namespace {

using test::must;

// What a call carries, made to be asked by name.
struct Carried {
  std::string tenant = "acme", actor = "user:ana", user = "ana";
  std::map<std::string, std::string, std::less<>> headers = {
      {"x-beta", "1"}, {"cookie", "group=eu-west; seen=\"yes\"; group=other"}};
  Entities entities = {{"carrier", "UA"}};
  HeaderLookup lookup = [this](std::string_view name) {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : std::string_view(found->second);
  };
  Caller caller() const { return {tenant, actor, user, &lookup, &entities}; }
};

const std::vector<std::string> keys = {"carrier", "tail"};

TEST(RuleTest, HoldsOfWhatACallCarries) {
  struct Case {
    std::string rule;
    bool holds;
  };
  const Case cases[] = {
      {R"(tenant == "acme" && header("x-beta") == "1" || user in ("a", "b"))", true},
      {R"(tenant == "other" && header("x-beta") == "1" || user in ("a", "b"))", false},
      {R"(tenant == "other" || tenant == "acme" && user == "bo")", false},
      {R"((tenant == "other" || tenant == "acme") && user == "ana")", true},
      {R"(!(tenant == "acme"))", false},
      {R"(!!(tenant == "acme"))", true},
      {R"(!tenant.startsWith("b") && tenant != "b")", true},
      {R"(actor == "user:ana")", true},
      {R"(header("X-Beta") == "1")", true},
      {R"(header("x-none") == "")", true},
      {R"(cookie("group") == "eu-west")", true},
      {R"(cookie("seen") == "yes")", true},
      {R"(cookie("gro") == "" && cookie("roup") == "")", true},
      {R"(entity("carrier") == "UA" && entity("tail") == "")", true},
      {R"(entity("carrier") in ["AA", "UA"])", true},
      {R"(user in ("bo"))", false},
      {R"(cookie("group").startsWith("eu-") && cookie("group").endsWith("west"))", true},
      {R"(actor.contains("r:a") && !actor.contains("R:A"))", true},
      {R"(actor.matches("^user:[a-z]+$"))", true},
      {R"(actor.matches("na$") && !actor.matches("^na"))", true},
      {R"("a\"b\\" == "a\"b\\")", true},
      {"tenant==\"acme\"&&\n\tuser==\"ana\"", true},
  };
  const Carried carried;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.rule);
    EXPECT_EQ(must(Expression::compile(c.rule, keys)).holds(carried.caller()), c.holds);
  }
  EXPECT_FALSE(must(Expression::compile(R"(user == "ana")", keys)).holds({}))
      << "a caller that carries nothing";
}

TEST(RuleTest, SaysWhereARuleIsWrongAndWhatIsKnown) {
  struct Case {
    std::string rule;
    std::string at, says;
  };
  const Case cases[] = {
      {"", "character 1 at its end", "known are tenant, user, actor"},
      {"tenat == \"a\"", "character 1 before 'tenat", "known are tenant, user, actor"},
      {"tenant = \"a\"", "character 8 before '= ", "known are ==, !="},
      {"tenant == acme", "character 11 before 'acme'", "a literal"},
      {"tenant == \"a", "character 11", "not closed"},
      {"tenant == \"a\" user", "character 15", "&& or ||"},
      {"tenant == \"a\" &&", "character 17 at its end", "a text must stand here"},
      {"(tenant == \"a\"", "character 15 at its end", "a ) is missing"},
      {"tenant == \"a\")", "character 14", "the rule should end"},
      {"header(x) == \"a\"", "character 8", "in double quotes"},
      {"header(\"\") == \"a\"", "character 8", "must not be empty"},
      {"entity(\"flight\") == \"a\"", "character 8", "known are carrier, tail"},
      {"user.like(\"a\")", "character 6", ".startsWith"},
      {"user.matches(\"(\")", "character 14", "RE2"},
      {"user.matches(tenant)", "character 14", "a literal"},
      {"user.matches(\"((a{1000}){1000}){1000}\")", "character 14", "RE2"},
      {"user in (tenant)", "character 10", "literals"},
      {"user in (\"a\"", "character 13 at its end", ", or )"},
      {"user in \"a\"", "character 9", "a list"},
      {"\"\\x\" == user", "character 2", "escapes"},
      {std::string(40, '!').append("(user == \"\")"), "character 34", "32 deep"},
      {std::string(40, '(').append("user == \"\""), "character 34", "32 deep"},
      {"user == \"" + std::string(1'000, 'a') + "\"", "character 1001", "1000 characters"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.rule.substr(0, 80));
    const auto got = Expression::compile(c.rule, keys);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::invalid_argument);
    EXPECT_NE(got.error().message.find(c.at), std::string::npos) << got.error().message;
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
  const auto second = Rules::compile({{"user == \"a\"", 1}, {"user ==", 2}}, keys);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().violations.at(0).field, "rules[1].when");
}

// A random rule and what it must say, told by another way than the parser's.
class Random {
 public:
  explicit Random(unsigned seed) : random_(seed) {}
  std::size_t below(std::size_t limit) { return random_() % limit; }

  struct Told {
    std::string text;
    bool holds = false;
  };

  Told rule(const Carried& carried, int depth) {
    const std::size_t kind = depth == 0 ? 3 : below(4);
    if (kind == 3) return test(carried);
    const Told left = rule(carried, depth - 1);
    if (kind == 0) return {"!(" + left.text + ")", !left.holds};
    const Told right = rule(carried, depth - 1);
    if (kind == 1) return {"(" + left.text + ")&&(" + right.text + ")", left.holds && right.holds};
    return {"(" + left.text + " ) || ( " + right.text + ")", left.holds || right.holds};
  }

 private:
  static std::string value(const std::string& text, const Carried& carried) {
    if (text == "tenant") return carried.tenant;
    if (text == "user") return carried.user;
    if (text.starts_with("header")) return "1";
    if (text.starts_with("entity")) return "UA";
    return "yes";
  }
  Told test(const Carried& carried) {
    static const std::string literals[] = {"acme", "ana", "1", "UA", "yes", "a", "", "es"};
    static const std::string texts[] = {"tenant", "user", "header(\"x-beta\")",
                                        "entity(\"carrier\")", "cookie(\"seen\")"};
    const std::string& name = texts[below(std::size(texts))];
    const std::string is = value(name, carried);
    const std::string& one = literals[below(std::size(literals))];
    const std::string& two = literals[below(std::size(literals))];
    const std::string quoted = "\"" + one + "\"";
    switch (below(7)) {
      case 0: return {name + " == " + quoted, is == one};
      case 1: return {name + "!=" + quoted, is != one};
      case 2: return {name + " in (" + quoted + ", \"" + two + "\")", is == one || is == two};
      case 3: return {name + ".startsWith(" + quoted + ")", is.compare(0, one.size(), one) == 0};
      case 4:
        return {name + ".endsWith(" + quoted + ")",
                is.size() >= one.size() && is.substr(is.size() - one.size()) == one};
      case 5: return {name + ".contains(" + quoted + ")", is.find(one) != std::string::npos};
      default: return {name + ".matches(" + quoted + ")", is.find(one) != std::string::npos};
    }
  }
  std::mt19937 random_;
};

TEST(RuleTest, SaysOfRandomRulesWhatTheirPartsSay) {
  Carried carried;
  int held = 0, read = 0;
  for (unsigned seed = 0; seed < 5'000; ++seed) {
    Random random(seed);
    const Random::Told told = random.rule(carried, static_cast<int>(random.below(5)));
    if (told.text.size() > rule_text_max) continue;
    const auto rule = Expression::compile(told.text, keys);
    ASSERT_TRUE(rule) << "seed " << seed << ": " << told.text << ": " << rule.error().message;
    ASSERT_EQ(rule->holds(carried.caller()), told.holds) << "seed " << seed << ": " << told.text;
    ++read;
    held += told.holds ? 1 : 0;
  }
  EXPECT_GT(read, 4'000);
  EXPECT_GT(held, read / 4);
  EXPECT_LT(held, read * 3 / 4);
}

// Whatever stands there is read or refused, and what is read can be asked.
TEST(RuleTest, SurvivesRulesThatAreBroken) {
  const Carried carried;
  std::mt19937 random(7);
  int refused = 0;
  const std::string pieces[] = {
      "tenant", "header(", "\"",        "\\", "(", ")", "&&", "||",
      "!",      "==",      ".matches(", "in", "[", "]", ",",  "entity(\"carrier\")",
      "\xff",   "\n"};
  for (int i = 0; i < 20'000; ++i) {
    std::string text =
        R"(tenant == "acme" && (header("x-beta").matches("[0-9]") || user in ("a")))";
    if (i % 2) {
      text.clear();
      for (auto n = random() % 40; n > 0; --n) text += pieces[random() % std::size(pieces)];
    }
    for (auto n = random() % 4; n > 0 && !text.empty(); --n)
      text[random() % text.size()] = static_cast<char>(random());
    const auto rule = Expression::compile(text, keys);
    if (rule)
      static_cast<void>(rule->holds(carried.caller()));
    else
      ++refused;
  }
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace penstock::serving
