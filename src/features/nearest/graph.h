// The approximate index: a graph of near vectors that is walked instead of looking at all (HNSW).
#pragma once

#include <memory>

#include "features/nearest/vectors.h"

namespace penstock::features {

// Not for several threads while it grows.
class Graph {
 public:
  static std::size_t bytes_for(std::size_t dimension, std::size_t rows);

  // Room for `rows`; the graph makes more when it needs to. bad_alloc where there is none.
  Graph(Metric metric, std::size_t dimension, std::size_t rows);
  ~Graph();

  std::size_t capacity() const;  // rows
  void reserve(std::size_t rows);
  // Puts a live spot into the graph, once; it must have room.
  void take(const Vectors& vectors, Spot spot);

  // Spots that are near, about `effort` of them, in no order; dead ones may be among them.
  std::vector<Spot> near(const Target& target, std::size_t effort) const;

 private:
  struct Walk;
  const float* prepared(std::span<const float> vector, float inverse_length,
                        std::vector<float>& buffer) const;

  Metric metric_;
  std::unique_ptr<Walk> walk_;
};

}  // namespace penstock::features
