#include "lineage/emitter.h"

#include "base/log.h"
#include "lineage/own_events.h"
#include "lineage/store.h"

namespace penstock::lineage {
namespace {

constexpr std::int64_t changes_at_once = 100;

Result<std::int64_t> position(sql::Tx& tx, const std::string& reader, std::int64_t otherwise) {
  const auto rows =
      TRY(tx.run("SELECT number FROM openlineage_positions WHERE reader = $1", {reader}));
  return rows.empty() ? otherwise : std::get<std::int64_t>(rows.front().at(0));
}

Result<void> keep_position(sql::Tx& tx, const std::string& reader, std::int64_t number) {
  TRY(
      tx.run("INSERT INTO openlineage_positions (reader, number) VALUES ($1, $2) ON CONFLICT "
             "(reader) DO UPDATE SET number = excluded.number",
             {reader, number}));
  return {};
}

Call caller(const std::string& project) {
  return {.actor = "service:openlineage", .project = project};
}

}  // namespace

Result<void> Emitter::start() {
  return db_.write(caller(""), [&](sql::Tx& tx) -> Result<void> {
    kept_ = TRY(position(tx, "kept", 0));
    if (!send_) return {};
    sent_ = TRY(position(tx, "sent", TRY(audit::size(tx))));
    return keep_position(tx, "sent", sent_);
  });
}

Result<bool> Emitter::run_once() {
  const bool more = TRY(keep_some());
  if (!send_) return more;
  return TRY(send_some()) || more;
}

Result<bool> Emitter::keep_some() {
  const auto changes = TRY(db_.read(
      caller(""), [&](sql::Tx& tx) { return audit::events_from(tx, kept_, changes_at_once); }));
  if (changes.empty()) return false;
  TRY(db_.write(caller(""), [&](sql::Tx& tx) -> Result<void> {
    for (const audit::Stored& change : changes) {
      if (!is_told(change)) continue;
      for (const json::object& said :
           TRY(own_events(tx, caller(change.project), catalog_, change))) {
        const auto event = parse_event(said);
        if (event)
          TRY(store::put_event(tx, change.project, *event, clock_.now()));
        else
          log::error("openlineage.not_told",
                     {{"number", change.number}, {"error", event.error().message}});
      }
    }
    return keep_position(tx, "kept", changes.back().number + 1);
  }));
  kept_ = changes.back().number + 1;
  return std::ssize(changes) == changes_at_once;
}

Result<bool> Emitter::send_some() {
  std::vector<std::pair<std::int64_t, std::string>> events;
  std::int64_t next = 0;
  bool more = false;
  TRY(db_.read(caller(""), [&](sql::Tx& tx) -> Result<void> {
    const auto changes = TRY(audit::events_from(tx, sent_, changes_at_once));
    next = changes.empty() ? sent_ : changes.back().number + 1;
    more = std::ssize(changes) == changes_at_once;
    for (const audit::Stored& change : changes)
      if (is_told(change))
        for (const json::object& said :
             TRY(own_events(tx, caller(change.project), catalog_, change)))
          events.emplace_back(change.number, json::serialize(said));
    return {};
  }));
  const auto keep = [&](std::int64_t number) {
    sent_ = number;
    return db_.write(caller(""), [&](sql::Tx& tx) { return keep_position(tx, "sent", number); });
  };
  for (const auto& [number, body] : events) {
    const auto status = send_(body);
    const bool later = !status || *status >= 500 || *status == 408 || *status == 429;
    if (later) {
      TRY(keep(number));
      if (!status) return status.error();
      return Error{Code::unavailable,
                   "the OpenLineage receiver answered " + std::to_string(*status)};
    }
    if (*status >= 300) log::warn("openlineage.refused", {{"number", number}, {"status", *status}});
  }
  if (next != sent_) TRY(keep(next));
  return more;
}

}  // namespace penstock::lineage
