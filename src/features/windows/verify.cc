#include "features/windows/verify.h"

#include <algorithm>
#include <unordered_set>

#include "features/join.h"
#include "features/windows/events.h"

namespace penstock::features::windows {
namespace {

std::string text_of(const Scalar& value) { return json::serialize(to_json(value)); }

bool same(const Scalar& a, const Scalar& b) { return order_of(a, b) == 0; }

struct Comparison {
  const ViewHandle& view;
  const Timestamp watermark;
  VerifyOutput& out;
  const Differs& differs;

  Result<void> compare(const Store::Folded& expected, const std::optional<std::string>& stored) {
    ++out.entities;
    const Plan& plan = *view.windows;
    const Parts parts = TRY(parts_of(plan, stored ? std::string_view(*stored) : ""));
    if (parts.tiles.empty()) {
      differs(expected.key, "", "", std::to_string(expected.events) + " events",
              "there are no online tiles: they were lost, or the view was materialized to another "
              "store");
      return {};
    }
    const Entity offline(plan, TRY(Tiles::decode(plan, expected.tiles)));
    const Entity online(plan, TRY(Tiles::decode(plan, parts.tiles)));
    if (online.newest()->arrival > watermark) {
      differs(expected.key, "", to_rfc3339(online.newest()->arrival), to_rfc3339(watermark),
              "the online tiles are ahead of the watermark: a materialize was cut off; run it "
              "again");
      return {};
    }
    if (online.newest()->event != offline.newest()->event)
      differs(expected.key, "", to_rfc3339(online.newest()->event),
              to_rfc3339(offline.newest()->event), "the newest event is another one");
    for (std::size_t i = 0; i < plan.features.size(); ++i) {
      ++out.values;
      const Scalar there = TRY(online.value(i, watermark));
      const Scalar right = TRY(offline.value(i, watermark));
      if (!same(there, right))
        differs(expected.key, view.view.features[i].name, text_of(there), text_of(right),
                "the tiles hold other events");
    }
    return {};
  }
};

std::string sampled(const ViewHandle& view, const Table& table, Timestamp until,
                    std::size_t sample) {
  const std::string arrived = " WHERE arrived_at <= " + timestamp_literal(until);
  std::string same;
  for (const catalog::JoinKey& key : view.keys) {
    const std::string name = olap::quoted_name(key.name);
    same += (same.empty() ? "e." : " AND e.") + name + " = s." + name;
  }
  return "SELECT " + event_columns(view, "e.") + " FROM " + table.rows +
         " AS e SEMI JOIN (SELECT * FROM (SELECT DISTINCT " + key_columns(view) + " FROM " +
         table.rows + arrived + ") USING SAMPLE reservoir(" + std::to_string(sample) +
         " ROWS) REPEATABLE (42)) AS s ON " + same + arrived + " ORDER BY " +
         key_columns(view, "e.") + ", e.arrived_at";
}

}  // namespace

Result<void> verify(kv::Store& kv, Store& store, const ViewHandle& view, const Table& table,
                    Timestamp watermark, std::size_t sample, VerifyOutput& out,
                    const Differs& differs) {
  Comparison comparison{view, watermark, out, differs};
  TRY(store.fold(view, sampled(view, table, watermark, sample),
                 [&](const Store::Folded& expected) -> Result<void> {
                   return comparison.compare(expected, TRY(kv.get(expected.key)));
                 }));
  std::vector<std::string> strange;
  TRY(kv.scan(view.prefix + "r", view.prefix + "s", [&](std::string_view key, std::string_view) {
    strange.emplace_back(key);
    return strange.size() < sample;
  }));
  std::unordered_set<std::string> known;
  TRY(store.fold(view,
                 "SELECT " + event_columns(view) + " FROM " + table.rows + " WHERE arrived_at <= " +
                     timestamp_literal(watermark) + " ORDER BY " + key_columns(view),
                 [&](Store::Folded entity) -> Result<void> {
                   known.insert(std::move(entity.key));
                   return {};
                 }));
  for (const std::string& key : strange) {
    if (known.contains(key)) continue;
    const auto stored = TRY(kv.get(key));
    const Parts parts = TRY(parts_of(*view.windows, stored ? std::string_view(*stored) : ""));
    if (parts.tiles.empty()) continue;
    ++out.entities;
    differs(key, "", "tiles", "",
            "offline has no such entity: its events were taken out of the sources");
  }
  return {};
}

}  // namespace penstock::features::windows
