#pragma once

#include <array>
#include <bitset>
#include <mutex>

#include "adapters/rocksdb/core.h"

namespace penstock::rocksdb {

class Store final : public kv::Store {
 public:
  explicit Store(Core& core) : core_(core) {}

  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override;
  Result<void> write(const kv::Batch& batch, kv::Durability durability) override;
  Result<std::vector<std::size_t>> swap(const std::vector<kv::Swap>& swaps,
                                        kv::Durability durability) override;
  Result<void> scan(std::string_view begin, std::string_view end,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override;

 private:
  // Comparing and writing is one step: of keys that may be one key, one writer at a time.
  static constexpr std::size_t stripes = 64;
  class Hold;
  static std::size_t stripe_of(std::string_view key);
  Result<bool> all_new(const std::vector<kv::Swap>& swaps);
  Result<bool> nothing_between(std::string_view least, std::string_view greatest);
  Result<bool> none_there(const std::vector<kv::Swap>& swaps, std::size_t count);
  // Writes many new rows into a file of their own, without the log and the memory that RocksDB
  // keeps of what was written last. False: they are not such rows, and nothing was written.
  Result<bool> load(const std::vector<kv::Swap>& swaps);

  Core& core_;
  std::array<std::mutex, stripes> writing_;
};

}  // namespace penstock::rocksdb
