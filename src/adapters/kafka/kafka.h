#pragma once

#include <memory>
#include <string>

#include "ports/messages.h"

namespace penstock::kafka {

struct Options {
  std::string brokers;                      // "host:9092,host:9092", to begin with
  std::string user, password;               // empty: nobody
  std::string mechanism = "SCRAM-SHA-512";  // or SCRAM-SHA-256, PLAIN; with a user only
  bool tls = false;
  std::string ca_file;  // whom to trust; empty: whom the system trusts
};

// A broker of Kafka through librdkafka. Connections are made when they are needed; nothing of what
// the options hold is written anywhere. invalid_argument where they say nothing useful.
Result<std::unique_ptr<messages::Reader>> open(const Options& options);

}  // namespace penstock::kafka
