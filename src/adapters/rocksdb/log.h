#pragma once

#include <condition_variable>
#include <map>

#include "adapters/rocksdb/core.h"
#include "ports/log.h"

namespace penstock::rocksdb {

// Records are "topic NUL offset" in their own family, offsets big-endian so that they sort.
class Log final : public events::Log {
 public:
  Log(Core& core, const Clock& clock) : core_(core), clock_(clock) {}

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
  Result<void> truncate(std::string_view topic, std::int64_t offset) override;

 private:
  struct Bounds {
    std::int64_t start = 0;  // what lies before was truncated
    std::int64_t end = 0;
  };
  // The ends of topics as a batch moves them; they become true when it is written.
  using Ends = std::map<std::string, std::int64_t, std::less<>>;

  // All with mutex_ held.
  Result<Bounds*> bounds(std::string_view topic);
  Result<std::int64_t> number_at(const std::string& key);
  Result<std::vector<std::int64_t>> add(::rocksdb::WriteBatch& batch,
                                        const std::vector<events::Append>& records, Ends& ends);
  Result<void> write(::rocksdb::WriteBatch& batch, const Ends& ends);

  Core& core_;
  const Clock& clock_;
  // Held from choosing offsets until they are written, so that what a crash leaves has no gaps.
  std::mutex mutex_;
  std::condition_variable grown_;
  std::map<std::string, Bounds, std::less<>> bounds_;
};

}  // namespace penstock::rocksdb
