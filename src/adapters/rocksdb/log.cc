#include "adapters/rocksdb/log.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <rocksdb/convenience.h>

#include "adapters/rocksdb/log_keys.h"
#include "base/log.h"

namespace penstock::rocksdb {

namespace rdb = ::rocksdb;

namespace {

constexpr std::size_t max_read = 4 << 20, stamp_size = 8, length_size = 4;

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

Log::Log(Core& core, const Clock& clock) : core_(core), clock_(clock) {
  const std::string prefix = prefix_of(bound_prefix);
  const std::unique_ptr<rdb::Iterator> at(core_.db().NewIterator({}, core_.positions()));
  for (at->Seek(prefix); at->Valid() && view(at->key()).starts_with(prefix); at->Next())
    bind(std::string(view(at->key()).substr(prefix.size())), at->value().ToString());
  if (!at->status().ok())
    log::error("bound_state_unreadable", {{"error", at->status().ToString()}});
}

Result<std::int64_t> Log::number_at(const std::string& key) {
  std::string value;
  const rdb::Status status = core_.db().Get({}, core_.positions(), key, &value);
  if (status.IsNotFound()) return 0;
  if (!status.ok()) return fault(status);
  return from_big_endian(std::string_view(value).substr(0, 8));
}

Result<Log::Bounds*> Log::bounds(std::string_view topic) {
  if (const auto known = bounds_.find(topic); known != bounds_.end()) return &known->second;
  TRY(check_name("topic", topic));
  Bounds found;
  std::string said;
  const rdb::Status status = core_.db().Get({}, core_.positions(), start_key(topic), &said);
  if (!status.ok() && !status.IsNotFound()) return fault(status);
  found.start = found.end =
      said.size() < 8 ? 0 : from_big_endian(std::string_view(said).substr(0, 8));
  if (said.size() == 16)
    found.gone_until = Timestamp(Micros(from_big_endian(std::string_view(said).substr(8))));
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
  // Whether a compaction came by it already is nothing that a reader should see.
  if (core_.bound_state().is_gone(place, value)) return std::optional<std::string>();
  return std::optional(std::move(value));
}

void Log::bind(const std::string& group, const std::string& topic) {
  bound_to_.emplace(group, topic);
  if (const auto start = number_at(start_key(topic)); start && *start > 0)
    core_.bound_state().forget_before(prefix_of(group), *start);
}

// The topic that the step binds its group to; empty: none, or it is bound to it already.
Result<std::string> Log::bind(rdb::WriteBatch& batch, const events::Step& step) {
  std::string topic = step.bound_to;
  for (const auto& [key, output] : step.offsets) {
    const std::string& of = step.outputs.at(output).topic;
    if (topic.empty()) topic = of;
    if (topic != of)
      return Error{Code::invalid_argument, "state of group " + step.group +
                                               " finds records of one topic, not of " + topic +
                                               " and of " + of};
  }
  if (topic.empty()) return topic;
  if (const auto known = bound_to_.find(step.group); known != bound_to_.end()) {
    if (known->second == topic) return std::string();
    return Error{Code::invalid_argument, "state of group " + step.group + " is bound to topic " +
                                             known->second + ", not to " + topic};
  }
  TRY(check_name("topic", topic));
  batch.Put(core_.positions(), prefix_of(bound_prefix) + step.group, topic);
  return topic;
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
    const std::string bound = TRY(bind(batch, step));
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
    if (!bound.empty()) bind(step.group, bound);
  }
  if (durability == kv::Durability::disk) TRY(core_.sync());
  return offsets;
}

Result<events::Extent> Log::extent(std::string_view topic) {
  const std::lock_guard lock(mutex_);
  return *TRY(bounds(topic));
}

Result<void> Log::truncate(std::string_view topic, std::int64_t offset) {
  std::vector<std::string> groups;  // whose state is bound to the topic
  {
    const std::lock_guard lock(mutex_);
    Bounds& known = *TRY(bounds(topic));
    if (offset < 0 || offset > known.end)
      return Error{Code::invalid_argument, "topic " + std::string(topic) + " ends at " +
                                               std::to_string(known.end) + ", not past " +
                                               std::to_string(offset)};
    if (offset <= known.start) return {};
    std::optional<Timestamp> gone_until = known.gone_until;
    std::string last;
    const rdb::Status status = core_.db().Get({}, core_.log(), key_of(topic, offset - 1), &last);
    if (!status.ok() && !status.IsNotFound()) return fault(status);
    if (status.ok()) gone_until = TRY(decoded(offset - 1, last)).at;
    // The start is kept apart from the records: without it, a topic of which nothing is left would
    // count from 0 again.
    std::string start = big_endian(offset);
    if (gone_until) start += big_endian(gone_until->time_since_epoch().count());
    rdb::WriteBatch batch;
    batch.DeleteRange(core_.log(), key_of(topic, 0), key_of(topic, offset));
    batch.Put(core_.positions(), start_key(topic), start);
    TRY(core_.write(batch));
    known.start = offset;
    known.gone_until = gone_until;
    for (const auto& [group, of] : bound_to_)
      if (of == topic) groups.push_back(group);
  }
  // Files and bound state go only once it is on disk that they are to go.
  TRY(core_.sync());
  for (const std::string& group : groups)
    core_.bound_state().forget_before(prefix_of(group), offset);
  const std::string first = key_of(topic, 0), past = key_of(topic, offset);
  const rdb::Slice from(first), to(past);
  const rdb::Status status =
      rdb::DeleteFilesInRange(&core_.db(), core_.log(), &from, &to, /*include_end=*/false);
  return status.ok() ? Result<void>() : Result<void>(fault(status));
}

}  // namespace penstock::rocksdb
