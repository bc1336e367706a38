#include "artifacts/collector.h"

#include "audit/audit.h"

namespace penstock::artifacts {
namespace {

constexpr int page = 500;

Result<Timestamp> oldest_kept(const std::string& unused_for, Timestamp now) {
  const auto span = duration_from(unused_for);
  if (!span || *span < std::chrono::hours(48))
    return Error{Code::invalid_argument,
                 "unused_for is \"" + unused_for +
                     "\", and must be a duration of at least 48h: "
                     "files of an upload that is still under way are referred to only at its end",
                 {{"unused_for", "must be at least 48h, such as 7d"}}};
  return now - *span;
}

}  // namespace

Result<void> Collector::collect(const Call& call, const CollectInput& input, Collected& out) {
  const Timestamp before = TRY(oldest_kept(input.unused_for, clock_.now()));
  std::map<std::string, std::int64_t> held;  // sizes by digest: what only an artifact may hold
  std::set<std::string> gone;
  const auto take = [&](const std::string& digest, std::int64_t size) -> Result<bool> {
    const bool goes =
        input.dry_run
            ? !TRY(db_.read(call, [&](sql::Tx& tx) { return files_.holder(tx, digest, gone); }))
            : TRY(files_.remove(digest, before));
    if (!goes) return false;
    gone.insert(digest);
    ++out.files;
    out.bytes += size;
    return true;
  };
  out.next = input.after;
  for (std::int64_t seen = 0; !out.more;) {
    const auto found = TRY(files_.unused(before, out.next, page));
    if (found.empty()) break;
    for (const StoredFile& file : found) {
      out.more = seen++ == input.limit || clock_.now() > call.deadline;
      if (out.more) break;
      if (!TRY(take(file.digest, file.size))) held.emplace(file.digest, file.size);
      out.next = file.digest;
    }
  }
  out.kept = std::ssize(held);
  // The list of an artifact holds its files, and may have come after them.
  for (bool freed = out.files > 0; freed && !out.more;) {
    freed = false;
    for (auto one = held.begin(); one != held.end() && clock_.now() <= call.deadline;) {
      const bool goes = TRY(take(one->first, one->second));
      freed = freed || goes;
      one = goes ? held.erase(one) : std::next(one);
      out.kept = std::ssize(held);
    }
  }
  if (!out.more) out.next.clear();
  return {};
}

Result<Collected> Collector::run(const Call& call, const CollectInput& input) {
  Collected out{.dry_run = input.dry_run};
  const auto done = collect(call, input, out);
  if (!input.dry_run && out.files > 0) {
    // What is gone must be told, however late it is.
    Call late = call;
    late.deadline = Timestamp::max();
    TRY(db_.write(late, [&](sql::Tx& tx) {
      return audit::record(
          tx, call, clock_.now(),
          {"artifacts.collected",
           "artifact:store",
           {{"unused_for", input.unused_for}, {"files", out.files}, {"bytes", out.bytes}}});
    }));
  }
  if (!done) return done.error();
  return out;
}

}  // namespace penstock::artifacts
