#include "adapters/rocksdb/log.h"
#include "adapters/rocksdb/rocksdb.h"
#include "adapters/rocksdb/store.h"

namespace penstock::rocksdb {
namespace {

class OpenDatabase final : public Database {
 public:
  OpenDatabase(std::unique_ptr<Core> core, const Clock* clock)
      : core_(std::move(core)), store_(*core_), log_(*core_, clock ? *clock : system_clock_) {}

  kv::Store& store() override { return store_; }
  events::Log& log() override { return log_; }

 private:
  const SystemClock system_clock_;
  const std::unique_ptr<Core> core_;
  Store store_;
  Log log_;
};

Result<std::unique_ptr<Database>> open_with(const std::string& directory, const Clock* clock) {
  return std::unique_ptr<Database>(
      std::make_unique<OpenDatabase>(TRY(Core::open(directory)), clock));
}

}  // namespace

Result<std::unique_ptr<Database>> open(const std::string& directory) {
  return open_with(directory, nullptr);
}

Result<std::unique_ptr<Database>> open(const std::string& directory, const Clock& clock) {
  return open_with(directory, &clock);
}

}  // namespace penstock::rocksdb
