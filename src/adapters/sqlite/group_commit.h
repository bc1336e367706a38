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
// The one after whom nobody waits commits for all of them, so a lone writer never waits for
// company, and under load a group is whoever came while the group before was being synced. Nobody
// returns before that commit; if it fails, all of its group get the reason and nothing of it is
// stored.
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
  void leave();
  void end_group();

  Connection& connection_;
  const std::size_t members_max_;
  Turn turn_;
  // Of whoever has the turn.
  std::shared_ptr<Group> group_;  // none where no transaction is open
  std::chrono::steady_clock::time_point since_;
  std::size_t members_ = 0;
  std::optional<Error> lost_;  // why SQLite has rolled the whole transaction back
};

}  // namespace penstock::sqlite
