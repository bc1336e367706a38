// How old the rows of views are, against what was promised.
#include <algorithm>

#include "base/log.h"
#include "base/metrics.h"
#include "features/operations.h"

namespace penstock::features {
namespace {

double seconds_of(Micros span) { return std::chrono::duration<double>(span).count(); }

std::string span_text(Micros span) {
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(span).count();
  if (whole >= 172'800) return std::to_string(whole / 86'400) + " days";
  if (whole >= 7'200) return std::to_string(whole / 3'600) + " hours";
  if (whole >= 120) return std::to_string(whole / 60) + " minutes";
  return std::to_string(whole) + " seconds";
}

std::string text_of(Micros span) { return std::get<std::string>(Kind<Micros>::say(span)); }

}  // namespace

Result<Operations::Works> Operations::works(const Call& call) {
  const std::string in = TRY(store());
  const auto all = TRY(
      parts_.db.read(call, [&](sql::Tx& tx) { return states::of_project(tx, in, call.project); }));
  Works out;
  for (const ViewWork& work : all) out[{work.view, work.version}] = work;
  return out;
}

Result<std::map<std::string, states::Plan>> Operations::plans_of(const Call& call) {
  const auto all = TRY(parts_.db.read(call, [](sql::Tx& tx) { return states::plans(tx); }));
  std::map<std::string, states::Plan> out;
  for (const states::Plan& plan : all)
    if (plan.project == call.project) out[plan.view] = plan;
  return out;
}

// A view whose rows only come by push has no watermark, and its events alone say how old it is.
bool Operations::is_fresh(Micros objective, const std::optional<Watermark>& watermark,
                          const std::optional<ViewWork>& work) const {
  const Timestamp now = parts_.clock.now();
  const bool has_events = work && work->newest_event;
  if (!watermark && !has_events) return false;
  if (watermark && now - watermark->at > objective) return false;
  return !has_events || now - *work->newest_event <= objective;
}

Result<void> Operations::measure() {
  TRY(keep_pushed());
  const auto all = TRY(views_due([](const states::Plan& plan, const ViewWork&) {
    return plan.freshness || plan.schedule ? std::optional(Timestamp::min()) : std::nullopt;
  }));
  const Timestamp now = parts_.clock.now();
  for (const Due& one : all) {
    const ViewHandle& view = *one.view.handle;
    const auto watermark = TRY(parts_.online.watermark(view));
    const Metrics::Labels labels{{"project", one.call.project}, {"view", view.reference()}};
    if (watermark)
      parts_.metrics
          .gauge("penstock_features_staleness_seconds",
                 "How far the online rows of a view are behind: now minus its watermark", labels)
          .set(seconds_of(now - watermark->at));
    if (one.work.newest_event)
      parts_.metrics
          .gauge("penstock_features_newest_event_seconds",
                 "The age of the newest event of a view that is online", labels)
          .set(seconds_of(now - *one.work.newest_event));
    if (!one.plan.freshness) continue;
    const bool fresh = is_fresh(*one.plan.freshness, watermark, one.work);
    parts_.metrics
        .gauge("penstock_features_fresh", "1 where a view keeps its freshness objective", labels)
        .set(fresh ? 1 : 0);
    if (fresh == !one.work.missed_since) continue;
    Trouble trouble{.key = "freshness",
                    .title = "feature view " + view.reference() + ": its rows are ",
                    .view_urn = view.urn(),
                    .owner = view.view.owner,
                    .over = fresh};
    if (fresh)
      trouble.title += "within " + text_of(*one.plan.freshness) + " again";
    else if (!watermark && !one.work.newest_event)
      trouble.title += "not there, and may be " + text_of(*one.plan.freshness) + " old";
    else
      trouble.title += span_text(now - std::min(watermark ? watermark->at : Timestamp::max(),
                                                one.work.newest_event.value_or(Timestamp::max()))) +
                       " old, and may be " + text_of(*one.plan.freshness);
    trouble.detail = {{"watermark", watermark ? json::value(to_rfc3339(watermark->at)) : nullptr},
                      {"newest_event", encode(one.work.newest_event)},
                      {"last_error", one.work.last_error}};
    const states::Key key = TRY(key_of(one.call, view));
    TRY(parts_.db.write(one.call, [&](sql::Tx& tx) -> Result<void> {
      // Of several servers the first that sees it tells it.
      const ViewWork before = TRY(states::change(tx, key, [&](ViewWork& work) {
        work.missed_since = fresh ? std::nullopt : std::optional(work.missed_since.value_or(now));
      }));
      const bool first = fresh == before.missed_since.has_value();
      return first && tell_ ? tell_(tx, one.call, now, trouble) : Result<void>();
    }));
  }
  return {};
}

}  // namespace penstock::features
