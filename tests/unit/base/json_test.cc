// JSON that others wrote is read to the last bit.
#include "base/json.h"

#include <charconv>
#include <cmath>
#include <random>
#include <gtest/gtest.h>

namespace penstock {
namespace {

std::string text_of(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

TEST(JsonTest, EveryDoubleIsTheNearestOne) {
  std::mt19937_64 random(3);
  boost::system::error_code fault;
  for (int turn = 0; turn < 20'000; ++turn) {
    double value = static_cast<double>(random() % 100'000'000) / 997.0 + 1e-9 * (turn % 7);
    if (turn % 3 == 0) {
      const std::uint64_t bits = random();
      std::memcpy(&value, &bits, sizeof value);
      if (!std::isfinite(value)) continue;
    }
    const json::value read = parse_json("[" + text_of(value) + "]", fault);
    ASSERT_FALSE(fault) << text_of(value);
    const json::value& one = read.at(0);
    const double got = one.is_double() ? one.get_double() : one.to_number<double>();
    ASSERT_EQ(got, value) << text_of(value);
  }
}

TEST(JsonTest, ReadsAsBoostDoesButForThat) {
  for (const std::string text :
       {R"({"a": [1, -2, 18446744073709551615, 1.5e3, true, null, "x\u00e9\n"], "b": {"c": {}}})",
        "1e400", "-1e-400", "0.1", "-0.0", "[]", "\"\"", "  7  "}) {
    boost::system::error_code fault;
    EXPECT_EQ(parse_json(text, fault), json::parse(text)) << text;
    EXPECT_FALSE(fault) << text;
  }
  const std::string long_text(100'000, 'x');
  boost::system::error_code none;
  EXPECT_EQ(parse_json("[\"" + long_text + "\"]", none).at(0).as_string(), long_text);
  for (const std::string text :
       {"", "{", "[1,]", "1 2", "{\"a\":1}x", "nul", "[[[[1]]]]", "1.", "\"\xff\"", "{\"a\" 1}"}) {
    boost::system::error_code fault, boost_fault;
    parse_json(text, fault, {}, {.max_depth = 3});
    json::parse(text, boost_fault, {}, {.max_depth = 3});
    EXPECT_TRUE(fault) << text;
    EXPECT_EQ(fault, boost_fault) << text;
  }
  std::array<unsigned char, 4096> space;
  json::monotonic_resource memory(space.data(), space.size());
  boost::system::error_code fault;
  const json::value read = parse_json(R"({"a": 0.1})", fault, &memory);
  EXPECT_EQ(read.storage().get(), &memory);
}

}  // namespace
}  // namespace penstock
