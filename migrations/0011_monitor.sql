CREATE TABLE monitor_positions (topic TEXT PRIMARY KEY, next_offset BIGINT NOT NULL);
CREATE TABLE monitor_stats (
  project TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL,
  arm TEXT NOT NULL, feature_schema TEXT NOT NULL, day BIGINT NOT NULL, tally TEXT NOT NULL,
  PRIMARY KEY (project, route, day, model, version, arm, feature_schema)
);
CREATE TABLE monitor_profiles (
  project TEXT NOT NULL, route TEXT NOT NULL, feature_schema TEXT NOT NULL, complete BOOLEAN NOT NULL,
  samples BIGINT NOT NULL, names TEXT NOT NULL, feature_edges TEXT NOT NULL, score_edges TEXT NOT NULL,
  PRIMARY KEY (project, route, feature_schema)
);
CREATE TABLE monitor_samples (
  project TEXT NOT NULL, route TEXT NOT NULL, feature_schema TEXT NOT NULL, number BIGINT NOT NULL,
  sample TEXT NOT NULL, PRIMARY KEY (project, route, feature_schema, number)
);
CREATE TABLE monitor_references (
  project TEXT NOT NULL, route TEXT NOT NULL, feature_schema TEXT NOT NULL, model TEXT NOT NULL,
  version BIGINT NOT NULL, dataset TEXT NOT NULL, fault TEXT NOT NULL, features TEXT NOT NULL,
  PRIMARY KEY (project, route, feature_schema, model, version)
);
CREATE TABLE monitor_routes (
  project TEXT NOT NULL, route TEXT NOT NULL, last_day BIGINT NOT NULL, calls_since BIGINT NOT NULL,
  labels_since BIGINT NOT NULL, last_at BIGINT NOT NULL, refused BIGINT NOT NULL,
  PRIMARY KEY (project, route)
);
CREATE TABLE monitor_results (
  project TEXT NOT NULL, monitor TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL,
  day BIGINT NOT NULL, verdict TEXT NOT NULL, value DOUBLE PRECISION, calls BIGINT NOT NULL,
  reason TEXT NOT NULL, breach_since BIGINT, evaluated_at BIGINT NOT NULL,
  PRIMARY KEY (project, monitor, model, version, day)
);
