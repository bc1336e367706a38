// The project's own topics: what streams read and write.
#pragma once

#include "base/call.h"
#include "ports/log.h"
#include "serving/stream.h"

namespace penstock::serving {

struct TopicRecordInput {
  std::string key;    // records of one key keep their order
  json::value value;  // for a stream: a StreamEvent
};
BOOST_DESCRIBE_STRUCT(TopicRecordInput, (), (key, value))
constexpr auto rules_of(const TopicRecordInput&) {
  return std::array{Rule{.field = "key", .max = 1'000, .may_miss = true}};
}
struct TopicAppendInput {
  std::string topic;
  std::vector<TopicRecordInput> records;
};
BOOST_DESCRIBE_STRUCT(TopicAppendInput, (), (topic, records))
constexpr auto rules_of(const TopicAppendInput&) {
  return std::array{Rule{.field = "topic", .min = 1, .max = 100},
                    Rule{.field = "records", .min = 1, .max = 10'000}};
}
struct TopicAppendOutput {
  std::int64_t first_offset = 0;  // of the records, which stand one after the other
  std::int64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(TopicAppendOutput, (), (first_offset, count))

struct TopicReadInput {
  std::string topic;
  std::int64_t offset = 0;
  std::int64_t limit = 100;
};
BOOST_DESCRIBE_STRUCT(TopicReadInput, (), (topic, offset, limit))
constexpr auto rules_of(const TopicReadInput&) {
  return std::array{Rule{.field = "topic", .min = 1, .max = 100},
                    Rule{.field = "offset", .min = 0, .may_miss = true},
                    Rule{.field = "limit", .min = 1, .max = 1'000, .may_miss = true}};
}
struct TopicRecord {
  std::int64_t offset = 0;
  Timestamp at;
  std::string key;
  json::value value;
};
BOOST_DESCRIBE_STRUCT(TopicRecord, (), (offset, at, key, value))
struct TopicReadOutput {
  std::vector<TopicRecord> records;
  std::int64_t next_offset = 0;  // where to read on
  std::int64_t end = 0;          // the offset that the next record gets
};
BOOST_DESCRIBE_STRUCT(TopicReadOutput, (), (records, next_offset, end))

// Durable when it returns. Letters, digits and "._-" make a topic's name.
Result<TopicAppendOutput> append(events::Log& log, const Call& call, const TopicAppendInput& input);
Result<TopicReadOutput> read(events::Log& log, const Call& call, const TopicReadInput& input);

}  // namespace penstock::serving
