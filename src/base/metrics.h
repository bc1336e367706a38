// Counters, gauges and histograms, shown in Prometheus' text form.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace penstock {

class Counter {
 public:
  void add(std::uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Seconds, in buckets of powers of two from 16 us to 17 s.
class Histogram {
 public:
  static constexpr std::size_t bucket_count = 21;
  static double upper_bound(std::size_t bucket);  // seconds
  void observe(double seconds);
  std::array<std::uint64_t, bucket_count + 1> buckets() const;  // the last one is +Inf
  double sum() const;                                           // seconds

 private:
  std::array<std::atomic<std::uint64_t>, bucket_count + 1> buckets_{};
  std::atomic<std::uint64_t> nanoseconds_{0};
};

// Owns the metrics of one server. A reference got here lives as long as the registry; get it once
// and keep it. Labels are `{name="value"}` pairs; at most 10,000 series, the rest share one.
class Metrics {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;
  Counter& counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge& gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram& histogram(const std::string& name, const std::string& help, const Labels& labels = {});
  std::string expose() const;  // text/plain; version=0.0.4

 private:
  struct Family;
  struct Series;
  Series& series(const std::string& name, const std::string& help, const std::string& type,
                 const Labels& labels);

  mutable std::mutex turn_;
  std::map<std::string, std::unique_ptr<Family>> families_;
  std::size_t series_count_ = 0;

 public:
  Metrics();
  ~Metrics();
};

}  // namespace penstock
