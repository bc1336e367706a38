// How a log's disk space comes back. Whole files of truncated records go at once, with their
// truncation; what is here compacts what lies among that which stays.
#include <algorithm>
#include <rocksdb/convenience.h>

#include "adapters/rocksdb/log.h"
#include "adapters/rocksdb/log_keys.h"

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

// Of truncated records that still lie on disk: as much, or an eighth of what is kept, is not worth
// the work.
constexpr std::int64_t dead_bytes_few = 8 << 20, dead_share = 8;
// Of state that is bound to truncated records: fewer keys, or a quarter of those that are kept.
constexpr std::int64_t dead_keys_few = 10'000, dead_keys_share = 4;

Result<std::int64_t> size_of(rdb::DB& db, rdb::ColumnFamilyHandle* family, const std::string& from,
                             const std::string& to, bool with_memory) {
  const rdb::Range range(from, to);
  rdb::SizeApproximationOptions options;
  options.include_memtables = with_memory;
  options.include_files = true;
  std::uint64_t size = 0;
  const rdb::Status status = db.GetApproximateSizes(options, family, &range, 1, &size);
  if (!status.ok()) return fault(status);
  return static_cast<std::int64_t>(size);
}

// Beside what RocksDB compacts by itself, and with what lies deepest: that is where it lies long.
Result<void> compact(rdb::DB& db, rdb::ColumnFamilyHandle* family, const std::string& from,
                     const std::string& to) {
  rdb::CompactRangeOptions options;
  options.exclusive_manual_compaction = false;
  options.bottommost_level_compaction = rdb::BottommostLevelCompaction::kForce;
  const rdb::Slice begin(from), end(to);
  const rdb::Status status = db.CompactRange(options, family, &begin, &end);
  return status.ok() ? Result<void>() : Result<void>(fault(status));
}

}  // namespace

Result<std::int64_t> Log::bytes(std::string_view topic, std::int64_t from, std::int64_t to) {
  if (from >= to) return 0;
  return size_of(core_.db(), core_.log(), key_of(topic, from), key_of(topic, to), true);
}

Result<bool> Log::reclaim(std::string_view name) {
  const std::string topic(name);
  const events::Extent held = TRY(extent(topic));
  const std::lock_guard lock(reclaiming_);
  if (TRY(reclaim_records(topic, held))) return true;
  return reclaim_state(topic, held);
}

Result<bool> Log::reclaim_records(const std::string& topic, const events::Extent& held) {
  if (compacted_[topic] == held.start) return false;  // nothing was truncated since
  const std::string first = key_of(topic, 0), start = key_of(topic, held.start);
  const std::int64_t dead = TRY(size_of(core_.db(), core_.log(), first, start, false));
  const std::int64_t kept = TRY(bytes(topic, held.start, held.end));
  if (dead <= std::max(dead_bytes_few, kept / dead_share)) return false;
  compacted_[topic] = held.start;
  TRY(compact(core_.db(), core_.log(), first, start));
  return true;
}

// A pass over all state that is bound to the topic, a file at a time. How much of it is dead
// nobody counts; but each record has about as much of it as any other.
Result<bool> Log::reclaim_state(const std::string& topic, const events::Extent& held) {
  const std::string swept_key = prefix_of(swept_prefix) + topic;
  auto sweep_of = sweeps_.find(topic);
  if (sweep_of == sweeps_.end()) {
    const std::int64_t dead = held.start - TRY(number_at(swept_key));
    if (dead < std::max(dead_keys_few, (held.end - held.start) / dead_keys_share)) return false;
    sweep_of = sweeps_.emplace(topic, Sweep{.start = held.start}).first;
  }
  Sweep& now = sweep_of->second;
  std::vector<std::string> groups;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [group, of] : bound_to_)
      if (of == topic) groups.push_back(prefix_of(group));
  }
  if (now.group < groups.size()) {
    const std::string& group = groups[now.group];
    std::string until = group;
    until.back() = '\1';
    const auto next = TRY(sweep(now.from.empty() ? group : now.from, until));
    now.from = next.value_or("");
    if (!next) ++now.group;
    return true;
  }
  rdb::WriteBatch batch;
  batch.Put(core_.positions(), swept_key, big_endian(now.start));
  TRY(core_.write(batch));
  sweeps_.erase(sweep_of);
  return false;
}

// Compacts state from a key on to the end of a file; where to go on, nothing after the last.
Result<std::optional<std::string>> Log::sweep(const std::string& from, const std::string& until) {
  rdb::ColumnFamilyMetaData files;
  core_.db().GetColumnFamilyMetaData(core_.state(), &files);
  std::string to = until;
  for (const rdb::LevelMetaData& level : files.levels)
    if (level.level > 0)
      for (const rdb::SstFileMetaData& file : level.files)
        if (file.largestkey >= from) to = std::min(to, file.largestkey);
  TRY(compact(core_.db(), core_.state(), from, to));
  if (to == until) return std::optional<std::string>();
  return std::optional(to + '\0');
}

}  // namespace penstock::rocksdb
