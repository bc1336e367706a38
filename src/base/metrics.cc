#include "base/metrics.h"

#include <cmath>
#include <sstream>

namespace penstock {

struct Metrics::Series {
  Counter counter;
  Gauge gauge;
  Histogram histogram;
};

struct Metrics::Family {
  std::string help, type;
  std::map<std::string, Series> series;  // by rendered labels
};

namespace {

constexpr std::size_t series_max = 10'000;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (letter == '\\' || letter == '"') out += '\\';
    if (letter == '\n')
      out += "\\n";
    else
      out += letter;
  }
  return out;
}

std::string render(const Metrics::Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels)
    out += (out.empty() ? "" : ",") + name + "=\"" + escaped(value) + "\"";
  return out;
}

std::string braced(const std::string& labels, const std::string& more = "") {
  const std::string both = labels + (labels.empty() || more.empty() ? "" : ",") + more;
  return both.empty() ? "" : "{" + both + "}";
}

}  // namespace

Metrics::Metrics() = default;
Metrics::~Metrics() = default;

double Histogram::upper_bound(std::size_t bucket) {
  return 16e-6 * std::pow(2.0, static_cast<double>(bucket));
}

void Histogram::observe(double seconds) {
  std::size_t bucket = 0;
  while (bucket < bucket_count && seconds > 16e-6 * static_cast<double>(1ULL << bucket)) ++bucket;
  buckets_[bucket].fetch_add(1, std::memory_order_relaxed);
  nanoseconds_.fetch_add(static_cast<std::uint64_t>(seconds * 1e9), std::memory_order_relaxed);
}

std::array<std::uint64_t, Histogram::bucket_count + 1> Histogram::buckets() const {
  std::array<std::uint64_t, bucket_count + 1> out{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = buckets_[i].load(std::memory_order_relaxed);
  return out;
}

double Histogram::sum() const {
  return static_cast<double>(nanoseconds_.load(std::memory_order_relaxed)) / 1e9;
}

Metrics::Series& Metrics::series(const std::string& name, const std::string& help,
                                 const std::string& type, const Labels& labels) {
  const std::lock_guard lock(turn_);
  auto& family = families_[name];
  if (!family) family = std::make_unique<Family>(Family{help, type, {}});
  const std::string rendered = render(labels);
  const auto found = family->series.find(rendered);
  if (found != family->series.end()) return found->second;
  // Labels made from input must not make the page grow without bound.
  if (series_count_ >= series_max) return family->series["overflow=\"true\""];
  ++series_count_;
  return family->series[rendered];
}

Counter& Metrics::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return series(name, help, "counter", labels).counter;
}
Gauge& Metrics::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return series(name, help, "gauge", labels).gauge;
}
Histogram& Metrics::histogram(const std::string& name, const std::string& help,
                              const Labels& labels) {
  return series(name, help, "histogram", labels).histogram;
}

std::string Metrics::expose() const {
  const std::lock_guard lock(turn_);
  std::ostringstream out;
  out.precision(15);
  for (const auto& [name, family] : families_) {
    out << "# HELP " << name << " " << family->help << "\n# TYPE " << name << " " << family->type
        << "\n";
    for (const auto& [labels, series] : family->series) {
      if (family->type == "counter") {
        out << name << braced(labels) << " " << series.counter.value() << "\n";
      } else if (family->type == "gauge") {
        out << name << braced(labels) << " " << series.gauge.value() << "\n";
      } else {
        std::uint64_t total = 0;
        const auto buckets = series.histogram.buckets();
        for (std::size_t i = 0; i < buckets.size(); ++i) {
          total += buckets[i];
          std::ostringstream bound;
          if (i < Histogram::bucket_count)
            bound << Histogram::upper_bound(i);
          else
            bound << "+Inf";
          out << name << "_bucket" << braced(labels, "le=\"" + bound.str() + "\"") << " " << total
              << "\n";
        }
        out << name << "_sum" << braced(labels) << " " << series.histogram.sum() << "\n"
            << name << "_count" << braced(labels) << " " << total << "\n";
      }
    }
  }
  return out.str();
}

}  // namespace penstock
