#include "tests/support/postgres.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "adapters/postgres/postgres.h"

namespace penstock::test {
namespace {

constexpr auto start_max = std::chrono::seconds(60);

// The newest that is installed where Debian puts it, else what is in the PATH.
std::string find_programs() {
  std::string best;
  int newest = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const int version = std::atoi(entry.path().filename().c_str());
    if (version <= newest || !exists(entry.path() / "bin/initdb")) continue;
    newest = version;
    best = (entry.path() / "bin").string() + "/";
  }
  return best;
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

std::string contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

Postgres::Postgres() : programs_(find_programs()) {
  // PostgreSQL refuses to run as root.
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (!user) throw std::runtime_error("no user postgres: install PostgreSQL to run this test");
    if (chown(directory_.path().c_str(), user->pw_uid, user->pw_gid) != 0)
      throw std::runtime_error("cannot give away " + directory_.path());
  }
  const pid_t made = spawn("initdb", {"-D", directory_ / "data", "-U", "penstock", "-A", "trust",
                                      "--locale=C", "--encoding=UTF8", "--no-sync"});
  if (wait_for(made) != 0)
    throw std::runtime_error("initdb failed: " + contents(directory_ / "log"));
  // One role that has to say a password.
  const std::string rules = directory_ / "data/pg_hba.conf";
  const std::string others = contents(rules);
  std::ofstream(rules) << "local all guarded scram-sha-256\n" << others;
  start();
}

Postgres::~Postgres() { stop(); }

std::string Postgres::connection() const {
  return "host=" + socket() + " user=penstock dbname=postgres";
}

pid_t Postgres::spawn(const std::string& program, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = {"setpriv", "--pdeathsig", "INT"};
  if (geteuid() == 0)
    for (const char* word : {"--reuid=postgres", "--regid=postgres", "--clear-groups"})
      words.emplace_back(word);
  words.push_back(programs_ + program);
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> list;
  for (std::string& word : words) list.push_back(word.data());
  list.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = directory_ / "log";
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, "setpriv", &actions, nullptr, list.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) throw std::runtime_error("cannot run setpriv");
  return child;
}

void Postgres::start() {
  server_ =
      spawn("postgres", {"-D", directory_ / "data", "-k", socket(), "-c", "listen_addresses=", "-c",
                         "fsync=off", "-c", "max_connections=200"});
  const auto until = std::chrono::steady_clock::now() + start_max;
  while (PQping(connection().c_str()) != PQPING_OK) {
    if (std::chrono::steady_clock::now() > until || waitpid(server_, nullptr, WNOHANG) == server_)
      throw std::runtime_error("PostgreSQL does not start: " + contents(directory_ / "log"));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Postgres::stop() {
  if (server_ == 0) return;
  kill(server_, SIGINT);  // "fast": ends every session
  wait_for(server_);
  server_ = 0;
}

std::string postgres_connection() {
  if (const char* given = std::getenv("PENSTOCK_TEST_POSTGRES")) return given;
  static const Postgres server;
  return server.connection();
}

std::unique_ptr<sql::Database> postgres_database(int connections) {
  static std::atomic<int> made = 0;
  const std::string schema = "t" + std::to_string(getpid()) + "_" + std::to_string(++made);
  return must(postgres::open(postgres_connection(), schema, connections));
}

}  // namespace penstock::test
