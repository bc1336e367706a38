#include "features/erased_marks.h"

#include <algorithm>

namespace penstock::features {
namespace {

constexpr std::size_t batch_marks = 1'000;
constexpr int turns_max = 200;

// By which keys entities were erased: of one view, or (view "") of all that have them. Servers that
// share nothing but the store have salts and numbers of their own.
struct ErasedSet {
  std::string view;
  std::vector<std::string> keys;
  std::string salt;
  std::int64_t number = 0;  // of the newest

  bool same(const ErasedSet& other) const {
    return view == other.view && keys == other.keys && salt == other.salt;
  }
};
BOOST_DESCRIBE_STRUCT(ErasedSet, (), (view, keys, salt, number))
struct ErasedSets {
  std::int64_t changes = 0;  // of this text
  std::vector<ErasedSet> sets;

  void add(const ErasedSet& set) {
    for (ErasedSet& one : sets)
      if (one.same(set)) {
        one.number = std::max(one.number, set.number);
        return;
      }
    sets.push_back(set);
  }
};
BOOST_DESCRIBE_STRUCT(ErasedSets, (), (changes, sets))

std::string prefix_of(const std::string& project) { return "features-erased/" + project + '\0'; }
std::string sets_key(const std::string& project) { return prefix_of(project) + "s"; }

std::string mark_key(const std::string& project, const ErasedSet& set, const std::string& entity) {
  std::string out = prefix_of(project) + "m" + set.salt + '\0' + set.view;
  for (const std::string& key : set.keys) out.append(1, '\0').append(key);
  return out.append(1, '\0').append(entity);
}

Result<ErasedSets> sets_in(const std::optional<std::string>& stored) {
  if (!stored) return ErasedSets{};
  boost::system::error_code fault;
  const json::value value = json::parse(*stored, fault);
  if (fault) return Error{Code::data_loss, "the list of erased entities is damaged"};
  return decode<ErasedSets>(value);
}

bool holds_for(const ErasedSet& set, const ViewHandle& view) {
  if (!set.view.empty() && set.view != view.view.name) return false;
  return std::ranges::all_of(set.keys, [&](const std::string& name) {
    return std::ranges::find(view.keys, name, &catalog::JoinKey::name) != view.keys.end();
  });
}

Error busy() { return {Code::unavailable, "others erase entities all the time; ask again"}; }

// A mark never moves back.
Result<void> put_marks(kv::Store& kv, std::vector<std::pair<std::string, Timestamp>> open) {
  for (int turns = 0; !open.empty(); ++turns) {
    if (turns == turns_max) return busy();
    std::vector<std::string> keys;
    for (const auto& [key, until] : open) keys.push_back(key);
    auto there = TRY(kv.multi_get(keys));
    std::vector<kv::Swap> swaps;
    std::vector<std::pair<std::string, Timestamp>> of;
    for (std::size_t i = 0; i < open.size(); ++i) {
      if (there[i] && TRY(times_of(*there[i])).event_time >= open[i].second) continue;
      swaps.push_back({keys[i], std::move(there[i]), encode_erased(open[i].second)});
      of.push_back(open[i]);
    }
    open.clear();
    if (swaps.empty()) break;
    for (const std::size_t lost : TRY(kv.swap(swaps, kv::Durability::disk)))
      open.push_back(of[lost]);
  }
  return {};
}

}  // namespace

// First the marks, then the list by which they are looked for.
Result<void> ErasedMarks::put(const std::string& project, const std::vector<Erasure>& erasures) {
  if (erasures.empty()) return {};
  ErasedSets added;
  std::vector<std::pair<std::string, Timestamp>> marks;
  for (const Erasure& one : erasures) {
    const ErasedSet set{one.view, one.keys, one.salt, one.number};
    added.add(set);
    marks.emplace_back(mark_key(project, set, one.entity), one.erased_at);
    if (marks.size() == batch_marks) TRY(put_marks(kv_, std::exchange(marks, {})));
  }
  TRY(put_marks(kv_, std::move(marks)));
  for (int turns = 0; turns < turns_max; ++turns) {
    auto stored = TRY(kv_.get(sets_key(project)));
    ErasedSets sets = TRY(sets_in(stored));
    ++sets.changes;
    for (const ErasedSet& set : added.sets) sets.add(set);
    if (TRY(kv_.swap({{sets_key(project), std::move(stored), json::serialize(encode(sets))}},
                     kv::Durability::disk))
            .empty())
      return {};
  }
  return busy();
}

Result<void> ErasedMarks::learn(const Call& call) {
  {
    const std::lock_guard hold(turn_);
    if (learnt_.contains(call.project)) return {};
  }
  const ErasedSets sets = TRY(sets_in(TRY(kv_.get(sets_key(call.project)))));
  const auto missing = TRY(db_.read(call, [&](sql::Tx& tx) -> Result<std::vector<Erasure>> {
    auto all =
        TRY(sql::select<Erasure>(tx,
                                 "SELECT " + columns<Erasure>() +
                                     " FROM feature_erasures WHERE project = $1 ORDER BY number",
                                 {call.project}));
    std::map<std::string, std::int64_t> known;  // by salt
    for (const ErasedSet& set : sets.sets) known[set.salt] = std::max(known[set.salt], set.number);
    std::erase_if(all, [&](const Erasure& one) { return one.number <= known[one.salt]; });
    return all;
  }));
  TRY(put(call.project, missing));
  const std::lock_guard hold(turn_);
  learnt_.insert(call.project);
  return {};
}

Result<std::string> ErasedMarks::state(const Call& call) {
  TRY(learn(call));
  return TRY(kv_.get(sets_key(call.project))).value_or("");
}

Result<std::vector<std::optional<Timestamp>>> ErasedMarks::of(
    const Call& call, const ViewHandle& view, const std::vector<std::string>& row_keys) {
  std::vector<std::optional<Timestamp>> out(row_keys.size());
  const std::string stored = TRY(state(call));
  if (stored.empty()) return out;
  const ErasedSets sets = TRY(sets_in(stored));
  std::vector<std::string> keys;
  std::vector<std::size_t> rows;
  for (const ErasedSet& set : sets.sets) {
    if (!holds_for(set, view)) continue;
    for (std::size_t row = 0; row < row_keys.size(); ++row) {
      const auto all = keys_in(view, row_keys[row]);
      std::map<std::string, std::string> values;
      for (std::size_t k = 0; k < std::min(all.size(), view.keys.size()); ++k)
        if (std::ranges::find(set.keys, view.keys[k].name) != set.keys.end())
          values[view.keys[k].name] = all[k];
      keys.push_back(mark_key(call.project, set, entity_hash(set.salt, values)));
      rows.push_back(row);
    }
  }
  if (keys.empty()) return out;
  const auto marks = TRY(kv_.multi_get(keys));
  for (std::size_t i = 0; i < marks.size(); ++i) {
    if (!marks[i]) continue;
    auto& until = out[rows[i]];
    until = std::max(until.value_or(Timestamp::min()), TRY(times_of(*marks[i])).event_time);
  }
  return out;
}

}  // namespace penstock::features
