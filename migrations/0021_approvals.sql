-- Approvals of everything: one table, where there was one a component.
ALTER TABLE approvals RENAME TO approvals_before;
CREATE TABLE approvals (
  project TEXT NOT NULL, id TEXT NOT NULL, subject TEXT NOT NULL, digest TEXT NOT NULL,
  scope TEXT NOT NULL, approver TEXT NOT NULL, person TEXT NOT NULL, roles TEXT NOT NULL,
  comment TEXT NOT NULL, at BIGINT NOT NULL, expires_at BIGINT, ended_at BIGINT,
  ended_by TEXT NOT NULL, ended_why TEXT NOT NULL, PRIMARY KEY (project, id)
);
-- A person counts once for what they approved.
CREATE UNIQUE INDEX approvals_once ON approvals (project, subject, scope, person) WHERE ended_at IS NULL;
INSERT INTO approvals SELECT project, subject || '/' || scope || '/' || approver, subject, digest, scope,
  approver, lower(approver), '[]', comment, at, NULL, NULL, '', '' FROM approvals_before;
INSERT INTO approvals SELECT project, 'release:' || release || '/' || approver, 'release:' || release, digest,
  'release', approver, lower(approver), '[]', comment, given_at, NULL, NULL, '', '' FROM release_approvals;
DROP TABLE approvals_before;
DROP TABLE release_approvals;
CREATE TABLE approval_requests (
  project TEXT NOT NULL, id TEXT NOT NULL, subject TEXT NOT NULL, digest TEXT NOT NULL,
  scope TEXT NOT NULL, author TEXT NOT NULL, needed BIGINT NOT NULL, summary TEXT NOT NULL, detail TEXT NOT NULL,
  asked_by TEXT NOT NULL, asked_of TEXT NOT NULL, state TEXT NOT NULL, at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL, closed_at BIGINT, closed_by TEXT NOT NULL, PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX approval_requests_open ON approval_requests (project, subject, scope) WHERE state = 'open';
