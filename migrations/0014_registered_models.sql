CREATE TABLE registered_models (
  project TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL, created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL, PRIMARY KEY (project, name)
);
CREATE TABLE registered_model_tags (
  project TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (project, model, key)
);
CREATE TABLE model_aliases (
  project TEXT NOT NULL, model TEXT NOT NULL, alias TEXT NOT NULL, version BIGINT NOT NULL,
  PRIMARY KEY (project, model, alias)
);
CREATE TABLE version_notes (
  project TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL, source TEXT NOT NULL, run TEXT NOT NULL,
  logged_model TEXT NOT NULL, user_id TEXT NOT NULL, description TEXT NOT NULL, hidden BOOLEAN NOT NULL,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (project, model, version)
);
CREATE TABLE version_tags (
  project TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (project, model, version, key)
);
CREATE INDEX version_notes_by_run ON version_notes (project, run);
