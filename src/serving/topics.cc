#include "serving/topics.h"

#include "base/urn.h"
#include "serving/text.h"

namespace penstock::serving {
namespace {

Result<std::string> name_in_log(const Call& call, const std::string& topic) {
  for (const char letter : topic)
    if (letter == '/' || letter == '~' || !Urn::is_name_letter(letter))
      return Error{Code::invalid_argument,
                   "topic must be of letters, digits and ._-",
                   {{"topic", "must be of letters, digits and ._-"}}};
  return topic_name(call.project, topic);
}

}  // namespace

Result<TopicAppendOutput> append(events::Log& log, const Call& call,
                                 const TopicAppendInput& input) {
  const std::string topic = TRY(name_in_log(call, input.topic));
  if (input.records.empty())
    return Error{Code::invalid_argument,
                 "there is nothing to append",
                 {{"records", "must have at least 1 record"}}};
  std::vector<events::Append> records;
  records.reserve(input.records.size());
  for (const TopicRecordInput& record : input.records)
    records.push_back({topic, record.key, json::serialize(record.value)});
  const auto offsets = TRY(log.append(records, kv::Durability::disk));
  return TopicAppendOutput{offsets.front(), static_cast<std::int64_t>(offsets.size())};
}

Result<TopicReadOutput> read(events::Log& log, const Call& call, const TopicReadInput& input) {
  const std::string topic = TRY(name_in_log(call, input.topic));
  auto end = TRY(log.end(topic));
  TopicReadOutput out{.next_offset = input.offset, .end = std::move(end)};
  const auto records = TRY(log.read(topic, input.offset, static_cast<std::size_t>(input.limit)));
  for (const events::Record& record : records) {
    auto value = TRY(parse_exact(record.value));
    out.records.push_back({record.offset, record.at, record.key, std::move(value)});
    out.next_offset = record.offset + 1;
  }
  return out;
}

}  // namespace penstock::serving
