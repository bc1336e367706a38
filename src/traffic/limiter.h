// Requests and tokens a minute and calls at once, by route, tenant and user.
#pragma once

#include <array>
#include <memory>
#include <variant>

#include "traffic/ask.h"

namespace penstock::traffic {

struct Bound {
  std::optional<std::int64_t> requests_per_minute, tokens_per_minute, concurrent;
  bool empty() const { return !requests_per_minute && !tokens_per_minute && !concurrent; }
};
// `tenant` and `user` hold for each one; users are those of one tenant.
struct RouteLimits {
  Bound route, tenant, user;
  bool empty() const { return route.empty() && tenant.empty() && user.empty(); }
};

struct Usage;  // of one key

// Held while the call runs. Destroyed, the call is over; tokens that were not settled stay taken.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept { *this = std::move(other); }
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { give_back(); }

  // What it took in the end, in the place of what was asked for. Once; later ones do nothing.
  void settle(std::int64_t tokens, Timestamp now);

 private:
  friend class Limiter;
  void give_back();

  struct Held {
    std::shared_ptr<Usage> usage;
    std::int64_t second = 0;  // of its token window
    bool concurrent = false, tokens = false;
  };
  std::array<Held, 3> held_;
  std::size_t count_ = 0;
  std::int64_t tokens_ = 0;
  bool settled_ = false;
};

class Limiter {
 public:
  struct Options {
    // Keys (a user of a route is one) that are told apart. Beyond, new ones of a route share one.
    std::size_t keys_max = 1'000'000;
  };
  Limiter();
  explicit Limiter(const Options& options);
  ~Limiter();

  // All bounds or none: a refused call takes nothing.
  std::variant<Permit, Refusal> admit(const Ask& ask, const RouteLimits& limits, Timestamp now);

  std::size_t keys() const;

 private:
  static constexpr std::size_t shard_count = 64;
  struct Shard;
  std::shared_ptr<Usage> usage_of(const Ask& ask, std::size_t scope, Timestamp now);

  std::size_t shard_keys_max_;
  std::unique_ptr<std::array<Shard, shard_count>> shards_;
};

}  // namespace penstock::traffic
