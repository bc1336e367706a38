// Taking rows of entities out of the online store, and keeping them out.
#include <algorithm>
#include <set>

#include "features/online.h"
#include "features/windows/read.h"

namespace penstock::features {
namespace {

constexpr int turns_max = 200;
constexpr std::size_t batch_rows = 5'000;

}  // namespace

Result<std::vector<std::optional<Timestamp>>> Online::event_times(
    const ViewHandle& view, const std::vector<std::string>& keys) {
  std::vector<std::optional<Timestamp>> out;
  for (const auto& row : TRY(kv_.multi_get(keys))) {
    if (!row || is_erased(*row))
      out.emplace_back();
    else if (view.windows)
      out.push_back(TRY(windows::newest_event(view, *row)));
    else
      out.push_back(TRY(times_of(*row)).event_time);
  }
  return out;
}

Result<std::int64_t> Online::erase(const ViewHandle& view, const std::vector<Gone>& gone) {
  if (view.windows) return windows_.forget(view, gone);
  std::int64_t rows = 0;
  std::vector<Gone> open = gone;
  for (int turns = 0; !open.empty(); ++turns) {
    if (turns == turns_max)
      return Error{Code::unavailable, "others write these entities all the time; ask again"};
    std::vector<std::string> keys;
    for (const Gone& one : open) keys.push_back(one.key);
    const auto there = TRY(kv_.multi_get(keys));
    std::vector<kv::Swap> swaps;
    std::vector<Gone> of;
    for (std::size_t at = 0; at < open.size(); ++at) {
      Timestamp until = open[at].until;
      if (there[at]) {
        const RowTimes times = TRY(times_of(*there[at]));
        if (is_erased(*there[at]) && times.event_time >= until) continue;
        if (open[at].older_only && times.event_time > until) continue;
        until = std::max(until, times.event_time);
      }
      swaps.push_back({keys[at], there[at], encode_erased(until)});
      of.push_back(open[at]);
    }
    const auto lost = TRY(kv_.swap(swaps, kv::Durability::disk));
    std::set<std::size_t> missed(lost.begin(), lost.end());
    open.clear();
    for (std::size_t at = 0; at < swaps.size(); ++at) {
      if (missed.contains(at))
        open.push_back(of[at]);
      else if (swaps[at].expected && !is_erased(*swaps[at].expected))
        ++rows;
    }
  }
  return rows;
}

Result<void> Online::for_each_key(const ViewHandle& view,
                                  const std::function<bool(std::string_view key)>& visit) {
  return kv_.scan(view.prefix + "r", view.prefix + "s",
                  [&](std::string_view key, std::string_view) { return visit(key); });
}

Result<std::int64_t> Online::erase_again(const Call& call, const ViewHandle& view,
                                         const std::vector<std::string>& keys) {
  const auto erased = TRY(erased_.of(call, view, keys));
  std::vector<std::string> known;
  std::vector<Timestamp> until;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!erased[i]) continue;
    known.push_back(keys[i]);
    until.push_back(*erased[i]);
  }
  const auto times = TRY(event_times(view, known));
  std::vector<Gone> gone;
  for (std::size_t i = 0; i < known.size(); ++i)
    if (times[i] && (view.windows || *times[i] <= until[i]))
      gone.push_back({known[i], until[i], true});
  return erase(view, gone);
}

Result<void> Online::keep_erased(const Call& call, const ViewHandle& view,
                                 const std::string& state_before) {
  if (TRY(erased_.state(call)) == state_before) return {};
  std::vector<std::string> all;
  TRY(for_each_key(view, [&](std::string_view key) {
    all.emplace_back(key);
    return true;
  }));
  for (std::size_t begin = 0; begin < all.size(); begin += batch_rows) {
    const std::size_t end = std::min(all.size(), begin + batch_rows);
    TRY(erase_again(call, view,
                    {all.begin() + static_cast<std::ptrdiff_t>(begin),
                     all.begin() + static_cast<std::ptrdiff_t>(end)}));
  }
  return {};
}

// Rows of what was erased are left out; and looked at again once they are there, for who erases
// meanwhile has seen either them or nothing.
Result<Online::Written> Online::push(const Call& call, const ViewHandle& view,
                                     const std::vector<Row>& rows) {
  const std::string state = TRY(erased_.state(call));
  if (state.empty()) {
    const Written out = TRY(push_rows(view, rows));
    TRY(erase_pushed(call, view, rows, state));
    return out;
  }
  std::vector<std::string> keys;
  keys.reserve(rows.size());
  for (const Row& row : rows) keys.push_back(row.key);
  const auto erased = TRY(erased_.of(call, view, keys));
  std::vector<Row> kept;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (!erased[i] || rows[i].row.event_time > *erased[i]) kept.push_back(rows[i]);
  Written out = TRY(push_rows(view, kept));
  out.ignored += static_cast<std::int64_t>(rows.size() - kept.size());
  TRY(erase_pushed(call, view, kept, state));
  return out;
}

Result<void> Online::erase_pushed(const Call& call, const ViewHandle& view,
                                  const std::vector<Row>& rows, const std::string& state_before) {
  if (TRY(erased_.state(call)) == state_before) return {};
  std::vector<std::string> keys;
  for (const Row& row : rows) keys.push_back(row.key);
  TRY(erase_again(call, view, keys));
  return {};
}

}  // namespace penstock::features
