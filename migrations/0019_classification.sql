-- What people confirmed of columns: their class is at least this, whatever is declared.
CREATE TABLE column_tags (
  project TEXT NOT NULL, source TEXT NOT NULL, column_name TEXT NOT NULL, tag TEXT NOT NULL,
  classification TEXT NOT NULL, confirmed_by TEXT NOT NULL, confirmed_at BIGINT NOT NULL,
  PRIMARY KEY (project, source, column_name, tag)
);
-- Classes that were asked to be lowered; in force from `granted_at` on.
CREATE TABLE column_lowerings (
  project TEXT NOT NULL, id TEXT NOT NULL, source TEXT NOT NULL, column_name TEXT NOT NULL,
  from_class TEXT NOT NULL, to_class TEXT NOT NULL, reason TEXT NOT NULL, digest TEXT NOT NULL,
  asked_by TEXT NOT NULL, asked_at BIGINT NOT NULL, granted_at BIGINT, granted_by TEXT NOT NULL,
  used_version BIGINT, PRIMARY KEY (project, id)
);
CREATE INDEX column_lowerings_of ON column_lowerings (project, source, column_name);
-- What rules suggest, and what people said to it.
CREATE TABLE classification_suggestions (
  project TEXT NOT NULL, source TEXT NOT NULL, column_name TEXT NOT NULL, tag TEXT NOT NULL,
  classification TEXT NOT NULL, confidence DOUBLE PRECISION NOT NULL, rule TEXT NOT NULL,
  rule_version BIGINT NOT NULL, evidence TEXT NOT NULL, status TEXT NOT NULL,
  source_version BIGINT NOT NULL, judged_at BIGINT NOT NULL, decided_by TEXT NOT NULL,
  decided_at BIGINT, comment TEXT NOT NULL, changed TEXT NOT NULL,
  PRIMARY KEY (project, source, column_name, tag)
);
CREATE INDEX classification_suggestions_status ON classification_suggestions (project, status);
-- By which rules and as which version a source was judged last.
CREATE TABLE classification_runs (
  project TEXT NOT NULL, source TEXT NOT NULL, source_version BIGINT NOT NULL,
  rules_digest TEXT NOT NULL, sampled BIGINT NOT NULL, judged_at BIGINT NOT NULL,
  fault TEXT NOT NULL, PRIMARY KEY (project, source)
);
