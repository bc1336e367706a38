CREATE TABLE webhooks (
  project TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, url TEXT NOT NULL,
  status TEXT NOT NULL, secret TEXT NOT NULL, since BIGINT NOT NULL, created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL, failures BIGINT NOT NULL, resume_at BIGINT NOT NULL, busy_until BIGINT NOT NULL,
  PRIMARY KEY (project, id), UNIQUE (id)
);
CREATE TABLE webhook_events (webhook TEXT NOT NULL, event TEXT NOT NULL, PRIMARY KEY (webhook, event));
-- What is still to be delivered; times in microseconds.
CREATE TABLE webhook_deliveries (
  webhook TEXT NOT NULL, number BIGINT NOT NULL, id TEXT NOT NULL, event TEXT NOT NULL, at BIGINT NOT NULL,
  data TEXT NOT NULL, attempts BIGINT NOT NULL, due_at BIGINT NOT NULL, PRIMARY KEY (webhook, number)
);
CREATE INDEX webhook_deliveries_by_time ON webhook_deliveries (due_at);
-- How far the audit log has been read. Nobody waits for what was written before there were webhooks.
CREATE TABLE webhook_position (one BIGINT NOT NULL PRIMARY KEY, number BIGINT NOT NULL);
INSERT INTO webhook_position (one, number) SELECT 1, COALESCE(max(number) + 1, 0) FROM audit_events;
