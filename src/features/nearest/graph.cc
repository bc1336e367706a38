#include "features/nearest/graph.h"

#include <algorithm>

// hnswlib's prefetches read up to three bytes behind a full list of links: harmless, and rightly
// not so for AddressSanitizer. Its own distances are not used.
#if defined(__SANITIZE_ADDRESS__)
#define NO_MANUAL_VECTORIZATION
#endif
#include <hnswlib/hnswlib.h>

namespace penstock::features {
namespace {

// Links of each row, and how hard a row looks for them.
constexpr std::size_t links = 16, build_effort = 200, seed = 42;

float cosine_or_dot(const void* a, const void* b, const void* dimension) {
  return 1 - kernels().dot(static_cast<const float*>(a), static_cast<const float*>(b),
                           *static_cast<const std::size_t*>(dimension));
}
float euclidean(const void* a, const void* b, const void* dimension) {
  return kernels().squares(static_cast<const float*>(a), static_cast<const float*>(b),
                           *static_cast<const std::size_t*>(dimension));
}

class Space final : public hnswlib::SpaceInterface<float> {
 public:
  Space(Metric metric, std::size_t dimension)
      : distance_(metric == Metric::euclidean ? euclidean : cosine_or_dot), dimension_(dimension) {}
  std::size_t get_data_size() override { return dimension_ * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return distance_; }
  void* get_dist_func_param() override { return &dimension_; }

 private:
  hnswlib::DISTFUNC<float> distance_;
  std::size_t dimension_;
};

}  // namespace

struct Graph::Walk {
  Space space;
  hnswlib::HierarchicalNSW<float> rows;

  Walk(Metric metric, std::size_t dimension, std::size_t count)
      : space(metric, dimension), rows(&space, count, links, build_effort, seed) {}
};

std::size_t Graph::bytes_for(std::size_t dimension, std::size_t rows) {
  constexpr std::size_t ground = 2 * links * sizeof(hnswlib::tableint) + 4 + sizeof(Spot) * 2;
  // Links of the floors above (a row in 15 stands there), two locks, level, label and its node.
  constexpr std::size_t beside = links * sizeof(hnswlib::tableint) / 12 + 40 + 4 + 2 + 8 + 48;
  return rows * (dimension * sizeof(float) + ground + beside);
}

Graph::Graph(Metric metric, std::size_t dimension, std::size_t rows)
    : metric_(metric), walk_(std::make_unique<Walk>(metric, dimension, rows)) {}

Graph::~Graph() = default;

std::size_t Graph::capacity() const { return walk_->rows.max_elements_; }

void Graph::reserve(std::size_t rows) {
  if (rows > capacity()) walk_->rows.resizeIndex(rows);
}

// Cosine is the inner product of vectors of length 1.
const float* Graph::prepared(std::span<const float> vector, float inverse_length,
                             std::vector<float>& buffer) const {
  if (metric_ != Metric::cosine) return vector.data();
  buffer.assign(vector.begin(), vector.end());
  for (float& element : buffer) element *= inverse_length;
  return buffer.data();
}

void Graph::take(const Vectors& vectors, Spot spot) {
  std::vector<float> buffer;
  walk_->rows.addPoint(prepared(vectors.vector(spot), vectors.inverse_length(spot), buffer), spot);
}

std::vector<Spot> Graph::near(const Target& target, std::size_t effort) const {
  std::vector<float> buffer;
  auto found =
      walk_->rows.searchKnn(prepared(target.vector, target.inverse_length, buffer), effort);
  std::vector<Spot> out;
  out.reserve(found.size());
  for (; !found.empty(); found.pop()) out.push_back(static_cast<Spot>(found.top().second));
  return out;
}

}  // namespace penstock::features
