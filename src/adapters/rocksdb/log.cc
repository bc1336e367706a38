#include "adapters/rocksdb/log.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

constexpr std::size_t max_read = 4 << 20, stamp_size = 8, length_size = 4;
constexpr std::string_view start_prefix = "start", position_prefix = "position";

Result<void> check_name(std::string_view what, std::string_view name) {
  const bool good = !name.empty() && name.size() <= 200 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  });
  if (good) return {};
  return Error{Code::invalid_argument,
               "the name of a " + std::string(what) +
                   " is 1 to 200 letters, digits, dots, underscores and hyphens"};
}

std::string big_endian(std::uint64_t number) {
  std::string out(8, '\0');
  for (std::size_t at = 8; at-- > 0; number >>= 8) out[at] = static_cast<char>(number & 0xff);
  return out;
}

std::int64_t from_big_endian(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char byte : bytes) out = out << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(out);
}

std::string big_endian(std::int64_t number) {
  return big_endian(static_cast<std::uint64_t>(number));
}

// "topic NUL": no name holds a NUL, so no topic's records lie among another's.
std::string prefix_of(std::string_view topic) { return std::string(topic) + '\0'; }

std::string key_of(std::string_view topic, std::int64_t offset) {
  return prefix_of(topic) + big_endian(offset);
}

std::string start_key(std::string_view topic) {
  return prefix_of(start_prefix) + std::string(topic);
}

std::string position_key(std::string_view group, std::string_view topic) {
  return prefix_of(position_prefix) + prefix_of(group) + std::string(topic);
}

std::string encoded(Timestamp at, const events::Append& record) {
  std::string out = big_endian(at.time_since_epoch().count());
  const auto length = static_cast<std::uint32_t>(record.key.size());
  out.append(reinterpret_cast<const char*>(&length), length_size);
  static_assert(std::endian::native == std::endian::little);
  return out.append(record.key).append(record.value);
}

Result<events::Record> decoded(std::int64_t offset, std::string_view bytes) {
  std::uint32_t length = 0;
  if (bytes.size() >= stamp_size + length_size)
    std::memcpy(&length, bytes.data() + stamp_size, length_size);
  if (bytes.size() < stamp_size + length_size + length)
    return Error{Code::data_loss, "record " + std::to_string(offset) + " is cut short"};
  const std::string_view rest = bytes.substr(stamp_size + length_size);
  return events::Record{.offset = offset,
                        .at = Timestamp(Micros(from_big_endian(bytes.substr(0, stamp_size)))),
                        .key = std::string(rest.substr(0, length)),
                        .value = std::string(rest.substr(length))};
}

}  // namespace

Result<std::int64_t> Log::number_at(const std::string& key) {
  std::string value;
  const rdb::Status status = core_.db().Get({}, core_.positions(), key, &value);
  if (status.IsNotFound()) return 0;
  if (!status.ok()) return fault(status);
  return from_big_endian(value);
}

Result<Log::Bounds*> Log::bounds(std::string_view topic) {
  if (const auto known = bounds_.find(topic); known != bounds_.end()) return &known->second;
  TRY(check_name("topic", topic));
  Bounds found;
  found.start = found.end = TRY(number_at(start_key(topic)));
  const std::string prefix = prefix_of(topic);
  const std::unique_ptr<rdb::Iterator> last(core_.db().NewIterator({}, core_.log()));
  last->SeekForPrev(prefix + std::string(8, '\xff'));
  if (last->Valid() && view(last->key()).starts_with(prefix))
    found.end = std::max(found.end, from_big_endian(view(last->key()).substr(prefix.size())) + 1);
  if (!last->status().ok()) return fault(last->status());
  return &bounds_.emplace(topic, found).first->second;
}

Result<std::vector<std::int64_t>> Log::add(rdb::WriteBatch& batch,
                                           const std::vector<events::Append>& records, Ends& ends) {
  std::vector<std::int64_t> offsets;
  offsets.reserve(records.size());
  const Timestamp at = clock_.now();
  std::size_t total = 0;
  for (const events::Append& record : records) {
    total += record.key.size() + record.value.size();
    if (record.key.size() > max_key || record.value.size() > max_value || total > max_write)
      return Error{Code::invalid_argument,
                   "a record holds a key of at most 64 KB and a value of at most 16 MB, and an "
                   "append at most 64 MB"};
    auto end = ends.find(record.topic);
    if (end == ends.end()) end = ends.emplace(record.topic, TRY(bounds(record.topic))->end).first;
    batch.Put(core_.log(), key_of(record.topic, end->second), encoded(at, record));
    offsets.push_back(end->second++);
  }
  return offsets;
}

Result<void> Log::write(rdb::WriteBatch& batch, const Ends& ends) {
  TRY(core_.write(batch));
  for (const auto& [topic, end] : ends) bounds_.find(topic)->second.end = end;
  if (!ends.empty()) grown_.notify_all();
  return {};
}

Result<std::vector<std::int64_t>> Log::append(const std::vector<events::Append>& records,
                                              kv::Durability durability) {
  if (records.empty()) return std::vector<std::int64_t>();
  std::vector<std::int64_t> offsets;
  {
    const std::lock_guard lock(mutex_);
    rdb::WriteBatch batch;
    Ends ends;
    offsets = TRY(add(batch, records, ends));
    TRY(write(batch, ends));
  }
  if (durability == kv::Durability::disk) TRY(core_.sync());
  return offsets;
}

Result<std::vector<events::Record>> Log::read(std::string_view topic, std::int64_t offset,
                                              std::size_t count) {
  if (offset < 0) return Error{Code::invalid_argument, "an offset is not negative"};
  {
    const std::lock_guard lock(mutex_);
    const Bounds known = *TRY(bounds(topic));
    if (offset >= known.end) return std::vector<events::Record>();
    // Not through the graves of what was truncated: they are slow to pass.
    offset = std::max(offset, known.start);
  }
  const std::string prefix = prefix_of(topic), past = std::string(topic) + '\1';
  const rdb::Slice bound(past);
  rdb::ReadOptions options;
  options.iterate_upper_bound = &bound;
  options.fill_cache = count == 1;  // who reads on and on comes by once
  std::vector<events::Record> out;
  std::size_t bytes = 0;
  const std::unique_ptr<rdb::Iterator> at(core_.db().NewIterator(options, core_.log()));
  for (at->Seek(key_of(topic, offset)); at->Valid() && out.size() < count && bytes < max_read;
       at->Next()) {
    const std::int64_t found = from_big_endian(view(at->key()).substr(prefix.size()));
    out.push_back(TRY(decoded(found, view(at->value()))));
    bytes += at->value().size();
  }
  if (!at->status().ok()) return fault(at->status());
  return out;
}

Result<std::int64_t> Log::end(std::string_view topic) {
  const std::lock_guard lock(mutex_);
  return TRY(bounds(topic))->end;
}

bool Log::wait(std::string_view topic, std::int64_t offset, Micros limit) {
  std::unique_lock lock(mutex_);
  // A name or disk that is at fault is reported by the read that follows.
  const auto known = bounds(topic);
  return known && grown_.wait_for(lock, limit, [&] { return (*known)->end > offset; });
}

Result<std::int64_t> Log::position(std::string_view group, std::string_view topic) {
  TRY(check_name("group", group));
  TRY(check_name("topic", topic));
  return number_at(position_key(group, topic));
}

Result<std::optional<std::string>> Log::state(std::string_view group, std::string_view key) {
  TRY(check_name("group", group));
  std::string value;
  const std::string place = prefix_of(group) + std::string(key);
  const rdb::Status status = core_.db().Get({}, core_.state(), place, &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return fault(status);
  return std::optional(std::move(value));
}

Result<std::vector<std::int64_t>> Log::commit(const events::Step& step, std::int64_t from_offset,
                                              kv::Durability durability) {
  TRY(check_name("group", step.group));
  TRY(check_limits(step.state));
  std::vector<std::int64_t> offsets;
  {
    const std::lock_guard lock(mutex_);
    const Bounds input = *TRY(bounds(step.topic));
    const std::string place = position_key(step.group, step.topic);
    const std::int64_t position = TRY(number_at(place));
    if (position != from_offset)
      return Error{Code::failed_precondition, "group " + step.group + " reads " + step.topic +
                                                  " from " + std::to_string(position) +
                                                  ", not from " + std::to_string(from_offset)};
    if (step.next_offset < from_offset || step.next_offset > input.end)
      return Error{Code::invalid_argument,
                   "the next offset must be " + std::to_string(from_offset) + " to " +
                       std::to_string(input.end) + ", not " + std::to_string(step.next_offset)};
    rdb::WriteBatch batch;
    Ends ends;
    offsets = TRY(add(batch, step.outputs, ends));
    for (const auto& [key, output] : step.offsets)
      batch.Put(core_.state(), prefix_of(step.group) + key, std::to_string(offsets.at(output)));
    for (const kv::Batch::Write& write : step.state.writes) {
      const std::string key = prefix_of(step.group) + write.key;
      if (write.value)
        batch.Put(core_.state(), key, *write.value);
      else
        batch.Delete(core_.state(), key);
    }
    batch.Put(core_.positions(), place, big_endian(step.next_offset));
    TRY(write(batch, ends));
  }
  if (durability == kv::Durability::disk) TRY(core_.sync());
  return offsets;
}

Result<void> Log::truncate(std::string_view topic, std::int64_t offset) {
  const std::lock_guard lock(mutex_);
  Bounds& known = *TRY(bounds(topic));
  if (offset < 0 || offset > known.end)
    return Error{Code::invalid_argument, "topic " + std::string(topic) + " ends at " +
                                             std::to_string(known.end) + ", not past " +
                                             std::to_string(offset)};
  if (offset <= known.start) return {};
  // The start is kept apart from the records: without it, a topic of which nothing is left would
  // count from 0 again.
  rdb::WriteBatch batch;
  batch.DeleteRange(core_.log(), key_of(topic, 0), key_of(topic, offset));
  batch.Put(core_.positions(), start_key(topic), big_endian(offset));
  TRY(core_.write(batch));
  known.start = offset;
  return {};
}

}  // namespace penstock::rocksdb
