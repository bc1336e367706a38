#pragma once

#include "adapters/rocksdb/core.h"

namespace penstock::rocksdb {

class Store final : public kv::Store {
 public:
  explicit Store(Core& core) : core_(core) {}

  Result<std::optional<std::string>> get(std::string_view key) override;
  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override;
  Result<void> write(const kv::Batch& batch, kv::Durability durability) override;
  Result<void> scan(std::string_view begin, std::string_view end,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override;

 private:
  Core& core_;
};

}  // namespace penstock::rocksdb
