// Many writers, one fsync. Private to this adapter.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "adapters/sqlite/connection.h"

namespace penstock::sqlite {

// One of those who want to write leads: it runs the bodies of all who wait, one after another
// inside one transaction of SQLite, each in a savepoint of its own, and commits for all of them.
// Nobody returns before that commit; if it fails, all of its group get the reason and nothing of it
// is stored. Handing a body to the thread that is awake costs less than waking the one it came
// from.
//
// Whom a commit lets go come back one by one, and the first must not commit for itself while the
// others are on their way. So a group that is smaller than the one before waits for more, for half
// as long as that commit took and never over a millisecond. A lone writer's groups are all of one,
// and wait for nobody.
class GroupCommit {
 public:
  using Body = std::function<Result<void>(sql::Tx&)>;

  // `members_max` is 1 where readers share the connection, so that they see nothing uncommitted.
  GroupCommit(Connection& connection, std::size_t members_max)
      : connection_(connection), members_max_(members_max) {}

  // deadline_exceeded where its turn does not come in time. Throws where the body of another write
  // calls it: a transaction inside a transaction.
  Result<void> write(Timestamp deadline, const Body& body);
  // Between writes, on the connection that they use.
  Result<void> read(Timestamp deadline, const Body& body);

 private:
  // What members wait on: those who came while one group was open. No atomic to wait on: those of
  // libstdc++ spin first, and a sync takes longer.
  struct Wait {
    std::condition_variable changed;
    bool needs_leader = false;
  };
  struct Member {
    const Body& body;
    Timestamp deadline;
    bool reads;
    enum class State { waiting, taken, done } state = State::waiting;
    std::shared_ptr<Wait> wait;
    std::optional<Error> fault;
    std::exception_ptr thrown;
  };
  class MemberTx;

  Result<void> take_part(Member& member);
  bool come_to_lead(std::unique_lock<std::mutex>& lock, Member& member);
  void lead(std::unique_lock<std::mutex>& lock, const Member& own);
  void run_group(std::unique_lock<std::mutex>& lock);
  bool more_come(std::unique_lock<std::mutex>& lock, std::size_t members);
  void let_go(const std::vector<Member*>& members, const Result<void>& result);

  // Of the leader, without the lock.
  void run_member(Member& member, bool first);
  void run_write(Member& member);
  void undo_body();
  Result<void> end_group(bool empty);

  Connection& connection_;
  const std::size_t members_max_;

  std::mutex mutex_;
  std::deque<Member*> waiting_;
  std::shared_ptr<Wait> open_ = std::make_shared<Wait>();
  std::condition_variable arrived_;
  bool expects_someone_ = false;
  bool led_ = false;
  std::thread::id leader_;

  // Of whoever leads.
  std::chrono::steady_clock::time_point since_;
  std::size_t members_before_ = 0;
  std::chrono::microseconds commit_took_{0};
  std::optional<Error> lost_;  // why SQLite has rolled the whole transaction back
};

}  // namespace penstock::sqlite
