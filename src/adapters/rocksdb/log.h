#pragma once

#include <condition_variable>
#include <map>

#include "adapters/rocksdb/core.h"
#include "ports/log.h"

namespace penstock::rocksdb {

// Records are "topic NUL offset" in their own family, offsets big-endian so that they sort.
class Log final : public events::Log {
 public:
  Log(Core& core, const Clock& clock);

  Result<std::vector<std::int64_t>> append(const std::vector<events::Append>& records,
                                           kv::Durability durability) override;
  Result<std::vector<events::Record>> read(std::string_view topic, std::int64_t offset,
                                           std::size_t count) override;
  Result<std::int64_t> end(std::string_view topic) override;
  bool wait(std::string_view topic, std::int64_t offset, Micros limit) override;
  Result<std::int64_t> position(std::string_view group, std::string_view topic) override;
  Result<std::optional<std::string>> state(std::string_view group, std::string_view key) override;
  Result<std::vector<std::int64_t>> commit(const events::Step& step, std::int64_t from_offset,
                                           kv::Durability durability) override;
  Result<events::Extent> extent(std::string_view topic) override;
  Result<std::int64_t> bytes(std::string_view topic, std::int64_t from, std::int64_t to) override;
  Result<void> truncate(std::string_view topic, std::int64_t offset) override;
  Result<bool> reclaim(std::string_view topic) override;

 private:
  using Bounds = events::Extent;
  // The ends of topics as a batch moves them; they become true when it is written.
  using Ends = std::map<std::string, std::int64_t, std::less<>>;

  // All with mutex_ held.
  Result<Bounds*> bounds(std::string_view topic);
  Result<std::int64_t> number_at(const std::string& key);
  Result<std::string> bind(::rocksdb::WriteBatch& batch, const events::Step& step);
  void bind(const std::string& group, const std::string& topic);
  Result<std::vector<std::int64_t>> add(::rocksdb::WriteBatch& batch,
                                        const std::vector<events::Append>& records, Ends& ends);
  Result<void> write(::rocksdb::WriteBatch& batch, const Ends& ends);

  // log_space.cc, with reclaiming_ held.
  struct Sweep {
    std::int64_t start = 0;  // of the topic, when it began
    std::size_t group = 0;   // of those that are bound to the topic, by name
    std::string from;        // the key to go on at; empty: the group's first
  };
  Result<bool> reclaim_records(const std::string& topic, const events::Extent& held);
  Result<bool> reclaim_state(const std::string& topic, const events::Extent& held);
  Result<std::optional<std::string>> sweep(const std::string& from, const std::string& until);

  Core& core_;
  const Clock& clock_;
  // Held from choosing offsets until they are written, so that what a crash leaves has no gaps.
  std::mutex mutex_;
  std::condition_variable grown_;
  std::map<std::string, Bounds, std::less<>> bounds_;
  std::map<std::string, std::string, std::less<>> bound_to_;  // groups, and the topic of each

  std::mutex reclaiming_;
  std::map<std::string, std::int64_t> compacted_;  // starts of topics, as of the last time
  std::map<std::string, Sweep> sweeps_;
};

}  // namespace penstock::rocksdb
