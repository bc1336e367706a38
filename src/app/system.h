// The whole program, put together: the only place that knows every concrete type.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace penstock::app {

struct SystemOptions {
  std::string data;     // directory of everything that is kept
  std::string sources;  // where relative paths of sources start; empty: data/sources
  std::string http = "127.0.0.1:8080";
  std::string auth = "token";  // or "none", on a loopback address only
  std::string metadata;        // "postgresql://..."; empty: SQLite in the data directory
  int workers = 8;
};

class System {
 public:
  System();
  ~System();

  // Opens the stores, migrates, loads the routing table and listens. The error says what to do.
  Result<void> start(const SystemOptions& options);
  std::string address() const;
  // Printed once, when the first start made it; empty otherwise.
  const std::string& first_admin_token() const;
  // Drains requests, then background work, then closes the stores.
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace penstock::app
