#include "costs/ended_calls.h"

#include <algorithm>
#include <limits>
#include <random>
#include <utility>
#include <xxhash.h>

namespace penstock::costs {
namespace {

// Beyond these the ledger is out of reach for long.
constexpr std::size_t calls_max = 200'000;
constexpr std::size_t table_min = 8;
constexpr Wide units_max = std::numeric_limits<std::int64_t>::max();

}  // namespace

CallKey key_of(std::string_view id) {
  static const std::uint64_t seed = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  return XXH3_64bits_withSeed(id.data(), id.size(), seed);
}

bool EndedCalls::add(const Payer& payer, Money amount, Ended ended) {
  // An amount that has no place in one of them takes several.
  const auto needed = static_cast<std::size_t>((amount.units - 1) / units_max + 1);
  if (amount.units > units_max * Wide{calls_max} || size_ + needed > calls_max) return false;
  auto found = places_.find(payer);
  if (found == places_.end()) {
    if (payers_.size() > std::numeric_limits<std::uint16_t>::max()) return false;
    found = places_.emplace(payer, static_cast<std::uint16_t>(payers_.size())).first;
    payers_.push_back(found);
  }
  ended.payer = found->second;
  for (Wide left = amount.units; left > 0; left -= ended.units) {
    ended.units = static_cast<std::int64_t>(std::min(left, units_max));
    table_of(ended.key).add(ended);
    ++size_;
  }
  return true;
}

std::size_t EndedCalls::Table::start_of(CallKey key) const {
  __extension__ using Product = unsigned __int128;
  return static_cast<std::size_t>(Product{key} * places_.size() >> 64);
}

void EndedCalls::Table::put(const Ended& one) {
  std::size_t at = start_of(one.key);
  while (places_[at].stage != Ended::Stage::none)
    if (++at == places_.size()) at = 0;
  places_[at] = one;
  ++size_;
}

void EndedCalls::Table::add(const Ended& one) {
  if ((size_ + 1) * 5 > places_.size() * 4)
    for (const Ended& before : make_room(size_ + 1))
      if (before.stage != Ended::Stage::none) put(before);
  put(one);
}

// With a quarter more than is expected, and a fifth of all empty even then.
std::vector<Ended> EndedCalls::Table::make_room(std::size_t expected) {
  const std::size_t places = expected == 0 ? 0 : std::max(expected * 25 / 16, table_min);
  size_ = 0;
  return std::exchange(places_, std::vector<Ended>(places));
}

void EndedCalls::Table::posted(CallKey key) {
  if (places_.empty()) return;
  for (std::size_t at = start_of(key); places_[at].stage != Ended::Stage::none;
       at = at + 1 == places_.size() ? 0 : at + 1)
    if (places_[at].key == key && places_[at].stage == Ended::Stage::waits)
      places_[at].stage = Ended::Stage::posted;
}

void EndedCalls::Table::begin_read() {
  for (Ended& one : places_)
    if (one.stage == Ended::Stage::posted) one.stage = Ended::Stage::read;
}

}  // namespace penstock::costs
