// Topics of a message broker, as sources of the catalog: where they stand, and their messages.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace penstock::messages {

// Messages of one partition, from `begin` up to and without `end`. Fewer may be there: offsets have
// gaps where transactions ended or were aborted, and where a topic is compacted.
struct Range {
  std::int32_t partition = 0;
  std::int64_t begin = 0, end = 0;
};

// Its bytes are there while it is visited.
struct Message {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::optional<Timestamp> at;
  std::optional<std::string_view> key, value;
};

// Reads what was committed, and leaves no trace at the broker: no group, no offsets. For many
// threads.
class Reader {
 public:
  virtual ~Reader() = default;
  // Of each partition, in their order, where its newest offsets stand now: an even share of `most`,
  // and of these none older than `since`. not_found where there is no such topic, permission_denied
  // where the broker does not take who we are, unavailable where none answers.
  virtual Result<std::vector<Range>> ranges(const std::string& topic, std::int64_t most,
                                            std::optional<Timestamp> since, Micros time_limit) = 0;
  // Visits each message of these ranges, in order within a partition. An error of `visit` ends the
  // reading with that error; unavailable where offsets are gone meanwhile or the time is over.
  virtual Result<void> read(const std::string& topic, const std::vector<Range>& ranges,
                            const std::function<Result<void>(const Message&)>& visit,
                            Micros time_limit) = 0;
};

}  // namespace penstock::messages
