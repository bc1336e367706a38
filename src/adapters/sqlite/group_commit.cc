#include "adapters/sqlite/group_commit.h"

#include <algorithm>

namespace penstock::sqlite {
namespace {

// The first member of a group waits no longer than this for the others, if their bodies are quick.
constexpr auto age_max = std::chrono::milliseconds(10);
constexpr std::chrono::microseconds patience_max = std::chrono::milliseconds(1);

using SteadyClock = std::chrono::steady_clock;

}  // namespace

Result<void> GroupCommit::enter(Timestamp deadline) {
  TRY(turn_.take(deadline));
  connection_.limit(deadline, members_ > 0);
  connection_.refuse_writes(false);
  Result<void> ready;
  if (!group_) {
    ready = connection_.control("BEGIN IMMEDIATE");
    if (ready) {
      group_ = std::make_shared<Group>();
      since_ = SteadyClock::now();
    }
  }
  if (ready) ready = connection_.control("SAVEPOINT body");
  if (!ready) leave();
  return ready;
}

Result<std::vector<sql::Row>> GroupCommit::run(std::string_view text, const sql::Row& parameters) {
  auto rows = connection_.run(text, parameters);
  // A full disk, a failed write or a stopped write makes SQLite drop the transaction, not the
  // statement.
  if (!rows && !connection_.in_transaction()) lost_ = rows.error();
  return rows;
}

Result<void> GroupCommit::commit() {
  if (connection_.owes_reference()) {
    rollback();
    return Error{Code::failed_precondition, "FOREIGN KEY constraint failed"};
  }
  if (const auto released = connection_.control("RELEASE body"); !released) {
    const Error reason = released.error();
    rollback();
    return reason;
  }
  const std::shared_ptr<Group> group = group_;
  ++members_;
  leave();
  std::unique_lock lock(group->mutex);
  group->changed.wait(lock, [&] { return group->result.has_value(); });
  return *group->result;
}

void GroupCommit::rollback() {
  if (connection_.in_transaction()) {
    const bool undone =
        connection_.control("ROLLBACK TO body") && connection_.control("RELEASE body");
    if (!undone) {
      lost_ = Error{Code::unavailable, "a write of the same group could not be undone; try again"};
      if (connection_.in_transaction() && !connection_.control("ROLLBACK"))
        lost_->message += "; the database refuses to roll back";
    }
  }
  leave();
}

std::chrono::microseconds GroupCommit::patience() const {
  if (members_ >= members_before_) return {};
  const auto until = since_ + std::min(commit_took_ / 2, patience_max);
  return std::chrono::duration_cast<std::chrono::microseconds>(until - SteadyClock::now());
}

void GroupCommit::leave() {
  const bool open = group_ && connection_.in_transaction();
  const bool room = members_ < members_max_ && SteadyClock::now() - since_ < age_max;
  if (open && members_ > 0 && room && turn_.hand_over(patience())) return;
  if (group_) end_group();
  connection_.checkpoint_if_due();
  turn_.release();
}

void GroupCommit::end_group() {
  Result<void> result;
  if (!connection_.in_transaction())
    result = lost_.value_or(Error{Code::internal, "the transaction is gone"});
  else if (members_ == 0)
    result = connection_.control("ROLLBACK");
  else {
    const auto start = SteadyClock::now();
    result = connection_.control("COMMIT");
    commit_took_ =
        std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - start);
    members_before_ = members_;
  }
  if (connection_.in_transaction()) {
    const auto undone = connection_.control("ROLLBACK");
    if (!undone) result = undone.error();
  }
  // A neighbour's deadline is no reason that a caller could understand.
  if (!result && result.error().code == Code::deadline_exceeded)
    result = Error{Code::unavailable, "another write of the same commit took too long; try again"};
  {
    const std::scoped_lock lock(group_->mutex);
    group_->result = std::move(result);
  }
  group_->changed.notify_all();
  group_.reset();
  members_ = 0;
  lost_.reset();
}

}  // namespace penstock::sqlite
