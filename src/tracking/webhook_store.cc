#include "tracking/webhook_store.h"

namespace penstock::tracking::webhook_store {
namespace {

Result<std::int64_t> one_number(const std::vector<sql::Row>& rows) {
  return std::get<std::int64_t>(rows.at(0).at(0));
}

Result<WebhookDetail> detail(sql::Tx& tx, Webhook webhook) {
  WebhookDetail out{.webhook = std::move(webhook)};
  for (const sql::Row& row : TRY(tx.run(
           "SELECT event FROM webhook_events WHERE webhook = $1 ORDER BY event", {out.webhook.id})))
    out.events.push_back(std::get<std::string>(row.at(0)));
  return out;
}

}  // namespace

Result<std::int64_t> count(sql::Tx& tx, const std::string& project) {
  return one_number(TRY(tx.run("SELECT count(*) FROM webhooks WHERE project = $1", {project})));
}

Result<WebhookDetail> get(sql::Tx& tx, const std::string& project, const std::string& id) {
  static const std::string text =
      "SELECT " + columns<Webhook>() + " FROM webhooks WHERE project = $1 AND id = $2";
  auto found = TRY(sql::select<Webhook>(tx, text, {project, id}));
  if (found.empty()) return Error{Code::not_found, "Webhook with ID " + id + " not found."};
  return detail(tx, std::move(found.front()));
}

Result<std::vector<WebhookDetail>> list(sql::Tx& tx, const std::string& project, std::int64_t limit,
                                        std::int64_t offset) {
  std::vector<WebhookDetail> out;
  for (Webhook& one : TRY(sql::select<Webhook>(
           tx,
           "SELECT " + columns<Webhook>() +
               " FROM webhooks WHERE project = $1 ORDER BY created_at DESC, id LIMIT " +
               std::to_string(limit) + " OFFSET " + std::to_string(offset),
           {project})))
    out.push_back(TRY(detail(tx, std::move(one))));
  return out;
}

Result<void> update(sql::Tx& tx, const Webhook& webhook) {
  TRY(tx.run(
      "UPDATE webhooks SET name = $2, description = $3, url = $4, status = $5, secret = $6, "
      "since = $7, updated_at = $8, failures = $9, resume_at = $10 WHERE id = $1",
      {webhook.id, webhook.name, webhook.description, webhook.url, webhook.status, webhook.secret,
       webhook.since, webhook.updated_at, webhook.failures, sql::to_sql(webhook.resume_at)}));
  return {};
}

Result<void> put_events(sql::Tx& tx, const WebhookDetail& webhook) {
  TRY(tx.run("DELETE FROM webhook_events WHERE webhook = $1", {webhook.webhook.id}));
  for (const std::string& event : webhook.events)
    TRY(tx.run("INSERT INTO webhook_events (webhook, event) VALUES ($1, $2)",
               {webhook.webhook.id, event}));
  return {};
}

Result<std::int64_t> position(sql::Tx& tx) {
  return one_number(TRY(tx.run("SELECT number FROM webhook_position WHERE one = 1", {})));
}

Result<void> keep_position(sql::Tx& tx, std::int64_t number) {
  TRY(tx.run("UPDATE webhook_position SET number = $1 WHERE one = 1", {number}));
  return {};
}

Result<std::vector<std::string>> told_of(sql::Tx& tx, const std::string& project,
                                         const std::string& event, std::int64_t number) {
  std::vector<std::string> out;
  for (const sql::Row& row :
       TRY(tx.run("SELECT w.id FROM webhooks w JOIN webhook_events e ON e.webhook = w.id AND "
                  "e.event = $2 WHERE w.project = $1 AND w.status = 'ACTIVE' AND w.since <= $3",
                  {project, event, number})))
    out.push_back(std::get<std::string>(row.at(0)));
  return out;
}

Result<std::int64_t> waiting(sql::Tx& tx, const std::string& webhook) {
  return one_number(
      TRY(tx.run("SELECT count(*) FROM webhook_deliveries WHERE webhook = $1", {webhook})));
}

Result<void> put(sql::Tx& tx, const Delivery& delivery) {
  return sql::insert(tx, "webhook_deliveries", delivery, "ON CONFLICT DO NOTHING");
}

Result<void> drop(sql::Tx& tx, const Delivery& delivery) {
  TRY(tx.run("DELETE FROM webhook_deliveries WHERE webhook = $1 AND number = $2",
             {delivery.webhook, delivery.number}));
  return {};
}

Result<void> delay(sql::Tx& tx, const Delivery& delivery) {
  TRY(
      tx.run("UPDATE webhook_deliveries SET attempts = $3, due_at = $4 WHERE webhook = $1 AND "
             "number = $2",
             {delivery.webhook, delivery.number, delivery.attempts, sql::to_sql(delivery.due_at)}));
  return {};
}

Result<void> drop_deliveries(sql::Tx& tx, const std::string& webhook) {
  TRY(tx.run("DELETE FROM webhook_deliveries WHERE webhook = $1", {webhook}));
  return {};
}

Result<void> make_due(sql::Tx& tx, const std::string& webhook, Timestamp at) {
  TRY(tx.run("UPDATE webhook_deliveries SET due_at = $2 WHERE webhook = $1 AND due_at > $2",
             {webhook, sql::to_sql(at)}));
  return {};
}

Result<std::optional<std::string>> next(sql::Tx& tx, Timestamp now) {
  const auto rows = TRY(
      tx.run("SELECT w.id FROM webhooks w WHERE w.status = 'ACTIVE' AND w.resume_at <= $1 AND "
             "w.busy_until <= $1 AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE d.webhook = "
             "w.id AND d.due_at <= $1) ORDER BY w.resume_at LIMIT 1",
             {sql::to_sql(now)}));
  if (rows.empty()) return std::optional<std::string>();
  return std::optional(std::get<std::string>(rows.front().at(0)));
}

Result<std::optional<Webhook>> claim(sql::Tx& tx, const std::string& id, Timestamp now,
                                     Timestamp until) {
  auto found = TRY(sql::select<Webhook>(
      tx,
      "UPDATE webhooks SET busy_until = $3 WHERE id = $1 AND busy_until <= $2 AND status = "
      "'ACTIVE' RETURNING " +
          columns<Webhook>(),
      {id, sql::to_sql(now), sql::to_sql(until)}));
  if (found.empty()) return std::optional<Webhook>();
  return std::optional(std::move(found.front()));
}

Result<std::vector<Delivery>> due(sql::Tx& tx, const std::string& webhook, Timestamp now,
                                  std::int64_t limit) {
  return sql::select<Delivery>(tx,
                               "SELECT " + columns<Delivery>() +
                                   " FROM webhook_deliveries WHERE webhook = $1 AND due_at <= $2 "
                                   "ORDER BY number LIMIT $3",
                               {webhook, sql::to_sql(now), limit});
}

// Only what the one that told it knows: people may have changed the rest meanwhile.
Result<void> release(sql::Tx& tx, const Webhook& webhook) {
  TRY(
      tx.run("UPDATE webhooks SET failures = $2, resume_at = $3, busy_until = 0 WHERE id = $1 AND "
             "busy_until = $4",
             {webhook.id, webhook.failures, sql::to_sql(webhook.resume_at),
              sql::to_sql(webhook.busy_until)}));
  return {};
}

}  // namespace penstock::tracking::webhook_store
