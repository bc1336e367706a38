// Ordered keys and values: the online features. RocksDB and Redis implement it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace penstock::kv {

enum class Durability {
  process,  // survives kill -9; a power cut may lose the last moments
  disk,     // fsynced before it returns
};

// Writes that happen together or not at all.
class Batch {
 public:
  struct Write {
    std::string key;
    std::optional<std::string> value;  // none erases
  };
  void put(std::string key, std::string value) {
    writes.push_back({std::move(key), std::move(value)});
  }
  void erase(std::string key) { writes.push_back({std::move(key), std::nullopt}); }
  std::vector<Write> writes;
};

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;
  // In the order of `keys`.
  virtual Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) = 0;
  virtual Result<void> write(const Batch& batch, Durability durability) = 0;
  // Visits keys in [begin, end) in order, until visit returns false. An empty end means no end.
  virtual Result<void> scan(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

}  // namespace penstock::kv
