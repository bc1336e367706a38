// A Redis that is gone, slow, strange or full; and one that comes back.
#include <atomic>
#include <thread>
#include <gtest/gtest.h>

#include "adapters/redis/servers.h"
#include "tests/support/processes.h"
#include "tests/support/redis_server.h"

namespace penstock::redis {
namespace {

using kv::Durability;
using test::must;
using test::RedisCluster;
using test::RedisServer;

std::unique_ptr<kv::Store> opened(const std::string& url) {
  return must(open(must(read_url(url))));
}

Result<void> put(kv::Store& store, const std::string& key, const std::string& value) {
  kv::Batch batch;
  batch.put(key, value);
  return store.write(batch, Durability::process);
}

template <class T>
void expect_refused(const Result<T>& got, Code code, const std::string& says) {
  ASSERT_FALSE(got) << says;
  EXPECT_EQ(name_of(got.error().code), name_of(code)) << got.error().message;
  EXPECT_NE(got.error().message.find(says), std::string::npos) << got.error().message;
}

template <class Holds>
void wait_until(Holds holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!holds()) {
    ASSERT_LT(std::chrono::steady_clock::now(), end) << "it never came to hold";
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

TEST(RedisFaultsTest, SaysThatNobodyIsThereAndFindsWhoeverComes) {
  RedisServer server({.appendonly = true});
  const auto store = opened(server.url() + "?write_time=200ms");
  must(put(*store, "a", "1"));
  server.kill();
  for (int i = 0; i < 3; ++i) {
    expect_refused(store->get("a"), Code::unavailable, server.address());
    expect_refused(put(*store, "a", "2"), Code::unavailable, server.address());
    expect_refused(store->swap({{"a", "1", "2"}}, Durability::process), Code::unavailable, "Redis");
    expect_refused(store->scan("", "", [](auto, auto) { return true; }), Code::unavailable,
                   "Redis");
  }
  server.start();
  wait_until([&] { return bool(store->get("a")); });
  EXPECT_EQ(must(store->get("a")), "1") << "appendonly keeps what was acknowledged";
  // The script is not known there any more.
  EXPECT_TRUE(must(store->swap({{"a", "1", "2"}}, Durability::process)).empty());
}

TEST(RedisFaultsTest, AReadFindsARestartedServerWithoutAFault) {
  RedisServer server({.appendonly = true});
  const auto store = opened(server.url());
  must(put(*store, "a", "1"));
  server.kill();
  server.start();
  EXPECT_EQ(must(store->get("a")), "1");
}

TEST(RedisFaultsTest, AWriteWaitsForAServerThatComesBackInTime) {
  RedisServer server({.appendonly = true});
  const auto store = opened(server.url() + "?write_time=60s");
  must(put(*store, "a", "1"));
  server.kill();
  std::jthread writer([&] { EXPECT_TRUE(put(*store, "a", "2")); });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  server.start();  // by this thread, with which it would end
}

// Whoever waits holds a thread of the server's: a few may, and all others are told at once.
TEST(RedisFaultsTest, OnlyAFewWaitForAServerThatIsGone) {
  RedisServer server;
  const auto store = opened(server.url() + "?write_time=60s");
  must(put(*store, "a", "1"));
  server.kill();
  std::atomic<int> refused = 0, written = 0;
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 20; ++i)
      writers.emplace_back([&, i] { ++(put(*store, std::to_string(i), "1") ? written : refused); });
    wait_until([&] { return refused >= 10; });
    server.start();
  }
  EXPECT_GE(written, 1);
  EXPECT_EQ(written + refused, 20);
}

TEST(RedisFaultsTest, AServerThatHangsCostsOneWaitAndThenNone) {
  RedisServer server;
  const auto store = opened(server.url() + "?read_time=100ms&write_time=100ms");
  must(put(*store, "a", "1"));
  server.stop_answering();
  expect_refused(store->get("a"), Code::unavailable, "does not answer in time");
  // Many at once, for a while: nobody waits for long, and no connection is left behind.
  std::atomic<int> refused = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int turn = 0; turn < 200; ++turn)
          if (!store->get("a")) ++refused;
      });
  }
  EXPECT_EQ(refused, 1'600);
  server.answer_again();
  wait_until([&] { return bool(store->get("a")); });
  EXPECT_EQ(must(store->get("a")), "1");
  wait_until([&] { return server.said({"INFO", "clients"}, "connected_clients") <= "2"; });
}

TEST(RedisFaultsTest, ASwapWhoseAnswerIsMissingIsNotSentTwice) {
  RedisServer server;
  const auto store = opened(server.url() + "?write_time=200ms");
  must(put(*store, "a", "1"));
  server.stop_answering();
  expect_refused(store->swap({{"a", "1", "2"}}, Durability::process), Code::unavailable,
                 "may have been done or not");
  server.answer_again();
  wait_until([&] { return bool(store->get("a")); });
  EXPECT_EQ(server.said({"INFO", "commandstats"}, "cmdstat_evalsha").substr(0, 8), "calls=1,");
}

TEST(RedisFaultsTest, SaysWhatAServerHasAgainstIt) {
  RedisServer guarded({.with_password = true});
  const std::string host = "@" + guarded.address();
  const auto known = opened("redis://penstock:not-a-real-password" + host);
  must(put(*known, "a", "1"));
  for (const std::string who : {"penstock:wrong-word", ":wrong-word", "nobody:wrong-word"}) {
    const auto got = opened("redis://" + who + host)->get("a");
    expect_refused(got, Code::permission_denied, "WRONGPASS");
    EXPECT_EQ(got.error().message.find("wrong-word"), std::string::npos);
  }
  expect_refused(opened(guarded.url())->get("a"), Code::permission_denied, "NOAUTH");

  RedisServer server;
  const auto store = opened(server.url());
  server.ask({"LPUSH", "penstock{}:list", "x"});
  expect_refused(store->swap({{"list", "1", "2"}}, Durability::process), Code::failed_precondition,
                 "WRONGTYPE");
  server.ask({"CONFIG", "SET", "maxmemory", "1"});
  expect_refused(put(*store, "b", "1"), Code::resource_exhausted, "OOM");
  server.ask({"CONFIG", "SET", "maxmemory", "0"});
  must(put(*store, "b", "1"));
  expect_refused(opened(server.url() + "/99")->get("a"), Code::internal, "DB index");
  expect_refused(opened("redis+cluster://" + server.address())->get("a"), Code::failed_precondition,
                 "is no cluster");
  expect_refused(opened("redis://no-such-host.invalid")->get("a"), Code::unavailable,
                 "is no known");
}

// What is a transaction in its log such a Redis does not read again.
TEST(RedisFaultsTest, ARedisWithoutADefaultUserKeepsWhatItAcknowledged) {
  RedisServer server({.appendonly = true, .with_password = true});
  const auto store =
      opened("redis://penstock:not-a-real-password@" + server.address() + "?read_time=30s");
  std::vector<kv::Swap> swaps;
  std::vector<std::string> keys;
  for (int i = 0; i < 500; ++i) {
    keys.push_back("k" + std::to_string(i));
    swaps.push_back({keys.back(), {}, "old"});
  }
  ASSERT_TRUE(must(store->swap(swaps, Durability::process)).empty());
  for (kv::Swap& one : swaps) one = {one.key, "old", "new"};
  ASSERT_TRUE(must(store->swap(swaps, Durability::process)).empty());
  server.kill();
  server.start();
  wait_until([&] { return bool(store->get("k0")); });
  for (const auto& value : must(store->multi_get(keys))) ASSERT_EQ(value, "new");
}

TEST(RedisFaultsTest, SpeaksTls) {
  RedisServer server({.tls = true});
  const std::string url = "rediss://" + server.address();
  const auto store = opened(url + "?ca_file=" + server.certificate());
  const std::string big(3 << 20, 'x');
  must(put(*store, "a", big));
  EXPECT_EQ(must(store->get("a")), big);
  EXPECT_TRUE(must(store->swap({{"a", big, "2"}}, Durability::process)).empty());
  expect_refused(opened(url)->get("a"), Code::unavailable, "certificate");
  expect_refused(opened(server.url())->get("a"), Code::unavailable, "Redis");
  RedisServer plain;
  expect_refused(opened("rediss://" + plain.address())->get("a"), Code::unavailable, "TLS");
  expect_refused(open(must(read_url(url + "?ca_file=/no/such"))), Code::invalid_argument,
                 "ca_file");
}

// Whatever comes in, a bounded number of connections is used.
TEST(RedisFaultsTest, HasOnlySoManyConnections) {
  RedisServer server;
  const auto store = opened(server.url() + "?connections=3&read_time=30s");
  must(put(*store, "a", "1"));
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 16; ++i)
      threads.emplace_back([&] {
        for (int turn = 0; turn < 100; ++turn) EXPECT_EQ(must(store->get("a")), "1");
      });
  }
  EXPECT_LE(std::stoi(server.said({"INFO", "clients"}, "connected_clients")), 4);
}

TEST(RedisClusterTest, KnowsTheSlotOfAKey) {
  EXPECT_EQ(slot_of("123456789"), 0x31c3U);
  EXPECT_EQ(slot_of("foo"), 12182U);
  EXPECT_EQ(slot_of("{foo}bar"), 12182U);
  EXPECT_EQ(slot_of("bar{foo}{x}"), 12182U);
  EXPECT_NE(slot_of("{}foo"), 12182U);
  EXPECT_EQ(slot_of("a{}b{foo}"), slot_of("a{}b{foo}"));
  EXPECT_NE(slot_of("a{}b{foo}"), 12182U) << "an empty tag is none";
}

class MovingClusterTest : public testing::Test {
 protected:
  static std::string key(int number) { return "key" + std::to_string(number); }
  RedisCluster cluster_;
  std::unique_ptr<kv::Store> store_ = opened(cluster_.url() + "?read_time=30s&write_time=30s");
};

TEST_F(MovingClusterTest, FollowsSlotsThatMove) {
  constexpr int count = 300;
  std::vector<std::string> keys;
  std::vector<std::optional<std::string>> values;
  kv::Batch batch;
  for (int i = 0; i < count; ++i) {
    keys.push_back(key(i));
    values.emplace_back(std::to_string(i));
    batch.put(keys.back(), *values.back());
  }
  must(store_->write(batch, Durability::process));
  EXPECT_EQ(must(store_->multi_get(keys)), values);
  // Done: the map of before is wrong, and says nothing of it.
  for (int i = 0; i < 20; ++i) {
    const std::size_t slot = slot_of("penstock{}:" + key(i));
    cluster_.move_slot(slot, (cluster_.owner(slot) + 1) % 3);
  }
  EXPECT_EQ(must(store_->multi_get(keys)), values);
  // Begun: a key that was there is there, one that is new is on the other side already.
  const std::size_t slot = slot_of("penstock{}:" + key(50));
  const std::size_t to = (cluster_.owner(slot) + 1) % 3;
  cluster_.begin_move(slot, to);
  EXPECT_EQ(must(store_->get(key(50))), "50");
  std::string fresh;
  for (int i = count; fresh.empty(); ++i)
    if (slot_of("penstock{}:" + key(i)) == slot) fresh = key(i);
  EXPECT_FALSE(must(store_->get(fresh)));
  EXPECT_TRUE(must(store_->swap({{fresh, {}, "new"}}, Durability::process)).empty());
  EXPECT_EQ(must(store_->get(fresh)), "new");
  EXPECT_EQ(must(store_->get(key(50))), "50");
  cluster_.end_move(slot, to);
  EXPECT_EQ(must(store_->get(fresh)), "new");
  EXPECT_EQ(must(store_->get(key(50))), "50");
  int seen = 0;
  must(store_->scan("", "", [&](auto, auto) { return ++seen > 0; }));
  EXPECT_EQ(seen, count + 1);
}

TEST_F(MovingClusterTest, SwapsWhileSlotsMoveAreDoneOnce) {
  const std::size_t slot = slot_of("penstock{}:counter");
  std::atomic<bool> done = false;
  std::jthread mover([&] {
    while (!done) cluster_.move_slot(slot, (cluster_.owner(slot) + 1) % 3);
  });
  constexpr int rounds = 300;
  for (int i = 0; i < rounds; ++i) {
    for (bool written = false; !written;) {
      const auto there = must(store_->get("counter"));
      const auto next = std::to_string(std::stoi(there.value_or("0")) + 1);
      written = must(store_->swap({{"counter", there, next}}, Durability::process)).empty();
      ASSERT_TRUE(written) << "nobody else writes it";
    }
  }
  done = true;
  mover.join();
  EXPECT_EQ(must(store_->get("counter")), std::to_string(rounds));
}

TEST_F(MovingClusterTest, ANodeThatIsGoneTakesOnlyItsOwnKeysWithIt) {
  const auto store = opened(cluster_.url() + "?read_time=2s&write_time=300ms");
  std::vector<std::string> of_node(3);
  for (int i = 0; of_node[0].empty() || of_node[1].empty() || of_node[2].empty(); ++i)
    of_node[cluster_.owner(slot_of("penstock{}:" + key(i)))] = key(i);
  for (const std::string& one : of_node) must(put(*store, one, "v"));
  for (std::size_t at = 0; at < 3; ++at)
    cluster_.node(at).ask({"CONFIG", "SET", "cluster-require-full-coverage", "no"});
  cluster_.node(0).kill();
  expect_refused(store->get(of_node[0]), Code::unavailable, "Redis");
  EXPECT_EQ(must(store->get(of_node[1])), "v");
  EXPECT_EQ(must(store->get(of_node[2])), "v");
  expect_refused(put(*store, of_node[0], "w"), Code::unavailable, "Redis");
  cluster_.node(0).start();
  wait_until([&] { return bool(store->get(of_node[0])); });
  EXPECT_TRUE(put(*store, of_node[0], "w"));
}

}  // namespace
}  // namespace penstock::redis
