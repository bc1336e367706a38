// The tables of webhooks. One function is one statement, or a few.
#pragma once

#include "ports/sql.h"
#include "tracking/webhooks.h"

namespace penstock::tracking::webhook_store {

// What a webhook is still to be told. `number` is that of its event in the audit log.
struct Delivery {
  std::string webhook;
  std::int64_t number = 0;
  std::string id, event;
  Timestamp at;  // of the event
  json::object data;
  std::int64_t attempts = 0;
  Timestamp due_at;
};
BOOST_DESCRIBE_STRUCT(Delivery, (), (webhook, number, id, event, at, data, attempts, due_at))

Result<std::int64_t> count(sql::Tx& tx, const std::string& project);
Result<WebhookDetail> get(sql::Tx& tx, const std::string& project, const std::string& id);
Result<std::vector<WebhookDetail>> list(sql::Tx& tx, const std::string& project, std::int64_t limit,
                                        std::int64_t offset);
Result<void> update(sql::Tx& tx, const Webhook& webhook);
Result<void> put_events(sql::Tx& tx, const WebhookDetail& webhook);

// How far the log has been read.
Result<std::int64_t> position(sql::Tx& tx);
Result<void> keep_position(sql::Tx& tx, std::int64_t number);
// Those of the project that are told of event `number`.
Result<std::vector<std::string>> told_of(sql::Tx& tx, const std::string& project,
                                         const std::string& event, std::int64_t number);
Result<std::int64_t> waiting(sql::Tx& tx, const std::string& webhook);
Result<void> put(sql::Tx& tx, const Delivery& delivery);
Result<void> drop(sql::Tx& tx, const Delivery& delivery);
Result<void> delay(sql::Tx& tx, const Delivery& delivery);
Result<void> drop_deliveries(sql::Tx& tx, const std::string& webhook);
Result<void> make_due(sql::Tx& tx, const std::string& webhook, Timestamp at);

// An active webhook with something due that nobody is busy with.
Result<std::optional<std::string>> next(sql::Tx& tx, Timestamp now);
// Taken until then, for one that tells it; nothing where another was faster.
Result<std::optional<Webhook>> claim(sql::Tx& tx, const std::string& id, Timestamp now,
                                     Timestamp until);
Result<std::vector<Delivery>> due(sql::Tx& tx, const std::string& webhook, Timestamp now,
                                  std::int64_t limit);
Result<void> release(sql::Tx& tx, const Webhook& webhook);

}  // namespace penstock::tracking::webhook_store
