// Features on both stores, whatever happens to them in the middle.
#pragma once

#include <random>

#include "tests/support/redis_server.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {

// Does what the store below does, until it is told not to.
class Failing final : public kv::Store {
 public:
  explicit Failing(kv::Store& store) : store_(store) {}
  // Of the calls that write, the one after `count` others fails: before it was done, or after.
  void fail_after(int count, bool done) {
    left_ = count;
    done_ = done;
  }

  Result<std::optional<std::string>> get(std::string_view key) override { return store_.get(key); }
  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override {
    return store_.multi_get(keys);
  }
  Result<void> write(const kv::Batch& batch, kv::Durability durability) override {
    const bool fails = left_-- == 0;
    if (fails && !done_) return gone();
    TRY(store_.write(batch, durability));
    return fails ? Result<void>(gone()) : Result<void>();
  }
  Result<std::vector<std::size_t>> swap(const std::vector<kv::Swap>& swaps,
                                        kv::Durability durability) override {
    const bool fails = left_-- == 0;
    if (!fails) return store_.swap(swaps, durability);
    if (!done_) return gone();
    // As a cluster may: some of it.
    const auto half = static_cast<std::ptrdiff_t>((swaps.size() + 1) / 2);
    TRY(store_.swap({swaps.begin(), swaps.begin() + half}, durability));
    return gone();
  }
  Result<void> scan(std::string_view begin, std::string_view end,
                    const std::function<bool(std::string_view, std::string_view)>& visit) override {
    return store_.scan(begin, end, visit);
  }

 private:
  static Error gone() { return {Code::unavailable, "the test's store is gone"}; }
  kv::Store& store_;
  int left_ = -1;
  bool done_ = false;
};

}  // namespace penstock::features
