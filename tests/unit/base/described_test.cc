#include "base/described.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

struct Thing {
  std::string name;
  std::vector<std::string> roles, notes;
  std::optional<std::int64_t> size;
};
BOOST_DESCRIBE_STRUCT(Thing, (), (name, roles, notes, size))
constexpr auto rules_of(const Thing&) {
  return std::array{Rule{.field = "name", .min = 1}, Rule{.field = "roles", .min = 1, .max = 2}};
}

std::string faults(const char* text) {
  const auto read = decode<Thing>(json::parse(text));
  std::string out;
  if (!read)
    for (const Violation& fault : read.error().violations)
      out += fault.field + " " + fault.problem + "; ";
  return out;
}

TEST(Described, AListThatMayNotBeEmptyMayNotBeLeftOut) {
  EXPECT_EQ(faults(R"({"name":"a","roles":["x"]})"), "");
  EXPECT_EQ(faults(R"({"name":"a"})"), "roles is missing; ");
  EXPECT_EQ(faults(R"({"name":"a","roles":[]})"), "roles must be at least 1 items; ");
  EXPECT_EQ(faults(R"({"name":"a","roles":["x","y","z"]})"), "roles must be at most 2 items; ");
}

TEST(Described, TellsEveryFaultAtOnce) {
  EXPECT_EQ(faults(R"({"name":7,"roles":["x",3],"size":"big","colour":1})"),
            "name must be of type string; roles[1] must be of type string; size must be of type "
            "integer; colour is not known here; known are name, roles, notes, size; ");
}

TEST(Described, TheSchemaSaysWhatTheDecoderAsks) {
  const json::object said = schema<Thing>();
  EXPECT_EQ(json::serialize(said.at("required")), R"(["name","roles"])");
  EXPECT_EQ(json::serialize(said.at("properties").at("roles")),
            R"({"type":"array","items":{"type":"string"},"minItems":1,"maxItems":2})");
}

}  // namespace
}  // namespace penstock
