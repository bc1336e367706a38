// What the audit log costs: one more event, a proof, and reading a whole export again.
// It defends two goals: 1,000,000 events are verified offline in under 5 s, and neither an append
// nor a proof grows with the log. The floor of the first is SHA-256 of the same bytes and nothing
// else.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <map>

#include "audit/export.h"
#include "audit/rows.h"
#include "tests/support/fixture.h"

namespace penstock::audit {
namespace {

rows::Row event(std::int64_t number) {
  return {
      .number = number,
      .at = Timestamp(Micros(1'700'000'000'000'000 + number)),
      .project = "flights",
      .tenant = "flights-team",
      .actor = "user:ana",
      .request_id = "01JDFX0000000000000000000",
      .action = "registry.version.registered",
      .subject = "model:flight-delay@v" + std::to_string(number),
      .detail = R"({"digest":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"})"};
}

struct File {
  std::string text;
  PublicKey key;
};

// As `penstock audit export` writes it, with a checkpoint at every 10,000 events.
const File& file_of(std::int64_t events) {
  static std::map<std::int64_t, File> made;
  File& file = made[events];
  if (!file.text.empty()) return file;
  const SigningKey key = SigningKey::generate("bench");
  file.key = key.public_key();
  file.text = export_header(file.key);
  Frontier frontier;
  for (std::int64_t number = 0; number < events; ++number) {
    const std::string entry = rows::entry_of(event(number));
    const Sha256 leaf = leaf_hash(entry);
    frontier.append(leaf);
    file.text += export_line(entry, to_hex(leaf));
    if (frontier.size() % 10'000 == 0 || frontier.size() == events)
      file.text += export_line(Checkpoint{
          .note = key.sign(checkpoint_text({file.key.name, frontier.size(), frontier.root()}))});
  }
  return file;
}

void VerifyExport(benchmark::State& state) {
  const File& file = file_of(state.range(0));
  for (auto _ : state) {
    ExportVerifier verifier(file.key);
    for (std::string_view text = file.text; !text.empty();) {
      const std::size_t end = text.find('\n');
      verifier.line(text.substr(0, end));
      text.remove_prefix(end + 1);
    }
    const Verification got = verifier.finish();
    if (!got.intact) return state.SkipWithError(got.fault.c_str());  // never time a failure
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file.text.size()));
}
BENCHMARK(VerifyExport)->Arg(1'000'000)->Iterations(2)->Unit(benchmark::kMillisecond);

void HashTheSameBytes(benchmark::State& state) {
  const File& file = file_of(state.range(0));
  for (auto _ : state) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(file.text.data(), file.text.size(), digest, &size, EVP_sha256(), nullptr);
    benchmark::DoNotOptimize(digest);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file.text.size()));
}
BENCHMARK(HashTheSameBytes)->Arg(1'000'000)->Iterations(2)->Unit(benchmark::kMillisecond);

// A database in memory: what the log itself costs, without the disk's fsync.
struct Log {
  explicit Log(std::int64_t events) {
    test::must(db->write(call, [&](sql::Tx& tx) -> Result<void> {
      for (std::int64_t i = 0; i < events; ++i) TRY(append(tx));
      return {};
    }));
  }
  Result<void> append(sql::Tx& tx) {
    return record(tx, call, clock.now(), {"thing.changed", "thing:x", {{"number", 7}}});
  }
  const Call call = test::call();
  ManualClock clock;
  const std::unique_ptr<sql::Database> db = test::database();
  Service service{*db, clock, SigningKey::generate("bench")};
};

void Append(benchmark::State& state) {
  Log log(state.range(0));
  for (auto _ : state) {
    const auto done = log.db->write(log.call, [&](sql::Tx& tx) { return log.append(tx); });
    if (!done) state.SkipWithError(done.error().message.c_str());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Append)->Arg(1'000)->Arg(100'000)->Iterations(2'000)->Unit(benchmark::kMicrosecond);

void ProveInclusion(benchmark::State& state) {
  Log log(state.range(0));
  test::must(log.service.checkpoint(log.call));
  std::int64_t number = 0;
  for (auto _ : state) {
    number = (number + 7'919) % state.range(0);
    const auto proof = log.service.prove_inclusion(log.call, {.number = number});
    if (!proof) state.SkipWithError(proof.error().message.c_str());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(ProveInclusion)->Arg(1'000)->Arg(100'000)->Iterations(500)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace penstock::audit

BENCHMARK_MAIN();  // not the one of the test library, which would run no test
