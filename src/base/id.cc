#include "base/id.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <mutex>

namespace penstock {
namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

// The random part of the last id: the next one in the same millisecond counts on from it.
class Sequence {
 public:
  std::array<unsigned char, 10> next(std::int64_t milliseconds) {
    const std::lock_guard lock(turn_);
    if (milliseconds > last_) {
      last_ = milliseconds;
      if (left_ == 0) {
        randombytes_buf(drawn_.data(), sizeof drawn_);
        left_ = drawn_.size();
      }
      random_ = drawn_[--left_];
    } else {
      for (auto digit = random_.rbegin(); digit != random_.rend(); ++digit)
        if (++*digit != 0) break;
    }
    return random_;
  }

 private:
  std::mutex turn_;
  std::int64_t last_ = -1;
  std::array<unsigned char, 10> random_{};
  // The system is asked for many at once.
  std::array<std::array<unsigned char, 10>, 32> drawn_{};
  std::size_t left_ = 0;
};

}  // namespace

std::string new_ulid(Timestamp at) {
  static Sequence sequence;
  const std::int64_t milliseconds = at.time_since_epoch().count() / 1000;
  const auto random = sequence.next(milliseconds);
  std::string text(26, '0');
  std::int64_t rest = milliseconds;
  for (std::size_t place = 10; place-- > 0; rest >>= 5)
    text[place] = alphabet[static_cast<std::size_t>(rest & 31)];
  // Five bytes are eight letters.
  for (std::size_t half = 0; half < 2; ++half) {
    std::uint64_t bits = 0;
    for (std::size_t byte = half * 5; byte < half * 5 + 5; ++byte) bits = bits << 8 | random[byte];
    for (std::size_t place = 18 + half * 8; place-- > 10 + half * 8; bits >>= 5)
      text[place] = alphabet[static_cast<std::size_t>(bits & 31)];
  }
  return text;
}

bool is_ulid(std::string_view text) {
  return text.size() == 26 && std::all_of(text.begin(), text.end(), [](char letter) {
           return alphabet.find(letter) != std::string_view::npos;
         });
}

std::optional<Timestamp> time_of_ulid(std::string_view text) {
  if (!is_ulid(text) || text.front() > '7') return std::nullopt;
  std::int64_t milliseconds = 0;
  for (const char letter : text.substr(0, 10))
    milliseconds = milliseconds << 5 | static_cast<std::int64_t>(alphabet.find(letter));
  return Timestamp(std::chrono::milliseconds(milliseconds));
}

}  // namespace penstock
