#include "net/measures.h"

namespace penstock::net {

Measures::Measures(Metrics& metrics, const std::vector<api::Route>& routes)
    : metrics_(metrics),
      routes_(routes),
      series_(routes.size() + 1),
      connections_(metrics.gauge("penstock_http_connections", "Open connections")),
      after_dropped_(metrics.counter("penstock_http_after_dropped_total",
                                     "Work after an answer that a full queue had no place for")),
      detached_dropped_(metrics.counter(
          "penstock_forward_detached_dropped_total",
          "Calls that follow another one, as to a shadow, that there was no place for")) {}

void Measures::count(const api::Route* route, int status, double seconds) {
  const std::size_t place =
      route ? static_cast<std::size_t>(route - routes_.data()) : routes_.size();
  Series& series = series_[place];
  const auto status_class = static_cast<std::size_t>(status / 100) % series.by_class.size();
  const auto labels = [&] {
    // What callers write must not become a label: they could make as many as they like.
    return route ? Metrics::Labels{{"method", route->method}, {"route", route->path}}
                 : Metrics::Labels{{"method", "any"}, {"route", "none"}};
  };
  Histogram* histogram = series.seconds.load(std::memory_order_relaxed);
  if (!histogram) {
    histogram = &metrics_.histogram("penstock_http_request_seconds",
                                    "Time from a request's head to its answer", labels());
    series.seconds.store(histogram, std::memory_order_relaxed);
  }
  histogram->observe(seconds);
  Counter* counter = series.by_class[status_class].load(std::memory_order_relaxed);
  if (!counter) {
    Metrics::Labels with_class = labels();
    with_class.emplace_back("status", std::to_string(status_class) + "xx");
    counter = &metrics_.counter("penstock_http_requests_total", "Requests answered", with_class);
    series.by_class[status_class].store(counter, std::memory_order_relaxed);
  }
  counter->add();
}

}  // namespace penstock::net
