#include "tests/support/redis_server.h"

#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <hiredis/hiredis.h>

#include "tests/support/processes.h"

namespace penstock::test {
namespace {

constexpr auto start_max = std::chrono::seconds(60);

template <class Holds>
void wait_until(const std::string& what, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + start_max;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error(what);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

std::string text_of(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_INTEGER) return std::to_string(reply.integer);
  if (reply.type != REDIS_REPLY_ARRAY) return std::string(reply.str ? reply.str : "", reply.len);
  std::string lines;
  for (std::size_t i = 0; i < reply.elements; ++i) lines += text_of(*reply.element[i]) + "\n";
  return lines;
}

}  // namespace

RedisServer::RedisServer(const Settings& settings) : settings_(settings), ports_(free_ports(2)) {
  if (settings_.tls) make_certificate();
  std::ofstream out(directory_ / "settings");
  out << "bind 127.0.0.1\nsave \"\"\ndir " << directory_.path() << "\n"
      << "port " << (settings_.tls ? 0 : port()) << "\n";
  if (settings_.appendonly) out << "appendonly yes\nappendfsync everysec\n";
  if (settings_.cluster)
    out << "cluster-enabled yes\ncluster-port " << ports_[1] << "\ncluster-node-timeout 5000\n";
  if (settings_.tls)
    out << "tls-port " << port() << "\ntls-auth-clients no\ntls-cert-file " << certificate()
        << "\ntls-key-file " << directory_ / "key.pem"
        << "\ntls-ca-cert-file " << certificate() << "\n";
  if (settings_.with_password)
    out << "user default off\nuser " << user << " on >" << password << " ~* &* +@all\n";
  out.close();
  start();
}

void RedisServer::make_certificate() {
  const pid_t made = spawn({"openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
                            "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                            "-keyout", directory_ / "key.pem", "-out", certificate()},
                           directory_ / "log");
  int status = 0;
  waitpid(made, &status, 0);
  if (status != 0) throw std::runtime_error("openssl made no certificate");
}

void RedisServer::start() {
  process_ = spawn({"setpriv", "--pdeathsig", "KILL", "redis-server", directory_ / "settings"},
                   directory_ / "log");
  wait_until("Redis does not start; its log is in " + (directory_ / "log"), [&] {
    if (waitpid(process_, nullptr, WNOHANG) == process_)
      throw std::runtime_error("Redis ended at once; its log is in " + (directory_ / "log"));
    return listens(port()) && (settings_.tls || settings_.with_password ||
                               ask({"PING"}).find("LOADING") == std::string::npos);
  });
}

void RedisServer::kill() {
  if (process_ < 0) return;
  ::kill(process_, SIGKILL);
  waitpid(process_, nullptr, 0);
  process_ = -1;
}

void RedisServer::stop_answering() { ::kill(process_, SIGSTOP); }
void RedisServer::answer_again() { ::kill(process_, SIGCONT); }

std::string RedisServer::ask(const std::vector<std::string>& words) const {
  const std::unique_ptr<redisContext, void (*)(redisContext*)> connection(
      redisConnect("127.0.0.1", port()), redisFree);
  if (!connection || connection->err) throw std::runtime_error("Redis does not listen");
  std::vector<const char*> list;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    list.push_back(word.data());
    sizes.push_back(word.size());
  }
  const std::unique_ptr<void, void (*)(void*)> reply(
      redisCommandArgv(connection.get(), static_cast<int>(list.size()), list.data(), sizes.data()),
      freeReplyObject);
  if (!reply) throw std::runtime_error("Redis does not answer");
  return text_of(*static_cast<redisReply*>(reply.get()));
}

std::string RedisServer::said(const std::vector<std::string>& words,
                              const std::string& field) const {
  const std::string text = ask(words);
  const std::size_t at = text.find(field + ":");
  if (at == std::string::npos) return "";
  return text.substr(at + field.size() + 1, text.find('\r', at) - at - field.size() - 1);
}

RedisCluster::RedisCluster() {
  const std::vector<std::pair<int, int>> shares = {{0, 5460}, {5461, 10922}, {10923, 16383}};
  for (std::size_t at = 0; at < shares.size(); ++at) {
    nodes_.push_back(std::make_unique<RedisServer>(RedisServer::Settings{.cluster = true}));
    nodes_[at]->ask({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(at + 1)});
    nodes_[at]->ask({"CLUSTER", "ADDSLOTSRANGE", std::to_string(shares[at].first),
                     std::to_string(shares[at].second)});
    if (at > 0)
      nodes_[0]->ask({"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[at]->port()),
                      std::to_string(nodes_[at]->ports_[1])});
  }
  for (const auto& one : nodes_)
    wait_until("the nodes do not become a cluster", [&] {
      return one->said({"CLUSTER", "INFO"}, "cluster_state") == "ok" &&
             one->said({"CLUSTER", "INFO"}, "cluster_known_nodes") == "3";
    });
}

std::string RedisCluster::url() const {
  std::string hosts;
  for (const auto& one : nodes_) hosts += (hosts.empty() ? "" : ",") + one->address();
  return "redis+cluster://" + hosts;
}

std::string RedisCluster::id(std::size_t at) const { return nodes_[at]->ask({"CLUSTER", "MYID"}); }

std::size_t RedisCluster::owner(std::size_t slot) const {
  // A key of this slot is not needed: each node counts the keys of slots that are its own only.
  for (std::size_t at = 0; at < nodes_.size(); ++at) {
    const std::string all = nodes_[at]->ask({"CLUSTER", "NODES"});
    std::size_t line = all.find("myself");
    line = all.rfind('\n', line) == std::string::npos ? 0 : all.rfind('\n', line) + 1;
    std::istringstream words(all.substr(line, all.find('\n', line) - line));
    std::string word;
    for (int i = 0; words >> word; ++i) {
      if (i < 8 || word.starts_with('[')) continue;
      const std::size_t dash = word.find('-');
      const std::size_t first = std::stoul(word);
      const std::size_t last =
          dash == std::string::npos ? first : std::stoul(word.substr(dash + 1));
      if (first <= slot && slot <= last) return at;
    }
  }
  throw std::runtime_error("nobody has the slot");
}

void RedisCluster::begin_move(std::size_t slot, std::size_t to) {
  const std::size_t from = owner(slot);
  const std::string number = std::to_string(slot);
  nodes_[to]->ask({"CLUSTER", "SETSLOT", number, "IMPORTING", id(from)});
  nodes_[from]->ask({"CLUSTER", "SETSLOT", number, "MIGRATING", id(to)});
}

void RedisCluster::end_move(std::size_t slot, std::size_t to) {
  const std::size_t from = owner(slot);
  const std::string number = std::to_string(slot);
  for (;;) {
    const std::string keys = nodes_[from]->ask({"CLUSTER", "GETKEYSINSLOT", number, "1"});
    if (keys.empty()) break;
    const std::string done =
        nodes_[from]->ask({"MIGRATE", "127.0.0.1", std::to_string(nodes_[to]->port()),
                           keys.substr(0, keys.size() - 1), "0", "5000"});
    if (done != "OK") throw std::runtime_error("MIGRATE: " + done);
  }
  // All must hear of it: who has not may later tell the others that it is not so.
  for (const std::size_t at : {to, from, 3 - to - from})
    nodes_[at]->ask({"CLUSTER", "SETSLOT", number, "NODE", id(to)});
  settle();
}

// Whoever takes a slot counts its epoch up. Two that do it before they heard of each other have one
// epoch, and then disagree about who has what.
void RedisCluster::settle() {
  wait_until("the nodes do not agree", [&] {
    std::set<std::string> known, own;
    for (const auto& one : nodes_) {
      known.insert(one->said({"CLUSTER", "INFO"}, "cluster_current_epoch"));
      own.insert(one->said({"CLUSTER", "INFO"}, "cluster_my_epoch"));
    }
    return known.size() == 1 && own.size() == nodes_.size();
  });
}

void RedisCluster::move_slot(std::size_t slot, std::size_t to) {
  begin_move(slot, to);
  end_move(slot, to);
}

}  // namespace penstock::test
