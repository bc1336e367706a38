#include "traffic/limiter.h"

#include <algorithm>
#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

#include "traffic/window.h"

namespace penstock::traffic {

struct Usage {
  std::mutex turn;
  Window requests, tokens;
  std::int64_t running = 0;
  std::atomic<std::int64_t> used_at{0};  // second
};

namespace {

constexpr std::size_t sweep_max = 4;  // keys looked at for each new one

std::string named(const Ask& ask, std::size_t scope) {
  const std::string route = " on route " + std::string(ask.route);
  if (scope == 0) return route;
  if (scope == 1) return " for tenant " + std::string(ask.tenant) + route;
  return " for user " + std::string(ask.user) + " of tenant " + std::string(ask.tenant) + route;
}

std::string key_of(const Ask& ask, std::size_t scope) {
  std::string key;
  key.reserve(ask.project.size() + ask.route.size() + ask.tenant.size() + ask.user.size() + 5);
  const auto part = [&](std::string_view text) {
    key += text;
    key += '\0';
  };
  part(ask.project);
  part(ask.route);
  key += static_cast<char>('0' + scope);
  if (scope >= 1) part(ask.tenant);
  if (scope == 2) part(ask.user);
  return key;
}

// Where keys of this scope go that find no room.
std::string shared_key_of(const Ask& ask, std::size_t scope) {
  return std::string(ask.project) + '\0' + std::string(ask.route) + '\0' +
         static_cast<char>('a' + scope);
}

struct Checked {
  const Bound* bound = nullptr;
  std::shared_ptr<Usage> usage;
  std::size_t scope = 0;
  std::int64_t second = 0;
};

Micros until(std::int64_t second, Timestamp now) {
  return std::max(Micros(1), Timestamp(std::chrono::seconds(second)) - now);
}

// Keeps the one that lasts longest, so that who waits for it does not wait in vain.
void keep_longer(std::optional<Refusal>& kept, std::optional<Refusal> other) {
  if (!other) return;
  if (!kept || !other->retry_after ||
      (kept->retry_after && *other->retry_after > *kept->retry_after))
    kept = std::move(other);
}

// With the usage locked. Why the call does not fit; nothing where it does.
std::optional<Refusal> refusal_of(Checked& checked, const Ask& ask, Timestamp now) {
  Usage& usage = *checked.usage;
  const Bound& bound = *checked.bound;
  checked.second = usage.requests.turn_to(second_of(now));
  checked.second = usage.tokens.turn_to(checked.second);
  std::optional<Refusal> refusal;
  const auto minute = [&](const Window& window, std::int64_t amount, std::int64_t limit,
                          Reason reason, std::string_view unit) {
    if (window.fits(amount, limit)) return;
    Refusal why{.reason = reason,
                .what = std::to_string(limit) + " " + std::string(unit) + " a minute" +
                        named(ask, checked.scope)};
    if (amount <= limit) why.retry_after = until(window.fits_at(amount, limit), now);
    keep_longer(refusal, std::move(why));
  };
  if (bound.requests_per_minute)
    minute(usage.requests, 1, *bound.requests_per_minute, Reason::requests, "requests");
  if (bound.tokens_per_minute)
    minute(usage.tokens, ask.tokens, *bound.tokens_per_minute, Reason::tokens, "tokens");
  if (!refusal && bound.concurrent && usage.running >= *bound.concurrent)
    refusal =
        Refusal{.reason = Reason::concurrent,
                .retry_after = std::chrono::seconds(1),
                .what = std::to_string(*bound.concurrent) + " calls" + named(ask, checked.scope)};
  return refusal;
}

}  // namespace

struct Limiter::Shard {
  struct Key {
    std::string text;
    std::shared_ptr<Usage> usage;
  };
  mutable std::mutex turn;
  std::list<Key> by_use;  // the longest unused first
  std::unordered_map<std::string_view, std::list<Key>::iterator> by_text;

  // Forgets keys whose windows are over and whose calls have ended.
  void sweep(std::int64_t second) {
    for (std::size_t looked = 0; looked < sweep_max && !by_use.empty(); ++looked) {
      const auto first = by_use.begin();
      if (first->usage->used_at.load(std::memory_order_relaxed) + Window::slots_kept > second)
        return;
      if (first->usage.use_count() > 1) {  // a long call: looked at again in its turn
        first->usage->used_at.store(second, std::memory_order_relaxed);
        by_use.splice(by_use.end(), by_use, first);
        continue;
      }
      by_text.erase(first->text);
      by_use.erase(first);
    }
  }

  std::shared_ptr<Usage> find(std::string_view text, std::int64_t second) {
    const auto found = by_text.find(text);
    if (found == by_text.end()) return nullptr;
    by_use.splice(by_use.end(), by_use, found->second);
    Usage& usage = *found->second->usage;
    if (usage.used_at.load(std::memory_order_relaxed) < second)
      usage.used_at.store(second, std::memory_order_relaxed);
    return found->second->usage;
  }

  std::shared_ptr<Usage> make(std::string text, std::int64_t second) {
    by_use.push_back({std::move(text), std::make_shared<Usage>()});
    const auto made = std::prev(by_use.end());
    made->usage->used_at.store(second, std::memory_order_relaxed);
    by_text.emplace(made->text, made);
    return made->usage;
  }
};

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  held_ = std::move(other.held_);
  count_ = std::exchange(other.count_, 0);
  tokens_ = other.tokens_;
  settled_ = other.settled_;
  return *this;
}

void Permit::settle(std::int64_t tokens, Timestamp now) {
  if (std::exchange(settled_, true)) return;
  for (std::size_t i = 0; i < count_; ++i) {
    if (!held_[i].tokens || tokens == tokens_) continue;
    Usage& usage = *held_[i].usage;
    const std::lock_guard lock(usage.turn);
    const std::int64_t second = usage.tokens.turn_to(second_of(now));
    if (tokens < tokens_) {
      usage.tokens.give_back(tokens_ - tokens, held_[i].second);
      continue;
    }
    usage.tokens.add(tokens - tokens_, second);
    usage.used_at.store(second, std::memory_order_relaxed);
  }
}

void Permit::give_back() {
  for (std::size_t i = 0; i < count_; ++i) {
    if (held_[i].concurrent) {
      const std::lock_guard lock(held_[i].usage->turn);
      --held_[i].usage->running;
    }
    held_[i].usage.reset();
  }
  count_ = 0;
}

Limiter::Limiter() : Limiter(Options{}) {}
Limiter::Limiter(const Options& options)
    : shard_keys_max_(std::max<std::size_t>(1, options.keys_max / shard_count)),
      shards_(std::make_unique<std::array<Shard, shard_count>>()) {}
Limiter::~Limiter() = default;

std::size_t Limiter::keys() const {
  std::size_t count = 0;
  for (const Shard& shard : *shards_) {
    const std::lock_guard lock(shard.turn);
    count += shard.by_use.size();
  }
  return count;
}

std::shared_ptr<Usage> Limiter::usage_of(const Ask& ask, std::size_t scope, Timestamp now) {
  const std::int64_t second = second_of(now);
  const auto shard_of = [&](std::string_view text) -> Shard& {
    return (*shards_)[(std::hash<std::string_view>()(text) >> 32) % shard_count];
  };
  {
    std::string key = key_of(ask, scope);
    Shard& shard = shard_of(key);
    const std::lock_guard lock(shard.turn);
    auto usage = shard.find(key, second);
    shard.sweep(second);
    if (usage) return usage;
    if (shard.by_use.size() < shard_keys_max_) return shard.make(std::move(key), second);
  }
  std::string shared_key = shared_key_of(ask, scope);
  Shard& shard = shard_of(shared_key);
  const std::lock_guard lock(shard.turn);
  if (auto usage = shard.find(shared_key, second)) return usage;
  return shard.make(std::move(shared_key), second);
}

std::variant<Permit, Refusal> Limiter::admit(const Ask& ask, const RouteLimits& limits,
                                             Timestamp now) {
  if (limits.empty()) return Permit();
  std::array<Checked, 3> checks;
  std::size_t count = 0;
  const std::array bounds{&limits.route, &limits.tenant, &limits.user};
  for (std::size_t scope = 0; scope < bounds.size(); ++scope)
    if (!bounds[scope]->empty())
      checks[count++] = {
          .bound = bounds[scope], .usage = usage_of(ask, scope, now), .scope = scope};

  // All are looked at and taken under all their locks, in one order for everybody: so no call is
  // refused for the sake of one that is refused itself.
  std::array<std::unique_lock<std::mutex>, 3> locks;
  std::array<Usage*, 3> in_order{};
  for (std::size_t i = 0; i < count; ++i) in_order[i] = checks[i].usage.get();
  std::sort(in_order.begin(), in_order.begin() + static_cast<std::ptrdiff_t>(count), std::less<>());
  for (std::size_t i = 0; i < count; ++i) locks[i] = std::unique_lock(in_order[i]->turn);

  std::optional<Refusal> refusal;
  for (std::size_t i = 0; i < count; ++i) keep_longer(refusal, refusal_of(checks[i], ask, now));
  if (refusal) return std::move(*refusal);

  Permit permit;
  permit.tokens_ = ask.tokens;
  for (std::size_t i = 0; i < count; ++i) {
    Usage& usage = *checks[i].usage;
    const Bound& bound = *checks[i].bound;
    if (bound.requests_per_minute) usage.requests.add(1, checks[i].second);
    if (bound.tokens_per_minute) usage.tokens.add(ask.tokens, checks[i].second);
    if (bound.concurrent) ++usage.running;
    permit.held_[permit.count_++] = {.usage = std::move(checks[i].usage),
                                     .second = checks[i].second,
                                     .concurrent = bound.concurrent.has_value(),
                                     .tokens = bound.tokens_per_minute.has_value()};
  }
  return permit;
}

}  // namespace penstock::traffic
