#include "traffic/health.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "traffic/window.h"

namespace penstock::traffic {
namespace {

constexpr std::int64_t window_seconds = 10;
constexpr std::size_t upstreams_max = 10'000;
constexpr Micros forget_after = std::chrono::hours(1);

// The last 10 seconds of an upstream.
class Recent {
 public:
  void add(bool failed, Micros took, std::int64_t second) {
    Slot& slot = slots_[static_cast<std::size_t>(second % window_seconds)];
    if (slot.second > second) return;
    if (slot.second != second) slot = {.second = second};
    ++slot.calls;
    if (failed) ++slot.failures;
    if (!failed) slot.micros += took.count();
  }
  Seen seen(std::int64_t second) const {
    Seen seen;
    std::int64_t micros = 0;
    for (const Slot& slot : slots_) {
      if (slot.second + window_seconds <= second) continue;
      seen.calls += slot.calls;
      seen.failures += slot.failures;
      micros += slot.micros;
    }
    const std::int64_t answered = seen.calls - seen.failures;
    if (answered > 0)
      seen.mean_micros = static_cast<double>(micros) / static_cast<double>(answered);
    return seen;
  }
  void clear() { slots_ = {}; }

 private:
  struct Slot {
    std::int64_t second = -window_seconds, calls = 0, failures = 0, micros = 0;
  };
  std::array<Slot, window_seconds> slots_{};
};

template <class T>
Micros grown(Micros first, T times, Micros most) {
  for (T i = 0; i < times && first < most; ++i) first *= 2;
  return std::min(first, most);
}

struct Hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>()(text);
  }
};
template <class T>
using ByName = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

}  // namespace

struct Health::Upstream {
  std::string name;
  mutable std::mutex turn;
  BreakerState breaker = BreakerState::closed;
  std::int64_t failures_in_a_row = 0, opened = 0;
  std::int64_t open_again = 0;  // times that it opened without having closed between
  std::int64_t checks_failed = 0;
  std::optional<bool> check;
  Timestamp opened_at{}, open_until{}, probe_until{}, told_at{};
  Recent recent;

  void open(const HealthOptions& options, Timestamp now) {
    breaker = BreakerState::open;
    opened_at = now;
    open_until = now + grown(options.open_time, open_again, options.open_time_max);
    ++open_again;
    ++opened;
  }
  void close() {
    breaker = BreakerState::closed;
    failures_in_a_row = open_again = 0;
    recent.clear();
  }
};

struct Health::Group {
  struct Member {
    std::shared_ptr<Upstream> upstream;
    std::atomic<std::int64_t> out_until{0};  // micros
    std::int64_t times = 0;                  // ejected, less the good minutes since
    Timestamp told_at{};                     // when `times` changed
  };
  std::string name;
  std::vector<std::unique_ptr<Member>> members;
  std::mutex turn;  // of judging
  std::atomic<std::int64_t> judged_at{0};
};

struct Health::State {
  mutable std::shared_mutex turn;
  ByName<std::shared_ptr<Upstream>> upstreams;
  ByName<std::shared_ptr<Group>> groups;
  ByName<std::vector<std::shared_ptr<Group>>> groups_of;  // by upstream
};

Health::Health() : Health(HealthOptions{}) {}
Health::Health(const HealthOptions& options)
    : options_(options), state_(std::make_unique<State>()) {}
Health::~Health() = default;

std::shared_ptr<Health::Upstream> Health::find(std::string_view upstream) const {
  const std::shared_lock lock(state_->turn);
  const auto found = state_->upstreams.find(upstream);
  return found == state_->upstreams.end() ? nullptr : found->second;
}

std::shared_ptr<Health::Upstream> Health::find_or_make(std::string_view upstream, Timestamp now) {
  if (auto found = find(upstream)) return found;
  const std::unique_lock lock(state_->turn);
  auto& upstreams = state_->upstreams;
  if (upstreams.size() >= upstreams_max)
    std::erase_if(upstreams, [&](const auto& entry) {
      return entry.second->told_at + forget_after < now && !state_->groups_of.contains(entry.first);
    });
  auto& made = upstreams[std::string(upstream)];
  if (!made) made = std::make_shared<Upstream>();
  made->name = upstream;
  return made;
}

std::shared_ptr<Health::Group> Health::group_of(std::string_view group) const {
  const std::shared_lock lock(state_->turn);
  const auto found = state_->groups.find(group);
  return found == state_->groups.end() ? nullptr : found->second;
}

void Health::set_groups(const std::map<std::string, std::vector<std::string>>& groups) {
  ByName<std::shared_ptr<Group>> made;
  ByName<std::vector<std::shared_ptr<Group>>> groups_of;
  for (const auto& [name, upstreams] : groups) {
    auto names = upstreams;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    auto group = std::make_shared<Group>();
    group->name = name;
    const auto before = group_of(name);
    for (const std::string& upstream : names) {
      auto member = std::make_unique<Group::Member>();
      member->upstream = find_or_make(upstream, Timestamp{});
      if (before)
        for (const auto& old : before->members)
          if (old->upstream == member->upstream) {
            const std::lock_guard lock(before->turn);
            member->out_until = old->out_until.load();
            member->times = old->times;
            member->told_at = old->told_at;
          }
      group->members.push_back(std::move(member));
      groups_of[upstream].push_back(group);
    }
    made.emplace(name, std::move(group));
  }
  const std::unique_lock lock(state_->turn);
  state_->groups = std::move(made);
  state_->groups_of = std::move(groups_of);
}

bool Health::sits_out(const Group& group, const Upstream& upstream, Timestamp now) const {
  bool out = false, other_works = false;
  for (const auto& member : group.members) {
    const bool ejected =
        member->out_until.load(std::memory_order_relaxed) > now.time_since_epoch().count();
    if (member->upstream.get() == &upstream) {
      out = ejected;
      if (!out) return false;
    } else if (!ejected) {
      const std::lock_guard lock(member->upstream->turn);
      other_works = other_works || member->upstream->breaker == BreakerState::closed;
    }
  }
  return out && other_works;  // a slow one is better than none
}

bool Health::may_try(std::string_view name, Timestamp now, std::string_view group) {
  const auto upstream = find(name);
  if (!upstream) return true;
  if (!group.empty())
    if (const auto found = group_of(group); found && sits_out(*found, *upstream, now)) return false;
  const std::lock_guard lock(upstream->turn);
  switch (upstream->breaker) {
    case BreakerState::closed: return true;
    case BreakerState::open:
      if (now < upstream->open_until) return false;
      upstream->breaker = BreakerState::half_open;
      break;
    case BreakerState::half_open:
      if (now < upstream->probe_until) return false;
      break;
  }
  upstream->probe_until = now + options_.probe_time;
  return true;
}

Micros Health::wait(std::string_view name, Timestamp now, std::string_view group) const {
  const auto upstream = find(name);
  if (!upstream) return Micros(0);
  Micros wait(0);
  if (!group.empty())
    if (const auto found = group_of(group); found && sits_out(*found, *upstream, now))
      for (const auto& member : found->members)
        if (member->upstream == upstream) wait = Timestamp(Micros(member->out_until.load())) - now;
  const std::lock_guard lock(upstream->turn);
  if (upstream->breaker == BreakerState::open) wait = std::max(wait, upstream->open_until - now);
  if (upstream->breaker == BreakerState::half_open && now < upstream->probe_until)
    wait = std::max<Micros>(wait, std::chrono::seconds(1));
  return std::max(wait, Micros(0));
}

void Health::tell(std::string_view name, Outcome outcome, Micros took, Timestamp now) {
  const auto upstream = find_or_make(name, now);
  {
    const std::lock_guard lock(upstream->turn);
    upstream->told_at = now;
    // What began before the breaker opened says nothing of how it is now.
    const bool late = upstream->breaker != BreakerState::closed && now - took < upstream->opened_at;
    if (late) return;
    if (outcome == Outcome::abandoned) {
      if (upstream->breaker == BreakerState::half_open) upstream->probe_until = now;
      return;
    }
    const bool failed = outcome != Outcome::answered;
    if (upstream->breaker == BreakerState::half_open) {
      if (failed)
        upstream->open(options_, now);
      else
        upstream->close();
      return;
    }
    if (upstream->breaker == BreakerState::open) return;
    upstream->recent.add(failed, took, second_of(now));
    upstream->failures_in_a_row = failed ? upstream->failures_in_a_row + 1 : 0;
    if (failed) {
      const Seen seen = upstream->recent.seen(second_of(now));
      const bool many = seen.calls >= options_.calls_min &&
                        static_cast<double>(seen.failures) >=
                            options_.error_share * static_cast<double>(seen.calls);
      if (many || upstream->failures_in_a_row >= options_.failures_in_a_row)
        upstream->open(options_, now);
    }
  }
  std::vector<std::shared_ptr<Group>> due;
  {
    const std::shared_lock lock(state_->turn);
    const auto found = state_->groups_of.find(name);
    if (found == state_->groups_of.end()) return;
    const std::int64_t micros = now.time_since_epoch().count();
    for (const auto& group : found->second)
      if (group->judged_at.load(std::memory_order_relaxed) + options_.judge_interval.count() <=
          micros)
        due.push_back(group);
  }
  for (const auto& group : due) judge(*group, now);
}

void Health::judge(Group& group, Timestamp now) {
  const std::unique_lock lock(group.turn, std::try_to_lock);
  if (!lock) return;  // somebody is at it
  const std::int64_t micros = now.time_since_epoch().count();
  group.judged_at = micros;
  if (group.members.size() < 2) return;
  std::vector<Seen> seen;
  for (const auto& member : group.members) {
    const std::lock_guard upstream_lock(member->upstream->turn);
    Seen& one = seen.emplace_back(member->upstream->recent.seen(second_of(now)));
    // One that takes no calls anyway counts as out: the group may lose no more than its share.
    one.out = member->out_until > micros || member->upstream->breaker != BreakerState::closed;
    if (!one.out && member->times > 0 && now - member->told_at > std::chrono::minutes(1)) {
      --member->times;
      member->told_at = now;
    }
  }
  for (const std::size_t index : outliers(seen, options_.outliers)) {
    Group::Member& member = *group.members[index];
    ++member.times;
    const Micros span = std::min(options_.eject_time * member.times, options_.eject_time_max);
    member.told_at = now + span;
    member.out_until = (now + span).time_since_epoch().count();
    const std::lock_guard upstream_lock(member.upstream->turn);
    member.upstream->recent.clear();
  }
}

void Health::tell_check(std::string_view name, bool passed, Timestamp now) {
  const auto upstream = find_or_make(name, now);
  const std::lock_guard lock(upstream->turn);
  upstream->told_at = now;
  upstream->check = passed;
  upstream->checks_failed = passed ? 0 : upstream->checks_failed + 1;
  if (passed) {
    if (upstream->breaker == BreakerState::open)
      upstream->open_until = std::min(upstream->open_until, now);
    return;
  }
  if (upstream->checks_failed < options_.checks_failed) return;
  if (upstream->breaker == BreakerState::closed) upstream->open(options_, now);
  // It stays closed to calls until a check passes or, checks having ended, two of them are missed.
  if (upstream->breaker == BreakerState::open)
    upstream->open_until = std::max(upstream->open_until, now + options_.open_time);
}

std::vector<UpstreamHealth> Health::list(Timestamp now) const {
  std::vector<UpstreamHealth> out;
  const std::shared_lock lock(state_->turn);
  for (const auto& [name, upstream] : state_->upstreams) {
    const std::lock_guard upstream_lock(upstream->turn);
    const Seen seen = upstream->recent.seen(second_of(now));
    UpstreamHealth health{.upstream = name,
                          .breaker = upstream->breaker,
                          .failures_in_a_row = upstream->failures_in_a_row,
                          .calls = seen.calls,
                          .failures = seen.failures,
                          .mean_micros = static_cast<std::int64_t>(seen.mean_micros),
                          .opened = upstream->opened};
    if (upstream->breaker == BreakerState::open) health.open_until = upstream->open_until;
    if (upstream->check) health.check = *upstream->check ? "passed" : "failed";
    if (const auto groups = state_->groups_of.find(name); groups != state_->groups_of.end())
      for (const auto& group : groups->second)
        for (const auto& member : group->members)
          if (member->upstream == upstream && member->out_until > now.time_since_epoch().count())
            health.ejected_from.push_back(group->name);
    out.push_back(std::move(health));
  }
  std::sort(out.begin(), out.end(), [](const UpstreamHealth& a, const UpstreamHealth& b) {
    return a.upstream < b.upstream;
  });
  return out;
}

}  // namespace penstock::traffic
