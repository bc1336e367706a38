// A real S3 server for tests: versitygw over a directory of its own, on a free port of 127.0.0.1.
// It checks signatures, so a wrong secret is refused.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "tests/support/fixture.h"

namespace penstock::test {

class S3Server {
 public:
  static constexpr const char* access_key = "penstock";
  static constexpr const char* secret_key = "not-a-real-secret";

  // Whether tools/setup.sh has built it on this machine.
  static bool is_there();
  S3Server();
  ~S3Server();
  S3Server(const S3Server&) = delete;

  void start();   // on the port that it had before
  void kill();    // at once
  void freeze();  // it takes connections and answers nothing
  void thaw();
  void make_bucket(const std::string& name);
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // The directory of a bucket's objects, as files.
  std::string folder(const std::string& bucket) const { return directory_ / ("data/" + bucket); }

 private:
  TempDir directory_;
  int port_ = 0;
  pid_t process_ = -1;
};

}  // namespace penstock::test
