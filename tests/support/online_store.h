// The store of online features that component tests run on.
#pragma once

#include <memory>

#include "adapters/rocksdb/rocksdb.h"
#include "ports/kv.h"
#include "tests/support/fixture.h"

namespace penstock::test {

// Redis, below a prefix that nobody had before.
std::unique_ptr<kv::Store> redis_store(const std::string& url, const std::string& settings = "");

// RocksDB in a directory; where PENSTOCK_TEST_REDIS names a Redis or a cluster, an empty part of
// that.
class OnlineStore {
 public:
  explicit OnlineStore(const std::string& directory);
  kv::Store& store() { return redis_ ? *redis_ : rocks_->store(); }

 private:
  std::unique_ptr<kv::Store> redis_;
  std::unique_ptr<rocksdb::Database> rocks_;
};

}  // namespace penstock::test
