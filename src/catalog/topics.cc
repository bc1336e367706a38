// Topics of Kafka, read as far as they stand when reading begins.
#include <fstream>

#include "catalog/snapshots.h"

namespace penstock::catalog {
namespace {

constexpr std::int64_t sampled_messages = 1'000;
constexpr Micros sample_time = std::chrono::seconds(30), read_time = std::chrono::hours(1);
constexpr Micros sample_age = std::chrono::minutes(1);
constexpr std::size_t write_step = 1 << 20;

// What the broker said, in terms of the declaration.
Error told(const Source& source, const Error& error) {
  const auto at_field = [&](Code code, const std::string& field, const std::string& problem) {
    return Error{code, "source " + source.name + ": " + field + " " + problem, {{field, problem}}};
  };
  const KafkaTopic& place = *source.kafka;
  switch (error.code) {
    case Code::permission_denied:
      return at_field(Code::failed_precondition, "kafka.connection",
                      place.connection + " may not read " + place.topic + ": " + error.message);
    case Code::invalid_argument:
    case Code::failed_precondition:
      return at_field(Code::failed_precondition, "kafka.connection",
                      place.connection + ": " + error.message);
    case Code::not_found:
      return at_field(Code::not_found, "kafka.topic",
                      "names no topic of connection " + place.connection + ": " + place.topic);
    default:
      return {error.code,
              "source " + source.name + ": topic " + place.topic + ": " + error.message};
  }
}

// The state that was read: "0:[10,25) 1:[0,7)".
std::string text_of(const std::vector<messages::Range>& ranges) {
  std::string out;
  for (const messages::Range& range : ranges)
    out += (out.empty() ? "" : " ") + std::to_string(range.partition) + ":[" +
           std::to_string(range.begin) + "," + std::to_string(range.end) + ")";
  return out;
}

}  // namespace

std::string Snapshots::brokers_of(const std::string& connection) const {
  const auto found = options_.brokers.find(connection);
  return found == options_.brokers.end() ? "" : found->second;
}

Result<MessageRows> Snapshots::read_newest(const Source& source) {
  const KafkaTopic& place = *source.kafka;
  const auto reader = options_.topics(place.connection);
  if (!reader) return told(source, reader.error());
  const auto ranges = (*reader)->ranges(place.topic, std::min(sampled_messages, place.messages_max),
                                        {}, sample_time);
  if (!ranges) return told(source, ranges.error());
  MessageRows rows({});
  std::string nothing;
  const auto read = (*reader)->read(
      place.topic, *ranges,
      [&](const messages::Message& message) -> Result<void> {
        rows.take(message, nothing);
        return {};
      },
      sample_time);
  if (!read) return told(source, read.error());
  return rows;
}

Result<MessageRows> Snapshots::sample(const Source& source) {
  const std::string key = canonical(encode(*source.kafka));
  {
    const std::lock_guard hold(turn_);
    std::erase_if(samples_, [&](const auto& one) {
      return clock_.now() - one.second.at > (one.second.rows ? sample_age : sample_age / 6);
    });
    if (const auto found = samples_.find(key); found != samples_.end()) return found->second.rows;
  }
  auto rows = read_newest(source);
  const std::lock_guard hold(turn_);
  samples_.insert_or_assign(key, Sample{clock_.now(), rows});
  return rows;
}

Result<Rejects> Snapshots::rejects(const Source& source) {
  if (!source.kafka) return Rejects{};
  return TRY(copied(source, std::chrono::minutes(10))).rejects;
}

Result<std::vector<tables::Column>> Snapshots::write_topic(const Source& source,
                                                           const std::string& csv, Copy& out,
                                                           std::string& offsets) {
  const KafkaTopic& place = *source.kafka;
  const auto reader = options_.topics(place.connection);
  if (!reader) return told(source, reader.error());
  std::optional<Timestamp> since;
  if (place.since) since = clock_.now() - *place.since;
  const auto ranges = (*reader)->ranges(place.topic, place.messages_max, since, sample_time);
  if (!ranges) return told(source, ranges.error());
  offsets = text_of(*ranges);

  MessageRows rows(source.columns);
  std::ofstream file(csv, std::ios::binary);
  std::string lines = rows.header();
  std::int64_t written = 0;
  const auto flush = [&]() -> Result<void> {
    written += static_cast<std::int64_t>(lines.size());
    if (written > options_.copy_bytes_max)
      return Error{Code::resource_exhausted,
                   "its messages have more than " + std::to_string(options_.copy_bytes_max) +
                       " bytes (limits.source_bytes); lower kafka.messages_max or kafka.since"};
    file << lines;
    lines.clear();
    if (file) return {};
    return Error{Code::resource_exhausted, "cannot write " + csv + "; is the disk full?"};
  };
  const auto read = (*reader)->read(
      place.topic, *ranges,
      [&](const messages::Message& message) -> Result<void> {
        rows.take(message, lines);
        return lines.size() < write_step ? Result<void>() : flush();
      },
      read_time);
  if (!read) return told(source, read.error());
  if (const auto last = flush(); !last) return told(source, last.error());
  file.close();
  if (!file) return Error{Code::resource_exhausted, "cannot write " + csv + "; is the disk full?"};
  out.rejects = rows.rejects();
  out.newest = rows.newest();
  out.found = rows.columns();
  std::vector<tables::Column> columns;
  for (const SourceColumn& column : source.columns)
    columns.push_back(MessageRows::column(column.name, column.type));
  return columns;
}

}  // namespace penstock::catalog
