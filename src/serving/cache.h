// Answers of one route that are given again to calls that are the same byte for byte.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/time.h"
#include "ports/infer.h"
#include "serving/inference_event.h"

namespace penstock::serving {

struct CachedAnswer {
  std::string content_type, body;
  std::string prediction;                // whose answer it is
  std::optional<Generation> generation;  // what it took when it was made; a hit costs none of it
  // Of a call with tensors, in the place of a body.
  std::vector<infer::Tensor> outputs;
  std::vector<double> scores;
};

// Bounded by bytes, least recently used first; thread-safe. A tenant's answers are its own: its
// name is in the key.
class AnswerCache {
 public:
  explicit AnswerCache(std::int64_t bytes_max) : bytes_max_(bytes_max) {}

  // SHA-256 over all that the answer may depend on; lengths are hashed with the parts, so that
  // parts cannot run into each other.
  static std::string key_of(std::string_view tenant, std::string_view target_digest,
                            std::string_view path, std::string_view body);

  std::shared_ptr<const CachedAnswer> find(const std::string& key, Timestamp now);
  // Kept until `until`; not at all where it alone is larger than a quarter of the cache.
  void put(const std::string& key, CachedAnswer answer, Timestamp until);

  std::int64_t bytes() const;
  std::size_t entries() const;

 private:
  struct Entry {
    std::string key;
    std::shared_ptr<const CachedAnswer> answer;
    Timestamp until;
    std::int64_t bytes = 0;
  };
  using Place = std::list<Entry>::iterator;
  void drop(Place place);

  const std::int64_t bytes_max_;
  mutable std::mutex turn_;
  std::list<Entry> entries_;  // the most recently used first
  std::unordered_map<std::string, Place> places_;
  std::int64_t bytes_ = 0;
};

}  // namespace penstock::serving
