#include "serving/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "tests/unit/serving/world.h"

namespace penstock::serving {
namespace {

using test::must;

const StreamDeclaration declared{
    .name = "flights", .owner = "o", .route = "flight-delay", .input = "in", .output = "out"};

std::string flight_of(int number) { return "UA" + std::to_string(number); }

events::Append record(int number, const std::string& key) {
  return {topic_name("p1", "in"), key,
          json_text(StreamEvent{"event-" + std::to_string(number),
                                {{"flight_id", flight_of(number)}},
                                Timestamp(std::chrono::seconds(1'372'636'800 + number))})};
}

std::vector<StreamDecision> decisions(events::Log& log) {
  std::vector<StreamDecision> out;
  while (true) {
    const auto records =
        must(log.read(topic_name("p1", "out"), static_cast<std::int64_t>(out.size()), 10'000));
    if (records.empty()) return out;
    for (const events::Record& found : records)
      out.push_back(must(read_json<StreamDecision>(found.value)));
  }
}

class StreamTest : public ::testing::Test {
 protected:
  StreamTest() { world_.serve({{"flight-delay", 1, weight_total, Arm::live}}); }
  void drain() {
    while (must(scorer_.run_once(16)) > 0) {
    }
  }

  test::TempDir directory_;
  test::World world_{directory_.path()};
  StreamScorer scorer_{world_.gateway, world_.log(), "p1", declared};
};

TEST_F(StreamTest, DecidesEachEventOnceInOrder) {
  std::vector<events::Append> records;
  for (int i = 0; i < 100; ++i) records.push_back(record(i, "k" + std::to_string(i % 3)));
  records.push_back(record(5, "k2"));
  records.insert(records.begin() + 3, record(2, "k2"));  // in the same stretch as the first
  must(world_.log().append(records, kv::Durability::process));
  drain();

  const auto made = decisions(world_.log());
  ASSERT_EQ(made.size(), 100u);
  for (int i = 0; i < 100; ++i)
    EXPECT_EQ(made[static_cast<std::size_t>(i)].id, "event-" + std::to_string(i));
  const StreamView view = must(scorer_.view());
  EXPECT_EQ(view.lag, 0);
  EXPECT_EQ(view.decided, 100);
  EXPECT_EQ(view.duplicates, 2);
  const auto events = world_.events();
  ASSERT_EQ(events.size(), 100u);
  EXPECT_EQ(events[0].mode, Mode::stream);
  const auto online = must(world_.gateway.infer(
      test::call(), {.route = "flight-delay", .rows = {{{"flight_id", flight_of(7)}}}}));
  EXPECT_EQ(made[7].score, online.predictions[0].score) << "the same bits as online";
}

TEST_F(StreamTest, SaysWhatIsWrongWithARecordAndGoesOn) {
  const std::string in = topic_name("p1", "in");
  must(world_.log().append({{in, "a", "no json"},
                            {in, "b", R"({"id":"x","entities":{},"event_time":"2013-07-01"})"},
                            record(1, "c")},
                           kv::Durability::process));
  drain();
  const auto made = decisions(world_.log());
  ASSERT_EQ(made.size(), 3u);
  EXPECT_NE(made[0].error, "");
  EXPECT_NE(made[1].error.find("flight_id"), std::string::npos) << made[1].error;
  EXPECT_EQ(made[2].error, "");
  EXPECT_EQ(must(scorer_.view()).errors, 2);
}

TEST_F(StreamTest, WaitsForWhatMayComeBack) {
  auto broken = record(1, "k");
  broken.value = json_text(StreamEvent{"e", {{"flight_id", "broken"}}, {}});
  must(world_.log().append({record(0, "k"), broken}, kv::Durability::process));
  EXPECT_EQ(must(scorer_.run_once()), 1u) << "what stands before it is not held up";
  const auto stuck = scorer_.run_once();
  ASSERT_FALSE(stuck);
  EXPECT_EQ(stuck.error().code, Code::unavailable);
  EXPECT_EQ(must(scorer_.view()).lag, 1);
}

constexpr int ready_at = 100;  // the descriptor on which the child says that it begins

// Run by the test below in a process of its own, which is killed at some moment.
TEST(StreamChild, DISABLED_Decides) {
  const char* directory = std::getenv("PENSTOCK_TEST_STREAM");
  ASSERT_NE(directory, nullptr);
  test::World world(directory);
  world.serve({{"flight-delay", 1, weight_total, Arm::live}});
  StreamScorer scorer(world.gateway, world.log(), "p1", declared);
  ASSERT_EQ(write(ready_at, "r", 1), 1);
  while (must(scorer.run_once(7)) > 0) {
  }
}

// Returns once the child is at work.
pid_t start_child(const std::string& directory) {
  const std::string setting = "PENSTOCK_TEST_STREAM=" + directory;
  std::string filter = "--gtest_filter=StreamChild.DISABLED_Decides";
  std::string all = "--gtest_also_run_disabled_tests", name = "serving_test";
  std::vector<char*> arguments = {name.data(), filter.data(), all.data(), nullptr};
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    // Only calls that are safe between fork and exec in a program with threads.
    putenv(const_cast<char*>(setting.c_str()));
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1);
    dup2(ends[1], ready_at);
    close(ends[0]);
    close(ends[1]);
    execv(self.c_str(), arguments.data());
    _exit(127);
  }
  close(ends[1]);
  char byte = 0;
  const bool ready = read(ends[0], &byte, 1) == 1;
  close(ends[0]);
  return ready ? child : -1;
}

// G5: whatever moment the process is killed at, each event is decided once, and each key's in
// order.
TEST(StreamKill, LosesNothingAndRepeatsNothing) {
  constexpr int number_of_events = 4'000;
  test::TempDir directory;
  {
    test::World world(directory.path());
    std::vector<events::Append> records;
    for (int i = 0; i < number_of_events; ++i) {
      records.push_back(record(i, "k" + std::to_string(i % 13)));
      if (i % 10 == 3) records.push_back(record(i - 3, "k" + std::to_string((i - 3) % 13)));
    }
    must(world.log().append(records, kv::Durability::process));
  }
  std::mt19937 random(20130701);
  int kills = 0;
  for (int round = 0; round < 100; ++round) {
    const pid_t child = start_child(directory.path());
    ASSERT_GT(child, 0);
    // After 25 rounds the child is left to come to its end.
    if (round < 25) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
      kill(child, SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      ++kills;
      continue;
    }
    ASSERT_EQ(WEXITSTATUS(status), 0);
    break;
  }
  EXPECT_GT(kills, 0) << "no round was killed, so nothing was shown";

  test::World world(directory.path());
  world.serve({{"flight-delay", 1, weight_total, Arm::live}});
  StreamScorer scorer(world.gateway, world.log(), "p1", declared);
  const StreamView view = must(scorer.view());
  EXPECT_EQ(view.lag, 0);
  EXPECT_EQ(view.decided, number_of_events);
  EXPECT_EQ(view.duplicates, number_of_events / 10);
  std::map<std::string, int> times;
  std::map<int, int> last_of_key;
  for (const StreamDecision& made : decisions(world.log())) {
    ++times[made.id];
    const int number = std::stoi(made.id.substr(6));
    auto& last = last_of_key.emplace(number % 13, -1).first->second;
    EXPECT_LT(last, number) << "out of order within its key";
    last = number;
  }
  EXPECT_EQ(times.size(), static_cast<std::size_t>(number_of_events));
  for (const auto& [id, count] : times) EXPECT_EQ(count, 1) << id;
  EXPECT_EQ(world.events().size(), static_cast<std::size_t>(number_of_events));
}

}  // namespace
}  // namespace penstock::serving
