CREATE TABLE runs (
  project TEXT NOT NULL, id TEXT NOT NULL, pipeline TEXT NOT NULL, pipeline_version BIGINT NOT NULL,
  parameters TEXT NOT NULL, seed BIGINT NOT NULL, use_cache BOOLEAN NOT NULL, reproduces TEXT NOT NULL,
  status TEXT NOT NULL, fault TEXT NOT NULL, author TEXT NOT NULL, tenant TEXT NOT NULL,
  git_commit TEXT NOT NULL, created_at BIGINT NOT NULL, started_at BIGINT, finished_at BIGINT,
  PRIMARY KEY (project, id)
);
CREATE INDEX runs_unfinished ON runs (id) WHERE status IN ('queued', 'running');
CREATE TABLE run_steps (
  project TEXT NOT NULL, run TEXT NOT NULL, step TEXT NOT NULL, position BIGINT NOT NULL,
  cache_key TEXT NOT NULL, environment TEXT NOT NULL, cached BOOLEAN NOT NULL, status TEXT NOT NULL,
  log_tail TEXT NOT NULL, outputs TEXT NOT NULL, cpu_seconds DOUBLE PRECISION NOT NULL,
  peak_memory BIGINT NOT NULL, started_at BIGINT NOT NULL, finished_at BIGINT,
  PRIMARY KEY (project, run, step)
);
CREATE TABLE step_cache (
  project TEXT NOT NULL, cache_key TEXT NOT NULL, outputs TEXT NOT NULL, run TEXT NOT NULL,
  created_at BIGINT NOT NULL, PRIMARY KEY (project, cache_key)
);
CREATE TABLE evaluations (
  project TEXT NOT NULL, name TEXT NOT NULL, run TEXT NOT NULL, passed BOOLEAN NOT NULL,
  gate TEXT NOT NULL, slices TEXT NOT NULL, predictions_uri TEXT NOT NULL, created_at BIGINT NOT NULL,
  PRIMARY KEY (project, name)
);
CREATE INDEX evaluations_of_run ON evaluations (project, run);
