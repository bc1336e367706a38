// Counts requests and their time by route, method and class of status.
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "api/route.h"
#include "base/metrics.h"

namespace penstock::net {

// A series comes to be with its first request, so the page of metrics shows what is in use.
class Measures {
 public:
  // `routes` must outlive this and not move.
  Measures(Metrics& metrics, const std::vector<api::Route>& routes);

  // `route` is one of the routes, or none where nothing fitted. Safe from any thread.
  void count(const api::Route* route, int status, double seconds);
  void connections(std::size_t count) { connections_.set(static_cast<double>(count)); }
  void after_dropped() { after_dropped_.add(); }
  void detached_dropped() { detached_dropped_.add(); }

 private:
  struct Series {
    std::atomic<Histogram*> seconds{nullptr};
    std::array<std::atomic<Counter*>, 6> by_class{};  // by the first digit of the status
  };
  Metrics& metrics_;
  const std::vector<api::Route>& routes_;
  std::vector<Series> series_;  // as the routes; the last one is for what fitted none
  Gauge& connections_;
  Counter& after_dropped_;
  Counter& detached_dropped_;
};

}  // namespace penstock::net
