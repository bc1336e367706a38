#include "traffic/queue.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <list>
#include <mutex>
#include <set>
#include <unordered_map>

namespace penstock::traffic {
namespace {

// What a turn of deficit round robin gives a tenant. A call is worth at least that, so that one
// without tokens is plain round robin; one with many waits for as many turns.
constexpr std::int64_t quantum = 1;
constexpr std::int64_t tokens_each = 64;
constexpr std::int64_t worth_max = 1'024;

std::int64_t worth_of(const Ask& ask) {
  return std::clamp<std::int64_t>(1 + ask.tokens / tokens_each, 1, worth_max);
}

}  // namespace

// The waiting calls of one tenant at one priority.
struct Lane {
  std::string tenant;
  std::list<std::shared_ptr<Waiter>> waiters;
  std::int64_t deficit = quantum;
};

struct Waiter {
  Lane* lane = nullptr;  // null: told, or about to be
  std::size_t priority = 0;
  std::int64_t worth = 1;
  Timestamp since, until;
  Told told;
  std::list<std::shared_ptr<Waiter>>::iterator place;
};

// One priority. Lanes are served in turn; one that is empty is gone.
struct Level {
  std::list<Lane> lanes;  // the first is served next
  std::unordered_map<std::string, std::list<Lane>::iterator> by_tenant;
  std::int64_t waiting = 0;
};

struct QueueState : std::enable_shared_from_this<QueueState> {
  mutable std::mutex turn;
  QueueLimits limits;
  std::int64_t running = 0, waiting = 0;
  double mean_micros = 0;  // that a place is held, lately
  std::array<Level, priority_max + 1> levels;
  std::set<std::pair<Timestamp, Waiter*>> by_end;

  Micros expected_wait(std::size_t priority) const;
  std::int64_t waiting_of(std::size_t priority, const std::string& tenant) const;
  std::shared_ptr<Waiter> add(const Ask& ask, std::size_t priority, Timestamp until, Timestamp now,
                              Told told);
  void remove(Waiter& waiter);
  std::shared_ptr<Waiter> next();
  std::shared_ptr<Waiter> victim(std::size_t priority, const std::string& tenant);
  std::vector<std::shared_ptr<Waiter>> take_expired(Timestamp now);
  Refusal expired() const;
  void leave(Timestamp since, std::optional<Timestamp> now);
};

// Of one that comes now: those before it, at the pace that places became free lately.
Micros QueueState::expected_wait(std::size_t priority) const {
  std::int64_t before = 1;
  for (std::size_t level = priority; level < levels.size(); ++level)
    before += levels[level].waiting;
  const double each =
      mean_micros / static_cast<double>(std::max<std::int64_t>(1, limits.max_concurrency));
  return Micros(static_cast<std::int64_t>(each * static_cast<double>(before)));
}

std::int64_t QueueState::waiting_of(std::size_t priority, const std::string& tenant) const {
  const auto found = levels[priority].by_tenant.find(tenant);
  if (found == levels[priority].by_tenant.end()) return 0;
  return static_cast<std::int64_t>(found->second->waiters.size());
}

std::shared_ptr<Waiter> QueueState::add(const Ask& ask, std::size_t priority, Timestamp until,
                                        Timestamp now, Told told) {
  Level& level = levels[priority];
  const std::string tenant(ask.tenant);
  auto found = level.by_tenant.find(tenant);
  if (found == level.by_tenant.end()) {
    level.lanes.push_back({.tenant = tenant});
    found = level.by_tenant.emplace(tenant, std::prev(level.lanes.end())).first;
  }
  Lane& lane = *found->second;
  auto waiter = std::make_shared<Waiter>();
  waiter->lane = &lane;
  waiter->priority = priority;
  waiter->worth = worth_of(ask);
  waiter->since = now;
  waiter->until = until;
  waiter->told = std::move(told);
  lane.waiters.push_back(waiter);
  waiter->place = std::prev(lane.waiters.end());
  by_end.emplace(until, waiter.get());
  ++level.waiting;
  ++waiting;
  return waiter;
}

void QueueState::remove(Waiter& waiter) {
  Level& level = levels[waiter.priority];
  Lane& lane = *std::exchange(waiter.lane, nullptr);
  by_end.erase({waiter.until, &waiter});
  --level.waiting;
  --waiting;
  lane.waiters.erase(waiter.place);  // the caller holds the waiter
  if (!lane.waiters.empty()) return;
  const auto found = level.by_tenant.find(lane.tenant);
  level.lanes.erase(found->second);
  level.by_tenant.erase(found);
}

// Turns that it takes until some lane can run its first call; each lane gets them all at once.
void give_turns(Level& level) {
  std::int64_t turns = worth_max;
  for (const Lane& lane : level.lanes)
    turns = std::min(turns, (lane.waiters.front()->worth - lane.deficit + quantum - 1) / quantum);
  for (Lane& lane : level.lanes) lane.deficit += std::max<std::int64_t>(turns, 0) * quantum;
}

// Whose turn it is: the most urgent level, and in it by deficit round robin.
std::shared_ptr<Waiter> QueueState::next() {
  for (std::size_t priority = levels.size(); priority-- > 0;) {
    Level& level = levels[priority];
    for (std::size_t passed = 0; !level.lanes.empty(); ++passed) {
      if (passed == level.lanes.size()) give_turns(level);
      Lane& lane = level.lanes.front();
      auto waiter = lane.waiters.front();
      if (lane.deficit >= waiter->worth) {
        lane.deficit -= waiter->worth;
        remove(*waiter);
        return waiter;
      }
      lane.deficit += quantum;
      level.lanes.splice(level.lanes.end(), level.lanes, level.lanes.begin());
    }
  }
  return nullptr;
}

// In a full queue, who gives way to a newcomer: the newest of the least urgent level and of the
// tenant with the most waiting there. Nobody, where that would be no fairer.
std::shared_ptr<Waiter> QueueState::victim(std::size_t priority, const std::string& tenant) {
  for (std::size_t level = 0; level <= priority; ++level) {
    if (levels[level].lanes.empty()) continue;
    const auto longest = std::max_element(
        levels[level].lanes.begin(), levels[level].lanes.end(),
        [](const Lane& a, const Lane& b) { return a.waiters.size() < b.waiters.size(); });
    const auto most = static_cast<std::int64_t>(longest->waiters.size());
    if (level == priority && most <= waiting_of(priority, tenant) + 1) return nullptr;
    auto waiter = longest->waiters.back();
    remove(*waiter);
    return waiter;
  }
  return nullptr;
}

std::vector<std::shared_ptr<Waiter>> QueueState::take_expired(Timestamp now) {
  std::vector<std::shared_ptr<Waiter>> out;
  while (!by_end.empty() && by_end.begin()->first <= now) {
    out.push_back(*by_end.begin()->second->place);
    remove(*out.back());
  }
  return out;
}

Refusal QueueState::expired() const {
  return {.reason = Reason::wait_too_long,
          .retry_after = expected_wait(priority_default),
          .what = " for its turn"};
}

void QueueState::leave(Timestamp since, std::optional<Timestamp> now) {
  std::vector<std::shared_ptr<Waiter>> expired_ones, chosen;
  Refusal refusal;
  {
    const std::lock_guard lock(turn);
    --running;
    if (now && *now >= since) {
      const auto took = static_cast<double>((*now - since).count());
      mean_micros = mean_micros == 0 ? took : mean_micros + (took - mean_micros) / 32;
    }
    if (waiting == 0) return;
    if (now) expired_ones = take_expired(*now);
    while (running < limits.max_concurrency) {
      auto waiter = next();
      if (!waiter) break;
      ++running;
      chosen.push_back(std::move(waiter));
    }
    if (!expired_ones.empty()) refusal = expired();
  }
  for (const auto& waiter : expired_ones) waiter->told(refusal);
  for (const auto& waiter : chosen)
    waiter->told(Place(shared_from_this(), now ? *now : waiter->since));
}

Place& Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  leave({});
  queue_ = std::exchange(other.queue_, nullptr);
  since_ = other.since_;
  return *this;
}

void Place::leave(std::optional<Timestamp> now) {
  if (const auto queue = std::exchange(queue_, nullptr)) queue->leave(since_, now);
}

bool Waiting::cancel() {
  if (!queue_) return false;
  const std::lock_guard lock(queue_->turn);
  const auto waiter = waiter_.lock();
  if (!waiter || !waiter->lane) return false;
  queue_->remove(*waiter);
  return true;
}

Refusal Waiting::expired() const {
  const std::lock_guard lock(queue_->turn);
  return queue_->expired();
}

Queue::Queue(const QueueLimits& limits) : state_(std::make_shared<QueueState>()) {
  state_->limits = limits;
}

void Queue::set_limits(const QueueLimits& limits) {
  const std::lock_guard lock(state_->turn);
  state_->limits = limits;
}

std::variant<Place, Refusal, Waiting> Queue::enter(const Ask& ask, Timestamp deadline,
                                                   Timestamp now, Told told) {
  const auto priority = static_cast<std::size_t>(std::clamp(ask.priority, 0, priority_max));
  std::shared_ptr<Waiter> displaced;
  Waiting waiting;
  Refusal displaced_refusal;
  {
    QueueState& state = *state_;
    const std::lock_guard lock(state.turn);
    if (state.running < state.limits.max_concurrency && state.waiting == 0) {
      ++state.running;
      return Place(state_, now);
    }
    const Micros expected = state.expected_wait(priority);
    const Timestamp latest = now + state.limits.max_wait;
    const Timestamp until = std::min(deadline, latest);
    if (until <= now || now + expected > until)
      return Refusal{.reason = Reason::wait_too_long,
                     .retry_after = expected,
                     .what = deadline < latest ? " before its deadline" : " in the queue"};
    if (state.waiting >= state.limits.max_waiting) {
      displaced = state.victim(priority, std::string(ask.tenant));
      if (!displaced)
        return Refusal{.reason = Reason::queue_full,
                       .retry_after = expected,
                       .what = " on route " + std::string(ask.route)};
      displaced_refusal = {.reason = Reason::displaced, .retry_after = expected};
    }
    waiting.queue_ = state_;
    waiting.until_ = until;
    waiting.waiter_ = state.add(ask, priority, until, now, std::move(told));
  }
  if (displaced) displaced->told(displaced_refusal);
  return waiting;
}

std::variant<Place, Refusal> Queue::enter(const Ask& ask, Timestamp deadline, Timestamp now) {
  struct Answer {
    std::mutex turn;
    std::condition_variable came;
    std::optional<std::variant<Place, Refusal>> result;
  };
  const auto answer = std::make_shared<Answer>();
  auto entered = enter(ask, deadline, now, [answer](std::variant<Place, Refusal> result) {
    const std::lock_guard lock(answer->turn);
    answer->result = std::move(result);
    answer->came.notify_one();
  });
  if (auto* place = std::get_if<Place>(&entered)) return std::move(*place);
  if (auto* refusal = std::get_if<Refusal>(&entered)) return std::move(*refusal);

  Waiting& waiting = std::get<Waiting>(entered);
  std::unique_lock lock(answer->turn);
  const auto is_there = [&] { return answer->result.has_value(); };
  if (!answer->came.wait_for(lock, waiting.until() - now, is_there)) {
    lock.unlock();
    if (waiting.cancel()) return waiting.expired();
    lock.lock();
    answer->came.wait(lock, is_there);  // it is being told
  }
  return std::move(*answer->result);
}

std::optional<Timestamp> Queue::expire(Timestamp now) {
  std::vector<std::shared_ptr<Waiter>> over;
  std::optional<Timestamp> next;
  Refusal refusal;
  {
    const std::lock_guard lock(state_->turn);
    over = state_->take_expired(now);
    if (!state_->by_end.empty()) next = state_->by_end.begin()->first;
    if (!over.empty()) refusal = state_->expired();
  }
  for (const auto& waiter : over) waiter->told(refusal);
  return next;
}

Queue::Counts Queue::counts() const {
  const std::lock_guard lock(state_->turn);
  return {.running = state_->running,
          .waiting = state_->waiting,
          .expected_wait = state_->expected_wait(priority_default)};
}

}  // namespace penstock::traffic
