// The vectors of one feature, side by side in memory.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "features/nearest/distance.h"
#include "features/nearest/neighbours.h"

namespace penstock::features {

using Spot = std::uint32_t;

// What a vector is compared with.
struct Target {
  Metric metric = Metric::cosine;
  std::span<const float> vector;
  float inverse_length = 0;
  std::optional<Spot> left_out;
  Timestamp from, until;  // of the rows that count, both included
};

struct Candidate {
  float distance = 0;
  Spot spot = 0;
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.distance < b.distance || (a.distance == b.distance && a.spot < b.spot);
  }
};

// The `count` nearest of those that it is offered.
class Best {
 public:
  explicit Best(std::size_t count) : count_(count) {}
  void offer(Candidate candidate) {
    if (candidate.distance < worst_) take(candidate);
  }
  std::size_t size() const { return heap_.size(); }
  std::vector<Candidate> sorted() &&;

 private:
  void take(Candidate candidate);

  std::size_t count_;
  float worst_ = std::numeric_limits<float>::infinity();
  std::vector<Candidate> heap_;  // the farthest in front
};

// A spot is used once: a vector that changes gets a new one, and its old spot is dead, so that what
// was built over spots stays true of them. Not for several threads while it changes.
class Vectors {
 public:
  explicit Vectors(std::size_t dimension);

  // The vector of an entity by its row key; the one that it had before is forgotten.
  void put(std::string_view key, Timestamp event_time, std::span<const float> vector);
  void remove(std::string_view key);

  std::size_t dimension() const { return dimension_; }
  std::size_t size() const { return times_.size(); }  // spots, the dead too
  std::size_t live() const { return spots_.size(); }
  std::size_t bytes() const;

  bool is_live(Spot spot) const { return keys_[spot]; }
  const std::string& key(Spot spot) const { return *keys_[spot]; }
  Timestamp event_time(Spot spot) const { return Timestamp(Micros(times_[spot])); }
  std::span<const float> vector(Spot spot) const { return {row(spot), dimension_}; }
  float inverse_length(Spot spot) const { return inverse_lengths_[spot]; }
  std::optional<Spot> find(std::string_view key) const;

  bool counts(const Target& target, Spot spot) const;
  float distance(const Target& target, Spot spot) const;
  // Calls visit(Candidate) for each spot of [begin, end) that counts.
  template <class Visit>
  void scan(const Target& target, std::size_t begin, std::size_t end, Visit visit) const;
  // In doubles, and as people are told it.
  double exact_distance(const Target& target, Spot spot) const;

  // The same without dead spots.
  Vectors compacted() const;

 private:
  const float* row(std::size_t spot) const {
    return blocks_[spot >> block_shift_].get() + (spot & (block_rows() - 1)) * dimension_;
  }
  std::size_t block_rows() const { return std::size_t{1} << block_shift_; }
  void kill(Spot spot);

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  std::size_t dimension_, block_shift_;
  std::vector<std::unique_ptr<float[]>> blocks_;  // of block_rows() vectors: growing moves none
  std::vector<std::int64_t> times_;               // the end of time where dead
  std::vector<float> inverse_lengths_;            // 0 of the zero vector
  std::vector<const std::string*> keys_;          // null where dead; they lie in spots_
  std::unordered_map<std::string, Spot, Hash, std::equal_to<>> spots_;
  std::size_t key_bytes_ = 0;
};

// 1 over the length of a vector; 0 of the zero vector.
float inverse_length(std::span<const float> vector);

template <class Visit>
void Vectors::scan(const Target& target, std::size_t begin, std::size_t end, Visit visit) const {
  for (std::size_t spot = begin; spot < end; ++spot)
    if (counts(target, static_cast<Spot>(spot)))
      visit(Candidate{distance(target, static_cast<Spot>(spot)), static_cast<Spot>(spot)});
}

inline bool Vectors::counts(const Target& target, Spot spot) const {
  const Timestamp at(Micros{times_[spot]});
  return at >= target.from && at <= target.until && spot != target.left_out;
}

inline float Vectors::distance(const Target& target, Spot spot) const {
  const float* query = target.vector.data();
  switch (target.metric) {
    case Metric::cosine:
      return 1 - kernels().dot(query, row(spot), dimension_) * target.inverse_length *
                     inverse_lengths_[spot];
    case Metric::dot: return -kernels().dot(query, row(spot), dimension_);
    case Metric::euclidean: break;
  }
  return kernels().squares(query, row(spot), dimension_);
}

}  // namespace penstock::features
