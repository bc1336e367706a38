// Figures over many traces, spans or assessments, in groups: how many, how long, how many tokens,
// what they cost, how they were judged. Groups come by their time bucket, then their dimensions;
// what has no value, or lacks a dimension, is not counted. Percentiles are interpolated between
// neighbours (Hyndman and Fan's method 7). invalid_argument where a metric does not go with a view,
// an aggregate or a dimension; resource_exhausted beyond half a
// million values, or 256 MB of what they are read from.
#pragma once

#include <map>

#include "tracking/traces.h"

namespace penstock::tracking {

// MLflow's words.
enum class MetricView { TRACES, SPANS, ASSESSMENTS };
BOOST_DESCRIBE_ENUM(MetricView, TRACES, SPANS, ASSESSMENTS)
enum class Aggregation { COUNT, SUM, AVG, PERCENTILE, MIN, MAX };
BOOST_DESCRIBE_ENUM(Aggregation, COUNT, SUM, AVG, PERCENTILE, MIN, MAX)

struct Aggregate {
  Aggregation type = Aggregation::COUNT;
  double percentile = 0;  // of PERCENTILE: 0 to 100

  std::string name() const;  // "AVG"; of percentiles "P50.0", as MLflow calls them
};

struct TraceMetricQuery {
  std::vector<std::int64_t> experiments;
  MetricView view = MetricView::TRACES;
  std::string metric;  // "latency": milliseconds
  std::vector<Aggregate> aggregates;
  std::vector<std::string> dimensions;
  std::vector<std::string> filters;      // one comparison with = each; all hold
  std::int64_t interval = 0;             // seconds of a bucket of time; 0: none
  std::optional<std::int64_t> from, to;  // milliseconds since 1970, both within
  std::int64_t limit = 1'000;
  std::string page_token;
  // What one question may hold in memory; nobody outside says so.
  std::int64_t values_max = 500'000, bytes_max = 256 << 20;
};
struct MetricGroup {
  std::map<std::string, std::string> dimensions;  // time_bucket too: RFC 3339
  std::map<std::string, double> values;           // by the aggregate's name
};

}  // namespace penstock::tracking
