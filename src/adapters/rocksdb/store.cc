#include "adapters/rocksdb/store.h"

#include <algorithm>

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

constexpr std::size_t many = 16;  // keys, for which one look at their range is cheaper

}  // namespace

// The stripes of some keys, taken in their order, so that two who take several never wait for each
// other.
class Store::Hold {
 public:
  Hold(std::array<std::mutex, stripes>& all, const auto& items) {
    std::bitset<stripes> wanted;
    for (const auto& item : items) wanted.set(stripe_of(item.key));
    for (std::size_t at = 0; at < stripes; ++at)
      if (wanted[at]) held_.emplace_back(all[at]);
  }

 private:
  std::vector<std::unique_lock<std::mutex>> held_;
};

std::size_t Store::stripe_of(std::string_view key) {
  return std::hash<std::string_view>()(key) % stripes;
}

Result<std::optional<std::string>> Store::get(std::string_view key) {
  std::string value;
  const rdb::Status status = core_.db().Get({}, core_.kv(), slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return fault(status);
  return std::optional(std::move(value));
}

Result<std::vector<std::optional<std::string>>> Store::multi_get(
    const std::vector<std::string>& keys) {
  const std::vector<rdb::Slice> wanted(keys.begin(), keys.end());
  std::vector<rdb::PinnableSlice> values(keys.size());
  std::vector<rdb::Status> statuses(keys.size());
  core_.db().MultiGet({}, core_.kv(), keys.size(), wanted.data(), values.data(), statuses.data());
  std::vector<std::optional<std::string>> out(keys.size());
  for (std::size_t at = 0; at < keys.size(); ++at) {
    if (statuses[at].ok())
      out[at].emplace(values[at].data(), values[at].size());
    else if (!statuses[at].IsNotFound())
      return fault(statuses[at]);
  }
  return out;
}

Result<void> Store::write(const kv::Batch& batch, kv::Durability durability) {
  TRY(kv::check_limits(batch));
  rdb::WriteBatch together;
  for (const kv::Batch::Write& write : batch.writes) {
    if (write.value)
      together.Put(core_.kv(), write.key, *write.value);
    else
      together.Delete(core_.kv(), write.key);
  }
  {
    const Hold hold(writing_, batch.writes);
    TRY(core_.write(together));
  }
  return durability == kv::Durability::disk ? core_.sync() : Result<void>();
}

// Whether it is known at one look that none of these keys, which must not be there, is: nothing
// lies between the least and the greatest of them, as where rows are written for the first time.
Result<bool> Store::all_new(const std::vector<kv::Swap>& swaps) {
  std::string_view least = swaps.front().key, greatest = least;
  for (const kv::Swap& one : swaps) {
    if (one.expected) return false;
    least = std::min<std::string_view>(least, one.key);
    greatest = std::max<std::string_view>(greatest, one.key);
  }
  const std::string end = std::string(greatest) + '\0';
  const rdb::Slice bound(end);
  rdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  options.max_skippable_internal_keys = 1'000;  // of what was erased; beyond it, it is not known
  const std::unique_ptr<rdb::Iterator> at(core_.db().NewIterator(options, core_.kv()));
  at->Seek(slice(least));
  if (at->status().IsIncomplete()) return false;
  if (!at->status().ok()) return fault(at->status());
  return !at->Valid();
}

Result<std::vector<std::size_t>> Store::swap(const std::vector<kv::Swap>& swaps,
                                             kv::Durability durability) {
  TRY(kv::check_limits(swaps));
  if (swaps.empty()) return std::vector<std::size_t>();
  std::vector<std::size_t> lost;
  rdb::WriteBatch together;
  {
    const Hold hold(writing_, swaps);
    std::vector<std::optional<std::string>> there(swaps.size());
    if (swaps.size() < many || !TRY(all_new(swaps))) {
      std::vector<std::string> keys;
      keys.reserve(swaps.size());
      for (const kv::Swap& one : swaps) keys.push_back(one.key);
      there = TRY(multi_get(keys));
    }
    for (std::size_t at = 0; at < swaps.size(); ++at) {
      if (there[at] != swaps[at].expected)
        lost.push_back(at);
      else if (swaps[at].value)
        together.Put(core_.kv(), swaps[at].key, *swaps[at].value);
      else
        together.Delete(core_.kv(), swaps[at].key);
    }
    if (together.Count() > 0) TRY(core_.write(together));
  }
  if (together.Count() > 0 && durability == kv::Durability::disk) TRY(core_.sync());
  return lost;
}

Result<void> Store::scan(std::string_view begin, std::string_view end,
                         const std::function<bool(std::string_view, std::string_view)>& visit) {
  if (!end.empty() && end <= begin) return {};
  rdb::ReadOptions options;
  const rdb::Slice bound = slice(end);
  if (!end.empty()) options.iterate_upper_bound = &bound;
  const std::unique_ptr<rdb::Iterator> at(core_.db().NewIterator(options, core_.kv()));
  for (at->Seek(slice(begin)); at->Valid(); at->Next())
    if (!visit(view(at->key()), view(at->value()))) return {};
  if (!at->status().ok()) return fault(at->status());
  return {};
}

}  // namespace penstock::rocksdb
