CREATE TABLE model_versions (
  project TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL, status TEXT NOT NULL,
  record TEXT NOT NULL, digest TEXT NOT NULL, record_references TEXT NOT NULL, created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (project, model, version)
);
CREATE TABLE approvals (
  project TEXT NOT NULL, subject TEXT NOT NULL, digest TEXT NOT NULL, scope TEXT NOT NULL,
  approver TEXT NOT NULL, comment TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (project, subject, scope, approver)
);
