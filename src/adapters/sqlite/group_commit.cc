#include "adapters/sqlite/group_commit.h"

#include <algorithm>
#include <stdexcept>

namespace penstock::sqlite {
namespace {

// The first member of a group waits no longer than this for the others, if their bodies are quick.
constexpr auto age_max = std::chrono::milliseconds(10);
constexpr std::chrono::microseconds patience_max = std::chrono::milliseconds(1);

using SteadyClock = std::chrono::steady_clock;

Error too_late() {
  return {Code::deadline_exceeded, "the deadline passed while other writes went first"};
}

}  // namespace

class GroupCommit::MemberTx final : public sql::Tx {
 public:
  explicit MemberTx(GroupCommit& group) : group_(group) {}
  Result<std::vector<sql::Row>> run(std::string_view text, const sql::Row& parameters) override {
    if (failed) return *failed;
    auto rows = group_.connection_.run(text, parameters);
    if (rows) return rows;
    failed = rows.error();
    // A full disk, a failed write or a stopped write makes SQLite drop the transaction, not the
    // statement.
    if (wrote && !group_.connection_.in_transaction()) group_.lost_ = *failed;
    return rows;
  }
  Result<sql::Answer> ask(std::string_view text, const sql::Row& parameters,
                          Micros time_limit) override {
    if (failed) return *failed;
    auto answer = group_.connection_.ask(text, parameters, time_limit);
    if (!answer && wrote && !group_.connection_.in_transaction()) {
      failed = answer.error();
      group_.lost_ = *failed;
    }
    return answer;
  }

  std::optional<Error> failed;
  bool wrote = true;  // false for a read, which has no transaction to lose

 private:
  GroupCommit& group_;
};

Result<void> GroupCommit::write(Timestamp deadline, const Body& body) {
  Member member{.body = body, .deadline = deadline, .reads = false};
  return take_part(member);
}

Result<void> GroupCommit::read(Timestamp deadline, const Body& body) {
  Member member{.body = body, .deadline = deadline, .reads = true};
  return take_part(member);
}

Result<void> GroupCommit::take_part(Member& member) {
  {
    std::unique_lock lock(mutex_);
    if (leader_ == std::this_thread::get_id())
      throw std::logic_error("a transaction was opened inside a transaction");
    member.wait = open_;
    waiting_.push_back(&member);
    if (come_to_lead(lock, member)) lead(lock, member);
  }
  if (member.thrown) std::rethrow_exception(member.thrown);
  if (member.fault) return *member.fault;
  return {};
}

// True where nobody leads; false once the member is through.
bool GroupCommit::come_to_lead(std::unique_lock<std::mutex>& lock, Member& member) {
  if (!led_) return true;
  if (expects_someone_) arrived_.notify_one();
  Wait& wait = *member.wait;
  const auto is_done = [&] { return member.state == Member::State::done; };
  const auto may_go = [&] {
    return is_done() || (member.state == Member::State::waiting && wait.needs_leader);
  };
  if (member.deadline == Timestamp::max()) {
    wait.changed.wait(lock, may_go);
  } else if (!wait.changed.wait_until(lock, member.deadline, may_go)) {
    if (member.state == Member::State::waiting) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), &member));
      member.state = Member::State::done;
      member.fault = too_late();
      return false;
    }
    wait.changed.wait(lock, is_done);
  }
  return !is_done();
}

void GroupCommit::lead(std::unique_lock<std::mutex>& lock, const Member& own) {
  led_ = true;
  own.wait->needs_leader = false;
  leader_ = std::this_thread::get_id();
  while (own.state != Member::State::done) run_group(lock);
  leader_ = {};
  led_ = !waiting_.empty();
  if (!led_) return;
  // All, since some of them may be through and only not have seen it.
  waiting_.front()->wait->needs_leader = true;
  waiting_.front()->wait->changed.notify_all();
}

void GroupCommit::run_group(std::unique_lock<std::mutex>& lock) {
  std::vector<Member*> members;
  since_ = SteadyClock::now();
  lost_.reset();
  while (members.size() < members_max_ && SteadyClock::now() - since_ < age_max && !lost_) {
    if (waiting_.empty() && !more_come(lock, members.size())) break;
    Member* member = waiting_.front();
    waiting_.pop_front();
    member->state = Member::State::taken;
    lock.unlock();
    run_member(*member, members.empty());
    lock.lock();
    members.push_back(member);
    if (member->reads) break;
  }
  open_ = std::make_shared<Wait>();
  lock.unlock();
  const bool empty = std::all_of(members.begin(), members.end(), [](const Member* member) {
    return member->fault || member->thrown || member->reads;
  });
  const Result<void> result = end_group(empty);
  lock.lock();
  members_before_ = members.size();
  let_go(members, result);
}

bool GroupCommit::more_come(std::unique_lock<std::mutex>& lock, std::size_t members) {
  if (members == 0 || members >= members_before_) return false;
  expects_someone_ = true;
  arrived_.wait_until(lock, since_ + std::min(commit_took_ / 2, patience_max),
                      [&] { return !waiting_.empty(); });
  expects_someone_ = false;
  return !waiting_.empty();
}

void GroupCommit::let_go(const std::vector<Member*>& members, const Result<void>& result) {
  std::shared_ptr<Wait> last;
  for (Member* member : members) {
    if (!result && !member->fault && !member->thrown && !member->reads)
      member->fault = result.error();
    const std::shared_ptr<Wait> wait = member->wait;
    member->state = Member::State::done;  // from the end of the lock on it may be gone
    if (last && last != wait) last->changed.notify_all();
    last = wait;
  }
  if (last) last->changed.notify_all();
}

void GroupCommit::run_member(Member& member, bool first) {
  if (member.deadline < SystemClock().now()) {
    member.fault = too_late();
    return;
  }
  connection_.limit(member.deadline, !first);
  connection_.refuse_writes(member.reads);
  try {
    if (member.reads) {
      MemberTx tx(*this);
      tx.wrote = false;
      if (const auto done = member.body(tx); !done) member.fault = done.error();
    } else {
      run_write(member);
    }
  } catch (...) {
    member.thrown = std::current_exception();
    if (!member.reads) undo_body();
  }
}

void GroupCommit::run_write(Member& member) {
  if (!connection_.in_transaction())
    if (const auto begun = connection_.control("BEGIN IMMEDIATE"); !begun) {
      member.fault = begun.error();
      return;
    }
  if (const auto saved = connection_.control("SAVEPOINT body"); !saved) {
    member.fault = saved.error();
    return;
  }
  MemberTx tx(*this);
  if (const auto done = member.body(tx); !done)
    member.fault = done.error();
  else if (tx.failed)
    member.fault = tx.failed;
  else if (connection_.owes_reference())
    member.fault = Error{Code::failed_precondition, "FOREIGN KEY constraint failed"};
  else if (const auto released = connection_.control("RELEASE body"); !released)
    member.fault = released.error();
  if (member.fault) undo_body();
}

void GroupCommit::undo_body() {
  if (!connection_.in_transaction()) return;
  if (connection_.control("ROLLBACK TO body") && connection_.control("RELEASE body")) return;
  lost_ = Error{Code::unavailable, "a write of the same group could not be undone; try again"};
  if (connection_.in_transaction() && !connection_.control("ROLLBACK"))
    lost_->message += "; the database refuses to roll back";
}

// `empty` where nobody's body came to its end.
Result<void> GroupCommit::end_group(bool empty) {
  Result<void> result;
  if (empty) {
    if (connection_.in_transaction()) result = connection_.control("ROLLBACK");
  } else if (!connection_.in_transaction()) {
    result = lost_.value_or(Error{Code::internal, "the transaction is gone"});
  } else {
    const auto start = SteadyClock::now();
    result = connection_.control("COMMIT");
    commit_took_ =
        std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - start);
  }
  if (connection_.in_transaction()) {
    const auto undone = connection_.control("ROLLBACK");
    if (!undone) result = undone.error();
  }
  connection_.checkpoint_if_due();
  // A neighbour's deadline is no reason that a caller could understand.
  if (!result && result.error().code == Code::deadline_exceeded)
    return Error{Code::unavailable, "another write of the same commit took too long; try again"};
  return result;
}

}  // namespace penstock::sqlite
