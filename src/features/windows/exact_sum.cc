#include "features/windows/exact_sum.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace penstock::features::windows {
namespace {

__extension__ using Bits = unsigned __int128;

constexpr std::uint64_t digit_mask = 0xFFFF'FFFF;
constexpr std::uint32_t carry_after = 1u << 29;
constexpr std::uint8_t nan_bit = 1, infinite_bit = 2, minus_infinite_bit = 4, negative_bit = 8;
constexpr std::uint64_t places_max = 72;  // 2^1024 times 2^64 parts is place 67

}  // namespace

std::int64_t& ExactSum::digit(int place) {
  if (digits_.empty()) first_ = place;
  if (place < first_) {
    digits_.insert(digits_.begin(), static_cast<std::size_t>(first_ - place), 0);
    first_ = place;
  }
  const auto at = static_cast<std::size_t>(place - first_);
  if (at >= digits_.size()) digits_.resize(at + 1, 0);
  return digits_[at];
}

void ExactSum::add(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto exponent = static_cast<int>((bits >> 52) & 0x7FF);
  if (exponent == 0x7FF) {
    odd_ |= std::isnan(value) ? nan_bit : value > 0 ? infinite_bit : minus_infinite_bit;
    return;
  }
  std::uint64_t mantissa = bits & ((std::uint64_t{1} << 52) - 1);
  if (exponent > 0) mantissa |= std::uint64_t{1} << 52;
  if (mantissa == 0) return;
  if (uncarried_ >= carry_after) carry();
  ++uncarried_;
  const int shift = exponent > 0 ? exponent - 1 : 0;
  Bits wide = static_cast<Bits>(mantissa) << (shift % 32);
  for (int place = shift / 32; wide != 0; ++place, wide >>= 32) {
    const auto part = static_cast<std::int64_t>(static_cast<std::uint64_t>(wide) & digit_mask);
    if (part != 0) digit(place) += value < 0 ? -part : part;
  }
}

void ExactSum::merge(const ExactSum& other) {
  odd_ |= other.odd_;
  if (other.digits_.empty()) return;
  if (other.uncarried_ >= carry_after) {
    ExactSum carried = other;
    carried.carry();
    return merge(carried);
  }
  if (uncarried_ >= carry_after) carry();
  uncarried_ += other.uncarried_ + 1;
  for (std::size_t i = 0; i < other.digits_.size(); ++i)
    if (other.digits_[i] != 0) digit(other.first_ + static_cast<int>(i)) += other.digits_[i];
}

// Digits come to lie in [0, 2^32), the last one is the sign of a negative sum (-1) or not zero, and
// the first one is not zero: there is one such form of each sum.
void ExactSum::carry() {
  std::int64_t over = 0;
  for (std::int64_t& one : digits_) {
    one += over;
    over = one >> 32;
    one &= static_cast<std::int64_t>(digit_mask);
  }
  for (; over != 0 && over != -1; over >>= 32)
    digits_.push_back(over & static_cast<std::int64_t>(digit_mask));
  if (over == -1) digits_.push_back(-1);
  while (digits_.size() > 1 && digits_.back() == -1 &&
         digits_[digits_.size() - 2] == static_cast<std::int64_t>(digit_mask)) {
    digits_.pop_back();
    digits_.back() = -1;
  }
  while (!digits_.empty() && digits_.back() == 0) digits_.pop_back();
  std::size_t zeros = 0;
  while (zeros < digits_.size() && digits_[zeros] == 0) ++zeros;
  digits_.erase(digits_.begin(), digits_.begin() + static_cast<std::ptrdiff_t>(zeros));
  first_ = digits_.empty() ? 0 : first_ + static_cast<int>(zeros);
  uncarried_ = 0;
}

double ExactSum::value() const {
  if ((odd_ & nan_bit) || (odd_ & 6) == 6) return std::numeric_limits<double>::quiet_NaN();
  if (odd_ & infinite_bit) return std::numeric_limits<double>::infinity();
  if (odd_ & minus_infinite_bit) return -std::numeric_limits<double>::infinity();
  ExactSum size = *this;
  size.carry();
  if (size.digits_.empty()) return 0;
  const bool negative = size.digits_.back() < 0;
  if (negative) {
    for (std::int64_t& one : size.digits_) one = -one;
    size.carry();
  }
  // The upper 64 bits, the last of them set where anything below is: rounding those once is
  // rounding the sum.
  const auto count = static_cast<int>(size.digits_.size());
  Bits upper = 0;
  for (int i = 1; i <= 3; ++i)
    upper =
        upper << 32 |
        (i <= count ? static_cast<std::uint64_t>(size.digits_[static_cast<std::size_t>(count - i)])
                    : 0);
  bool below = false;
  for (int i = 0; i < count - 3; ++i) below |= size.digits_[static_cast<std::size_t>(i)] != 0;
  const auto spare = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(upper >> 64)));
  below |= (upper & ((Bits{1} << spare) - 1)) != 0;
  const std::uint64_t rounded = static_cast<std::uint64_t>(upper >> spare) | (below ? 1 : 0);
  const double out =
      std::ldexp(static_cast<double>(rounded), spare + 32 * (size.first_ + count - 3) - 1074);
  return negative ? -out : out;
}

void ExactSum::encode(std::string& out) const {
  ExactSum form = *this;
  form.carry();
  const bool negative = !form.digits_.empty() && form.digits_.back() < 0;
  if (negative) form.digits_.pop_back();
  // A power of 2^32 below zero is its sign alone, and says its place by first_.
  out += static_cast<char>(odd_ | (negative ? negative_bit : 0));
  put_number(out, static_cast<std::uint64_t>(form.first_));
  put_number(out, form.digits_.size());
  for (const std::int64_t one : form.digits_) put_fixed(out, static_cast<std::uint32_t>(one));
}

bool ExactSum::decode(Reader& bytes) {
  std::uint8_t flags = 0;
  std::uint64_t first = 0, size = 0;
  if (!bytes.fixed(flags) || flags > 15 || !bytes.number(first) || !bytes.number(size) ||
      first > places_max || size > places_max)
    return false;
  *this = {};
  odd_ = flags & 7;
  first_ = static_cast<int>(first);
  for (std::uint64_t i = 0; i < size; ++i) {
    std::uint32_t one = 0;
    if (!bytes.fixed(one)) return false;
    digits_.push_back(one);
  }
  if (flags & negative_bit) digits_.push_back(-1);
  return true;
}

}  // namespace penstock::features::windows
