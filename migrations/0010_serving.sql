CREATE TABLE route_targets (
  project TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL,
  weight BIGINT NOT NULL CHECK (weight BETWEEN 0 AND 10000), arm TEXT NOT NULL, release TEXT NOT NULL,
  updated_at BIGINT NOT NULL, PRIMARY KEY (project, route, model, version)
);
CREATE TABLE batch_outputs (
  project TEXT NOT NULL, output TEXT NOT NULL, day TEXT NOT NULL, route TEXT NOT NULL,
  model TEXT NOT NULL, version BIGINT NOT NULL, feature_schema TEXT NOT NULL,
  input_digest TEXT NOT NULL, digest TEXT NOT NULL, path TEXT NOT NULL, rows BIGINT NOT NULL,
  features_as_of BIGINT, rows_until BIGINT NOT NULL, made_at BIGINT NOT NULL,
  PRIMARY KEY (project, output, day, model, version, input_digest)
);
