#include "adapters/rocksdb/store.h"

#include <algorithm>
#include <filesystem>
#include <rocksdb/sst_file_writer.h>

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

constexpr std::size_t many = 16;  // keys, for which one look at their range is cheaper
// Bytes that are worth a file of their own, and the keys for which all stripes are likely needed.
constexpr std::size_t large = std::size_t{2} << 20, most = 1'000;
constexpr std::size_t looked_at = 256;  // of many keys, before more is done for them

// Rows in the order of their keys, each once, none of which may be there.
bool is_large_and_new(const std::vector<kv::Swap>& swaps) {
  if (swaps.size() < many) return false;
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < swaps.size(); ++at) {
    if (swaps[at].expected || !swaps[at].value) return false;
    if (at > 0 && swaps[at - 1].key >= swaps[at].key) return false;
    bytes += swaps[at].key.size() + swaps[at].value->size();
  }
  return bytes >= large;
}

// A file that goes away where it is not taken in.
struct Incoming {
  std::string path;
  ~Incoming() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

}  // namespace

// The stripes of some keys, taken in their order, so that two who take several never wait for each
// other.
class Store::Hold {
 public:
  Hold(std::array<std::mutex, stripes>& all, const auto& items) {
    std::bitset<stripes> wanted;
    if (items.size() >= most) wanted.set();
    if (items.size() < most)
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
  return nothing_between(least, greatest);
}

Result<bool> Store::nothing_between(std::string_view least, std::string_view greatest) {
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

// Of at most `count` of these keys, whether none is there.
Result<bool> Store::none_there(const std::vector<kv::Swap>& swaps, std::size_t count) {
  const std::size_t step = std::max<std::size_t>(1, swaps.size() / count);
  std::vector<rdb::Slice> keys;
  keys.reserve(swaps.size() / step + 1);
  for (std::size_t at = 0; at < swaps.size(); at += step) keys.push_back(slice(swaps[at].key));
  std::vector<rdb::PinnableSlice> values(keys.size());
  std::vector<rdb::Status> statuses(keys.size());
  constexpr bool sorted = true;
  core_.db().MultiGet({}, core_.kv(), keys.size(), keys.data(), values.data(), statuses.data(),
                      sorted);
  for (const rdb::Status& status : statuses) {
    if (status.ok()) return false;
    if (!status.IsNotFound()) return fault(status);
  }
  return true;
}

Result<bool> Store::load(const std::vector<kv::Swap>& swaps) {
  if (!is_large_and_new(swaps)) return false;
  // Their file is only written where they are likely all new.
  const std::string &least = swaps.front().key, &greatest = swaps.back().key;
  if (!TRY(nothing_between(least, greatest)) && !TRY(none_there(swaps, looked_at))) return false;
  const Incoming file{core_.new_file()};
  rdb::Options options = core_.db().GetOptions(core_.kv());
  options.compression = rdb::kNoCompression;  // until RocksDB rewrites it; half of the work else
  rdb::SstFileWriter writer(rdb::EnvOptions(), options, core_.kv());
  rdb::Status status = writer.Open(file.path);
  for (std::size_t at = 0; status.ok() && at < swaps.size(); ++at)
    status = writer.Put(slice(swaps[at].key), slice(*swaps[at].value));
  if (status.ok()) status = writer.Finish();
  if (!status.ok()) return fault(status);
  const Hold hold(writing_, swaps);
  if (!TRY(nothing_between(least, greatest)) && !TRY(none_there(swaps, swaps.size()))) return false;
  TRY(core_.take_in(core_.kv(), file.path));
  return true;
}

Result<std::vector<std::size_t>> Store::swap(const std::vector<kv::Swap>& swaps,
                                             kv::Durability durability) {
  TRY(kv::check_limits(swaps));
  if (swaps.empty() || TRY(load(swaps))) return std::vector<std::size_t>();
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
