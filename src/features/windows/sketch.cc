#include "features/windows/sketch.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace penstock::features::windows {
namespace {

constexpr std::uint32_t dropped_bits = 52 - 6;
constexpr std::size_t buckets_max = 2'048;
constexpr std::uint32_t level_max = 17;
constexpr double largest = std::numeric_limits<double>::max();

}  // namespace

void Sketch::add(double value) {
  if (std::isnan(value)) return;
  const double size = std::min(std::abs(value), largest);
  const auto place =
      static_cast<std::int32_t>(std::bit_cast<std::uint64_t>(size) >> (dropped_bits + level_));
  put(value < 0 ? -place : place, 1);
  shrink();
}

void Sketch::put(std::int32_t place, std::uint64_t count) {
  const auto found =
      std::lower_bound(buckets_.begin(), buckets_.end(), place,
                       [](const Bucket& bucket, std::int32_t at) { return bucket.place < at; });
  if (found != buckets_.end() && found->place == place)
    found->count += count;
  else
    buckets_.insert(found, {place, count});
}

void Sketch::join_neighbours() {
  ++level_;
  std::vector<Bucket> joined;
  for (const Bucket& bucket : buckets_) {
    const std::int32_t place = bucket.place / 2;  // towards zero: both signs alike
    if (!joined.empty() && joined.back().place == place)
      joined.back().count += bucket.count;
    else
      joined.push_back({place, bucket.count});
  }
  buckets_ = std::move(joined);
}

void Sketch::shrink() {
  while (buckets_.size() > buckets_max) join_neighbours();
}

void Sketch::merge(const Sketch& other) {
  if (other.level_ > level_ && !other.buckets_.empty())
    while (level_ < other.level_) join_neighbours();
  if (other.level_ < level_) {
    Sketch joined = other;
    while (joined.level_ < level_) joined.join_neighbours();
    return merge(joined);
  }
  for (const Bucket& bucket : other.buckets_) put(bucket.place, bucket.count);
  shrink();
}

double Sketch::value(double share) const {
  std::uint64_t total = 0;
  for (const Bucket& bucket : buckets_) total += bucket.count;
  if (total == 0) return 0;
  auto rank = static_cast<std::uint64_t>(share * static_cast<double>(total - 1));
  const Bucket* found = &buckets_.back();
  for (const Bucket& bucket : buckets_) {
    if (rank < bucket.count) {
      found = &bucket;
      break;
    }
    rank -= bucket.count;
  }
  if (found->place == 0) return 0;
  const auto end = [&](std::uint64_t place) {
    const std::uint64_t bits = place << (dropped_bits + level_);
    return std::min(std::bit_cast<double>(std::min(bits, std::bit_cast<std::uint64_t>(largest))),
                    largest);
  };
  const auto place = static_cast<std::uint64_t>(std::abs(found->place));
  const double lower = end(place), upper = end(place + 1);
  const double middle = lower + (upper - lower) / 2;
  return found->place < 0 ? -middle : middle;
}

void Sketch::encode(std::string& out) const {
  put_number(out, level_);
  put_number(out, buckets_.size());
  std::int64_t before = 0;
  for (const Bucket& bucket : buckets_) {
    put_number(out, folded(bucket.place - before));
    put_number(out, bucket.count);
    before = bucket.place;
  }
}

bool Sketch::decode(Reader& bytes) {
  std::uint64_t level = 0, count = 0, step = 0, many = 0;
  if (!bytes.number(level) || !bytes.number(count) || level > level_max || count > buckets_max)
    return false;
  *this = {};
  level_ = static_cast<std::uint32_t>(level);
  std::int64_t place = 0;
  const std::int64_t most = std::int64_t{1} << (63 - dropped_bits - level);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (!bytes.number(step) || !bytes.number(many) || many == 0) return false;
    const std::int64_t move = unfolded(step);
    if (move > 2 * most || move < -2 * most || (i > 0 && move <= 0)) return false;
    place += move;
    if (place > most || place < -most) return false;
    buckets_.push_back({static_cast<std::int32_t>(place), many});
  }
  return true;
}

}  // namespace penstock::features::windows
