#include "features/nearest/vectors.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::features {
namespace {

constexpr std::size_t block_floats = 1 << 18;  // a MiB; more than the longest vector has
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
// What a hash table's node costs beside its key: links, hash, spot, and the heap's own.
constexpr std::size_t node_bytes = 96;

}  // namespace

std::vector<Candidate> Best::sorted() && {
  std::sort(heap_.begin(), heap_.end());
  return std::move(heap_);
}

void Best::take(Candidate candidate) {
  if (heap_.size() == count_) {
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.back() = candidate;
  } else {
    heap_.push_back(candidate);
  }
  std::push_heap(heap_.begin(), heap_.end());
  if (heap_.size() == count_) worst_ = heap_.front().distance;
}

float inverse_length(std::span<const float> vector) {
  double sum = 0;
  for (const float element : vector) sum += static_cast<double>(element) * element;
  return sum > 0 ? static_cast<float>(1 / std::sqrt(sum)) : 0;
}

Vectors::Vectors(std::size_t dimension)
    : dimension_(dimension),
      block_shift_(static_cast<std::size_t>(std::bit_width(block_floats / dimension)) - 1) {}

void Vectors::put(std::string_view key, Timestamp event_time, std::span<const float> vector) {
  const std::int64_t time = event_time.time_since_epoch().count();
  auto place = spots_.find(key);
  if (place != spots_.end()) {
    const float* before = row(place->second);
    if (std::equal(vector.begin(), vector.end(), before)) {
      times_[place->second] = time;
      return;
    }
    kill(place->second);
  } else {
    place = spots_.emplace(key, 0).first;
    key_bytes_ += key.size();
  }
  const auto spot = static_cast<Spot>(times_.size());
  place->second = spot;
  if (spot >> block_shift_ == blocks_.size())
    blocks_.push_back(std::make_unique_for_overwrite<float[]>(block_rows() * dimension_));
  std::copy(vector.begin(), vector.end(),
            blocks_.back().get() + (spot & (block_rows() - 1)) * dimension_);
  times_.push_back(time);
  inverse_lengths_.push_back(features::inverse_length(vector));
  keys_.push_back(&place->first);
}

void Vectors::remove(std::string_view key) {
  const auto place = spots_.find(key);
  if (place == spots_.end()) return;
  kill(place->second);
  key_bytes_ -= key.size();
  spots_.erase(place);
}

void Vectors::kill(Spot spot) {
  times_[spot] = never;
  keys_[spot] = nullptr;
}

std::size_t Vectors::bytes() const {
  return blocks_.size() * block_rows() * dimension_ * sizeof(float) +
         times_.capacity() * sizeof(std::int64_t) + inverse_lengths_.capacity() * sizeof(float) +
         keys_.capacity() * sizeof(void*) + spots_.size() * node_bytes + key_bytes_;
}

std::optional<Spot> Vectors::find(std::string_view key) const {
  const auto place = spots_.find(key);
  return place == spots_.end() ? std::nullopt : std::optional(place->second);
}

double Vectors::exact_distance(const Target& target, Spot spot) const {
  double product = 0, squares = 0, ours = 0, theirs = 0;
  const float* other = row(spot);
  for (std::size_t i = 0; i < dimension_; ++i) {
    const double a = target.vector[i], b = other[i];
    product += a * b;
    squares += (a - b) * (a - b);
    ours += a * a;
    theirs += b * b;
  }
  if (target.metric == Metric::dot) return -product;
  if (target.metric == Metric::euclidean) return std::sqrt(squares);
  return ours > 0 && theirs > 0 ? 1 - product / std::sqrt(ours * theirs) : 1;
}

Vectors Vectors::compacted() const {
  Vectors out(dimension_);
  for (std::size_t spot = 0; spot < size(); ++spot)
    if (keys_[spot])
      out.put(*keys_[spot], event_time(static_cast<Spot>(spot)), vector(static_cast<Spot>(spot)));
  return out;
}

}  // namespace penstock::features
