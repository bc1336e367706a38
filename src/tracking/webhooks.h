// Webhooks: addresses that are told of changes to models and prompts, as MLflow tells them.
#pragma once

#include <atomic>
#include <utility>

#include "tracking/service.h"
#include "tracking/webhook_secret.h"

namespace penstock::tracking {

struct Webhook {
  std::string project, id;  // a UUID
  std::string name, description, url;
  std::string status;      // ACTIVE or DISABLED
  std::string secret;      // sealed; empty: deliveries are not signed
  std::int64_t since = 0;  // the first event of the audit log that it is told of
  std::int64_t created_at = 0, updated_at = 0;  // milliseconds since 1970
  std::int64_t failures = 0;                    // in a row, of late
  Timestamp resume_at{}, busy_until{};          // no delivery before either
};
BOOST_DESCRIBE_STRUCT(Webhook, (),
                      (project, id, name, description, url, status, secret, since, created_at,
                       updated_at, failures, resume_at, busy_until))
struct WebhookDetail {
  Webhook webhook;
  std::vector<std::string> events;  // "model_version.created", in order
};

// The words of events; nothing else is one.
const std::vector<std::string>& webhook_events();

struct CreateWebhook {
  std::string name, description, url, secret;
  std::string status;  // empty: ACTIVE
  std::vector<std::string> events;
};
struct ChangeWebhook {  // what is not said stays
  std::string id;
  std::optional<std::string> name, description, url, secret, status;
  std::optional<std::vector<std::string>> events;
};

struct WebhookRequest {
  std::string url, body;
  std::vector<std::pair<std::string, std::string>> headers;
};
struct WebhookAnswer {
  int status = 0;
  std::string body;
};
// The way out, told at start.
struct WebhookNet {
  std::function<Result<WebhookAnswer>(const WebhookRequest&)> post;
  std::function<Result<void>(const std::string& url)> check;  // whether it may be posted to
};
struct WebhookTest {
  bool success = false;
  std::optional<WebhookAnswer> answer;
  std::string error;
};

// What is posted for an event, and its headers: signed where there is a secret.
struct WebhookMessage {
  std::string event;  // "model_version.created"
  Timestamp at;       // when it happened
  json::object data;
  std::string delivery;  // a UUID; the same one however often it is tried
};
Result<WebhookRequest> webhook_request(const Webhook& webhook, const WebhookMessage& message,
                                       const WebhookKey& key, Timestamp now);

// Secrets are written and never read back: no answer, log or event has one.
class Webhooks {
 public:
  Webhooks(sql::Database& db, const Clock& clock, WebhookKey key, WebhookNet net)
      : db_(db), clock_(clock), key_(std::move(key)), net_(std::move(net)) {}

  Result<WebhookDetail> create(const Call& call, const CreateWebhook& input);
  Result<WebhookDetail> get(const Call& call, const std::string& id);
  // The newest first. `limit` 0: 100.
  Result<Found<WebhookDetail>> list(const Call& call, std::int64_t limit,
                                    const std::string& page_token);
  // Whoever disables one drops what it has not been told yet.
  Result<WebhookDetail> change(const Call& call, const ChangeWebhook& input);
  Result<void> remove(const Call& call, const std::string& id);
  // Posts an example of an event (the first of its own, where none is named) and waits for the
  // answer. At most two at a time.
  Result<WebhookTest> test(const Call& call, const std::string& id, const std::string& event);

 private:
  std::int64_t now() const { return clock_.now().time_since_epoch().count() / 1'000; }
  sql::Database& db_;
  const Clock& clock_;
  WebhookKey key_;
  WebhookNet net_;
  std::atomic<int> tests_{0};
};

}  // namespace penstock::tracking
