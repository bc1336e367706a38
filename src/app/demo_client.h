// A server of the demo's own, and calls to it that live through its death.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <mutex>
#include <string>

#include "base/described.h"
#include "net/client.h"

namespace penstock::app {

// `penstock serve` as a child process. It ends with us, and is started again when it has died.
class DemoServer {
 public:
  DemoServer(std::string data, std::string sources, std::string config)
      : data_(std::move(data)), sources_(std::move(sources)), config_(std::move(config)) {}
  ~DemoServer();

  // Returns when it answers. The address is the same after every start.
  Result<void> start();
  Result<void> revive();                  // starts it again if it has died
  void kill();                            // SIGKILL, as a crash would
  void stop();                            // SIGTERM, and waits for its end
  void leave_running() { keep_ = true; }  // when we end
  std::string url() const { return "http://" + address_; }
  pid_t pid() const { return process_; }
  int starts() const { return starts_; }

 private:
  Result<void> spawn();
  std::string data_, sources_, config_, address_ = "127.0.0.1:0";
  std::mutex turn_;
  std::atomic<pid_t> process_{-1};
  int starts_ = 0;
  bool keep_ = false;
};

// Calls as one person or service. What finds no server is sent again once there is one: every call
// of the demo may be sent twice, since it carries its own id or is a no-op the second time.
class DemoClient {
 public:
  DemoClient(DemoServer& server, std::string token);

  Result<json::value> call(std::string_view method, std::string_view target,
                           const json::value& body = nullptr);
  int resent() const { return resent_; }

 private:
  DemoServer& server_;
  std::string token_;
  net::Client client_;
  int resent_ = 0;
};

}  // namespace penstock::app
