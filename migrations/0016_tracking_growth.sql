-- Points in the order in which their history is read.
CREATE TABLE points_by_time (
  run BIGINT NOT NULL, key TEXT NOT NULL, step BIGINT NOT NULL, at BIGINT NOT NULL,
  value DOUBLE PRECISION NOT NULL, is_nan BOOLEAN NOT NULL, PRIMARY KEY (run, key, at, step, value, is_nan)
);
INSERT INTO points_by_time (run, key, step, at, value, is_nan)
  SELECT run, key, step, at, value, is_nan FROM metric_points;
DROP TABLE metric_points;
ALTER TABLE points_by_time RENAME TO metric_points;
-- One experiment's runs in the order of one metric.
ALTER TABLE latest_metrics ADD COLUMN project TEXT NOT NULL DEFAULT '';
ALTER TABLE latest_metrics ADD COLUMN experiment BIGINT NOT NULL DEFAULT 0;
UPDATE latest_metrics SET
  project = (SELECT r.project FROM tracked_runs AS r WHERE r.number = latest_metrics.run),
  experiment = (SELECT r.experiment FROM tracked_runs AS r WHERE r.number = latest_metrics.run);
CREATE INDEX latest_metrics_by_value ON latest_metrics (project, experiment, key, is_nan, value);
CREATE INDEX experiments_by_update ON experiments (project, updated_at, id);
-- What MLflow calls a model may change; what the registry calls it never does.
ALTER TABLE registered_models ADD COLUMN model TEXT NOT NULL DEFAULT '';
UPDATE registered_models SET model = name;
CREATE UNIQUE INDEX registered_models_by_model ON registered_models (project, model);
ALTER TABLE version_notes ADD COLUMN name TEXT NOT NULL DEFAULT '';
UPDATE version_notes SET name = model;
CREATE INDEX version_notes_by_name ON version_notes (project, name, version);
CREATE INDEX version_notes_by_update ON version_notes (project, updated_at, name, version);
