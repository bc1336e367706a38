// Time is UTC microseconds inside and RFC 3339 outside, and comes from a Clock.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace penstock {

using Micros = std::chrono::microseconds;
using Timestamp = std::chrono::sys_time<Micros>;  // UTC, always

// "2026-05-01T12:00:00Z", with ".123456" only where there are fractions.
std::string to_rfc3339(Timestamp at);
// Reads RFC 3339 with any offset, a space for the T, or a bare date (midnight UTC); at most
// microseconds. Nothing where the text is no such time.
std::optional<Timestamp> from_rfc3339(std::string_view text);

// "90s", "15m", "6h", "7d", "2w" or "250ms".
std::optional<Micros> duration_from(std::string_view text);

// The only source of "now". A test owns one and moves it by hand.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Timestamp now() const = 0;
};

class SystemClock final : public Clock {
 public:
  Timestamp now() const override;
};

class ManualClock final : public Clock {
 public:
  Timestamp now() const override { return Timestamp(Micros(now_.load())); }
  void advance(Micros step) { now_ += step.count(); }
  void set(Timestamp at) { now_ = at.time_since_epoch().count(); }

 private:
  std::atomic<std::int64_t> now_{1'700'000'000'000'000};
};

}  // namespace penstock
