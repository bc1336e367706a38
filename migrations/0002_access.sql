CREATE TABLE tokens (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, actor TEXT NOT NULL,
  roles TEXT NOT NULL, tenant TEXT NOT NULL, project TEXT NOT NULL, created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL, expires_at BIGINT, revoked_at BIGINT
);
