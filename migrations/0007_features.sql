-- One row for each state of its sources that a feature view was evaluated over.
CREATE TABLE feature_tables (
  project TEXT NOT NULL, view TEXT NOT NULL, version BIGINT NOT NULL, digest TEXT NOT NULL,
  path TEXT NOT NULL, row_count BIGINT NOT NULL, ties BOOLEAN NOT NULL, sources TEXT NOT NULL,
  created_at BIGINT NOT NULL, PRIMARY KEY (project, view, version, digest)
);
