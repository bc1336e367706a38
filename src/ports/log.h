// Durable, ordered topics with consumer positions that commit together with what was made from
// them. RocksDB and Kafka implement it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "ports/kv.h"

namespace penstock::events {

struct Record {
  std::int64_t offset = 0;  // counts from 0 within its topic, without gaps
  Timestamp at;             // when it was appended
  std::string key, value;
};

struct Append {
  std::string topic, key, value;
};

// What a consumer did with a stretch of input, all of it or nothing.
struct Step {
  std::string group, topic;
  std::int64_t next_offset = 0;  // where the group reads on
  std::vector<Append> outputs;
  kv::Batch state;  // keys are private to the group
  // Such keys whose value becomes the offset of an output, in decimal: {key, place in outputs}.
  std::vector<std::pair<std::string, std::size_t>> offsets = {};
  // The topic whose records the group's state lives with: a value that is an offset of it, or
  // begins with one and a space, is gone once that record is truncated. Of `offsets` it is the
  // topic of their outputs. A group is bound to one topic for ever.
  std::string bound_to = {};
};

// What is there of a topic: the records from `start` to before `end`.
struct Extent {
  std::int64_t start = 0, end = 0;
  std::optional<Timestamp> gone_until;  // when the last of the truncated ones was appended
};

class Log {
 public:
  virtual ~Log() = default;
  // Offsets of the records, in their order. All or nothing.
  virtual Result<std::vector<std::int64_t>> append(const std::vector<Append>& records,
                                                   kv::Durability durability) = 0;
  // Records from `offset` on, at most `count` of them and about 4 MB; none at the end.
  virtual Result<std::vector<Record>> read(std::string_view topic, std::int64_t offset,
                                           std::size_t count) = 0;
  // The offset that the next record of the topic gets.
  virtual Result<std::int64_t> end(std::string_view topic) = 0;
  // Blocks until `topic` reaches past `offset` or `limit` has passed; true if it did.
  virtual bool wait(std::string_view topic, std::int64_t offset, Micros limit) = 0;

  virtual Result<std::int64_t> position(std::string_view group, std::string_view topic) = 0;
  virtual Result<std::optional<std::string>> state(std::string_view group,
                                                   std::string_view key) = 0;
  // Outputs, state and position in one write. failed_precondition when the group's position has
  // moved past the step's input already (another consumer was faster): nothing is written then.
  // Gives the offsets of the outputs, in their order.
  virtual Result<std::vector<std::int64_t>> commit(const Step& step, std::int64_t from_offset,
                                                   kv::Durability durability) = 0;
  virtual Result<Extent> extent(std::string_view topic) = 0;
  // That the records from `from` to before `to` take on disk, about.
  virtual Result<std::int64_t> bytes(std::string_view topic, std::int64_t from,
                                     std::int64_t to) = 0;
  // Drops records before `offset`, and state that is bound to them; durable when it returns.
  virtual Result<void> truncate(std::string_view topic, std::int64_t offset) = 0;
  // Gives back a bounded part of the disk space of what was truncated; true if there may be more.
  virtual Result<bool> reclaim(std::string_view topic) = 0;
};

}  // namespace penstock::events
