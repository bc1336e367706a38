// Ordered keys and values: the online features. RocksDB, Redis and Redis Cluster implement it.
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
  disk,     // fsynced before it returns; on Redis whatever its own appendonly gives
};

inline constexpr std::size_t max_key = 64 << 10, max_value = 16 << 20, max_write = 64 << 20;

// Writes that happen together or not at all. On a cluster that holds for what lies on one slot
// only: where one write must not be seen without another, write that one first.
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

// A write that happens only where nobody else wrote in between: of `key`, if it holds exactly
// `expected` (none: if it holds nothing).
struct Swap {
  std::string key;
  std::optional<std::string> expected;
  std::optional<std::string> value;  // none erases
};

// invalid_argument where a key or value is too long, or all of it together.
Result<void> check_limits(const Batch& batch);
Result<void> check_limits(const std::vector<Swap>& swaps);

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<std::optional<std::string>> get(std::string_view key) = 0;
  // In the order of `keys`.
  virtual Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) = 0;
  virtual Result<void> write(const Batch& batch, Durability durability) = 0;
  // Each by itself, and safe from every writer of the same store, other processes' too. Gives the
  // places of those that held something else and were left as they are: read those again, and try
  // again. No key stands there twice. After unavailable some may have been written.
  virtual Result<std::vector<std::size_t>> swap(const std::vector<Swap>& swaps,
                                                Durability durability) = 0;
  // Visits keys in [begin, end) in order, until visit returns false. An empty end means no end.
  // Redis has no order of its own: it looks at every key that it has, and sorts those of the range.
  virtual Result<void> scan(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) = 0;
};

}  // namespace penstock::kv
