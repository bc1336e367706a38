#include "serving/cache.h"

#include "base/digest.h"

namespace penstock::serving {
namespace {

constexpr std::int64_t entry_bytes = 300;  // of the list, the map and the key, about
constexpr std::int64_t largest_share = 4;  // one answer takes at most this part of the cache

}  // namespace

std::string AnswerCache::key_of(std::string_view tenant, std::string_view target_digest,
                                std::string_view path, std::string_view body) {
  Sha256Stream stream;
  for (const std::string_view part : {tenant, target_digest, path, body}) {
    stream.update(std::to_string(part.size()) + ":");
    stream.update(part);
  }
  const Sha256 digest = stream.finish();
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

std::shared_ptr<const CachedAnswer> AnswerCache::find(const std::string& key, Timestamp now) {
  const std::lock_guard lock(turn_);
  const auto found = places_.find(key);
  if (found == places_.end()) return nullptr;
  const Place place = found->second;
  if (now >= place->until) {
    drop(place);
    return nullptr;
  }
  entries_.splice(entries_.begin(), entries_, place);
  return place->answer;
}

void AnswerCache::put(const std::string& key, CachedAnswer answer, Timestamp until) {
  std::size_t size = answer.body.size() + key.size() + answer.prediction.size() +
                     answer.scores.size() * sizeof(double);
  for (const infer::Tensor& output : answer.outputs)
    size += sizeof output + output.name.size() + output.bytes.size();
  const auto bytes = entry_bytes + static_cast<std::int64_t>(size);
  if (bytes > bytes_max_ / largest_share) return;
  auto kept = std::make_shared<const CachedAnswer>(std::move(answer));
  const std::lock_guard lock(turn_);
  if (const auto known = places_.find(key); known != places_.end()) drop(known->second);
  while (!entries_.empty() && bytes_ + bytes > bytes_max_) drop(std::prev(entries_.end()));
  entries_.push_front({key, std::move(kept), until, bytes});
  places_[key] = entries_.begin();
  bytes_ += bytes;
}

void AnswerCache::drop(Place place) {
  bytes_ -= place->bytes;
  places_.erase(place->key);
  entries_.erase(place);
}

std::int64_t AnswerCache::bytes() const {
  const std::lock_guard lock(turn_);
  return bytes_;
}

std::size_t AnswerCache::entries() const {
  const std::lock_guard lock(turn_);
  return entries_.size();
}

}  // namespace penstock::serving
