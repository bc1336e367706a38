// What the store and the log share: the open database, its column families, writing and its faults.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <rocksdb/db.h>

#include "adapters/rocksdb/bound_state.h"
#include "base/result.h"
#include "ports/kv.h"

namespace penstock::rocksdb {

using kv::max_key, kv::max_value, kv::max_write;

Error fault(const ::rocksdb::Status& status);

inline ::rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(const ::rocksdb::Slice& text) { return {text.data(), text.size()}; }

class Core {
 public:
  static Result<std::unique_ptr<Core>> open(const std::string& directory);
  ~Core();
  Core(const Core&) = delete;

  ::rocksdb::DB& db() { return *db_; }
  ::rocksdb::ColumnFamilyHandle* kv() { return families_.at(1); }
  ::rocksdb::ColumnFamilyHandle* log() { return families_.at(2); }
  ::rocksdb::ColumnFamilyHandle* positions() { return families_.at(3); }
  ::rocksdb::ColumnFamilyHandle* state() { return families_.at(4); }
  BoundState& bound_state() { return *bound_state_; }

  // Into the operating system's cache, so that it survives the end of this process.
  Result<void> write(::rocksdb::WriteBatch& batch);
  // A path for a file that is to be taken in.
  std::string new_file();
  // Makes such a file, whose keys must not be there, part of a family at once; durable on disk.
  Result<void> take_in(::rocksdb::ColumnFamilyHandle* family, const std::string& file);
  // Makes all that was written before durable on disk. Those who wait at once share one fsync.
  Result<void> sync();

 private:
  Core() = default;
  // RocksDB refuses writes after a fault of the disk until it is told that the fault may be over.
  Result<void> resume();

  const std::shared_ptr<BoundState> bound_state_ = std::make_shared<BoundState>();
  std::string incoming_;  // where files lie that are to be taken in
  std::atomic<std::uint64_t> files_ = 0;
  std::unique_ptr<::rocksdb::DB> db_;
  std::vector<::rocksdb::ColumnFamilyHandle*> families_;
  std::atomic<bool> failed_ = false;
  std::mutex syncing_;
  std::uint64_t synced_ = 0;  // sequence number, under syncing_
};

}  // namespace penstock::rocksdb
