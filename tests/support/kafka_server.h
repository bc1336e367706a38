// A real Kafka broker for tests: KRaft mode, one process, on free ports of 127.0.0.1 and in a
// directory of its own. It knows its users' passwords and has a certificate of its own making.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/fixture.h"

namespace penstock::test {

struct Sent {
  std::optional<std::string> value, key = {};
  std::int64_t at = 0;  // milliseconds; 0: now
};

class KafkaServer {
 public:
  static constexpr const char* user = "penstock";
  static constexpr const char* password = "not-a-real-password";

  // Whether tools/setup.sh has brought it to this machine.
  static bool is_there();
  KafkaServer();
  ~KafkaServer();
  KafkaServer(const KafkaServer&) = delete;

  void start();
  void stop();  // at once
  std::string plain() const { return address(0); }
  std::string with_password() const { return address(1); }
  std::string with_tls() const { return address(2); }
  std::string certificate() const { return directory_ / "certificate.pem"; }

  void make_topic(const std::string& name, int partitions);
  // Made, or after a start, a topic is not yet led: until then nobody can ask for its offsets.
  void wait_until_led(const std::string& name, int partitions);
  // Acknowledged when it returns; to one partition, in this order.
  void send(const std::string& topic, const std::vector<Sent>& messages, int partition = 0);
  // In one transaction, which ends so.
  void send_in_transaction(const std::string& topic, const std::vector<Sent>& messages,
                           bool commit);
  // What lies before this offset is gone.
  void remove_before(const std::string& topic, int partition, std::int64_t offset);

 private:
  std::string address(std::size_t listener) const {
    return "127.0.0.1:" + std::to_string(ports_[listener]);
  }
  void write_settings();

  TempDir directory_;
  std::vector<int> ports_;  // plain, with a password, with TLS, of the controller
  pid_t process_ = -1;
};

}  // namespace penstock::test
