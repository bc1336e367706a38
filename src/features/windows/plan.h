// What the features of a windowed view ask of its events, worked out once.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "features/schema.h"
#include "ports/olap.h"

namespace penstock::features::windows {

// A column of the events. No type: as the SQL gives it.
struct Input {
  std::string column;
  std::optional<FeatureType> type;
  friend bool operator==(const Input&, const Input&) = default;
};

// What tiles keep of the events that lie in them; each can be merged in any order.
enum class Fold { count, sum, whole_sum, least, greatest, last, distinct, sketch };

struct StateSpec {
  Fold fold = Fold::count;
  std::optional<std::size_t> input, where;  // of Plan::inputs
  friend bool operator==(const StateSpec&, const StateSpec&) = default;
};

// Tiles of one length, with what all windows that step by it need, and longer ones of the same.
struct Series {
  std::int64_t hop = 0;   // microseconds
  std::int64_t kept = 0;  // the longest span that is read
  std::vector<StateSpec> states;
  std::vector<std::int64_t> lengths;  // of tiles: hop, 16 hops, 256 hops, ...
};

struct WindowedFeature {
  Aggregate aggregate = Aggregate::count;
  WindowKind kind = WindowKind::sliding;
  FeatureType type = FeatureType::real;
  std::int64_t window = 0;
  double quantile = 0;
  std::size_t series = 0, state = 0;  // of Plan::series, and of its states
};

struct Plan {
  std::vector<Input> inputs;
  std::vector<Series> series;
  std::vector<WindowedFeature> features;  // in the view's order
};

constexpr Micros window_min = std::chrono::minutes(1);
constexpr Micros window_max = std::chrono::hours(24 * 366);
constexpr Micros hop_min = std::chrono::seconds(1);
constexpr std::int64_t hops_max = 10'000;  // in one window

bool windowed(const FeatureView& view);
// None said: a 60th of the window, rounded up to 1m, 5m, 15m, 1h, 6h or 1d. A tumbling window's is
// the window.
Micros hop_of(const Feature& feature);
// Null where the view is not windowed. What check_declared refuses has no plan.
std::shared_ptr<const Plan> plan_of(const FeatureView& view);

// The columns of the SQL that a feature reads: its own name where it has no aggregate.
std::vector<std::string> columns_read(const Feature& feature);

// The faults of aggregates and windows, with the fields as a declaration names them.
std::vector<Violation> check_declared(const FeatureView& view);
// Those of the columns that they read, in a view without faults of the other kind.
std::vector<Violation> check_columns(const FeatureView& view,
                                     const std::vector<olap::Column>& columns);

// Times beyond 146,000 years from 1970 count as that far, so that sums of them stay within 64 bits.
constexpr std::int64_t time_max = std::int64_t{1} << 62;
std::int64_t bounded(Timestamp at);

// The first instant of a window that ends at `at`, and the first one after it (sliding: none, as
// nothing later has been seen).
struct Range {
  std::int64_t from = 0;
  std::optional<std::int64_t> until;
  bool holds(Timestamp at) const {
    const std::int64_t micros = bounded(at);
    return micros >= from && (!until || micros < *until);
  }
};
Range range_of(const WindowedFeature& feature, const Series& series, Timestamp at);
// No window as of `at` or later begins before.
std::int64_t oldest_read(const Series& series, Timestamp at);

std::int64_t floor_to(std::int64_t value, std::int64_t step);

}  // namespace penstock::features::windows
