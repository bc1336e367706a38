// What a call pays for being let in. It defends two goals: a route that declares no limits, where
// no budget is, pays under 200 ns; and with limits, queue and a hard budget 10,000 calls a second
// still take a few percent of a core.
#include <benchmark/benchmark.h>

#include "serving/admission.h"
#include "tests/support/fixture.h"

namespace penstock::serving {
namespace {

struct Bench {
  Metrics metrics;
  SystemClock clock;
  costs::Guard guard;
  traffic::Limiter limiter;
  traffic::Health health;
  Admission admission{guard, limiter, health, metrics,
                      [](const InferenceEvent&) { return std::vector<costs::Metered>{}; }};
  Deployment deployment{.model = "m", .version = 1};
  LiveRoute route{.project = "p1", .declaration = {.name = "chat", .model = "m"}};
  Call call = test::call();

  bool pass() {
    const Timestamp now = clock.now();
    auto entered = admission.admit({.call = call,
                                    .route = route,
                                    .deployment = deployment,
                                    .id = "c1",
                                    .prompt_tokens = 500,
                                    .output_tokens = 500,
                                    .at = now,
                                    .deadline = now + std::chrono::seconds(60)},
                                   now);
    auto* grant = std::get_if<Grant>(&entered);
    if (grant) grant->held.settle({}, now);
    return grant != nullptr;
  }
};

void run(benchmark::State& state, Bench& bench) {
  for (auto _ : state)
    if (!bench.pass()) state.SkipWithError("refused");
}

void NothingDeclared(benchmark::State& state) {
  static Bench bench;
  run(state, bench);
}
BENCHMARK(NothingDeclared)->Threads(1)->Threads(2)->UseRealTime();

void LimitsAndQueue(benchmark::State& state) {
  static Bench bench;
  static const bool declared = [] {
    bench.route.declaration.limits = {
        {LimitScope::route, 1'000'000'000, 1'000'000'000'000, 1'000},
        {LimitScope::tenant, 1'000'000'000, 1'000'000'000'000, 1'000}};
    bench.route.declaration.queue = QueueOptions{};
    return true;
  }();
  benchmark::DoNotOptimize(declared);
  run(state, bench);
}
BENCHMARK(LimitsAndQueue)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace penstock::serving

BENCHMARK_MAIN();
