#include "adapters/rocksdb/bound_state.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

// "17" and "17 what else", but no number that goes on in another way.
std::optional<std::int64_t> offset_of(std::string_view value) {
  std::int64_t offset = 0;
  const char* const end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, offset);
  if (read.ec != std::errc{} || offset < 0 || (read.ptr != end && *read.ptr != ' '))
    return std::nullopt;
  return offset;
}

class Filter final : public rdb::CompactionFilter {
 public:
  explicit Filter(std::shared_ptr<const BoundState> state) : state_(std::move(state)) {}
  const char* Name() const override { return "penstock.bound_state"; }
  Decision FilterV2(int, const rdb::Slice& key, ValueType type, const rdb::Slice& value,
                    std::string*, std::string*) const override {
    const bool gone = type == ValueType::kValue &&
                      state_->is_gone({key.data(), key.size()}, {value.data(), value.size()});
    return gone ? Decision::kRemove : Decision::kKeep;
  }

 private:
  const std::shared_ptr<const BoundState> state_;
};

class Factory final : public rdb::CompactionFilterFactory {
 public:
  explicit Factory(std::shared_ptr<const BoundState> state) : state_(std::move(state)) {}
  const char* Name() const override { return "penstock.bound_state"; }
  std::unique_ptr<rdb::CompactionFilter> CreateCompactionFilter(
      const rdb::CompactionFilter::Context&) override {
    return std::make_unique<Filter>(state_);
  }

 private:
  const std::shared_ptr<const BoundState> state_;
};

}  // namespace

void BoundState::forget_before(const std::string& prefix, std::int64_t offset) {
  const std::lock_guard lock(turn_);
  const auto known = starts_.load();
  auto next = known ? std::make_shared<Starts>(*known) : std::make_shared<Starts>();
  std::int64_t& start = (*next)[prefix];
  start = std::max(start, offset);
  starts_.store(std::move(next));
}

bool BoundState::is_gone(std::string_view key, std::string_view value) const {
  const auto starts = starts_.load();
  if (!starts) return false;
  const auto found = starts->find(key.substr(0, key.find('\0') + 1));
  if (found == starts->end()) return false;
  const auto offset = offset_of(value);
  return offset && *offset < found->second;
}

std::shared_ptr<rdb::CompactionFilterFactory> filter_of(std::shared_ptr<BoundState> state) {
  return std::make_shared<Factory>(std::move(state));
}

}  // namespace penstock::rocksdb
