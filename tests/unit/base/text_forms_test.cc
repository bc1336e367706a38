// Times, money, names and YAML as texts: what is read, what is refused, and that both ways agree.
#include <gtest/gtest.h>

#include "base/id.h"
#include "base/urn.h"
#include "base/yaml.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

TEST(Time, ReadsEveryOffsetAsUtcAndSaysNoFractionThatIsNotThere) {
  EXPECT_EQ(to_rfc3339(*from_rfc3339("2013-01-01T05:00:00-05:00")), "2013-01-01T10:00:00Z");
  EXPECT_EQ(to_rfc3339(*from_rfc3339("2013-01-01 05:00:00.25Z")), "2013-01-01T05:00:00.250000Z");
  EXPECT_EQ(to_rfc3339(*from_rfc3339("1969-12-31T23:59:59.999999Z")),
            "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(to_rfc3339(*from_rfc3339("2013-06-30")), "2013-06-30T00:00:00Z");
}

TEST(Time, RefusesWhatIsNoTime) {
  for (const char* text : {"", "2013", "2013-13-01", "2013-02-30", "2013-01-01T25:00:00Z",
                           "2013-01-01T00:00:00", "2013-01-01T00:00:00.Z", "2013-01-01T00:00Z",
                           "2013-01-01T00:00:00Zx", "-013-01-01", "yesterday"})
    EXPECT_FALSE(from_rfc3339(text)) << text;
  for (const char* text : {"", "7", "d", "-1s", "1y", "1.5h", "99999999999d", "365001d",
                           "16000000w", "9223372036854775807ms", "9223372036854775808ms"})
    EXPECT_FALSE(duration_from(text)) << text;
  EXPECT_EQ(duration_from("365000d"), duration_from("8760000h"));
  EXPECT_EQ(duration_from("90m"), std::chrono::seconds(5'400));
}

TEST(Money, IsExactToTheTwelfthPlaceBothWays) {
  for (const char* text :
       {"0", "1", "-1", "0.000000000001", "-0.000000000001", "12345678901234567890123456.5"})
    EXPECT_EQ(to_text(*money_from(text)), text);
  EXPECT_EQ(to_text(*money_from("1.500")), "1.5");
  Money sum;
  for (int i = 0; i < 10; ++i) sum = sum + *money_from("0.1");
  EXPECT_EQ(to_text(sum), "1");
}

TEST(Money, RefusesWhatWouldLoseSomething) {
  for (const char* text : {"", "-", ".5", "1.", "1e3", "0.0000000000001", "1,5", " 1", "NaN",
                           "123456789012345678901234567"})
    EXPECT_FALSE(money_from(text)) << text;
}

TEST(Money, RoundsHalvesToEven) {
  const auto price = [](const char* text) { return *money_from(text); };
  EXPECT_EQ(to_text(price_of(1, price("0.000000000005"), 2)), "0.000000000002");
  EXPECT_EQ(to_text(price_of(1, price("0.000000000007"), 2)), "0.000000000004");
  EXPECT_EQ(to_text(price_of(-1, price("0.000000000005"), 2)), "-0.000000000002");
  EXPECT_EQ(to_text(price_of(1'500, price("2"), 1'000'000)), "0.003");
}

TEST(Ulid, OrdersByTimeAndWithinAMillisecond) {
  const Timestamp at = *from_rfc3339("2026-01-01T00:00:00Z");
  std::string before = new_ulid(at);
  for (int i = 0; i < 1'000; ++i) {
    const std::string next = new_ulid(at);
    EXPECT_LT(before, next);
    EXPECT_TRUE(is_ulid(next));
    before = next;
  }
  EXPECT_LT(before, new_ulid(at + std::chrono::milliseconds(1)));
  EXPECT_EQ(time_of_ulid(before), at);
  EXPECT_FALSE(time_of_ulid("nope"));
  EXPECT_FALSE(time_of_ulid("8" + before.substr(1))) << "no time is so late";
}

TEST(Urn, ReadsWhatItSaysAndRefusesTheRest) {
  const auto urn = Urn::parse("model:ticket-escalation@v4");
  ASSERT_TRUE(urn);
  EXPECT_EQ(urn->kind, "model");
  EXPECT_EQ(urn->name, "ticket-escalation");
  EXPECT_EQ(urn->version, "v4");
  EXPECT_EQ(urn->text(), "model:ticket-escalation@v4");
  for (const char* text : {"", "model", "model:", ":x", "model:x@", "model:a b", "model:x@1\n"})
    EXPECT_FALSE(Urn::parse(text)) << text;
}

TEST(Yaml, KeepsTheTypesOfItsScalars) {
  const auto documents = test::must(yaml::parse(
      "a: 1\nb: '1'\nc: 1.5\nd: true\ne: yes\nf: ~\ng: [x, {h: 2013-01-01}]\n---\nsecond: .5\n"));
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(
      json::serialize(documents[0].value),
      R"({"a":1,"b":"1","c":1.5E0,"d":true,"e":"yes","f":null,"g":["x",{"h":"2013-01-01"}]})");
  EXPECT_EQ(documents[0].lines.at("g[1].h"), 7);
}

TEST(Yaml, SaysTheLineOfWhatIsWrong) {
  const std::pair<const char*, const char*> cases[] = {
      {"a: 1\na: 2\n", "line 2: key \"a\" stands twice"},
      {"a: [1\nb: 2\n", "line 2: "},
      {"? [x]\n: 1\n", "line 1: a key must be a plain text"},
  };
  for (const auto& [text, message] : cases) {
    const auto got = yaml::parse(text);
    ASSERT_FALSE(got) << text;
    EXPECT_EQ(got.error().message.substr(0, std::string_view(message).size()), message);
  }
  EXPECT_FALSE(yaml::parse(std::string(100, '[') + std::string(100, ']')));
}

TEST(Yaml, PrintsWhatReadsBackTheSame) {
  const json::value value = json::parse(
      R"({"name":"x","number":"12","flag":"true","none":null,"text":"a\nb\n","list":[1,2.5,{"k":"v: w"}]})");
  const auto back = test::must(yaml::parse(yaml::print(value)));
  ASSERT_EQ(back.size(), 1U);
  EXPECT_EQ(back[0].value, value);
}

}  // namespace
}  // namespace penstock
