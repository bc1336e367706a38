#include "adapters/process/process.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/fixture.h"

namespace penstock {
namespace {

using jobs::Command;
using test::must;

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Gone, or dead and only waiting to be reaped by whoever took it over.
bool ended(const std::string& process) {
  const std::string stat = content("/proc/" + process + "/stat");
  return stat.empty() || stat.substr(stat.rfind(')') + 2, 1) == "Z";
}

// Waits for what must come; what never comes ends the test by ctest's limit.
void until(const std::function<bool()>& true_at_last) {
  while (!true_at_last()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

class ProcessTest : public testing::Test {
 protected:
  Command shell(const std::string& script) {
    return {.arguments = {"sh", "-c", script},
            .directory = directory_.path(),
            .log_path = directory_ / "log"};
  }
  jobs::Outcome run(const std::string& script) { return must(runner_->run(shell(script))); }

  const test::TempDir directory_;
  std::unique_ptr<jobs::Runner> runner_ = process::runner();
};

TEST_F(ProcessTest, SaysHowACommandEnded) {
  struct Case {
    std::string script;
    int exit_code;
    std::string tail;
  };
  const Case cases[] = {
      {"true", 0, ""},
      {"echo out; echo err >&2", 0, "out\nerr\n"},
      {"echo last words; exit 3", 3, "last words\n"},
      {"kill -TERM $$", 128 + SIGTERM, ""},
      {"kill -KILL $$", 128 + SIGKILL, ""},
      {"no-such-program-here 2>/dev/null", 127, ""},
      {"cat", 0, ""},  // nothing comes from standard input
      {"pwd", 0, std::filesystem::canonical(directory_.path()).string() + "\n"},
      {"printf 'a\\0b'", 0, std::string("a\0b", 3)},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.script);
    const auto outcome = run(c.script);
    EXPECT_EQ(outcome.exit_code, c.exit_code);
    EXPECT_FALSE(outcome.timed_out);
    EXPECT_EQ(outcome.tail, c.tail);
    EXPECT_EQ(content(directory_ / "log"), c.tail);
    EXPECT_GT(outcome.peak_memory, 100'000);
  }
}

TEST_F(ProcessTest, GivesAMinimalEnvironment) {
  setenv("PENSTOCK_TEST_SECRET", "must not be seen", 1);
  Command command{.arguments = {"env"}, .environment = {{"MINE", "a=b c"}, {"LANG", "de_DE"}}};
  std::istringstream lines(must(runner_->run(command)).tail);
  std::map<std::string, std::string> seen;
  for (std::string line; std::getline(lines, line);)
    seen[line.substr(0, line.find('='))] = line.substr(line.find('=') + 1);
  unsetenv("PENSTOCK_TEST_SECRET");
  EXPECT_EQ(seen.size(), 4U);
  EXPECT_EQ(seen["MINE"], "a=b c");
  EXPECT_EQ(seen["LANG"], "de_DE");
  EXPECT_FALSE(seen["PATH"].empty());
  EXPECT_FALSE(seen["HOME"].empty());
}

TEST_F(ProcessTest, LeavesNoDescriptorOpenInTheCommand) {
  const int leaky = open("/dev/null", O_RDONLY);           // on purpose not close-on-exec
  EXPECT_EQ(run("ls /proc/self/fd | wc -l").tail, "4\n");  // 0, 1, 2 and that of ls itself
  close(leaky);
}

TEST_F(ProcessTest, RefusesWhatCannotRun) {
  std::ofstream(directory_ / "plain") << "#!/bin/sh\n";
  std::ofstream(directory_ / "broken") << "no program at all";
  std::filesystem::permissions(directory_ / "broken", std::filesystem::perms::owner_all);
  struct Case {
    std::string what;
    Command command;
    Code code;
    std::string says;
  };
  const std::string nul("a\0b", 3);
  const Case cases[] = {
      {"nothing", {}, Code::invalid_argument, "needs a program"},
      {"an empty program", {.arguments = {""}}, Code::invalid_argument, "needs a program"},
      {"a missing program", {.arguments = {"no-such-program"}}, Code::not_found, "no-such-program"},
      {"a missing path", {.arguments = {"/no/such"}}, Code::not_found, "/no/such"},
      {"a directory", {.arguments = {"/tmp"}}, Code::not_found, "/tmp"},
      {"no permission",
       {.arguments = {"./plain"}, .directory = directory_.path()},
       Code::permission_denied,
       "./plain"},
      {"no format",
       {.arguments = {"./broken"}, .directory = directory_.path()},
       Code::invalid_argument,
       "broken"},
      {"not in this PATH",
       {.arguments = {"sh"}, .environment = {{"PATH", "/no/such"}}},
       Code::not_found,
       "/no/such"},
      {"a missing directory",
       {.arguments = {"true"}, .directory = "/no/such"},
       Code::not_found,
       "/no/such"},
      {"a file as directory",
       {.arguments = {"true"}, .directory = directory_ / "plain"},
       Code::not_found,
       "plain"},
      {"no place for the log",
       {.arguments = {"true"}, .log_path = "/no/such/log"},
       Code::not_found,
       "/no/such/log"},
      {"a NUL", {.arguments = {"echo", nul}}, Code::invalid_argument, "NUL"},
      {"a NUL in a variable",
       {.arguments = {"true"}, .environment = {{"A", nul}}},
       Code::invalid_argument,
       "NUL"},
      {"a bad variable",
       {.arguments = {"true"}, .environment = {{"A=B", "c"}}},
       Code::invalid_argument,
       "variables"},
      {"a nameless variable",
       {.arguments = {"true"}, .environment = {{"", "c"}}},
       Code::invalid_argument,
       "variables"},
      {"no time",
       {.arguments = {"true"}, .time_limit = Micros(0)},
       Code::invalid_argument,
       "limit"},
      {"too many bytes",
       {.arguments = {"true", std::string(4 << 20, 'x')}},
       Code::invalid_argument,
       "cannot run"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const auto got = runner_->run(c.command);
    if (got) {
      ADD_FAILURE() << "not refused";
      continue;
    }
    EXPECT_EQ(name_of(got.error().code), name_of(c.code)) << got.error().message;
    EXPECT_NE(got.error().message.find(c.says), std::string::npos) << got.error().message;
  }
}

TEST_F(ProcessTest, EndsTheWholeGroupAtTheTimeLimit) {
  Command command = shell(
      "sleep 1000 & echo $! > one; (trap '' TERM HUP INT; sleep 1000) & "
      "echo $! > two; while :; do echo busy; done");
  command.time_limit = std::chrono::seconds(2);
  const auto outcome = must(runner_->run(command));
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.exit_code, 128 + SIGKILL);
  for (const std::string name : {"one", "two"}) {
    std::string process = content(directory_ / name);
    ASSERT_FALSE(process.empty());
    process.pop_back();
    until([&] { return ended(process); });
  }
}

TEST_F(ProcessTest, EndsWhatACommandLeavesBehind) {
  const auto outcome = run("sleep 1000 & echo $!");
  EXPECT_EQ(outcome.exit_code, 0);
  const std::string process = outcome.tail.substr(0, outcome.tail.size() - 1);
  until([&] { return ended(process); });
}

TEST_F(ProcessTest, KeepsTheLogWithinItsLimitAndTheLastWords) {
  const auto outcome = run("head -c 70000000 /dev/zero; echo the end");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.tail.size(), 4096U);
  EXPECT_TRUE(outcome.tail.ends_with("the end\n"));
  const std::string log = content(directory_ / "log");
  EXPECT_EQ(log.size(), std::size_t{64} << 20);
  EXPECT_NE(log.find("dropped"), std::string::npos);
  EXPECT_EQ(run("echo anew").tail, "anew\n");
  EXPECT_EQ(content(directory_ / "log"), "anew\n");
}

TEST_F(ProcessTest, CountsTheTimeAndMemoryThatWereUsed) {
  const auto outcome = run("head -c 30000000 /dev/zero | sort | tail -c 1 > /dev/null");
  EXPECT_GT(outcome.peak_memory, 20'000'000);
  EXPECT_GT(outcome.cpu_seconds, 0);
}

TEST_F(ProcessTest, RunsManyAtOnce) {
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (int at = 0; at < 15; ++at) {
        const std::string word = std::to_string(thread) + "-" + std::to_string(at);
        const auto outcome = must(runner_->run(
            {.arguments = {"sh", "-c", "echo $0; exit 7", word}, .log_path = directory_ / word}));
        EXPECT_EQ(outcome.exit_code, 7);
        EXPECT_EQ(outcome.tail, word + "\n");
      }
    });
}

// The process that the next test kills. It never ends by itself.
TEST_F(ProcessTest, DISABLED_RunsUntilItIsKilled) {
  const char* directory = std::getenv("PENSTOCK_PROCESS_TEST_DIRECTORY");
  ASSERT_TRUE(directory);
  Command command{.arguments = {"sh", "-c", "sleep 1000 & echo $! > child; echo $$ > self; wait"},
                  .directory = directory};
  must(runner_->run(command));
}

TEST_F(ProcessTest, EndsTheWholeGroupWhenWeAreKilled) {
  setenv("PENSTOCK_PROCESS_TEST_DIRECTORY", directory_.path().c_str(), 1);
  std::string arguments[] = {"test", "--gtest_filter=ProcessTest.DISABLED_RunsUntilItIsKilled",
                             "--gtest_also_run_disabled_tests", "--gtest_output="};
  std::vector<char*> list;
  for (std::string& argument : arguments) list.push_back(argument.data());
  list.push_back(nullptr);
  pid_t runner = 0;
  ASSERT_EQ(posix_spawn(&runner, "/proc/self/exe", nullptr, nullptr, list.data(), environ), 0);
  std::string self, child;
  until([&] {
    self = content(directory_ / "self");
    child = content(directory_ / "child");
    return self.ends_with('\n') && child.ends_with('\n');
  });
  self.pop_back();
  child.pop_back();
  EXPECT_FALSE(ended(self));
  EXPECT_FALSE(ended(child));
  kill(runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  until([&] { return ended(self) && ended(child); });
}

}  // namespace
}  // namespace penstock
