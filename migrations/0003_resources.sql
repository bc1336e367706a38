CREATE TABLE resources (
  project TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL,
  digest TEXT NOT NULL, owner TEXT NOT NULL, declaration TEXT NOT NULL, applied_at BIGINT NOT NULL,
  applied_by TEXT NOT NULL, PRIMARY KEY (project, kind, name, version)
);
