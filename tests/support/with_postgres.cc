// with_postgres PROGRAM ARGUMENT...: runs a program of tests with PENSTOCK_TEST_POSTGRES naming a
// private server.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/support/postgres.h"

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: with_postgres PROGRAM ARGUMENT...\n");
    return 2;
  }
  try {
    const penstock::test::Postgres server;
    setenv("PENSTOCK_TEST_POSTGRES", server.connection().c_str(), 1);
    pid_t child = 0;
    if (posix_spawn(&child, arguments[1], nullptr, nullptr, arguments + 1, environ) != 0) {
      std::fprintf(stderr, "cannot run %s\n", arguments[1]);
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
