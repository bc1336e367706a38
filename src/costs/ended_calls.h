// Calls that ended and are not in the ledger yet. Private to guard*.cc and leases.cc.
//
// Where calls come faster than they are posted there are many of them, so each takes 32 bytes of a
// table: what it cost, the hours that matter and a digest of its id, by which a post finds it.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.h"
#include "base/time.h"

namespace penstock::costs {

// A digest of an id. It is seeded, so that none can be made to be another's; of 200,000 calls, two
// share one once in a thousand million times, and one of them is then forgotten early.
using CallKey = std::uint64_t;
CallKey key_of(std::string_view id);

// Who pays, and for what: budgets tell by it whether they cover a cost.
struct Payer {
  std::string tenant, route, model;
  friend auto operator<=>(const Payer&, const Payer&) = default;
};

struct Ended {
  enum class Stage : std::uint8_t { none, waits, posted, read };  // read: a refresh began since
  CallKey key = 0;
  std::int64_t units = 0;  // of Money
  std::int32_t at = 0;     // the hour that its lines are of
  std::int32_t began = 0;  // the hours in which it ran
  std::int32_t ended = 0;
  std::uint16_t payer = 0;  // its place
  Stage stage = Stage::none;

  Money amount() const { return {.units = units}; }
};
static_assert(sizeof(Ended) == 32);

class EndedCalls {
 public:
  // A call that costs by several models has one for each. False where there is no place for more.
  bool add(const Payer& payer, Money amount, Ended ended);
  // The ledger has what was posted under this id.
  void posted(CallKey key) { table_of(key).posted(key); }
  // What was posted until now is in what the caller reads of the ledger from now on.
  void begin_read() {
    for (Table& table : tables_) table.begin_read();
  }
  // Of what is read, those that `forgotten` says true of: the ledger counts them.
  template <class Forgotten>
  void forget(const Forgotten& forgotten) {
    size_ = 0;
    for (Table& table : tables_) {
      table.keep_if(
          [&](const Ended& one) { return one.stage != Ended::Stage::read || !forgotten(one); });
      size_ += table.size();
    }
    if (size_ > 0) return;
    places_.clear();
    payers_.clear();
  }
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const Table& table : tables_) table.for_each(visit);
  }
  // Which payers `covers` says true of, by their places.
  template <class Covers>
  std::vector<bool> places(const Covers& covers) const {
    std::vector<bool> out;
    out.reserve(payers_.size());
    for (const auto payer : payers_) out.push_back(covers(payer->first));
    return out;
  }
  std::size_t size() const { return size_; }

 private:
  // Open addressing: one lies between its start and the first empty place after it. None leaves it
  // but by a new table.
  class Table {
   public:
    void add(const Ended& one);
    void posted(CallKey key);
    void begin_read();
    template <class Visit>
    void for_each(const Visit& visit) const {
      for (const Ended& one : places_)
        if (one.stage != Ended::Stage::none) visit(one);
    }
    template <class Kept>
    void keep_if(const Kept& kept) {
      std::size_t left = 0;
      for_each([&](const Ended& one) { left += kept(one); });
      if (left == size_) return;
      for (const Ended& one : make_room(left))
        if (one.stage != Ended::Stage::none && kept(one)) put(one);
    }
    std::size_t size() const { return size_; }

   private:
    std::size_t start_of(CallKey key) const;
    void put(const Ended& one);
    std::vector<Ended> make_room(std::size_t expected);  // and nothing in it; gives what was
    std::vector<Ended> places_;
    std::size_t size_ = 0;
  };
  // Of many small ones, since a large one that grows leaves holes behind, as large as itself.
  static constexpr std::size_t tables = 64;
  Table& table_of(CallKey key) { return tables_[key % tables]; }

  std::array<Table, tables> tables_;
  std::size_t size_ = 0;
  std::map<Payer, std::uint16_t> places_;  // as many as had a call since there was none at all
  std::vector<std::map<Payer, std::uint16_t>::const_iterator> payers_;
};

}  // namespace penstock::costs
