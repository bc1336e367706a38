// What it costs to let a call in: limits, queue and breaker. It defends the goal of 10,000 calls a
// second beside everything else on 2 cores: each under 1 us, on one thread and on two.
#include <benchmark/benchmark.h>

#include "traffic/health.h"
#include "traffic/limiter.h"
#include "traffic/queue.h"

namespace penstock::traffic {
namespace {

constexpr Timestamp start{Micros(1'700'000'000'000'000)};

struct Callers {
  std::vector<std::string> users;
  Callers() {
    for (int i = 0; i < 4'096; ++i) users.push_back("user-" + std::to_string(i * 7919));
  }
};

// Requests and tokens of route, tenant and user, all checked and settled.
void Admit(benchmark::State& state) {
  static Limiter limiter;
  static const Callers callers;
  RouteLimits limits;
  limits.route = {1'000'000'000, 1'000'000'000'000, 100'000};
  if (state.range(0) > 1) limits.tenant = limits.route;
  if (state.range(0) > 2) limits.user = limits.route;
  std::size_t number = static_cast<std::size_t>(state.thread_index()) * 1'000;
  for (auto _ : state) {
    const Timestamp now = start + Micros(static_cast<std::int64_t>(number) * 100);
    auto result = limiter.admit({.project = "default",
                                 .route = "support-chat",
                                 .tenant = "acme",
                                 .user = callers.users[number % callers.users.size()],
                                 .tokens = 1'000},
                                limits, now);
    if (auto* permit = std::get_if<Permit>(&result))
      permit->settle(400, now);
    else
      state.SkipWithError("refused");
    ++number;
  }
}
BENCHMARK(Admit)->Arg(1)->Arg(2)->Arg(3)->Threads(1)->Threads(2)->UseRealTime();

void EnterAndLeave(benchmark::State& state) {
  static Queue queue({});
  for (auto _ : state) {
    auto entered = queue.enter({.project = "default", .route = "chat", .tenant = "acme"},
                               Timestamp::max(), start, nullptr);
    if (auto* place = std::get_if<Place>(&entered))
      place->leave(start);
    else
      state.SkipWithError("refused");
  }
}
BENCHMARK(EnterAndLeave)->Threads(1)->Threads(2)->UseRealTime();

void TryAndTell(benchmark::State& state) {
  static Health health;
  static const bool grouped = [] {
    health.set_groups({{"chat", {"east", "west"}}});
    return true;
  }();
  benchmark::DoNotOptimize(grouped);
  std::int64_t number = 0;
  for (auto _ : state) {
    const Timestamp now = start + Micros(number++ * 100);
    if (!health.may_try("east", now, "chat")) state.SkipWithError("refused");
    health.tell("east", Outcome::answered, Micros(900), now);
  }
}
BENCHMARK(TryAndTell)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace penstock::traffic

BENCHMARK_MAIN();
