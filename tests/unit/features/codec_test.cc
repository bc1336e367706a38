// Rows of the online store: what is written is read, and nothing that is read breaks the reader.
#include "features/codec.h"

#include <cmath>
#include <limits>
#include <random>
#include <gtest/gtest.h>

#include "features/values.h"
#include "tests/support/fixture.h"

namespace penstock::features {
namespace {

constexpr std::array every_type = {
    FeatureType::real,         FeatureType::bigint,      FeatureType::boolean,
    FeatureType::text,         FeatureType::timestamp,   FeatureType::decimal,
    FeatureType::list_double,  FeatureType::list_bigint, FeatureType::list_text,
    FeatureType::list_boolean, FeatureType::embedding};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  std::int64_t below(std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(engine_);
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }
  std::int64_t whole() { return static_cast<std::int64_t>(engine_()) >> below(64); }
  double real() {
    if (one_in(8)) return std::array{0.0, -0.0, 1e-310, 1e308}[static_cast<std::size_t>(below(4))];
    return static_cast<double>(whole()) / static_cast<double>(1 + below(1000));
  }
  std::string bytes(std::int64_t most) {
    std::string out;
    for (std::int64_t count = below(most + 1); count > 0; --count)
      out += static_cast<char>(below(256));
    return out;
  }
  std::string word() {
    std::string out;
    for (std::int64_t count = below(20); count > 0; --count)
      out +=
          std::array{
              "a", "\"", "\\", "\n", ",", "]", "ß", "日", "\x01", "null"}[static_cast<std::size_t>(
              below(10))];
    return out;
  }

  Feature feature(std::size_t at) {
    Feature out{.name = "f" + std::to_string(at),
                .type = every_type[static_cast<std::size_t>(below(every_type.size()))]};
    if (out.type == FeatureType::embedding) out.dimension = 1 + below(20);
    return out;
  }
  ViewHandle view() {
    ViewHandle out;
    for (std::size_t at = 0; at < static_cast<std::size_t>(1 + below(40)); ++at)
      out.view.features.push_back(feature(at));
    return out;
  }

  // As a caller may say it.
  json::value said(const Feature& feature) {
    if (one_in(5)) return nullptr;
    const auto list = [&](auto&& item) {
      json::array out;
      for (std::int64_t count = below(6); count > 0; --count)
        out.push_back(one_in(4) ? json::value(nullptr) : json::value(item()));
      return out;
    };
    switch (feature.type) {
      case FeatureType::real: return real();
      case FeatureType::bigint: return whole();
      case FeatureType::boolean: return one_in(2);
      case FeatureType::text: return json::value(word());
      case FeatureType::timestamp:
        return json::value(to_rfc3339(Timestamp(Micros(below(4'000'000'000'000'000)))));
      case FeatureType::decimal:
        return json::value(std::to_string(whole()) + "." + std::to_string(below(1'000'000)));
      case FeatureType::list_double: return list([&] { return real(); });
      case FeatureType::list_bigint: return list([&] { return whole(); });
      case FeatureType::list_text: return list([&] { return word(); });
      case FeatureType::list_boolean: return list([&] { return one_in(2); });
      case FeatureType::embedding: {
        json::array out;
        for (std::int64_t i = 0; i < *feature.dimension; ++i)
          out.push_back(static_cast<double>(whole() % 1000) / 7);
        return out;
      }
    }
    return nullptr;
  }
  StoredRow row(const ViewHandle& view) {
    StoredRow out{.event_time = Timestamp(Micros(whole())),
                  .created_time = Timestamp(Micros(whole()))};
    for (const Feature& feature : view.view.features)
      out.values.push_back(test::must(value_of(feature, said(feature))));
    return out;
  }

 private:
  std::mt19937_64 engine_;
};

TEST(CodecTest, RowsOfEveryKindComeBackAsTheyWere) {
  for (unsigned seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const ViewHandle view = random.view();
    const StoredRow row = random.row(view);
    const std::string bytes = encode_row(view, row);
    const StoredRow read = test::must(decode_row(view, bytes));
    ASSERT_EQ(read.event_time, row.event_time);
    ASSERT_EQ(read.created_time, row.created_time);
    ASSERT_EQ(read.values, row.values);
    for (std::size_t i = 0; i < row.values.size(); ++i) {
      const Feature& feature = view.view.features[i];
      ASSERT_EQ(test::must(decode_value(view, bytes, i)), row.values[i]);
      // What is said of a value is heard as the same value.
      ASSERT_EQ(test::must(value_of(feature, value_json(feature.type, row.values[i]))),
                row.values[i])
          << name_of(feature.type);
    }
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto cut = decode_row(view, std::string_view(bytes).substr(0, size));
      ASSERT_FALSE(cut) << size << " of " << bytes.size();
      ASSERT_EQ(cut.error().code, Code::data_loss);
    }
    ASSERT_FALSE(decode_row(view, bytes + "x"));
  }
}

// Both whole nonsense, and rows of which a few bytes are.
TEST(CodecTest, BytesThatAreNoRowBreakNothing) {
  std::size_t read = 0;
  for (unsigned seed = 0; seed < 20'000; ++seed) {
    Random random(seed);
    const ViewHandle view = random.view();
    std::string bytes = random.bytes(600);
    if (random.one_in(2)) {
      bytes = encode_row(view, random.row(view));
      for (std::int64_t count = 1 + random.below(4); count > 0; --count)
        bytes[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(bytes.size())))] =
            static_cast<char>(random.below(256));
    } else if (!bytes.empty()) {
      bytes[0] = static_cast<char>(1 + random.below(2));
    }
    const auto row = decode_row(view, bytes);
    for (std::size_t i = 0; i < view.view.features.size(); ++i) {
      const auto value = decode_value(view, bytes, i);
      if (value) value_json(view.view.features[i].type, *value);
    }
    if (!row) {
      ASSERT_EQ(row.error().code, Code::data_loss);
      continue;
    }
    ++read;
    for (std::size_t i = 0; i < row->values.size(); ++i) {
      const json::value said = value_json(view.view.features[i].type, row->values[i]);
      ASSERT_EQ(said.is_null(), row->values[i].index() == 0) << "seed " << seed;
    }
  }
  EXPECT_GT(read, 1000u);  // a changed number is still a number
}

TEST(CodecTest, RowsOfTheFirstFormatAreRead) {
  ViewHandle view;
  view.view.features = {{.name = "a"},
                        {.name = "b", .type = FeatureType::bigint},
                        {.name = "c", .type = FeatureType::boolean},
                        {.name = "d", .type = FeatureType::text},
                        {.name = "e", .type = FeatureType::text}};
  const std::string bytes(
      "\x01"
      "\x40\x42\x0f\0\0\0\0\0"            // 1 s
      "\x80\x84\x1e\0\0\0\0\0"            // 2 s
      "\x10"                              // the fifth is null
      "\0\0\0\0\0\0\xf8\x3f"              // 1.5
      "\xf9\xff\xff\xff\xff\xff\xff\xff"  // -7
      "\x01\0\0\0\0\0\0\0"
      "\x02\0\0\0hi",
      1 + 16 + 1 + 24 + 6);
  const StoredRow row = test::must(decode_row(view, bytes));
  EXPECT_EQ(row.event_time, Timestamp(Micros(1'000'000)));
  EXPECT_EQ(row.created_time, Timestamp(Micros(2'000'000)));
  const std::vector<Scalar> expected = {1.5, std::int64_t{-7}, true, "hi", {}};
  EXPECT_EQ(row.values, expected);
  EXPECT_EQ(test::must(decode_value(view, bytes, 3)), Scalar("hi"));
  EXPECT_FALSE(decode_row(view, bytes.substr(0, bytes.size() - 1)));
  EXPECT_EQ(test::must(times_of(bytes)), (RowTimes{row.event_time, row.created_time}));
  EXPECT_EQ(encode_row(view, row).front(), 2);
}

TEST(ValuesTest, ADecimalHasOneText) {
  const Feature feature{.name = "d", .type = FeatureType::decimal};
  const std::pair<const char*, const char*> cases[] = {
      {"0", "0"},       {"-0.00", "0"}, {"+012.50", "12.5"}, {".5", "0.5"},
      {"-.50", "-0.5"}, {"7.", "7"},    {"00", "0"},         {"100", "100"}};
  for (const auto& [said, kept] : cases)
    EXPECT_EQ(test::must(value_of(feature, json::value(said))), Scalar(kept)) << said;
  for (const char* bad : {"", ".", "-", "1e5", "1,5", "0x1", " 1", "1 ", "--1", "1.2.3", "NaN"})
    EXPECT_FALSE(value_of(feature, json::value(bad))) << bad;
}

TEST(ValuesTest, ListsOfDoublesKeepEveryBit) {
  const Feature feature{.name = "l", .type = FeatureType::list_double};
  std::mt19937_64 engine(7);
  for (int i = 0; i < 20'000; ++i) {
    const double real = std::bit_cast<double>(engine());
    if (!std::isfinite(real)) continue;
    const Scalar kept = test::must(value_of(feature, json::array{real}));
    const json::value said = value_json(feature.type, kept);
    ASSERT_EQ(said.at(0).as_double(), real);
  }
}

}  // namespace
}  // namespace penstock::features
