// A question for the entities whose embedding lies nearest, and its answer.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/described.h"

namespace penstock::features {

// What "near" means; the least distance comes first in each.
enum class Metric {
  cosine,     // 1 minus the cosine of the angle: 0 the same direction, 2 the opposite one
  dot,        // minus the inner product
  euclidean,  // the length of the difference
};
BOOST_DESCRIBE_ENUM(Metric, cosine, dot, euclidean)

struct NearestFilter {
  std::string feature;  // of the same view
  json::value equals;
};
BOOST_DESCRIBE_STRUCT(NearestFilter, (), (feature, equals))
constexpr auto rules_of(const NearestFilter&) {
  return std::array{Rule{.field = "feature", .min = 1, .max = 200}};
}

struct NearestInput {
  std::string view;                           // "items", its newest version, or "items@2"
  std::string feature;                        // an embedding of it
  std::vector<double> vector;                 // what to be near to; or
  std::map<std::string, std::string> entity;  // whose own vector, and not itself in the answer
  std::int64_t k = 10;
  Metric metric = Metric::cosine;
  bool exact = false;  // look at every row
  std::optional<NearestFilter> filter;
  std::optional<std::int64_t> effort;  // rows that an approximate search looks at
};
BOOST_DESCRIBE_STRUCT(NearestInput, (),
                      (view, feature, vector, entity, k, metric, exact, filter, effort))
constexpr auto rules_of(const NearestInput&) {
  return std::array{
      Rule{.field = "view", .min = 1, .max = 220},
      Rule{.field = "feature", .min = 1, .max = 200},
      Rule{.field = "vector", .doc = "As long as the feature's dimension.", .max = 4096},
      Rule{.field = "k", .min = 1, .max = 1000, .may_miss = true},
      Rule{.field = "metric", .may_miss = true},
      Rule{.field = "exact", .doc = "Look at every row.", .may_miss = true},
      Rule{.field = "effort",
           .doc =
               "How many rows an approximate search keeps in sight: more find better and take "
               "longer. Where it is not said, what found 0.95 of the view's own neighbours; where "
               "that would take longer, every row is looked at.",
           .min = 1,
           .max = 100'000}};
}

struct Neighbour {
  std::map<std::string, std::string> entity;
  double distance = 0;
  Timestamp event_time;
  double age_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(Neighbour, (), (entity, distance, event_time, age_seconds))

struct NearestOutput {
  std::string view;                   // "items@2"
  bool exact = true;                  // whether every row was looked at
  std::int64_t rows = 0;              // that have a vector, whatever their age
  std::vector<Neighbour> neighbours;  // the nearest first; fewer than k where there are no more
};
BOOST_DESCRIBE_STRUCT(NearestOutput, (), (view, exact, rows, neighbours))

}  // namespace penstock::features
