// Nearest neighbours over a real store, without the rest of the service, and what makes vectors.
#pragma once

#include "features/nearest/nearest.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "features/values.h"
#include "tests/unit/features/features_fixture.h"

namespace penstock::features {

using Vector = std::vector<float>;

class Maker {
 public:
  explicit Maker(unsigned seed) : engine_(seed) {}
  Vector random(std::size_t dimension) {
    Vector out(dimension);
    for (float& element : out) element = normal_(engine_);
    return out;
  }
  Vector near(const Vector& center, float distance) {
    Vector out = center;
    for (float& element : out) element += distance * normal_(engine_);
    return out;
  }
  std::size_t below(std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(engine_);
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> normal_;
};

inline double distance(Metric metric, const Vector& a, const Vector& b) {
  long double product = 0, squares = 0, ours = 0, theirs = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const long double x = a[i], y = b[i];
    product += x * y;
    squares += (x - y) * (x - y);
    ours += x * x;
    theirs += y * y;
  }
  if (metric == Metric::dot) return static_cast<double>(-product);
  if (metric == Metric::euclidean) return std::sqrt(static_cast<double>(squares));
  return ours > 0 && theirs > 0 ? static_cast<double>(1 - product / std::sqrt(ours * theirs)) : 1;
}

// A view of one embedding and one text over a real store, without the rest of the service.
class NearestTest : public testing::Test {
 protected:
  // A new version each time: none has the rows of another.
  std::shared_ptr<const ViewHandle> view(std::int64_t dimension, Micros ttl = Micros(0)) {
    auto handle = std::make_shared<ViewHandle>();
    handle->view = {.name = "items", .entity = "item"};
    handle->view.ttl = ttl;
    handle->view.features = {
        {.name = "vector", .type = FeatureType::embedding, .dimension = dimension},
        {.name = "shop", .type = FeatureType::text}};
    handle->version = ++versions_;
    handle->keys = {{"item", catalog::ColumnType::bigint}};
    handle->prefix = view_prefix("p1", "items", handle->version);
    return handle;
  }
  static Scalar scalar(const Vector& vector) { return embedding_bytes(vector); }
  void put(const ViewHandle& view, std::int64_t item, const Scalar& vector, Timestamp time = at(0),
           const std::string& shop = "a") {
    kv::Batch batch;
    batch.put(row_key(view, {std::to_string(item)}),
              encode_row(view, {time, time, {vector, Scalar(shop)}}));
    test::must(store_.write(batch, kv::Durability::process));
  }
  void erase(const ViewHandle& view, std::int64_t item) {
    kv::Batch batch;
    batch.erase(row_key(view, {std::to_string(item)}));
    test::must(store_.write(batch, kv::Durability::process));
  }
  void put_all(const ViewHandle& view, const std::vector<Vector>& vectors) {
    for (std::size_t i = 0; i < vectors.size(); ++i)
      put(view, static_cast<std::int64_t>(i), scalar(vectors[i]));
  }
  static NearestInput question(const Vector& vector, std::int64_t k = 10,
                               Metric metric = Metric::cosine, bool exact = true) {
    return {.view = "items",
            .feature = "vector",
            .vector = {vector.begin(), vector.end()},
            .k = k,
            .metric = metric,
            .exact = exact};
  }
  static std::vector<std::int64_t> items(const NearestOutput& found) {
    std::vector<std::int64_t> out;
    for (const Neighbour& one : found.neighbours) out.push_back(std::stoll(one.entity.at("item")));
    return out;
  }
  static void grow(Nearest& nearest) {
    while (nearest.grow()) {
    }
  }

  std::int64_t versions_ = 0;
  test::TempDir folder_;
  std::unique_ptr<rocksdb::Database> rocks_ = test::must(rocksdb::open(folder_ / "rocks"));
  Nearest nearest_{rocks_->store(), {.graph_rows_min = 200}};
  WatchedStore store_{rocks_->store(), nearest_};
};

}  // namespace penstock::features
