#include "tracking/webhook_delivery.h"

#include <algorithm>

#include "base/log.h"
#include "tracking/webhook_payloads.h"
#include "tracking/webhook_store.h"

namespace penstock::tracking {
namespace {

constexpr std::int64_t events_at_once = 500, told_at_once = 20, failures_loud = 5;
// A place in the log is kept anew where so many events would be read again after a restart.
constexpr std::int64_t position_slack = 2'000;
constexpr Micros trouble_pause = std::chrono::hours(1);  // between two words of one webhook's
constexpr Micros turn_max = std::chrono::seconds(2);  // then other webhooks, or a stop, have theirs

Call caller(const std::string& project) {
  return {.actor = "service:webhooks", .project = project};
}

// Fewer than `most` wait for the webhook, or what is new is dropped: a queue has an end.
Result<void> put(sql::Tx& tx, const std::string& webhook, const audit::Stored& change,
                 const WebhookNews& news, Timestamp now, std::int64_t most) {
  if (TRY(webhook_store::waiting(tx, webhook)) >= most) {
    log::error("webhook.queue_full", {{"webhook", webhook}, {"number", change.number}});
    return {};
  }
  return webhook_store::put(tx, {.webhook = webhook,
                                 .number = change.number,
                                 .id = new_uuid(),
                                 .event = news.event,
                                 .at = change.at,
                                 .data = news.data,
                                 .due_at = now});
}

}  // namespace

struct WebhookDelivery::Outcome {
  enum class Kind { told, refused, failed } kind = Kind::told;
  std::string problem;
};

Result<bool> WebhookDelivery::collect() {
  bool is_news = false, more = false;
  std::int64_t kept = 0, next = 0;
  TRY(db_.read(caller(""), [&](sql::Tx& tx) -> Result<void> {
    kept = TRY(webhook_store::position(tx));
    const auto changes = TRY(audit::events_from(tx, std::max(kept, seen_), events_at_once));
    next = changes.empty() ? std::max(kept, seen_) : changes.back().number + 1;
    more = std::ssize(changes) == events_at_once;
    is_news = std::any_of(changes.begin(), changes.end(),
                          [](const audit::Stored& one) { return may_be_webhook_news(one.action); });
    return {};
  }));
  if (!is_news && next - kept < position_slack) {
    seen_ = next;
    return more;
  }
  TRY(db_.write(caller(""), [&](sql::Tx& tx) -> Result<void> {
    // Another server may have been faster since: its place counts.
    const std::int64_t from = std::max(TRY(webhook_store::position(tx)), seen_);
    if (from >= next) return {};
    for (const audit::Stored& change : TRY(audit::events_from(tx, from, next - from))) {
      if (change.number >= next || !may_be_webhook_news(change.action)) continue;
      const auto news = TRY(webhook_news(tx, change));
      if (!news) continue;
      for (const std::string& webhook :
           TRY(webhook_store::told_of(tx, change.project, news->event, change.number)))
        TRY(put(tx, webhook, change, *news, clock_.now(), options_.waiting_max));
    }
    return webhook_store::keep_position(tx, next);
  }));
  seen_ = next;
  return more;
}

Micros WebhookDelivery::pause_after(std::int64_t failures) const {
  Micros pause = options_.pause_min;
  for (std::int64_t i = 1; i < failures && pause < options_.pause_max; ++i) pause *= 2;
  return std::min(pause, options_.pause_max);
}

WebhookDelivery::Outcome WebhookDelivery::post(const Webhook& webhook,
                                               const WebhookMessage& message) {
  const auto request = webhook_request(webhook, message, key_, clock_.now());
  if (!request) return {Outcome::Kind::failed, request.error().message};
  const auto answer = net_.post(*request);
  if (!answer) return {Outcome::Kind::failed, answer.error().message};
  const int status = answer->status;
  if (status >= 200 && status < 300) return {};
  const std::string problem = "the receiver answered " + std::to_string(status);
  const bool may_pass = status >= 500 || status == 408 || status == 425 || status == 429;
  return {may_pass ? Outcome::Kind::failed : Outcome::Kind::refused, problem};
}

Result<void> WebhookDelivery::tell(Webhook& webhook, WebhookTrouble& trouble) {
  const Call call = caller(webhook.project);
  const Timestamp began = clock_.now();
  const auto due = TRY(db_.read(
      call, [&](sql::Tx& tx) { return webhook_store::due(tx, webhook.id, began, told_at_once); }));
  for (webhook_store::Delivery one : due) {
    const Outcome outcome =
        post(webhook, {.event = one.event, .at = one.at, .data = one.data, .delivery = one.id});
    const Timestamp now = clock_.now();
    const bool is_told = outcome.kind == Outcome::Kind::told;
    ++one.attempts;
    const bool is_over = outcome.kind == Outcome::Kind::refused ||
                         one.attempts >= options_.attempts_max || now - one.at > options_.age_max;
    one.due_at = now + pause_after(one.attempts);
    TRY(db_.write(call, [&](sql::Tx& tx) -> Result<void> {
      if (!is_told && !is_over) return webhook_store::delay(tx, one);
      TRY(webhook_store::drop(tx, one));
      // Whatever waited for its next try need not any longer.
      return is_told && webhook.failures > 0 ? webhook_store::make_due(tx, webhook.id, now)
                                             : Result<void>();
    }));
    webhook.resume_at = now;
    if (is_told) {
      webhook.failures = 0;
    } else {
      ++webhook.failures;
      trouble.problem = outcome.problem;
      trouble.dropped += is_over;
      log::warn(is_over ? "webhook.given_up" : "webhook.failed", {{"webhook", webhook.id},
                                                                  {"told", one.event},
                                                                  {"number", one.number},
                                                                  {"delivery", one.id},
                                                                  {"attempts", one.attempts},
                                                                  {"error", outcome.problem}});
    }
    if (outcome.kind == Outcome::Kind::failed) {
      webhook.resume_at = now + pause_after(webhook.failures);
      return {};
    }
    if (now - began > turn_max) return {};
  }
  return {};
}

Result<bool> WebhookDelivery::deliver() {
  const Timestamp now = clock_.now();
  const auto id =
      TRY(db_.read(caller(""), [&](sql::Tx& tx) { return webhook_store::next(tx, now); }));
  if (!id) return false;
  auto webhook = TRY(db_.write(caller(""), [&](sql::Tx& tx) {
    return webhook_store::claim(tx, *id, now, now + options_.busy_max);
  }));
  if (!webhook) return true;
  WebhookTrouble trouble;
  const std::int64_t failures = webhook->failures;
  const auto told = tell(*webhook, trouble);
  const Call call = caller(webhook->project);
  TRY(db_.write(call, [&](sql::Tx& tx) { return webhook_store::release(tx, *webhook); }));
  TRY(told);
  const bool is_loud = failures < failures_loud && webhook->failures >= failures_loud;
  if (on_trouble_ && (trouble.dropped > 0 || is_loud) && may_be_loud(webhook->id)) {
    trouble.webhook = *webhook;
    TRY(on_trouble_(call, trouble));
  }
  return true;
}

bool WebhookDelivery::may_be_loud(const std::string& webhook) {
  const Timestamp now = clock_.now();
  const std::lock_guard lock(turn_);
  std::erase_if(loud_at_, [&](const auto& one) { return one.second + trouble_pause <= now; });
  return loud_at_.emplace(webhook, now).second;
}

}  // namespace penstock::tracking
