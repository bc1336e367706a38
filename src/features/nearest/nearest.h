// Nearest neighbours among the online rows: which indexes there are, and what writes tell them.
#pragma once

#include "features/nearest/index.h"

namespace penstock::features {

struct NearestOptions {
  std::size_t bytes_max = 1 << 30;      // of all vectors and graphs in memory
  std::size_t graph_rows_min = 20'000;  // fewer are looked at one by one
  Micros age_max{0};  // after it the store is read anew, for what others wrote; 0: none do
};

// An index is made when it is asked first, and is in memory only: after a restart the first
// question reads the store again.
class Nearest {
 public:
  Nearest(kv::Store& kv, NearestOptions options) : kv_(kv), options_(options) {}

  Result<NearestOutput> ask(std::shared_ptr<const ViewHandle> view, const NearestInput& input,
                            Timestamp now);
  // Lets approximate indexes grow for some milliseconds. Whether there is more to do.
  bool grow();
  // Rows of these keys may have changed, or are gone. Called after they were written.
  template <class Writes>
  void written(const Writes& writes) {
    if (count_ == 0) return;
    const std::lock_guard hold(turn_);
    for (const auto& write : writes) tell(write.key);
  }

 private:
  struct Held {
    std::shared_ptr<VectorIndex> index;
    std::int64_t asked = 0;  // the greatest was asked last
  };
  std::shared_ptr<VectorIndex> index_of(std::shared_ptr<const ViewHandle> view,
                                        std::size_t feature);
  // The index that nobody has asked for longest, but not `index`.
  std::shared_ptr<VectorIndex> give_up_one(const VectorIndex* index);
  void tell(const std::string& key);  // under turn_

  kv::Store& kv_;
  const NearestOptions options_;
  VectorMemory memory_{options_.bytes_max};
  std::mutex turn_;
  std::int64_t asked_ = 0;
  std::map<std::pair<std::string, std::size_t>, Held> indexes_;  // by prefix of rows and feature
  std::atomic<std::size_t> count_ = 0;                           // of indexes_
};

// The store as features write it: indexes hear of every write, whoever makes it.
class WatchedStore final : public kv::Store {
 public:
  WatchedStore(kv::Store& inner, Nearest& nearest) : inner_(inner), nearest_(nearest) {}
  Result<std::optional<std::string>> get(std::string_view key) override { return inner_.get(key); }
  Result<std::vector<std::optional<std::string>>> multi_get(
      const std::vector<std::string>& keys) override {
    return inner_.multi_get(keys);
  }
  Result<void> write(const kv::Batch& batch, kv::Durability durability) override {
    auto outcome = inner_.write(batch, durability);
    nearest_.written(batch.writes);  // of a write that failed no one knows what was written
    return outcome;
  }
  Result<std::vector<std::size_t>> swap(const std::vector<kv::Swap>& swaps,
                                        kv::Durability durability) override {
    auto outcome = inner_.swap(swaps, durability);
    nearest_.written(swaps);
    return outcome;
  }
  Result<void> scan(
      std::string_view begin, std::string_view end,
      const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    return inner_.scan(begin, end, visit);
  }

 private:
  kv::Store& inner_;
  Nearest& nearest_;
};

}  // namespace penstock::features
