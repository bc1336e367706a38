#pragma once

#include <compare>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "ports/kv.h"

namespace penstock::redis {

struct Server {
  std::string host;
  int port = 6379;
  auto operator<=>(const Server&) const = default;
  std::string text() const;
};

struct Options {
  std::vector<Server> servers;  // one; or some of a cluster, which tell of the others
  bool cluster = false;
  std::string user, password;  // empty: nobody
  int database = 0;            // a cluster has only this one
  // What every key begins with, so that several installations may share one Redis.
  std::string prefix = "penstock";
  bool tls = false;
  std::string ca_file;  // whom to trust; empty: whom the system trusts
  // Of a whole call, connecting and trying again included.
  Micros read_time = std::chrono::seconds(1), write_time = std::chrono::seconds(5);
  std::size_t connections = 64;  // to one server at a time
};

// "redis://user:password@host:6379/0", "rediss://..." with TLS, "redis+cluster://h1:7000,h2:7000",
// "rediss+cluster://...", then "?prefix=NAME&ca_file=PATH&read_time=1s&write_time=5s".
// invalid_argument, which never holds the password, where it is no such URL.
Result<Options> read_url(std::string_view url);

// Redis, or a Redis Cluster, through hiredis. Connections are made when they are needed. Safe from
// any thread.
//
// A server that is gone, slow or loading is unavailable, within the times above; calls that follow
// soon fail at once, until it answers again; only a few that write wait for it. Names of hosts are
// looked up by the system, which takes its own time. A wrong password is permission_denied, a Redis
// without room resource_exhausted. What is written is as durable as Redis's own appendonly makes
// it, whichever durability is asked for. Limits are those of the port.
Result<std::unique_ptr<kv::Store>> open(const Options& options);

}  // namespace penstock::redis
