// What every key-value store does: RocksDB, Redis, and Redis Cluster.
#include <array>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/redis/redis.h"
#include "adapters/rocksdb/rocksdb.h"
#include "tests/support/redis_server.h"

namespace penstock {
namespace {

using kv::Durability;
using test::must;

// One for all tests of this program.
test::RedisServer& one_redis() {
  static test::RedisServer server;
  return server;
}
test::RedisCluster& one_cluster() {
  static test::RedisCluster cluster;
  return cluster;
}

struct Kind {
  std::string name;
  std::function<std::string()> url;  // none: RocksDB
};

// An empty store, which can be left and opened again.
class Place {
 public:
  explicit Place(const Kind& kind) : kind_(kind) {
    static int made = 0;
    prefix_ = "?read_time=30s&write_time=30s&prefix=k" + std::to_string(++made);
    reopen();
  }
  kv::Store& store() { return rocks_ ? rocks_->store() : *redis_; }
  void reopen() {
    rocks_.reset();
    if (kind_.url)
      redis_ = must(redis::open(must(redis::read_url(kind_.url() + prefix_))));
    else
      rocks_ = must(rocksdb::open(directory_.path()));
  }

 private:
  const Kind& kind_;
  const test::TempDir directory_;
  std::string prefix_;
  std::unique_ptr<rocksdb::Database> rocks_;
  std::unique_ptr<kv::Store> redis_;
};

class StoreTest : public testing::TestWithParam<Kind> {
 protected:
  kv::Store& store() { return place_.store(); }
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

  Place place_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Stores, StoreTest,
                         testing::Values(Kind{"RocksDb", {}},
                                         Kind{"Redis", [] { return one_redis().url(); }},
                                         Kind{"Cluster", [] { return one_cluster().url(); }}),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(StoreTest, GivesBackWhatWasWritten) {
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
  must(store().write({}, Durability::disk));
  place_.reopen();
  const auto got = must(store().multi_get({"c", "missing", "b", "a", "c"}));
  EXPECT_EQ(got, (std::vector<std::optional<std::string>>{"4", {}, "", {}, "4"}));
  EXPECT_TRUE(must(store().multi_get({})).empty());
}

TEST_P(StoreTest, ScansHalfOpenRangesInOrder) {
  for (const char* key : {"b", "a", "ab", "c", "\xff\xff", "*", "[a]", "{x}y", "{x}z"})
    put(key, "v");
  EXPECT_EQ(keys("", ""), "* [a] a ab b c {x}y {x}z \xff\xff ");
  EXPECT_EQ(keys("ab", "c"), "ab b ");
  EXPECT_EQ(keys("ac", ""), "b c {x}y {x}z \xff\xff ");
  EXPECT_EQ(keys("", "", 2), "* [a] ");
  EXPECT_EQ(keys("*", "+"), "* ");
  EXPECT_EQ(keys("[a", "[b"), "[a] ");
  EXPECT_EQ(keys("{x}", "{x~"), "{x}y {x}z ");
  EXPECT_EQ(keys("c", "a"), "");
  EXPECT_EQ(keys("c", "c"), "");
  EXPECT_EQ(keys("d", "e"), "");
}

TEST_P(StoreTest, ReadsAndScansMoreThanOnePage) {
  std::vector<std::string> names;
  kv::Batch batch;
  for (int i = 0; i < 5'000; ++i) {
    names.push_back("k" + std::to_string(100'000 + i));
    batch.put(names.back(), std::to_string(i));
  }
  must(store().write(batch, Durability::process));
  const auto got = must(store().multi_get(names));
  ASSERT_EQ(got.size(), names.size());
  int next = 0;
  for (const auto& value : got) ASSERT_EQ(value, std::to_string(next++));
  next = 0;
  must(store().scan("k", "l", [&](std::string_view key, std::string_view value) {
    EXPECT_EQ(key, names[static_cast<std::size_t>(next)]);
    EXPECT_EQ(value, std::to_string(next++));
    return true;
  }));
  EXPECT_EQ(next, 5'000);
}

TEST_P(StoreTest, RefusesWhatIsTooBigAndWritesNothingOfIt) {
  struct Case {
    std::string what;
    std::size_t key, value, times;
  };
  const Case cases[] = {
      {"key", (64 << 10) + 1, 1, 1}, {"value", 1, (16 << 20) + 1, 1}, {"write", 1, 16 << 20, 5}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    kv::Batch batch;
    std::vector<kv::Swap> swaps;
    batch.put("small", "1");
    swaps.push_back({"small", {}, "1"});
    for (std::size_t i = 0; i < c.times; ++i) {
      const std::string key(c.key, static_cast<char>('a' + i)), value(c.value, 'v');
      batch.put(key, value);
      swaps.push_back({key, {}, value});
    }
    const auto got = store().write(batch, Durability::process);
    const auto swapped = store().swap(swaps, Durability::process);
    ASSERT_FALSE(got);
    ASSERT_FALSE(swapped);
    for (const Error& error : {got.error(), swapped.error()}) {
      EXPECT_EQ(error.code, Code::invalid_argument);
      EXPECT_NE(error.message.find("a " + c.what), std::string::npos) << error.message;
    }
  }
  EXPECT_EQ(keys("", ""), "");
  put("big", std::string(16 << 20, 'v'));
  EXPECT_EQ(must(store().get("big"))->size(), std::size_t{16} << 20);
}

TEST_P(StoreTest, SwapsOnlyWhatIsAsItWasExpected) {
  put("a", "1");
  put("empty", "");
  const std::vector<kv::Swap> swaps = {
      {"a", "1", "2"},     {"b", {}, "new"},     {"c", "1", "never"},
      {"empty", {}, "no"}, {"empty2", "", "no"}, {"gone", {}, {}},
  };
  EXPECT_EQ(must(store().swap(swaps, Durability::process)), (std::vector<std::size_t>{2, 3, 4}));
  place_.reopen();
  EXPECT_EQ(must(store().multi_get({"a", "b", "c", "empty", "empty2", "gone"})),
            (std::vector<std::optional<std::string>>{"2", "new", {}, "", {}, {}}));
  EXPECT_EQ(must(store().swap({{"a", "1", "3"}, {"b", "new", {}}, {"empty", "", "full"}},
                              Durability::disk)),
            (std::vector<std::size_t>{0}));
  EXPECT_EQ(must(store().multi_get({"a", "b", "empty"})),
            (std::vector<std::optional<std::string>>{"2", {}, "full"}));
  EXPECT_TRUE(must(store().swap({}, Durability::disk)).empty());
}

// Each adds one to each of a few counters, as often as it was told to: none is lost or doubled.
TEST_P(StoreTest, LosesNoSwapOfManyWriters) {
  constexpr int writers = 4, rounds = 60, counters = 5;
  {
    std::vector<std::jthread> threads;
    for (int writer = 0; writer < writers; ++writer)
      threads.emplace_back([&] {
        std::vector<std::string> all;
        for (int i = 0; i < counters; ++i) all.push_back("n" + std::to_string(i));
        for (int round = 0; round < rounds; ++round) {
          auto open = all;
          while (!open.empty()) {
            const auto there = must(store().multi_get(open));
            std::vector<kv::Swap> swaps;
            for (std::size_t i = 0; i < open.size(); ++i)
              swaps.push_back(
                  {open[i], there[i], std::to_string(std::stoi(there[i].value_or("0")) + 1)});
            std::vector<std::string> lost;
            for (const std::size_t at : must(store().swap(swaps, Durability::process)))
              lost.push_back(open[at]);
            open = std::move(lost);
          }
        }
      });
  }
  for (int i = 0; i < counters; ++i)
    EXPECT_EQ(must(store().get("n" + std::to_string(i))), std::to_string(writers * rounds));
}

// As a feature view's rows are written for the first time.
TEST_P(StoreTest, SwapsManyNewKeysAtOnce) {
  constexpr int count = 6'000;
  const auto many = [](const std::string& prefix, char value) {
    std::vector<kv::Swap> swaps;
    for (int i = 100'000; i < 100'000 + count; ++i)
      swaps.push_back({prefix + std::to_string(i), {}, std::string(500, value)});
    return swaps;
  };
  const auto of = [&](const std::string& prefix) {
    std::map<char, int> out;  // of each value how many
    must(store().scan(prefix, prefix + "z", [&](std::string_view, std::string_view value) {
      EXPECT_EQ(value.size(), 500u);
      ++out[value.front()];
      return true;
    }));
    return out;
  };
  using Counts = std::map<char, int>;
  put("a100500x", "beside them");
  EXPECT_TRUE(must(store().swap(many("b", '1'), Durability::process)).empty());
  EXPECT_EQ(of("b"), (Counts{{'1', count}}));
  EXPECT_EQ(must(store().swap(many("b", '2'), Durability::process)).size(), std::size_t{count});
  place_.reopen();
  EXPECT_EQ(of("b"), (Counts{{'1', count}}));
  // One of them stands there, and one that was there is gone.
  put("c100007", std::string(500, 'o'));
  put("c100008", "gone");
  kv::Batch gone;
  gone.erase("c100008");
  must(store().write(gone, Durability::process));
  EXPECT_EQ(must(store().swap(many("c", '1'), Durability::disk)), (std::vector<std::size_t>{7}));
  EXPECT_EQ(of("c"), (Counts{{'1', count - 1}, {'o', 1}}));
  // What was written at once is changed and erased as everything is.
  EXPECT_TRUE(must(store().swap({{"b100001", std::string(500, '1'), std::string(500, '3')},
                                 {"b100002", std::string(500, '1'), {}}},
                                Durability::process))
                  .empty());
  place_.reopen();
  EXPECT_EQ(of("b"), (Counts{{'1', count - 2}, {'3', 1}}));
  EXPECT_EQ(must(store().swap(many("b", '4'), Durability::process)).size(), std::size_t{count - 1});
  EXPECT_EQ(of("b"), (Counts{{'1', count - 2}, {'3', 1}, {'4', 1}}));
}

// As further rows of a view come, whose keys lie between those that are there.
TEST_P(StoreTest, SwapsManyNewKeysBetweenOthers) {
  constexpr int count = 6'000;
  const auto every = [](int step, int first, char value) {
    std::vector<kv::Swap> swaps;
    for (int i = first; i < count; i += step)
      swaps.push_back({"m" + std::to_string(100'000 + i), {}, std::string(1'000, value)});
    return swaps;
  };
  std::map<std::string, char> expected;
  const auto written = [&](const std::vector<kv::Swap>& swaps) {
    std::vector<std::size_t> lost;
    for (std::size_t at = 0; at < swaps.size(); ++at)
      if (!expected.emplace(swaps[at].key, swaps[at].value->front()).second) lost.push_back(at);
    EXPECT_EQ(must(store().swap(swaps, Durability::process)), lost);
    std::map<std::string, char> there;
    must(store().scan("m", "n", [&](std::string_view key, std::string_view value) {
      EXPECT_EQ(value.size(), 1'000u);
      there.emplace(key, value.front());
      return true;
    }));
    EXPECT_EQ(there, expected);
  };
  written(every(2, 0, '1'));
  put("m100003", std::string(1'000, 'o'));  // where nobody who looks at a few keys sees it
  expected["m100003"] = 'o';
  written(every(2, 1, '2'));
  written(every(1, 0, '3'));
  place_.reopen();
  written(every(1, 0, '4'));
  // What was erased is new again, though its mark lies over it.
  kv::Batch gone;
  for (int i = 1; i < count; i += 2) gone.erase("m" + std::to_string(100'000 + i));
  for (const kv::Batch::Write& write : gone.writes) expected.erase(write.key);
  must(store().write(gone, Durability::process));
  written(every(2, 1, '5'));
  place_.reopen();
  written(every(2, 1, '6'));
}

// Of two who write the same new keys at once, each key has one winner, who knows of it.
TEST_P(StoreTest, GivesEachOfManyNewKeysToOneWriter) {
  constexpr std::size_t count = 5'000;
  for (int round = 0; round < 4; ++round) {
    const std::string prefix = "r" + std::to_string(round) + "/";
    std::array<std::set<std::size_t>, 3> lost;
    {
      std::vector<std::jthread> threads;
      for (std::size_t writer = 0; writer < lost.size(); ++writer)
        threads.emplace_back([&, writer] {
          std::vector<kv::Swap> swaps;
          for (std::size_t i = 0; i < count; ++i)
            swaps.push_back({prefix + std::to_string(100'000 + i),
                             {},
                             std::string(500, static_cast<char>('0' + writer))});
          const auto some = must(store().swap(swaps, Durability::process));
          lost[writer].insert(some.begin(), some.end());
        });
    }
    std::size_t at = 0;
    must(store().scan(prefix, prefix + "z", [&](std::string_view, std::string_view value) {
      for (std::size_t writer = 0; writer < lost.size(); ++writer)
        EXPECT_EQ(lost[writer].contains(at), value.front() != static_cast<char>('0' + writer));
      ++at;
      return true;
    }));
    EXPECT_EQ(at, count);
  }
}

// Any run of writes, swaps, scans and reopenings agrees with a std::map.
TEST_P(StoreTest, AgreesWithAMap) {
  for (unsigned seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
    const auto any_key = [&] {
      std::string key;
      for (unsigned size = below(4); size > 0; --size)
        key += std::string_view("\0ab\xff*{", 6)[below(6)];
      return key;
    };
    Place place(GetParam());
    std::map<std::string, std::string> model;
    const auto modelled = [&](const std::string& key) {
      const auto found = model.find(key);
      return found == model.end() ? std::nullopt : std::optional(found->second);
    };
    for (int step = 0; step < 300; ++step) {
      const unsigned choice = below(100);
      if (choice < 2) {
        place.reopen();
      } else if (choice < 40) {
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
        must(place.store().write(batch, below(10) == 0 ? Durability::disk : Durability::process));
      } else if (choice < 55) {
        std::map<std::string, kv::Swap> swaps;
        for (unsigned size = below(5); size > 0; --size) {
          kv::Swap one{any_key(), {}, {}};
          one.expected = below(3) == 0 ? std::optional<std::string>("x") : modelled(one.key);
          if (below(3) != 0) one.value = std::string(below(3), static_cast<char>('x' + below(2)));
          swaps[one.key] = one;
        }
        std::vector<kv::Swap> list;
        std::vector<std::size_t> expected;
        for (const auto& [key, swap] : swaps) {
          if (modelled(key) != swap.expected)
            expected.push_back(list.size());
          else if (swap.value)
            model[key] = *swap.value;
          else
            model.erase(key);
          list.push_back(swap);
        }
        ASSERT_EQ(must(place.store().swap(list, Durability::process)), expected);
      } else if (choice < 75) {
        std::vector<std::string> keys;
        std::vector<std::optional<std::string>> expected;
        for (unsigned size = below(6); size > 0; --size)
          expected.push_back(modelled(keys.emplace_back(any_key())));
        ASSERT_EQ(must(place.store().multi_get(keys)), expected);
        if (!keys.empty()) {
          ASSERT_EQ(must(place.store().get(keys[0])), expected[0]);
        }
      } else {
        const std::string begin = any_key(), end = any_key();
        std::vector<std::pair<std::string, std::string>> expected, got;
        for (const auto& [key, value] : model)
          if (key >= begin && (end.empty() || key < end)) expected.emplace_back(key, value);
        must(place.store().scan(begin, end, [&](std::string_view key, std::string_view value) {
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
