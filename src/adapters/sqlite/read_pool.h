// The connections that only read. Private to this adapter.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "adapters/sqlite/connection.h"

namespace penstock::sqlite {

// Opened as they are needed, and kept. Readers see the last commit and never wait for the writer.
class ReadPool {
 public:
  ReadPool(std::string path, std::size_t connections_max)
      : path_(std::move(path)), connections_max_(connections_max) {}

  // deadline_exceeded where all of them stay in use.
  Result<std::unique_ptr<Connection>> take(Timestamp deadline);
  // Nothing instead of a connection where it broke.
  void give_back(std::unique_ptr<Connection> connection);

 private:
  const std::string path_;
  const std::size_t connections_max_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t in_use_ = 0;
};

}  // namespace penstock::sqlite
