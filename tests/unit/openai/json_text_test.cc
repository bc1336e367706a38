#include "api/openai/json_text.h"

#include <gtest/gtest.h>

#include <random>
#include <boost/json.hpp>

namespace penstock::api::openai {
namespace {

namespace json = boost::json;

TEST(JsonText, SaysWhatIsWrongAndWhere) {
  struct Case {
    std::string text, says;
  };
  const Case cases[] = {
      {"", "empty"},
      {"  ", "empty"},
      {"[]", "must be a JSON object"},
      {"\"a\"", "must be a JSON object"},
      {"{", "it ends at byte 1"},
      {R"({"a":)", "it ends at byte 5"},
      {R"({"a" 1})", "a colon is missing at byte 5"},
      {R"({"a":1,})", "a key is missing at byte 7"},
      {R"({"a":[1,]})", "a value is missing at byte 8"},
      {R"({"a":[1 2]})", "a comma or ] is missing at byte 8"},
      {R"({"a":1 "b":2})", "a comma or } is missing at byte 7"},
      {R"({"a":[1})", "a comma or ] is missing"},
      {R"({"a":01})", "a comma or } is missing"},
      {R"({"a":1.})", "a number is broken"},
      {R"({"a":-})", "a value is missing"},
      {R"({"a":1e})", "a number is broken"},
      {R"({"a":nul})", "a value is missing"},
      {R"({"a":"x)", "it ends within a string"},
      {"{\"a\":\"x\ny\"}", "a control character"},
      {R"({"a":"\x"})", "an escape is broken"},
      {R"({"a":"\u12g4"})", "an escape is broken"},
      {R"({"a":1}})", "something follows the object at byte 7"},
      {"{\"a\":\"\xff\"}", "no valid UTF-8"},
      {"{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}", "nested deeper"},
      {"{\"a\":" + std::string(1'000'000, '['), "nested deeper"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text.substr(0, 40));
    const auto fault = object_fault(c.text);
    ASSERT_TRUE(fault);
    EXPECT_NE(fault->find(c.says), std::string::npos) << *fault;
  }
  EXPECT_FALSE(
      object_fault(" {\"a\" : [ 1 , -2.5e+3 , true , null , {} , [] , \"\\ud83d\\ude00\" ] } "));
  EXPECT_FALSE(object_fault(R"({"a":123456789012345678901234567890,"b":1e999})"));
}

TEST(JsonText, WalksMembersAndItems) {
  const std::string text =
      "{ \"a\" : 1 ,\"b\\u0063\":[ \"]\" , {\"x\":\"}\"},3 ],\"d\":{ },\"e\":\"\\\\\\\"\" }";
  ASSERT_FALSE(object_fault(text));
  std::string keys, values;
  for (Members members(text); members.next();) {
    keys += std::string(members.key()) + ";";
    values += std::string(members.value()) + ";";
  }
  EXPECT_EQ(keys, "a;bc;d;e;");
  EXPECT_EQ(values, "1;[ \"]\" , {\"x\":\"}\"},3 ];{ };\"\\\\\\\"\";");
  std::string items;
  for (Items list(member(text, "bc")); list.next();) items += std::string(list.value()) + ";";
  EXPECT_EQ(items, "\"]\";{\"x\":\"}\"};3;");
  EXPECT_EQ(text_of(member(text, "e")), "\\\"");
  EXPECT_TRUE(member(text, "f").empty());
  EXPECT_FALSE(Members("{}").next());
  EXPECT_FALSE(Items("[ ]").next());
}

TEST(JsonText, CountsLettersAsTheyAreSaid) {
  EXPECT_EQ(letters_of(R"("abcd")").tokens(), 1);
  EXPECT_EQ(letters_of(R"("abcde")").tokens(), 2);
  EXPECT_EQ(letters_of("\"\xc3\xa9\xe2\x82\xac\"").other, 2);
  EXPECT_EQ(letters_of(R"("\n\u0041\u00e9")").plain, 2);
  EXPECT_EQ(letters_of(R"("\n\u0041\u00e9")").other, 1);
  EXPECT_EQ(letters_of("17").plain, 0);
}

json::value random_value(std::mt19937& random, int depth) {
  const auto letters = [&] {
    static const std::string from[] = {"a", "\"", "\\", "\n", "\xc3\xa9", "\xf0\x9f\x98\x80",
                                       "}", "]",  ",",  ":",  "\x01"};
    std::string out;
    for (auto left = random() % 6; left > 0; --left) out += from[random() % std::size(from)];
    return out;
  };
  switch (random() % (depth > 4 ? 5 : 7)) {
    case 0: return nullptr;
    case 1: return random() % 2 == 0;
    case 2: return static_cast<std::int64_t>(random()) - (1LL << 31);
    case 3: return static_cast<double>(random() % 1'000) / 8;
    case 4: return json::string(letters());
    case 5: {
      json::array out;
      for (auto left = random() % 4; left > 0; --left)
        out.push_back(random_value(random, depth + 1));
      return out;
    }
    default: {
      json::object out;
      for (auto left = random() % 4; left > 0; --left)
        out[letters()] = random_value(random, depth + 1);
      return out;
    }
  }
}

// A second reader, of another hand, must agree: on what is JSON, and on what it says.
TEST(JsonText, AgreesWithAnotherReaderOnTextsThatAreRightAndWrong) {
  std::mt19937 random(7);
  std::size_t right = 0, wrong = 0;
  for (int turn = 0; turn < 20'000; ++turn) {
    json::object object;
    object["k"] = random_value(random, 0);
    object["\"m\\"] = random_value(random, 0);
    std::string text = json::serialize(object);
    for (auto changes = random() % 3; changes > 0; --changes) {
      const std::size_t at = random() % text.size();
      if (random() % 2)
        text.erase(at, 1);
      else
        text[at] = "{}[]\",:\\0e-.tnu \n\xff"[random() % 18];
    }
    boost::system::error_code fault;
    const json::value other = json::parse(text, fault);
    // Boost takes invalid UTF-8 for wrong as we do, but refuses halves of surrogates, which we
    // pass.
    const bool is_object = !fault && other.is_object();
    const auto ours = object_fault(text);
    if (text.find("\\u") != std::string::npos && fault && !ours) continue;
    if (fault == json::error::exponent_overflow && !ours) continue;  // we read no numbers
    ASSERT_EQ(!ours, is_object) << text << ": " << ours.value_or("") << fault.message();
    ++(is_object ? right : wrong);
    if (!is_object) continue;
    const std::string_view whole = std::string_view(text).substr(text.find('{'));
    for (Members members(whole); members.next();) {
      // Boost keeps the last of two, as member() does.
      if (member(whole, members.key()).data() != members.value().data()) continue;
      const json::value* same = other.as_object().if_contains(std::string(members.key()));
      ASSERT_TRUE(same) << text;
      EXPECT_EQ(json::parse(members.value()), *same) << text;
      if (!is_text(members.value())) continue;
      EXPECT_EQ(text_of(members.value()), std::string(same->as_string()));
    }
  }
  EXPECT_GT(right, 1'000u);
  EXPECT_GT(wrong, 1'000u);
}

}  // namespace
}  // namespace penstock::api::openai
