// What the ledger takes in and how fast it answers.
// It defends the goal that metering keeps up with 10,000 calls a second of four lines each, on a
// file of SQLite, that a chat call costs at most 6 us of processor time however many the ledger
// has, and that a month's report takes no longer for having more lines.
#include <benchmark/benchmark.h>

#include <ctime>
#include <random>

#include "adapters/sqlite/sqlite.h"
#include "base/id.h"
#include "costs/service.h"
#include "migrations/migrations.h"
#include "tests/support/fixture.h"

namespace penstock::costs {
namespace {

constexpr std::int64_t calls_of_turn = 2'000;
constexpr std::int64_t chats_of_turn = 500;  // as metering reads them
const Timestamp start = *from_rfc3339("2026-11-02T00:00:00Z");

struct Ledger {
  test::TempDir folder;
  ManualClock clock;
  std::unique_ptr<sql::Database> db = test::must(sqlite::open(folder / "ledger.db"));
  resources::Service resources{*db, clock};
  Service costs{*db, clock};

  Ledger() {
    test::must(sql::migrate(*db, migrations(), SystemClock().now()));
    for (resources::KindHandler& kind : costs.kinds()) resources.add(std::move(kind));
    declare(R"({
      "kind": "price_list", "name": "standard", "owner": "finance", "currency": "USD", "prices": [
      {"meter": "requests", "price": "0", "per": 1, "from": "2026-01-01"},
      {"meter": "prompt_tokens", "price": "0.15", "per": 1000000, "from": "2026-01-01"},
      {"meter": "cached_prompt_tokens", "price": "0.075", "per": 1000000, "from": "2026-01-01"},
      {"meter": "output_tokens", "price": "0.6", "per": 1000000, "from": "2026-01-01"}]})");
  }
  void declare(const std::string& declaration) {
    resources::ApplyInput input;
    input.documents.push_back({.declaration = json::parse(declaration).as_object()});
    test::must(resources.apply(test::call(), input));
  }

  // A turn of metering: calls of 8 tenants, 4 routes, `users` users, at 10,000 a second.
  std::vector<Usage> turn(std::int64_t number, std::int64_t users) const {
    std::vector<Usage> usages;
    usages.reserve(calls_of_turn * 4);
    for (std::int64_t call = 0; call < calls_of_turn; ++call) {
      const std::int64_t serial = number * calls_of_turn + call;
      Usage usage{.source = "inference",
                  .id = new_ulid(start + Micros(serial * 100)),
                  .at = start + Micros(serial * 100),
                  .tenant = "tenant-" + std::to_string(serial % 8),
                  .route = "route-" + std::to_string(serial % 4),
                  .model = "assistant",
                  .version = 3,
                  .mode = UsageMode::online,
                  .user_tag = users == 0 ? "" : "user-" + std::to_string(serial % users),
                  .upstream = "openai",
                  .upstream_model = "gpt-4o-mini"};
      for (const auto& [meter, quantity] :
           {std::pair(Meter::requests, 1), std::pair(Meter::prompt_tokens, 800),
            std::pair(Meter::cached_prompt_tokens, 200), std::pair(Meter::output_tokens, 150)}) {
        usage.meter = meter;
        usage.quantity = quantity;
        usages.push_back(usage);
      }
    }
    return usages;
  }
};

// One turn of 2,000 calls. `items_per_second` is calls.
void Post(benchmark::State& state) {
  const Ledger ledger;
  Service costs(*ledger.db, ledger.clock);
  std::int64_t number = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const auto usages = ledger.turn(number++, state.range(0));
    state.ResumeTiming();
    const auto posted = costs.post(test::call(), usages);
    if (!posted || posted->posted != calls_of_turn * 4) state.SkipWithError("not posted");
  }
  state.SetItemsProcessed(state.iterations() * calls_of_turn);
}
BENCHMARK(Post)->Arg(0)->Arg(100)->Iterations(100)->Unit(benchmark::kMillisecond);

// The same turn told again.
void PostAgain(benchmark::State& state) {
  const Ledger ledger;
  Service costs(*ledger.db, ledger.clock);
  const auto usages = ledger.turn(0, 0);
  if (!costs.post(test::call(), usages)) state.SkipWithError("not posted");
  for (auto _ : state) {
    const auto posted = costs.post(test::call(), usages);
    if (!posted || posted->repeated != calls_of_turn * 4) state.SkipWithError("not known again");
  }
  state.SetItemsProcessed(state.iterations() * calls_of_turn);
}
BENCHMARK(PostAgain)->Iterations(50)->Unit(benchmark::kMillisecond);

double thread_micros() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) * 1e6 + static_cast<double>(spent.tv_nsec) / 1e3;
}

// A turn of a busy gateway's chat calls: they end, and so come, up to half a second after they
// began, which their ids and times are of.
std::vector<Usage> chats(std::int64_t number, std::mt19937& random) {
  std::vector<Usage> usages;
  usages.reserve(chats_of_turn * 3);
  for (std::int64_t call = 0; call < chats_of_turn; ++call) {
    const std::int64_t serial = number * chats_of_turn + call;
    const Timestamp at = start + Micros(500'000 + serial * 40 - random() % 500'000);
    Usage usage{.source = "inference",
                .id = new_ulid(at),
                .at = at,
                .tenant = "tenant-" + std::to_string(serial % 8),
                .route = "support-chat",
                .model = "support-assistant",
                .version = 3,
                .mode = UsageMode::online,
                .upstream = "openai",
                .upstream_model = "gpt-4o-mini"};
    for (const auto& [meter, quantity] :
         {std::pair(Meter::prompt_tokens, 800 + serial % 100),
          std::pair(Meter::output_tokens, 150 + serial % 10), std::pair(Meter::requests, 1L)}) {
      usage.meter = meter;
      usage.quantity = quantity;
      usages.push_back(usage);
    }
  }
  return usages;
}

// Turns of chat calls from `number` on. `cpu_us` is the processor time of one call.
void time_chats(benchmark::State& state, Service& costs, std::int64_t& number,
                std::mt19937& random) {
  double spent = 0;
  for (auto _ : state) {
    state.PauseTiming();
    const auto usages = chats(number++, random);
    const double before = thread_micros();
    state.ResumeTiming();
    const auto posted = costs.post(test::call(), usages);
    state.PauseTiming();
    spent += thread_micros() - before;
    if (!posted || posted->posted != chats_of_turn * 3) state.SkipWithError("not posted");
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * chats_of_turn);
  state.counters["cpu_us"] = spent / static_cast<double>(state.iterations() * chats_of_turn);
}

// Where the ledger has range(0) calls already. `bytes` is what a call takes in the database.
void PostChats(benchmark::State& state) {
  const Ledger ledger;
  Service costs(*ledger.db, ledger.clock);
  std::mt19937 random(7);
  std::int64_t number = 0;
  for (; number * chats_of_turn < state.range(0); ++number)
    if (!costs.post(test::call(), chats(number, random))) state.SkipWithError("not posted");
  time_chats(state, costs, number, random);
  state.counters["bytes"] =
      static_cast<double>(std::filesystem::file_size(ledger.folder / "ledger.db")) /
      static_cast<double>(number * chats_of_turn);
}
BENCHMARK(PostChats)->Arg(0)->Arg(300'000)->Iterations(400)->Unit(benchmark::kMillisecond);

// Where the project has range(0) budgets, a week of spending of 8 tenants, and range(1) prices.
void PostChatsJudged(benchmark::State& state) {
  Ledger ledger;
  Service costs(*ledger.db, ledger.clock);
  std::mt19937 random(7);
  for (std::int64_t budget = 0; budget < state.range(0); ++budget)
    ledger.declare(R"({"kind": "budget", "name": "b)" + std::to_string(budget) +
                   R"(", "owner": "finance", "limit": "1000000", "tenant": "tenant-)" +
                   std::to_string(budget % 8) + "\"}");
  std::string prices;
  for (std::int64_t price = 0; price < state.range(1); ++price)
    prices += std::string(price == 0 ? "" : ",") + R"({"meter": "output_tokens", "model": "m)" +
              std::to_string(price) + R"(", "price": "0.6", "per": 1000000, "from": "2026-01-01"})";
  if (!prices.empty())
    ledger.declare(R"({"kind": "price_list", "name": "many", "owner": "finance", "currency": "USD",
                       "prices": [)" +
                   prices + "]}");
  for (std::int64_t hour = 1; hour <= 7 * 24; ++hour) {
    auto usages = chats(0, random);
    usages.resize(8 * 3);
    for (Usage& usage : usages) usage.at -= std::chrono::hours(hour);
    if (!costs.post(test::call(), usages)) state.SkipWithError("not posted");
  }
  std::int64_t number = 1;
  time_chats(state, costs, number, random);
}
BENCHMARK(PostChatsJudged)
    ->Args({1, 0})
    ->Args({8, 0})
    ->Args({0, 3'000})
    ->Iterations(200)
    ->Unit(benchmark::kMillisecond);

// A report over 30 days of 24 hours with range(0) lines each.
void Report(benchmark::State& state) {
  const Ledger ledger;
  Service costs(*ledger.db, ledger.clock);
  for (std::int64_t hour = 0; hour < 30 * 24; ++hour) {
    auto usages = ledger.turn(0, 0);
    usages.resize(static_cast<std::size_t>(state.range(0)));
    for (Usage& usage : usages) {
      usage.id += std::to_string(hour);
      usage.at += std::chrono::hours(hour);
    }
    if (!costs.post(test::call(), usages)) state.SkipWithError("not posted");
  }
  for (auto _ : state)
    if (!costs.report(test::call(), {.by = "tenant,month"})) state.SkipWithError("no report");
}
BENCHMARK(Report)->Arg(64)->Arg(640)->Iterations(20)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace penstock::costs

BENCHMARK_MAIN();
