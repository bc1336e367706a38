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

Result<Collected> Collector::run(const Call& call, const CollectInput& input) {
  const Timestamp before = TRY(oldest_kept(input.unused_for, clock_.now()));
  Collected out{.dry_run = input.dry_run};
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
  std::int64_t seen = 0;
  for (std::string after; !out.more;) {
    const auto found = TRY(files_.unused(before, after, page));
    if (found.empty()) break;
    for (const StoredFile& file : found) {
      if (seen++ == input.limit) {
        out.more = true;
        break;
      }
      if (clock_.now() > call.deadline)
        return Error{Code::deadline_exceeded, "collecting took too long; give a smaller limit"};
      after = file.digest;
      if (!TRY(take(file.digest, file.size))) held.emplace(file.digest, file.size);
    }
  }
  // The list of an artifact holds its files, and may have come after them.
  for (std::size_t freed = 1; freed > 0 && !held.empty();) {
    freed = 0;
    for (auto one = held.begin(); one != held.end();) {
      if (!TRY(take(one->first, one->second))) {
        ++one;
        continue;
      }
      ++freed;
      one = held.erase(one);
    }
  }
  out.kept = std::ssize(held);
  if (input.dry_run || out.files == 0) return out;
  return db_.write(call, [&](sql::Tx& tx) -> Result<Collected> {
    TRY(audit::record(
        tx, call, clock_.now(),
        {"artifacts.collected",
         "artifact:store",
         {{"unused_for", input.unused_for}, {"files", out.files}, {"bytes", out.bytes}}}));
    return out;
  });
}

}  // namespace penstock::artifacts
