// Real Redis for tests: on free ports of 127.0.0.1, in directories of their own, ended by their
// ids.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/support/fixture.h"

namespace penstock::test {

class RedisServer {
 public:
  static constexpr const char* user = "penstock";
  static constexpr const char* password = "not-a-real-password";

  struct Settings {
    bool appendonly = false;     // what it acknowledged survives its being killed
    bool cluster = false;        // a node of one
    bool tls = false;            // and nothing else
    bool with_password = false;  // of `user`; nobody else may do anything
  };
  explicit RedisServer(const Settings& settings);
  RedisServer() : RedisServer(Settings{}) {}
  ~RedisServer() { kill(); }
  RedisServer(const RedisServer&) = delete;

  void start();
  void kill();            // at once
  void stop_answering();  // it lives, and does nothing
  void answer_again();

  int port() const { return ports_[0]; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port()); }
  std::string url() const { return "redis://" + address(); }
  std::string certificate() const { return directory_ / "certificate.pem"; }
  // The answer to a command, as text; lists as lines.
  std::string ask(const std::vector<std::string>& words) const;
  // "cluster_state" of what INFO and CLUSTER INFO say.
  std::string said(const std::vector<std::string>& words, const std::string& field) const;

 private:
  friend class RedisCluster;
  void make_certificate();

  const Settings settings_;
  TempDir directory_;
  std::vector<int> ports_;  // its own, the bus of a cluster
  pid_t process_ = -1;
};

// Three nodes that share the slots.
class RedisCluster {
 public:
  RedisCluster();
  std::string url() const;
  RedisServer& node(std::size_t at) { return *nodes_.at(at); }
  // Which node has the slot, as the nodes themselves say.
  std::size_t owner(std::size_t slot) const;
  // As an administrator does it: keys and all.
  void move_slot(std::size_t slot, std::size_t to);
  // The two halves of that: in between, keys are on one node or the other.
  void begin_move(std::size_t slot, std::size_t to);
  void end_move(std::size_t slot, std::size_t to);

 private:
  std::string id(std::size_t at) const;
  void settle();
  std::vector<std::unique_ptr<RedisServer>> nodes_;
};

}  // namespace penstock::test
