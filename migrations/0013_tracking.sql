CREATE TABLE experiments (
  project TEXT NOT NULL, id BIGINT NOT NULL, name TEXT NOT NULL, artifact_location TEXT NOT NULL,
  lifecycle TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
  PRIMARY KEY (project, id), UNIQUE (project, name)
);
CREATE TABLE experiment_tags (
  project TEXT NOT NULL, experiment BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (project, experiment, key)
);
CREATE TABLE tracked_runs (
  number BIGINT NOT NULL PRIMARY KEY, project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL,
  name TEXT NOT NULL, user_id TEXT NOT NULL, status TEXT NOT NULL, start_time BIGINT NOT NULL, end_time BIGINT,
  artifact_uri TEXT NOT NULL, lifecycle TEXT NOT NULL, UNIQUE (project, id)
);
CREATE INDEX tracked_runs_by_start ON tracked_runs (project, experiment, start_time DESC, id);
CREATE TABLE tracked_params (
  run BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, key)
);
CREATE TABLE tracked_tags (
  run BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (run, key)
);
CREATE TABLE metric_points (
  run BIGINT NOT NULL, key TEXT NOT NULL, step BIGINT NOT NULL, at BIGINT NOT NULL,
  value DOUBLE PRECISION NOT NULL, is_nan BOOLEAN NOT NULL, PRIMARY KEY (run, key, step, at, value, is_nan)
);
CREATE TABLE latest_metrics (
  run BIGINT NOT NULL, key TEXT NOT NULL, step BIGINT NOT NULL, at BIGINT NOT NULL,
  value DOUBLE PRECISION NOT NULL, is_nan BOOLEAN NOT NULL, PRIMARY KEY (run, key)
);
CREATE TABLE run_datasets (
  run BIGINT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, source_type TEXT NOT NULL, source TEXT NOT NULL,
  schema_text TEXT NOT NULL, profile TEXT NOT NULL, context TEXT NOT NULL, tags TEXT NOT NULL,
  PRIMARY KEY (run, name, digest)
);
CREATE TABLE artifact_files (
  project TEXT NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL, size BIGINT NOT NULL, PRIMARY KEY (project, path)
);
CREATE TABLE run_models (
  run BIGINT NOT NULL, model TEXT NOT NULL, is_output BOOLEAN NOT NULL, step BIGINT NOT NULL,
  PRIMARY KEY (run, model, is_output)
);
CREATE TABLE logged_models (
  number BIGINT NOT NULL PRIMARY KEY, project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL,
  name TEXT NOT NULL, model_type TEXT NOT NULL, source_run TEXT NOT NULL, artifact_uri TEXT NOT NULL,
  status TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, UNIQUE (project, id)
);
CREATE INDEX logged_models_by_time ON logged_models (project, experiment, created_at DESC);
CREATE TABLE logged_model_params (
  model BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (model, key)
);
CREATE TABLE logged_model_tags (
  model BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (model, key)
);
