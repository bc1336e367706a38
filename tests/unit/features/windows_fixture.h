// A windowed view over the readings, with every aggregate, and the slow and obvious oracle of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "tests/unit/features/features_fixture.h"

namespace penstock::features {

// In the order of the view's features.
struct Asked {
  std::string name, declared;
  std::int64_t window = 0, hop = 0;  // seconds; hop 0: tumbling
};

inline const std::vector<Asked>& asked() {
  static const std::vector<Asked> all = {
      {"n", "type: bigint, aggregate: count, window: 5m", 300, 60},
      {"n_hot", "type: bigint, aggregate: count, where: hot, window: 2m, hop: 30s", 120, 30},
      {"n_note", "type: bigint, aggregate: count, column: note, window: 5m", 300, 60},
      {"total", "aggregate: sum, column: heat, window: 5m", 300, 60},
      {"whole", "type: bigint, aggregate: sum, column: number, window: 10m", 600, 60},
      {"average", "aggregate: mean, column: heat, window: 3m", 180, 60},
      {"least", "aggregate: min, column: heat, window: 5m, hop: 10s", 300, 10},
      {"most", "type: bigint, aggregate: max, column: number, window: 1m", 60, 60},
      {"first_note", "type: text, aggregate: min, column: note, window: 5m", 300, 60},
      {"newest", "type: text, aggregate: last, column: note, window: 10m", 600, 60},
      {"kinds", "type: bigint, aggregate: distinct, column: note, window: 10m", 600, 60},
      {"heats", "aggregate: distinct, column: heat, where: hot, window: 5m", 300, 60},
      {"median", "aggregate: quantile, quantile: 0.5, column: heat, window: 10m", 600, 60},
      {"before", "type: bigint, aggregate: count, kind: tumbling, window: 2m", 120, 0},
      {"before_average", "aggregate: mean, column: heat, kind: tumbling, window: 5m", 300, 0},
      {"share", "aggregate: mean, column: hot, window: 5m", 300, 60},
      {"day", "type: bigint, aggregate: count, window: 1d, hop: 1m", 86'400, 60},
      {"day_total", "aggregate: sum, column: heat, window: 1d, hop: 1m", 86'400, 60},
  };
  return all;
}
constexpr std::size_t median_at = 12;

inline std::string windowed_view(const std::string& more = "") {
  std::string text = R"(kind: feature_view
name: place_windows
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen, created, heat, sensor AS number, note, heat > 1 AS hot FROM readings
event_time: seen
created_time: created
)" + more + "features:\n";
  for (const Asked& one : asked()) text += "  - {name: " + one.name + ", " + one.declared + "}\n";
  return text + R"(---
kind: feature_schema
name: windows_v1
owner: sensors
features:
)" + [] {
    std::string list;
    for (const Asked& one : asked())
      list += "  - {view: place_windows, feature: " + one.name + "}\n";
    return list;
  }();
}

inline std::string text_of(const std::vector<Scalar>& row) {
  std::string text;
  for (const Scalar& value : row) text += json::serialize(to_json(value)) + " ";
  return text;
}

inline std::int64_t created_of(const Reading& r) { return r.created.value_or(*r.time); }
inline std::int64_t arrived_of(const Reading& r) { return std::max(*r.time, created_of(r)); }

// Loops over all events for each value that it is asked for.
struct WindowOracle {
  const std::vector<Reading>& readings;
  std::optional<std::int64_t> known, arrived;  // what was created, or arrived, later is not seen

  static std::int64_t floor_of(std::int64_t seconds, std::int64_t step) {
    const std::int64_t absolute = 1'600'000'000 + seconds;
    return absolute - absolute % step - 1'600'000'000;
  }

  std::vector<const Reading*> seen(const std::string& place, std::int64_t t) const {
    std::vector<const Reading*> out;
    for (const Reading& r : readings) {
      if (!r.place || !r.time || *r.place != place) continue;
      if (known ? (created_of(r) > *known || *r.time > t) : arrived_of(r) > t) continue;
      if (arrived && arrived_of(r) > *arrived) continue;
      out.push_back(&r);
    }
    return out;
  }

  static double exact_sum(const std::vector<double>& values) {
    Wide sum = 0;  // of 2^-60: each value of these tests is a multiple of it
    for (const double value : values) sum += static_cast<Wide>(std::ldexp(value, 60));
    return std::ldexp(static_cast<double>(sum), -60);
  }

  Scalar value(std::size_t feature, const std::vector<const Reading*>& all, std::int64_t t) const {
    const Asked& one = asked()[feature];
    std::int64_t from = floor_of(t, one.hop ? one.hop : one.window) - one.window + one.hop;
    std::vector<const Reading*> in;
    for (const Reading* r : all) {
      const bool after = one.hop ? *r->time > t : *r->time >= floor_of(t, one.window);
      if (*r->time >= from && !after) in.push_back(r);
    }
    std::vector<double> heats, hots;
    std::vector<std::int64_t> numbers;
    std::vector<std::string> notes;
    std::int64_t hot = 0;
    for (const Reading* r : in) {
      if (r->heat) heats.push_back(*r->heat);
      if (r->heat) hots.push_back(*r->heat > 1 ? 1 : 0);
      if (r->heat && *r->heat > 1) ++hot;
      if (r->sensor) numbers.push_back(*r->sensor);
      if (r->note) notes.push_back(*r->note);
    }
    const auto mean = [](const std::vector<double>& values) {
      return values.empty() ? Scalar{}
                            : Scalar(exact_sum(values) / static_cast<double>(values.size()));
    };
    const auto count = static_cast<std::int64_t>(in.size());
    const std::string& name = one.name;
    if (name == "n" || name == "before" || name == "day") return count;
    if (name == "n_hot") return hot;
    if (name == "n_note") return static_cast<std::int64_t>(notes.size());
    if (name == "kinds")
      return static_cast<std::int64_t>(std::set<std::string>(notes.begin(), notes.end()).size());
    if (name == "heats") {
      std::set<double> different;
      for (const double heat : heats)
        if (heat > 1) different.insert(heat);
      return static_cast<double>(different.size());
    }
    if (name == "whole") {
      if (numbers.empty()) return {};
      std::int64_t sum = 0;
      for (const std::int64_t number : numbers) sum += number;
      return sum;
    }
    if (name == "most")
      return numbers.empty() ? Scalar{} : Scalar(*std::max_element(numbers.begin(), numbers.end()));
    if (name == "first_note")
      return notes.empty() ? Scalar{} : Scalar(*std::min_element(notes.begin(), notes.end()));
    if (name == "newest") {
      const Reading* best = nullptr;
      const auto order = [](const Reading& r) {
        return std::tuple(*r.time, created_of(r), *r.note);
      };
      for (const Reading* r : in)
        if (r->note && (!best || order(*r) > order(*best))) best = r;
      return best ? Scalar(*best->note) : Scalar{};
    }
    if (name == "share") return mean(hots);
    if (name == "average" || name == "before_average") return mean(heats);
    if (heats.empty()) return {};
    if (name == "least") return *std::min_element(heats.begin(), heats.end());
    if (name == "median") {
      std::sort(heats.begin(), heats.end());
      return heats[(heats.size() - 1) / 2];
    }
    return exact_sum(heats);  // total, day_total
  }

  // Nothing where nothing of the place was ever seen.
  std::vector<Scalar> row(const std::string& place, std::int64_t t) const {
    const auto all = seen(place, t);
    std::vector<Scalar> out(asked().size());
    if (all.empty()) return out;
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = value(i, all, t);
    return out;
  }
};

// Equal but for what is approximate, which is as near as it says.
inline testing::AssertionResult agree(std::vector<Scalar> found, std::vector<Scalar> right) {
  const Scalar median = found[median_at], exact = right[median_at];
  if (median.index() == 3 && exact.index() == 3) {
    const double size = std::abs(std::get<double>(exact));
    if (std::abs(std::get<double>(median) - std::get<double>(exact)) > size / 128)
      return testing::AssertionFailure() << "the median is " << std::get<double>(median)
                                         << ", not near " << std::get<double>(exact);
    found[median_at] = right[median_at];
  }
  if (text_of(found) == text_of(right)) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "\nfound " << text_of(found) << "\nright " << text_of(right);
}

class WindowRandom {
 public:
  explicit WindowRandom(unsigned seed) : engine_(seed) {}
  std::int64_t below(std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(engine_);
  }
  bool one_in(std::int64_t count) { return below(count) == 0; }
  std::string place() { return std::string(1, static_cast<char>('a' + below(3))); }
  // Multiples of 10 s: edges of windows are hit, and many events have one time.
  std::int64_t time(std::int64_t from, std::int64_t until) {
    return from + 10 * below((until - from) / 10);
  }
  Reading reading(std::int64_t from, std::int64_t until) {
    static constexpr double heats[] = {0.1, 0.2, 0.3, 1.5, 2, -7.25, 1e16, -1e16, 0, 3.3};
    Reading r{place(), below(5) - 2, time(from, until), {}, {}, {}};
    if (one_in(20)) r.place.reset();
    if (one_in(10)) r.sensor.reset();
    if (one_in(20)) r.time.reset();
    if (r.time && !one_in(3)) r.created = *r.time + 10 * (below(20) - 2);
    if (r.time && one_in(10)) r.created = *r.time + 10 * below(120);  // late
    if (!one_in(5)) r.heat = heats[below(10)];
    if (!one_in(4)) r.note = "n" + std::to_string(below(4));
    return r;
  }
  std::vector<Reading> readings(std::int64_t most, std::int64_t from, std::int64_t until) {
    std::vector<Reading> out;
    for (std::int64_t count = below(most); count > 0; --count) {
      out.push_back(reading(from, until));
      if (one_in(6)) out.push_back(out.back());
    }
    return out;
  }

 private:
  std::mt19937 engine_;
};

class WindowsTest : public FeaturesTest {
 protected:
  WindowsTest() {
    given({});
    test::must(apply(source() + windowed_view()));
  }

  FeatureRow read_windows(Service& service, const std::string& place, std::int64_t seconds) {
    const auto handle = test::must(service.open_schema(ana_, "windows_v1"));
    return test::must(service.read(*handle, {{"place", place}}, at(seconds)));
  }
  std::unique_ptr<Service> another(kv::Store& store) {
    return std::make_unique<Service>(*db_, *olap_, *blobs_, store, catalog_, clock_, metrics_,
                                     Options{.scratch = folder_ / "scratch"});
  }
  static json::object pushed(const Reading& r) {
    json::object row{{"place", *r.place}, {"seen", to_rfc3339(at(*r.time))}};
    if (r.created) row["created"] = to_rfc3339(at(*r.created));
    if (r.heat) row["heat"] = *r.heat;
    if (r.heat) row["hot"] = *r.heat > 1;
    if (r.sensor) row["number"] = *r.sensor;
    if (r.note) row["note"] = *r.note;
    return row;
  }
};

}  // namespace penstock::features
