CREATE TABLE audit_events (
  number BIGINT PRIMARY KEY, at BIGINT NOT NULL, project TEXT NOT NULL, tenant TEXT NOT NULL,
  actor TEXT NOT NULL, request_id TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  detail TEXT NOT NULL, leaf TEXT NOT NULL
);
CREATE INDEX audit_events_subject ON audit_events (subject, number);
-- One row: the number of leaves, and the roots of the full subtrees (RFC 6962), widest first, as a JSON list.
CREATE TABLE audit_head (id BIGINT PRIMARY KEY, size BIGINT NOT NULL, frontier TEXT NOT NULL);
INSERT INTO audit_head (id, size, frontier) VALUES (1, 0, '[]');
