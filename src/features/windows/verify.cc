#include "features/windows/verify.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "features/causes.h"
#include "features/join.h"
#include "features/windows/events.h"
#include "features/windows/read.h"

namespace penstock::features::windows {
namespace {

constexpr std::size_t told_at_once = 1'000;  // entities

std::string text_of(const Scalar& value) { return json::serialize(to_json(value)); }

bool same(const Scalar& a, const Scalar& b) { return order_of(a, b) == 0; }

std::string arrived_until(Timestamp until) { return "arrived_at <= " + timestamp_literal(until); }

std::string sampled(const VerifyInput& input) {
  const ViewHandle& view = input.view;
  const std::string arrived = " WHERE " + arrived_until(input.watermark);
  std::string equal;
  for (const catalog::JoinKey& key : view.keys) {
    const std::string name = olap::quoted_name(key.name);
    equal += (equal.empty() ? "e." : " AND e.") + name + " = s." + name;
  }
  return "SELECT " + event_columns(view, "e.") + " FROM " + input.now.rows +
         " AS e SEMI JOIN (SELECT * FROM (SELECT DISTINCT " + key_columns(view) + " FROM " +
         input.now.rows + arrived + ") USING SAMPLE reservoir(" + std::to_string(input.sample) +
         " ROWS) REPEATABLE (42)) AS s ON " + equal + arrived + " ORDER BY " +
         key_columns(view, "e.") + ", e.arrived_at";
}

// The events of these entities, in no order.
std::string events_of(const VerifyInput& input, const Table& table,
                      const std::vector<std::string>& row_keys) {
  const ViewHandle& view = input.view;
  std::string values, names, equal;
  for (const std::string& row_key : row_keys) {
    const auto keys = keys_in(view, row_key);
    std::string one;
    for (std::size_t i = 0; i < view.keys.size(); ++i)
      one += (one.empty() ? "CAST(" : ", CAST(") + olap::quoted_text(keys.at(i)) + " AS " +
             std::string(engine_type(view.keys[i].type)) + ")";
    values += (values.empty() ? "(" : ", (") + one + ")";
  }
  for (std::size_t i = 0; i < view.keys.size(); ++i) {
    const std::string name = "penstock_key_" + std::to_string(i);
    names += (names.empty() ? "" : ", ") + name;
    equal +=
        (equal.empty() ? "e." : " AND e.") + olap::quoted_name(view.keys[i].name) + " = s." + name;
  }
  return "SELECT " + event_columns(view, "e.") + " FROM " + table.rows +
         " AS e SEMI JOIN (VALUES " + values + ") AS s(" + names + ") ON " + equal + " WHERE e." +
         arrived_until(input.watermark);
}

using Tiled = std::unordered_map<std::string, std::string>;  // tiles by key

Result<Tiled> folded(Store& store, const ViewHandle& view, const std::string& events) {
  Tiled out;
  TRY(store.fold(view, "SELECT * FROM (" + events + ") ORDER BY " + key_columns(view),
                 [&](Store::Folded entity) -> Result<void> {
                   out.emplace(std::move(entity.key), std::move(entity.tiles));
                   return {};
                 }));
  return out;
}

// What an entity's events give as of the watermark; of no events, that nothing is known.
struct Values {
  std::optional<Timestamp> newest;
  std::vector<Scalar> all;
};

Result<Values> values_of(const Plan& plan, std::string_view tiles, Timestamp at) {
  Values out{.newest = {}, .all = std::vector<Scalar>(plan.features.size())};
  if (tiles.empty()) return out;
  const Entity entity(plan, TRY(Tiles::decode(plan, tiles)));
  out.newest = entity.newest()->event;
  for (std::size_t i = 0; i < plan.features.size(); ++i) out.all[i] = TRY(entity.value(i, at));
  return out;
}

class Comparison {
 public:
  Comparison(Store& store, const VerifyInput& input, VerifyOutput& out, const Differs& differs)
      : store_(store), input_(input), plan_(*input.view.windows), out_(out), differs_(differs) {}

  Result<void> compare(Store::Folded expected, const std::optional<std::string>& stored) {
    ++out_.entities;
    const Parts parts = TRY(parts_of(plan_, stored ? std::string_view(*stored) : ""));
    if (parts.tiles.empty()) {
      return add({std::move(expected.key), std::move(expected.tiles), ""});
    }
    out_.values += static_cast<std::int64_t>(plan_.features.size());
    if (parts.tiles == expected.tiles) return compare_age(expected.key, parts, expected.tiles);
    return add({std::move(expected.key), std::move(expected.tiles), std::string(parts.tiles)});
  }

  Result<void> strange(const std::string& key, std::string_view tiles) {
    ++out_.entities;
    return add({key, "", std::string(tiles)});
  }

  // Tells of those that differ, once what was there then is known.
  Result<void> tell() {
    if (open_.empty()) return {};
    std::optional<Tiled> then, common;
    if (input_.then) {
      std::vector<std::string> keys;
      for (const Open& one : open_) keys.push_back(one.key);
      const std::string before = events_of(input_, *input_.then, keys);
      then = TRY(folded(store_, input_.view, before));
      common = TRY(
          folded(store_, input_.view,
                 "(" + before + ") INTERSECT ALL (" + events_of(input_, input_.now, keys) + ")"));
    }
    for (const Open& one : open_) TRY(tell_one(one, then, common));
    open_.clear();
    return {};
  }

 private:
  struct Open {
    std::string key, now, online;  // tiles; empty: there are none
  };
  // What of the entity's events is known beside those of now, as values.
  struct Before {
    bool known = false;
    Values then, common;
  };

  Result<void> add(Open one) {
    open_.push_back(std::move(one));
    return open_.size() < told_at_once ? Result<void>() : tell();
  }

  Result<void> tell_one(const Open& one, const std::optional<Tiled>& then,
                        const std::optional<Tiled>& common) {
    const auto tiles = [&](const std::optional<Tiled>& all) -> std::string_view {
      if (!all) return {};
      const auto found = all->find(one.key);
      return found == all->end() ? std::string_view() : found->second;
    };
    const Timestamp at = input_.watermark;
    const Values now = TRY(values_of(plan_, one.now, at));
    const Values online = TRY(values_of(plan_, one.online, at));
    Before before{.known = then.has_value(), .then = {}, .common = {}};
    before.then = TRY(values_of(plan_, tiles(then), at));
    before.common = TRY(values_of(plan_, tiles(common), at));
    if (one.online.empty()) {
      missing(one, before);
    } else if (one.now.empty()) {
      unknown(one, before);
    } else if (const Tiles there = TRY(Tiles::decode(plan_, one.online));
               there.newest_arrival() > at) {
      differs_(one.key, "", to_rfc3339(there.newest_arrival()), to_rfc3339(at), causes::lost,
               "the online tiles are ahead of the watermark: a materialize was cut off; run it "
               "again");
    } else {
      tell_values(one, now, online, before);
    }
    return {};
  }

  void tell_values(const Open& one, const Values& now, const Values& online, const Before& before) {
    const auto instant = [](const std::optional<Timestamp>& time) -> Scalar {
      return time ? Scalar(time->time_since_epoch().count()) : Scalar();
    };
    if (now.newest != online.newest) {
      const auto [cause, more] =
          cause_of(instant(online.newest), instant(now.newest), instant(before.then.newest),
                   instant(before.common.newest), before.known);
      differs_(one.key, "", to_rfc3339(*online.newest), to_rfc3339(*now.newest), cause,
               cause == causes::lost ? "the newest event is another one" : more);
    }
    for (std::size_t i = 0; i < now.all.size(); ++i) {
      if (same(online.all[i], now.all[i])) continue;
      const auto [cause, more] = cause_of(online.all[i], now.all[i], before.then.all[i],
                                          before.common.all[i], before.known);
      differs_(one.key, input_.view.view.features[i].name, text_of(online.all[i]),
               text_of(now.all[i]), cause, more);
    }
  }

  // Of one value: as it is online, and by the events of now, of then, and of both.
  std::pair<std::string_view, std::string> cause_of(const Scalar& online, const Scalar& now,
                                                    const Scalar& then, const Scalar& common,
                                                    bool known) const {
    if (input_.changed && !known)
      return {causes::sources_changed, "the sources hold other events than when they were moved"};
    if (!input_.changed || !same(online, then))
      return {causes::lost, "the tiles hold other events than were moved"};
    if (same(common, now))
      return {causes::sources_changed, "events that it counts were taken out of the sources"};
    if (same(common, then))
      return {causes::late_data, "events came into the sources after the view was moved up to " +
                                     to_rfc3339(input_.watermark)};
    return {causes::sources_changed,
            "events that it counts were taken out of the sources, and others came"};
  }

  void missing(const Open& one, const Before& before) {
    const auto tiles = values_of(plan_, one.now, input_.watermark);
    const std::string offline =
        tiles && tiles->newest ? "events up to " + to_rfc3339(*tiles->newest) : "events";
    if (input_.changed && before.known && !before.then.newest)
      differs_(one.key, "", "", offline, causes::late_data,
               "its events came into the sources after the view was moved up to " +
                   to_rfc3339(input_.watermark));
    else
      differs_(one.key, "", "", offline, causes::lost,
               "there are no online tiles: they were lost, or the view was materialized to another "
               "store");
  }

  void unknown(const Open& one, const Before& before) {
    const bool gone = input_.changed && (!before.known || before.then.newest);
    differs_(one.key, "", "tiles", "", gone ? causes::sources_changed : causes::lost,
             gone ? "its events were taken out of the sources"
                  : "offline has no such entity, and had none when events were moved");
  }

  // What the hot path says of its age at the watermark, by what the sources say.
  Result<void> compare_age(const std::string& key, Parts parts, std::string_view tiles) {
    const Micros ttl = input_.view.view.ttl.value_or(Micros(0));
    if (ttl.count() == 0) return {};
    const Entity offline(plan_, TRY(Tiles::decode(plan_, tiles)));
    const Timestamp newest = offline.newest()->event, at = input_.watermark;
    if (offline.newest()->arrival > at) return {};
    parts.pushed.clear();
    const Found served = TRY(find(input_.view, joined(parts), std::nullopt, at));
    const bool expired = at - newest > ttl;
    if ((served.status == Status::OUTSIDE_MAX_AGE) == expired) return {};
    differs_(key, "", std::string(name_of(served.status)),
             expired ? "OUTSIDE_MAX_AGE" : "within its TTL", causes::ttl,
             "online and offline do not agree on whether its event of " + to_rfc3339(newest) +
                 " is too old at " + to_rfc3339(at));
    return {};
  }

  Store& store_;
  const VerifyInput& input_;
  const Plan& plan_;
  VerifyOutput& out_;
  const Differs& differs_;
  std::vector<Open> open_;  // whose tiles are not the same, not told yet
};

}  // namespace

Result<void> verify(kv::Store& kv, Store& store, const VerifyInput& input, VerifyOutput& out,
                    const Differs& differs) {
  const ViewHandle& view = input.view;
  Comparison comparison(store, input, out, differs);
  TRY(store.fold(view, sampled(input), [&](Store::Folded expected) -> Result<void> {
    const auto stored = TRY(kv.get(expected.key));
    return comparison.compare(std::move(expected), stored);
  }));
  std::vector<std::string> there;
  TRY(kv.scan(view.prefix + "r", view.prefix + "s", [&](std::string_view key, std::string_view) {
    there.emplace_back(key);
    return there.size() < input.sample;
  }));
  std::unordered_set<std::string> known;
  TRY(store.fold(view,
                 "SELECT " + event_columns(view) + " FROM " + input.now.rows + " WHERE " +
                     arrived_until(input.watermark) + " ORDER BY " + key_columns(view),
                 [&](Store::Folded entity) -> Result<void> {
                   known.insert(std::move(entity.key));
                   return {};
                 }));
  for (const std::string& key : there) {
    if (known.contains(key)) continue;
    const auto stored = TRY(kv.get(key));
    const Parts parts = TRY(parts_of(*view.windows, stored ? std::string_view(*stored) : ""));
    if (!parts.tiles.empty()) TRY(comparison.strange(key, parts.tiles));
  }
  return comparison.tell();
}

}  // namespace penstock::features::windows
