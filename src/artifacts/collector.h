// Frees what nobody needs: files that were deleted, uploads that became nothing, artifacts of
// versions and steps that are gone.
#pragma once

#include "artifacts/files.h"
#include "base/call.h"

namespace penstock::artifacts {

struct CollectInput {
  std::string unused_for = "7d";  // since somebody last brought the bytes
  bool dry_run = false;
  std::int64_t limit = 10'000;  // of files looked at
  std::string after;            // `next` of the call before
};
BOOST_DESCRIBE_STRUCT(CollectInput, (), (unused_for, dry_run, limit, after))
constexpr auto rules_of(const CollectInput&) {
  return std::array{
      Rule{.field = "unused_for",
           .doc = "\"7d\": how long nobody brought a file's bytes; at least 48h, which is how long "
                  "an upload may take.",
           .max = 20,
           .may_miss = true},
      Rule{.field = "dry_run", .doc = "Only say what would go.", .may_miss = true},
      Rule{.field = "limit", .min = 1, .max = 1'000'000, .may_miss = true},
      Rule{.field = "after",
           .doc = "Where the call before ended: its `next`.",
           .max = 64,
           .may_miss = true}};
}
struct Collected {
  bool dry_run = false;
  std::int64_t files = 0, bytes = 0;  // that went, or would go
  std::int64_t kept = 0;              // old ones that somebody refers to
  bool more = false;                  // the limit or the time came first: go on after `next`
  std::string next;
};
BOOST_DESCRIBE_STRUCT(Collected, (), (dry_run, files, bytes, kept, more, next))

class Collector {
 public:
  Collector(sql::Database& db, Files& files, const Clock& clock)
      : db_(db), files_(files), clock_(clock) {}

  // Each file goes in a transaction of its own that asks every holder, so it may be stopped at any
  // point and be asked again. Whatever went is in the audit log, also where an error ended it; a
  // dry run leaves nothing there.
  Result<Collected> run(const Call& call, const CollectInput& input);

 private:
  Result<void> collect(const Call& call, const CollectInput& input, Collected& out);

  sql::Database& db_;
  Files& files_;
  const Clock& clock_;
};

}  // namespace penstock::artifacts
