#include "features/operations.h"

#include <algorithm>
#include <condition_variable>

#include "base/digest.h"
#include "base/id.h"
#include "base/log.h"

namespace penstock::features {
namespace {

constexpr std::string_view store_key = "features-store";
constexpr Micros lease = std::chrono::minutes(10);
constexpr Micros wait_step = std::chrono::milliseconds(50);
constexpr int waits_max = 600;
constexpr std::int64_t failures_told = 3;
constexpr std::int64_t stretch_rows = 1'000'000;
constexpr std::int64_t entities_compared = 10'000;

// A failure is tried again soon, and then more and more seldom; never more seldom than the schedule
// or ten minutes.
Micros backoff(std::int64_t failures, Micros every) {
  constexpr Micros first = std::chrono::seconds(10), most = std::chrono::minutes(10);
  const Micros pause = first * (std::int64_t{1} << std::min<std::int64_t>(failures - 1, 20));
  return std::min(pause, std::max(every, most));
}

std::string gate_key(const GateResult& result) {
  return "check:" + result.feature + ":" + std::string(name_of(result.rule));
}

bool stops(const GateResult& result) {
  return !result.passed && result.severity == catalog::CheckSeverity::error;
}

Error stopped_by(const ViewHandle& view, const GateResult& failed,
                 const std::optional<Watermark>& before) {
  std::string message = "feature view " + view.reference() +
                        " was not materialized: " + text_of(failed) +
                        " does not hold: " + failed.what;
  for (std::size_t i = 0; i < failed.sample_keys.size(); ++i)
    message += (i == 0 ? " (such as " : "; ") + failed.sample_keys[i];
  if (!failed.sample_keys.empty()) message += ")";
  message += before ? "; what is online stays as it was, up to " + to_rfc3339(before->at)
                    : std::string("; nothing of it is online");
  return {Code::failed_precondition,
          message + "; mend the source, or the check",
          {{"checks." + failed.feature, failed.what}}};
}

}  // namespace

std::string definition_of(const ViewHandle& view) {
  return sha256_hex(
      canonical(json::object{{"view", encode(view.view)}, {"keys", encode(view.keys)}}));
}

Operations::Hold::Hold(Operations& operations, std::string prefix)
    : operations_(operations), prefix_(std::move(prefix)) {
  const std::lock_guard turn(operations_.turn_);
  held_ = operations_.working_.insert(prefix_).second;
}

Operations::Hold::~Hold() {
  if (!held_) return;
  const std::lock_guard turn(operations_.turn_);
  operations_.working_.erase(prefix_);
}

void Operations::pause() const {
  // Nobody wakes it: whoever has the view may be another server.
  std::mutex own;
  std::condition_variable never;
  std::unique_lock hold(own);
  never.wait_for(hold, wait_step, [] { return false; });
}

Result<std::string> Operations::store() {
  if (const auto known = TRY(parts_.kv.get(store_key))) return *known;
  kv::Batch batch;
  batch.put(std::string(store_key), new_ulid(parts_.clock.now()));
  TRY(parts_.kv.write(batch, kv::Durability::disk));
  // Of servers that were here at the same time the last one's name stays.
  return TRY(parts_.kv.get(store_key)).value_or("");
}

Result<states::Key> Operations::key_of(const Call& call, const ViewHandle& view) {
  return states::Key{TRY(store()), call.project, view.view.name, view.version};
}

Result<bool> Operations::take(const Call& call, const states::Key& key) {
  const Timestamp now = parts_.clock.now();
  return parts_.db.write(call, [&](sql::Tx& tx) {
    return states::take(tx, key, parts_.options.holder, now, now + lease);
  });
}

Result<Materialized> Operations::materialize(const Call& call, const BoundView& view,
                                             Timestamp until) {
  return while_held(
      call, view, [&](const states::Key& key) { return materialize_held(call, view, until, key); });
}

Result<Materialized> Operations::while_held(
    const Call& call, const BoundView& view,
    const std::function<Result<Materialized>(const states::Key& key)>& work) {
  for (int waits = 0; waits < waits_max; ++waits) {
    if (parts_.clock.now() > call.deadline) break;
    const Hold hold(*this, view.handle->prefix);
    if (hold) {
      const auto key = TRY(key_of(call, *view.handle));
      if (TRY(take(call, key))) return work(key);
    }
    pause();
  }
  return Error{Code::unavailable, "feature view " + view.handle->reference() +
                                      " is being materialized by a schedule or somebody else; ask "
                                      "again"};
}

Result<Materialized> Operations::materialize_held(const Call& call, const BoundView& view,
                                                  Timestamp until, const states::Key& key) {
  Run run{.key = key, .started = parts_.clock.now()};
  Result<Materialized> moved = Error{Code::internal, "did not run"};
  try {
    moved = move(call, view, until, run);
  } catch (const std::exception& fault) {  // of this view; the others go on
    moved = Error{Code::internal, fault.what()};
  }
  // The deadline of the call may be over: what was done is kept all the same.
  TRY(finish({.actor = call.actor, .tenant = call.tenant, .project = call.project}, view, run,
             moved));
  return moved;
}

Result<Materialized> Operations::move(const Call& call, const BoundView& bound, Timestamp until,
                                      Run& run) {
  const ViewHandle& view = *bound.handle;
  if (view.view.source_delay) until = std::min(until, parts_.clock.now() - *view.view.source_delay);
  const auto before = TRY(parts_.online.watermark(view));
  if (before) run.before = before->at;
  if (before && until <= before->at)
    return Materialized{.view = view.reference(), .watermark = before->at};
  const OfflineTable table = TRY(parts_.offline.table(call, bound));
  run.renewed = before && before->digest != table.digest;
  if (!view.view.checks.empty()) {
    TRY(check_gates(call, view, table, before, until, run));
    if (const GateResult* failed = run.report.failed()) return stopped_by(view, *failed, before);
  }
  const std::string erased = TRY(parts_.online.erased_state(call));
  Materialized out = TRY(move_stretches(call, bound, table, until, run));
  TRY(parts_.online.keep_erased(call, view, erased));
  out.rejected = run.report.rejected;
  out.rows += out.rejected;
  for (const GateResult& result : run.report.checks)
    if (!result.what.empty()) out.checks.push_back(result);
  if (out.rows == 0) return out;
  const auto session = TRY(parts_.olap.session());
  const auto newest =
      TRY(session->query("SELECT max(event_time) FROM " + parts_.offline.scan(table) +
                         " WHERE arrived_at <= " + timestamp_literal(until)));
  if (const auto* micros = std::get_if<std::int64_t>(&newest.rows.at(0).at(0)))
    run.newest = Timestamp(Micros(*micros));
  return out;
}

// A long way is gone in stretches, so that the lease is held on to in between.
Result<Materialized> Operations::move_stretches(const Call& call, const BoundView& bound,
                                                const OfflineTable& table, Timestamp until,
                                                Run& run) {
  Materialized out{.view = bound.handle->reference()};
  std::string after = run.before ? "arrived_at > " + timestamp_literal(*run.before) : "true";
  for (;;) {
    Timestamp stop = until;
    if (table.row_count > stretch_rows) {
      const auto session = TRY(parts_.olap.session());
      const auto end = TRY(
          session->query("SELECT arrived_at FROM " + parts_.offline.scan(table) + " WHERE " +
                         after + " AND arrived_at < " + timestamp_literal(until) +
                         " ORDER BY arrived_at LIMIT 1 OFFSET " + std::to_string(stretch_rows)));
      if (!end.rows.empty()) stop = Timestamp(Micros(std::get<std::int64_t>(end.rows[0].at(0))));
    }
    const Materialized moved = TRY(parts_.online.materialize(call, bound, stop, &table));
    out.rows += moved.rows;
    out.written += moved.written;
    out.ignored += moved.ignored;
    out.watermark = moved.watermark;
    if (stop == until) return out;
    after = "arrived_at > " + timestamp_literal(stop);
    TRY(take({.actor = call.actor, .project = call.project}, run.key));
  }
}

Result<void> Operations::check_gates(const Call& call, const ViewHandle& view,
                                     const OfflineTable& table,
                                     const std::optional<Watermark>& before, Timestamp until,
                                     Run& run) {
  if (view.windows) return check_window_gates(call, view, table, before, until, run);
  const std::string scan = parts_.offline.scan(table), columns = row_columns(view);
  const std::string range = " WHERE arrived_at <= " + timestamp_literal(until) +
                            (before ? " AND arrived_at > " + timestamp_literal(before->at) : "");
  const JoinedView joined{&view, scan, table.ties};
  const bool hidden = TRY(keys_hidden(call, view));
  GateInput input{.view = &view,
                  .moving = "SELECT " + columns + ", true AS penstock_fresh FROM " + scan + range,
                  .keys_hidden = hidden};
  if (run.renewed)
    input.moving += " UNION ALL SELECT " + columns + ", false FROM (" +
                    latest_statement(joined, before->at) + ")";
  if (!rejecting_condition(view.view).empty())
    input.rejected = "SELECT * FROM " + parts_.offline.scan_rejected(table) + range;
  std::string keys;
  for (const catalog::JoinKey& key : view.keys)
    keys += (keys.empty() ? "" : ", ") + olap::quoted_name(key.name);
  const std::string latest = "SELECT l.* FROM (" + latest_statement(joined, until) +
                             ") AS l SEMI JOIN (" + input.moving + ") AS m USING (" + keys + ")";
  input.changed = [&](std::size_t feature) { return changed(view, latest, feature); };
  const auto session = TRY(parts_.olap.session());
  return keep_gates(view, TRY(look(*session, input)), run);
}

Result<void> Operations::keep_gates(const ViewHandle& view, GateReport report, Run& run) {
  run.report = std::move(report);
  run.looked = true;
  for (const GateResult& result : run.report.checks)
    if (!result.passed && !stops(result))
      log::warn("feature_check_failed",
                {{"view", view.reference()}, {"check", text_of(result)}, {"what", result.what}});
  return {};
}

Result<GateInput::Changed> Operations::changed(const ViewHandle& view, const std::string& latest,
                                               std::size_t feature) {
  const auto rows = TRY(
      parts_.online.rows_of(view, "SELECT * FROM (" + latest + ") USING SAMPLE reservoir(" +
                                      std::to_string(entities_compared) + " ROWS) REPEATABLE (7)"));
  std::vector<std::string> keys;
  keys.reserve(rows.size());
  for (const Online::Pending& row : rows) keys.push_back(row.key);
  const auto there = TRY(parts_.online.stored(keys));
  GateInput::Changed out;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!there[i] || is_erased(*there[i])) continue;  // a new entity has changed nothing
    ++out.compared;
    const StoredRow now = TRY(decode_row(view, *there[i]));
    const StoredRow then = TRY(decode_row(view, rows[i].value));
    if (now.values[feature] != then.values[feature]) ++out.changed;
  }
  return out;
}

json::object Operations::detail_of(const GateResult& result) { return encode(result).as_object(); }

Result<void> Operations::finish(const Call& call, const BoundView& view, const Run& run,
                                const Result<Materialized>& moved) {
  const Timestamp now = parts_.clock.now();
  return parts_.db.write(call, [&](sql::Tx& tx) -> Result<void> {
    const auto every = TRY(states::plan(tx, call.project, view.handle->view.name)).schedule;
    ViewWork after;
    const ViewWork before = TRY(states::change(tx, run.key, [&](ViewWork& work) {
      work.holder.clear();
      work.held_until.reset();
      work.last_run = run.started;
      if (run.looked || moved) work.checks = run.report.checks;
      work.failures = moved ? 0 : work.failures + 1;
      work.last_error = moved ? "" : moved.error().message.substr(0, 2'000);
      work.next_run.reset();
      if (every)
        work.next_run = moved ? run.started + *every : now + backoff(work.failures, *every);
      if (moved && moved->rows > 0) {
        work.row_count = moved->rows;
        work.written = moved->written;
        work.ignored = moved->ignored;
        work.rejected = moved->rejected;
        work.definition = definition_of(*view.handle);
        work.program = parts_.options.program;
        if (!work.profile_from) work.profile_from = run.before.value_or(Timestamp::min());
      }
      if (run.newest && (!work.newest_event || *work.newest_event < *run.newest))
        work.newest_event = run.newest;
      after = work;
    }));
    return tell_ ? tell_of_run(tx, call, view, before, after) : Result<void>();
  });
}

Result<void> Operations::tell_of_run(sql::Tx& tx, const Call& call, const BoundView& view,
                                     const ViewWork& before, const ViewWork& after) {
  Trouble trouble{.view_urn = view.handle->urn(), .owner = view.handle->view.owner};
  const std::string name = "feature view " + view.handle->reference();
  const auto tell = [&](const std::string& key, const std::string& what, bool over,
                        json::object detail) {
    trouble.key = key;
    trouble.title = name + ": " + what;
    trouble.over = over;
    trouble.detail = std::move(detail);
    return tell_(tx, call, parts_.clock.now(), trouble);
  };
  std::set<std::string> failing;
  for (const GateResult& result : after.checks)
    if (stops(result)) {
      failing.insert(gate_key(result));
      TRY(tell(gate_key(result), text_of(result) + " stopped its rows: " + result.what, false,
               detail_of(result)));
    }
  if (after.failures == 0)
    for (const GateResult& result : before.checks)
      if (stops(result) && !failing.contains(gate_key(result)))
        TRY(tell(gate_key(result), text_of(result) + " holds again", true, {}));
  if (after.failures >= failures_told && failing.empty())
    TRY(tell("materialize",
             "could not be materialized " + std::to_string(after.failures) + " times in a row",
             false, {{"error", after.last_error}, {"failures", after.failures}}));
  if (after.failures == 0 && before.failures >= failures_told)
    TRY(tell("materialize", "is materialized again", true, {}));
  return {};
}

Result<bool> Operations::keys_hidden(const Call& call, const ViewHandle& view) {
  return parts_.db.read(call, [&](sql::Tx& tx) -> Result<bool> {
    for (const std::string& name : view.view.sources) {
      const auto source = resources::declared<catalog::Source>(tx, call.project, "source", name);
      if (!source) return true;
      for (const catalog::ColumnClass& column :
           TRY(catalog::column_classes(tx, call.project, *source)))
        for (const catalog::JoinKey& key : view.keys)
          if (column.column == key.name &&
              column.classification > catalog::Classification::internal)
            return true;
    }
    return false;
  });
}

void Operations::pushed(const std::string& project, const ViewHandle& view,
                        const std::vector<Online::Row>& rows, const Online::Written& written) {
  if (rows.empty()) return;
  if (written.late > 0)
    parts_.metrics
        .counter("penstock_features_pushed_late_total",
                 "Events that were pushed after the watermark of their view had passed them",
                 {{"project", project}, {"view", view.reference()}})
        .add(static_cast<std::uint64_t>(written.late));
  Timestamp newest = Timestamp::min();
  for (const Online::Row& row : rows) newest = std::max(newest, row.row.event_time);
  const std::lock_guard turn(turn_);
  auto [place, fresh] =
      pushed_.try_emplace(view.prefix, Pushed{project, view.view.name, view.version, newest, {}});
  place->second.newest = std::max(place->second.newest, newest);
  place->second.at = parts_.clock.now();
}

Result<void> Operations::keep_pushed() {
  std::map<std::string, Pushed> all;
  {
    const std::lock_guard turn(turn_);
    all.swap(pushed_);
  }
  for (const auto& [prefix, one] : all) {
    const states::Key key{TRY(store()), one.project, one.view, one.version};
    TRY(parts_.db.write({.actor = "service:features", .project = one.project}, [&](sql::Tx& tx) {
      return states::change(tx, key, [&](ViewWork& work) {
        work.last_push = one.at;
        if (!work.newest_event || *work.newest_event < one.newest) work.newest_event = one.newest;
      });
    }));
  }
  return {};
}

}  // namespace penstock::features
