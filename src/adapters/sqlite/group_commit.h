// Many writers, one fsync. Private to this adapter.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "adapters/sqlite/connection.h"
#include "adapters/sqlite/turn.h"

namespace penstock::sqlite {

// Writers run one after another inside one transaction of SQLite, each in a savepoint of its own.
// The one after whom nobody waits commits for all of them. Nobody returns before that commit; if it
// fails, all of its group get the reason and nothing of it is stored.
//
// Whom a commit lets go come back one by one, and the first must not commit for itself while the
// others are on their way. So a group that is smaller than the one before waits for more, for half
// as long as that commit took and never over a millisecond. A lone writer's groups are all of one,
// and wait for nobody.
class GroupCommit {
 public:
  // `members_max` is 1 where readers share the connection, so that they see nothing uncommitted.
  GroupCommit(Connection& connection, std::size_t members_max)
      : connection_(connection), members_max_(members_max) {}

  // The calling thread's turn: it calls run, and then commit or rollback, once.
  Result<void> enter(Timestamp deadline);
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters);
  Result<void> commit();
  void rollback();

  Turn& turn() { return turn_; }

 private:
  // What members wait for. No atomic to wait on: those of libstdc++ spin first, and a sync takes
  // longer.
  struct Group {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<Result<void>> result;  // none until it ended
  };
  std::chrono::microseconds patience() const;
  void leave();
  void end_group();

  Connection& connection_;
  const std::size_t members_max_;
  Turn turn_;
  // Of whoever has the turn.
  std::shared_ptr<Group> group_;  // none where no transaction is open
  std::chrono::steady_clock::time_point since_;
  std::size_t members_ = 0, members_before_ = 0;
  std::chrono::microseconds commit_took_{0};
  std::optional<Error> lost_;  // why SQLite has rolled the whole transaction back
};

}  // namespace penstock::sqlite
