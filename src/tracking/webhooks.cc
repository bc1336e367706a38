#include "tracking/webhooks.h"

#include <algorithm>

#include "audit/follow.h"
#include "tracking/offset_page.h"
#include "tracking/webhook_payloads.h"
#include "tracking/webhook_store.h"

namespace penstock::tracking {
namespace {

constexpr std::size_t name_max = 63, text_max = 1'000, url_max = 500, secret_max = 4'000;
constexpr std::int64_t webhooks_max = 100;  // of a project
constexpr int tests_max = 2;

Error faulty(const std::string& field, const std::string& problem) {
  return {Code::invalid_argument, "Webhook " + field + " " + problem, {{field, problem}}};
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

Result<void> check(const Webhook& webhook) {
  const std::string& name = webhook.name;
  const bool fits = !name.empty() && name.size() <= name_max && is_letter(name.front()) &&
                    is_letter(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
                      return is_letter(c) || c == '.' || c == '_' || c == '-';
                    });
  if (!fits)
    return faulty("name", "'" + name.substr(0, 100) +
                              "' must start and end with a letter or digit, have at most 63 "
                              "characters, and only letters, digits, '.', '_' and '-'");
  if (webhook.description.size() > text_max)
    return faulty("description", "has " + std::to_string(webhook.description.size()) +
                                     " bytes, and may have " + std::to_string(text_max));
  if (webhook.url.size() > url_max)
    return faulty("url", "has " + std::to_string(webhook.url.size()) + " bytes, and may have " +
                             std::to_string(url_max));
  if (webhook.status != "ACTIVE" && webhook.status != "DISABLED")
    return faulty("status",
                  "must be ACTIVE or DISABLED; got '" + webhook.status.substr(0, 50) + "'");
  return {};
}

Result<void> check_secret(const std::string& secret) {
  if (secret.size() <= secret_max) return {};
  return faulty("secret", "has " + std::to_string(secret.size()) + " bytes, and may have " +
                              std::to_string(secret_max));
}

Result<void> check_event(const std::string& event) {
  const auto& known = webhook_events();
  if (std::find(known.begin(), known.end(), event) != known.end()) return {};
  std::string words;
  for (const std::string& one : known) words += (words.empty() ? "" : ", ") + one;
  return faulty("events", "has '" + event.substr(0, 100) + "', and each must be one of " + words);
}

// Each once, in order.
Result<std::vector<std::string>> checked_events(std::vector<std::string> events) {
  if (events.empty()) return faulty("events", "must be a non-empty list");
  for (const std::string& event : events) TRY(check_event(event));
  std::sort(events.begin(), events.end());
  events.erase(std::unique(events.begin(), events.end()), events.end());
  return events;
}

Result<void> record(sql::Tx& tx, const Call& call, Timestamp at, const char* what,
                    const WebhookDetail& one) {
  return audit::record(tx, call, at,
                       {"tracking.webhook." + std::string(what),
                        "webhook:" + one.webhook.id,
                        {{"name", one.webhook.name},
                         {"status", one.webhook.status},
                         {"signed", !one.webhook.secret.empty()},
                         {"events", encode(one.events)}}});
}

}  // namespace

const std::vector<std::string>& webhook_events() {
  static const std::vector<std::string> words{"registered_model.created",
                                              "model_version.created",
                                              "model_version_tag.set",
                                              "model_version_tag.deleted",
                                              "model_version_alias.created",
                                              "model_version_alias.deleted",
                                              "prompt.created",
                                              "prompt_version.created",
                                              "prompt_tag.set",
                                              "prompt_tag.deleted",
                                              "prompt_version_tag.set",
                                              "prompt_version_tag.deleted",
                                              "prompt_alias.created",
                                              "prompt_alias.deleted",
                                              "budget_policy.exceeded"};
  return words;
}

Result<WebhookRequest> webhook_request(const Webhook& webhook, const WebhookMessage& message,
                                       const WebhookKey& key, Timestamp now) {
  std::string at = to_rfc3339(message.at);
  if (at.ends_with('Z')) at.replace(at.size() - 1, 1, "+00:00");  // as MLflow writes it
  const std::size_t dot = message.event.find('.');
  WebhookRequest out{.url = webhook.url};
  out.body = json::serialize(json::object{{"entity", message.event.substr(0, dot)},
                                          {"action", message.event.substr(dot + 1)},
                                          {"timestamp", at},
                                          {"data", message.data}});
  // The time of this try: receivers refuse what was signed long ago, as a replay.
  const std::string seconds =
      std::to_string(std::chrono::floor<std::chrono::seconds>(now).time_since_epoch().count());
  out.headers = {{"Content-Type", "application/json"},
                 {"X-MLflow-Delivery-Id", message.delivery},
                 {"X-MLflow-Timestamp", seconds}};
  if (!webhook.secret.empty())
    out.headers.emplace_back(
        "X-MLflow-Signature",
        webhook_signature(TRY(key.open(webhook.secret)), message.delivery, seconds, out.body));
  return out;
}

Result<WebhookDetail> Webhooks::create(const Call& call, const CreateWebhook& input) {
  auto events = TRY(checked_events(input.events));
  WebhookDetail made{.webhook = {.project = call.project,
                                 .id = new_uuid(),
                                 .name = input.name,
                                 .description = input.description,
                                 .url = input.url,
                                 .status = input.status.empty() ? "ACTIVE" : input.status,
                                 .created_at = now(),
                                 .updated_at = now()},
                     .events = std::move(events)};
  TRY(check(made.webhook));
  TRY(check_secret(input.secret));
  TRY(net_.check(input.url));
  if (!input.secret.empty()) made.webhook.secret = key_.seal(input.secret);
  return db_.write(call, [&](sql::Tx& tx) -> Result<WebhookDetail> {
    if (TRY(webhook_store::count(tx, call.project)) >= webhooks_max)
      return Error{Code::resource_exhausted,
                   "a project may have " + std::to_string(webhooks_max) +
                       " webhooks, and this one has them; delete one first"};
    made.webhook.since = TRY(audit::next_number(tx));
    TRY(sql::insert(tx, "webhooks", made.webhook));
    TRY(webhook_store::put_events(tx, made));
    TRY(record(tx, call, clock_.now(), "created", made));
    return made;
  });
}

Result<WebhookDetail> Webhooks::get(const Call& call, const std::string& id) {
  return db_.read(call, [&](sql::Tx& tx) { return webhook_store::get(tx, call.project, id); });
}

Result<Found<WebhookDetail>> Webhooks::list(const Call& call, std::int64_t limit,
                                            const std::string& page_token) {
  if (limit == 0) limit = 100;
  if (limit < 1 || limit > 1'000)
    return Error{Code::invalid_argument,
                 "max_results must be between 1 and 1000; got " + std::to_string(limit),
                 {{"max_results", "must be between 1 and 1000"}}};
  const std::int64_t offset = TRY(offset_page::begin(page_token));
  return db_.read(call, [&](sql::Tx& tx) -> Result<Found<WebhookDetail>> {
    Found<WebhookDetail> out;
    out.items = TRY(webhook_store::list(tx, call.project, limit + 1, offset));
    out.next_page_token = offset_page::next(out.items, limit, offset);
    return out;
  });
}

Result<WebhookDetail> Webhooks::change(const Call& call, const ChangeWebhook& input) {
  if (input.url) TRY(net_.check(*input.url));
  if (input.secret) TRY(check_secret(*input.secret));
  return db_.write(call, [&](sql::Tx& tx) -> Result<WebhookDetail> {
    WebhookDetail found = TRY(webhook_store::get(tx, call.project, input.id));
    Webhook& webhook = found.webhook;
    const std::string before = webhook.status;
    if (input.name) webhook.name = *input.name;
    if (input.description) webhook.description = *input.description;
    if (input.url) webhook.url = *input.url;
    if (input.secret) webhook.secret = input.secret->empty() ? "" : key_.seal(*input.secret);
    if (input.status) webhook.status = *input.status;
    if (input.events) found.events = TRY(checked_events(*input.events));
    TRY(check(webhook));
    if (webhook.status == "DISABLED") TRY(webhook_store::drop_deliveries(tx, webhook.id));
    if (webhook.status != before) webhook.since = TRY(audit::next_number(tx));
    // Whoever mended it need not wait for the next try.
    webhook.failures = 0;
    webhook.resume_at = {};
    webhook.updated_at = now();
    TRY(webhook_store::update(tx, webhook));
    TRY(webhook_store::make_due(tx, webhook.id, clock_.now()));
    TRY(webhook_store::put_events(tx, found));
    TRY(record(tx, call, clock_.now(), "changed", found));
    return found;
  });
}

Result<void> Webhooks::remove(const Call& call, const std::string& id) {
  return db_.write(call, [&](sql::Tx& tx) -> Result<void> {
    const WebhookDetail found = TRY(webhook_store::get(tx, call.project, id));
    TRY(webhook_store::drop_deliveries(tx, id));
    TRY(tx.run("DELETE FROM webhook_events WHERE webhook = $1", {id}));
    TRY(tx.run("DELETE FROM webhooks WHERE project = $1 AND id = $2", {call.project, id}));
    return record(tx, call, clock_.now(), "deleted", found);
  });
}

Result<WebhookTest> Webhooks::test(const Call& call, const std::string& id,
                                   const std::string& event) {
  const WebhookDetail found = TRY(get(call, id));
  const std::string told = event.empty() ? found.events.front() : event;
  TRY(check_event(told));
  struct Turn {
    std::atomic<int>& count;
    ~Turn() { --count; }
  };
  const int running = tests_++;
  const Turn turn{tests_};
  if (running >= tests_max)
    return Error{Code::resource_exhausted,
                 std::to_string(tests_max) + " webhooks are being tested; try again"};
  const auto request = webhook_request(
      found.webhook,
      {.event = told, .at = clock_.now(), .data = webhook_example(told), .delivery = new_uuid()},
      key_, clock_.now());
  if (!request) return WebhookTest{.error = request.error().message};
  auto answer = net_.post(*request);
  if (!answer) return WebhookTest{.error = answer.error().message};
  return WebhookTest{.success = answer->status >= 200 && answer->status < 300,
                     .answer = std::move(*answer)};
}

}  // namespace penstock::tracking
