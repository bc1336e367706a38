// State that lives as long as a record: it goes while RocksDB compacts, without being read by us.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <rocksdb/compaction_filter.h>

namespace penstock::rocksdb {

// Safe from several threads.
class BoundState {
 public:
  // Keys with this prefix whose value is, or begins with, a smaller offset are gone.
  void forget_before(const std::string& prefix, std::int64_t offset);
  bool is_gone(std::string_view key, std::string_view value) const;

 private:
  using Starts = std::map<std::string, std::int64_t, std::less<>>;  // by "group NUL"
  std::mutex turn_;
  std::atomic<std::shared_ptr<const Starts>> starts_;
};

std::shared_ptr<::rocksdb::CompactionFilterFactory> filter_of(std::shared_ptr<BoundState> state);

}  // namespace penstock::rocksdb
