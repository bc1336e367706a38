#include "ports/kv.h"

namespace penstock::kv {
namespace {

Error too_long(std::string_view what, std::size_t bytes, std::size_t limit) {
  return {Code::invalid_argument, std::string(what) + " of " + std::to_string(bytes) +
                                      " bytes is over the limit of " + std::to_string(limit)};
}

class Sum {
 public:
  Result<void> key(const std::string& key) {
    if (key.size() > max_key) return too_long("a key", key.size(), max_key);
    return add(key.size());
  }
  Result<void> value(const std::optional<std::string>& value) {
    if (!value) return {};
    if (value->size() > max_value) return too_long("a value", value->size(), max_value);
    return add(value->size());
  }

 private:
  Result<void> add(std::size_t bytes) {
    total_ += bytes;
    if (total_ > max_write) return too_long("a write", total_, max_write);
    return {};
  }
  std::size_t total_ = 0;
};

}  // namespace

Result<void> check_limits(const Batch& batch) {
  Sum sum;
  for (const Batch::Write& write : batch.writes) {
    TRY(sum.key(write.key));
    TRY(sum.value(write.value));
  }
  return {};
}

Result<void> check_limits(const std::vector<Swap>& swaps) {
  Sum sum;
  for (const Swap& swap : swaps) {
    TRY(sum.key(swap.key));
    TRY(sum.value(swap.value));
  }
  return {};
}

}  // namespace penstock::kv
