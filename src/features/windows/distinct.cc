#include "features/windows/distinct.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <xxhash.h>

namespace penstock::features::windows {
namespace {

constexpr int index_bits = 12, sparse_bits = 25, between_bits = sparse_bits - index_bits;
constexpr std::size_t register_count = std::size_t{1} << index_bits;
constexpr std::size_t sparse_max = 512;
constexpr int rank_max = 64 - index_bits + 1;
constexpr std::uint32_t sparse_rank_max = 64 - sparse_bits + 1;

// Ertl's sigma and tau, series that end where the next term no longer shows.
double sigma(double x) {
  if (x == 1) return std::numeric_limits<double>::infinity();
  double power = 1, sum = x, before = 0;
  do {
    x *= x;
    before = sum;
    sum += x * power;
    power += power;
  } while (sum != before);
  return sum;
}

double tau(double x) {
  if (x == 0 || x == 1) return 0;
  double power = 1, sum = 1 - x, before = 0;
  do {
    x = std::sqrt(x);
    before = sum;
    power *= 0.5;
    sum -= (1 - x) * (1 - x) * power;
  } while (sum != before);
  return sum / 3;
}

}  // namespace

void Distinct::add(const Scalar& value) {
  std::string bytes;
  if (const auto* truth = std::get_if<bool>(&value)) {
    put_scalar(bytes, std::int64_t{*truth});
  } else if (const auto* real = std::get_if<double>(&value)) {
    const bool whole = *real >= -0x1p62 && *real <= 0x1p62 && std::trunc(*real) == *real;
    if (whole)
      put_scalar(bytes, static_cast<std::int64_t>(*real));
    else
      put_scalar(bytes, std::isnan(*real) ? std::numeric_limits<double>::quiet_NaN() : *real);
  } else {
    put_scalar(bytes, value);
  }
  add_hash(XXH3_64bits(bytes.data(), bytes.size()));
}

void Distinct::add_hash(std::uint64_t hash) {
  const auto index = static_cast<std::uint32_t>(hash >> (64 - sparse_bits));
  const std::uint64_t rest = hash << sparse_bits | std::uint64_t{1} << (sparse_bits - 1);
  const std::uint32_t entry = index << 6 | static_cast<std::uint32_t>(std::countl_zero(rest) + 1);
  if (registers_.empty())
    add_sparse(entry);
  else
    raise(entry);
}

void Distinct::add_sparse(std::uint32_t entry) {
  auto place = std::lower_bound(sparse_.begin(), sparse_.end(), entry & ~63u);
  if (place != sparse_.end() && *place >> 6 == entry >> 6) {
    *place = std::max(*place, entry);
    return;
  }
  sparse_.insert(place, entry);
  if (sparse_.size() > sparse_max) densify();
}

void Distinct::raise(std::uint32_t entry) {
  const std::uint32_t index = entry >> (6 + between_bits);
  const std::uint32_t between = (entry >> 6) & ((1u << between_bits) - 1);
  const auto rank = static_cast<std::uint8_t>(
      between != 0 ? between_bits - std::bit_width(between) + 1 : between_bits + (entry & 63));
  registers_[index] = std::max(registers_[index], rank);
}

void Distinct::densify() {
  registers_.assign(register_count, 0);
  for (const std::uint32_t entry : sparse_) raise(entry);
  sparse_.clear();
}

void Distinct::merge(const Distinct& other) {
  if (!other.registers_.empty()) {
    if (registers_.empty()) densify();
    for (std::size_t i = 0; i < register_count; ++i)
      registers_[i] = std::max(registers_[i], other.registers_[i]);
    return;
  }
  for (const std::uint32_t entry : other.sparse_)
    if (registers_.empty())
      add_sparse(entry);
    else
      raise(entry);
}

std::int64_t Distinct::value() const {
  if (registers_.empty()) {
    constexpr double places = 1 << sparse_bits;
    return std::llround(-places * std::log1p(-static_cast<double>(sparse_.size()) / places));
  }
  std::array<double, rank_max + 1> counts{};
  for (const std::uint8_t rank : registers_) ++counts[rank];
  constexpr double m = register_count;
  double sum = m * tau(1 - counts[rank_max] / m);
  for (std::size_t rank = rank_max - 1; rank >= 1; --rank) sum = 0.5 * (sum + counts[rank]);
  sum += m * sigma(counts[0] / m);
  return std::llround(m * m / (2 * std::log(2.0) * sum));
}

void Distinct::encode(std::string& out) const {
  out += static_cast<char>(registers_.empty() ? 0 : 1);
  if (registers_.empty()) {
    put_number(out, sparse_.size());
    std::uint32_t before = 0;
    for (const std::uint32_t entry : sparse_) {
      put_number(out, entry - before);
      before = entry;
    }
    return;
  }
  for (std::size_t i = 0; i < register_count; i += 4) {  // 6 bits each
    std::uint32_t four = 0;
    for (std::size_t j = 0; j < 4; ++j) four |= std::uint32_t{registers_[i + j]} << (6 * j);
    out.append(reinterpret_cast<const char*>(&four), 3);
  }
}

bool Distinct::decode(Reader& bytes) {
  std::uint8_t form = 0;
  if (!bytes.fixed(form) || form > 1) return false;
  *this = {};
  if (form == 0) {
    std::uint64_t count = 0, step = 0, entry = 0;
    if (!bytes.number(count) || count > sparse_max) return false;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (!bytes.number(step) || step > std::uint64_t{1} << 31) return false;
      entry += step;
      const std::uint64_t rank = entry & 63;
      if (entry >> 31 || rank < 1 || rank > sparse_rank_max) return false;
      if (i > 0 && entry >> 6 <= sparse_.back() >> 6) return false;
      sparse_.push_back(static_cast<std::uint32_t>(entry));
    }
    return true;
  }
  std::string_view packed;
  if (!bytes.take(register_count / 4 * 3, packed)) return false;
  registers_.resize(register_count);
  for (std::size_t i = 0; i < register_count; i += 4) {
    std::uint32_t four = 0;
    std::memcpy(&four, packed.data() + i / 4 * 3, 3);
    for (std::size_t j = 0; j < 4; ++j) {
      registers_[i + j] = (four >> (6 * j)) & 63;
      if (registers_[i + j] > rank_max) return false;
    }
  }
  return true;
}

}  // namespace penstock::features::windows
