// with_redis [--cluster] PROGRAM ARGUMENT...: runs a program of tests with PENSTOCK_TEST_REDIS
// naming a private Redis, or a cluster of three.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/support/redis_server.h"

int main(int count, char** arguments) {
  const bool cluster = count > 1 && std::string_view(arguments[1]) == "--cluster";
  char** const program = arguments + (cluster ? 2 : 1);
  if (!*program) {
    std::fprintf(stderr, "usage: with_redis [--cluster] PROGRAM ARGUMENT...\n");
    return 2;
  }
  try {
    using namespace penstock::test;  // NOLINT(google-build-using-namespace): of one function
    std::unique_ptr<RedisServer> one;
    std::unique_ptr<RedisCluster> three;
    if (cluster)
      three = std::make_unique<RedisCluster>();
    else
      one = std::make_unique<RedisServer>();
    setenv("PENSTOCK_TEST_REDIS", (cluster ? three->url() : one->url()).c_str(), 1);
    pid_t child = 0;
    if (posix_spawn(&child, *program, nullptr, nullptr, program, environ) != 0) {
      std::fprintf(stderr, "cannot run %s\n", *program);
      return 2;
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
