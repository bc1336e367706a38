#pragma once

#include <memory>
#include <string>

#include "ports/kv.h"
#include "ports/log.h"

namespace penstock::rocksdb {

// One directory that serves both ports. Safe from any thread; its store and log live as long as it.
//
// Limits, invalid_argument beyond: keys 64 KB, values 16 MB, one write or append 64 MB together,
// names of topics and groups 1 to 200 of letters, digits and "._-".
// A full disk is resource_exhausted, other trouble with the disk unavailable, damage data_loss;
// writing goes on without a restart once there is space again.
class Database {
 public:
  virtual ~Database() = default;
  virtual kv::Store& store() = 0;
  virtual events::Log& log() = 0;
};

// Opens or makes the directory. unavailable where another process has it open.
Result<std::unique_ptr<Database>> open(const std::string& directory);
// The same with the clock that stamps records.
Result<std::unique_ptr<Database>> open(const std::string& directory, const Clock& clock);

}  // namespace penstock::rocksdb
