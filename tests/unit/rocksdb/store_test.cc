#include <map>
#include <random>
#include <gtest/gtest.h>

#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/fixture.h"

namespace penstock {
namespace {

using kv::Durability;
using test::must;

class StoreTest : public testing::Test {
 protected:
  kv::Store& store() { return database_->store(); }
  void reopen() {
    database_.reset();
    database_ = must(rocksdb::open(directory_.path()));
  }
  void put(const std::string& key, const std::string& value) {
    kv::Batch batch;
    batch.put(key, value);
    must(store().write(batch, Durability::process));
  }
  std::string keys(std::string_view begin, std::string_view end, std::size_t limit = 1000) {
    std::string out;
    must(store().scan(begin, end, [&](std::string_view key, std::string_view) {
      out.append(key) += ' ';
      return --limit > 0;
    }));
    return out;
  }

  const test::TempDir directory_;
  std::unique_ptr<rocksdb::Database> database_ = must(rocksdb::open(directory_.path()));
};

TEST_F(StoreTest, GivesBackWhatWasWritten) {
  EXPECT_FALSE(must(store().get("a")));
  put("a", std::string("1\0002", 3));
  put("b", "");
  EXPECT_EQ(must(store().get("a")), std::string("1\0002", 3));
  EXPECT_EQ(must(store().get("b")), "");
  kv::Batch batch;
  batch.erase("a");
  batch.put("c", "3");
  batch.put("c", "4");
  must(store().write(batch, Durability::disk));
  reopen();
  const auto got = must(store().multi_get({"c", "missing", "b", "a", "c"}));
  EXPECT_EQ(got, (std::vector<std::optional<std::string>>{"4", {}, "", {}, "4"}));
  EXPECT_TRUE(must(store().multi_get({})).empty());
}

TEST_F(StoreTest, ScansHalfOpenRangesInOrder) {
  for (const char* key : {"b", "a", "ab", "c", "\xff\xff"}) put(key, "v");
  EXPECT_EQ(keys("", ""), "a ab b c \xff\xff ");
  EXPECT_EQ(keys("ab", "c"), "ab b ");
  EXPECT_EQ(keys("ac", ""), "b c \xff\xff ");
  EXPECT_EQ(keys("", "", 2), "a ab ");
  EXPECT_EQ(keys("c", "a"), "");
  EXPECT_EQ(keys("c", "c"), "");
  EXPECT_EQ(keys("d", "e"), "");
}

TEST_F(StoreTest, RefusesWhatIsTooBigAndWritesNothingOfIt) {
  struct Case {
    std::string what;
    std::size_t key, value, times;
  };
  const Case cases[] = {
      {"key", (64 << 10) + 1, 1, 1}, {"value", 1, (16 << 20) + 1, 1}, {"write", 1, 16 << 20, 5}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    kv::Batch batch;
    batch.put("small", "1");
    for (std::size_t i = 0; i < c.times; ++i)
      batch.put(std::string(c.key, static_cast<char>('a' + i)), std::string(c.value, 'v'));
    const auto got = store().write(batch, Durability::process);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::invalid_argument);
    EXPECT_NE(got.error().message.find("a " + c.what), std::string::npos) << got.error().message;
  }
  EXPECT_EQ(keys("", ""), "");
  put("big", std::string(16 << 20, 'v'));
  EXPECT_EQ(must(store().get("big"))->size(), std::size_t{16} << 20);
}

TEST(RocksDbTest, RefusesADirectoryThatItCannotHave) {
  const test::TempDir directory;
  const auto first = must(rocksdb::open(directory / "one/two"));
  const auto second = rocksdb::open(directory / "one/two");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::unavailable);
  for (const std::string bad : {"/proc/no/such", "/dev/null/x"}) {
    const auto got = rocksdb::open(bad);
    ASSERT_FALSE(got) << bad;
    EXPECT_EQ(got.error().code, Code::unavailable);
  }
}

// Any run of writes, scans and reopenings agrees with a std::map.
TEST(StorePropertyTest, AgreesWithAMap) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    const auto any_key = [&] {
      std::string key;
      for (unsigned size = below(4); size > 0; --size)
        key += std::string_view("\0ab\xff", 4)[below(4)];
      return key;
    };
    const test::TempDir directory;
    auto database = must(rocksdb::open(directory.path()));
    std::map<std::string, std::string> model;
    for (int step = 0; step < 300; ++step) {
      const unsigned choice = below(100);
      if (choice < 2) {
        database.reset();
        database = must(rocksdb::open(directory.path()));
      } else if (choice < 50) {
        kv::Batch batch;
        for (unsigned size = below(5); size > 0; --size) {
          const std::string key = any_key();
          if (below(3) == 0) {
            batch.erase(key);
            model.erase(key);
          } else {
            const std::string value(below(200), static_cast<char>('a' + below(26)));
            batch.put(key, value);
            model[key] = value;
          }
        }
        must(database->store().write(batch,
                                     below(10) == 0 ? Durability::disk : Durability::process));
      } else if (choice < 75) {
        std::vector<std::string> keys;
        std::vector<std::optional<std::string>> expected;
        for (unsigned size = below(6); size > 0; --size) {
          const auto found = model.find(keys.emplace_back(any_key()));
          expected.push_back(found == model.end() ? std::nullopt : std::optional(found->second));
        }
        ASSERT_EQ(must(database->store().multi_get(keys)), expected);
        if (!keys.empty()) {
          ASSERT_EQ(must(database->store().get(keys[0])), expected[0]);
        }
      } else {
        const std::string begin = any_key(), end = any_key();
        std::vector<std::pair<std::string, std::string>> expected, got;
        for (const auto& [key, value] : model)
          if (key >= begin && (end.empty() || key < end)) expected.emplace_back(key, value);
        must(database->store().scan(begin, end, [&](std::string_view key, std::string_view value) {
          got.emplace_back(key, value);
          return true;
        }));
        ASSERT_EQ(got, expected);
      }
    }
  }
}

}  // namespace
}  // namespace penstock
