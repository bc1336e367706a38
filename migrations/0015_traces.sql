CREATE TABLE traces (
  number BIGINT NOT NULL PRIMARY KEY, project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL,
  request_time BIGINT NOT NULL, duration BIGINT, state TEXT NOT NULL, client_request_id TEXT NOT NULL,
  request_preview TEXT NOT NULL, response_preview TEXT NOT NULL, finished BOOLEAN NOT NULL, UNIQUE (project, id)
);
CREATE INDEX traces_by_time ON traces (project, experiment, request_time DESC, id);
CREATE TABLE trace_tags (
  trace BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (trace, key)
);
CREATE TABLE trace_metadata (
  trace BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (trace, key)
);
CREATE TABLE trace_runs (trace BIGINT NOT NULL, run TEXT NOT NULL, PRIMARY KEY (trace, run));
CREATE INDEX trace_runs_by_run ON trace_runs (run, trace);
CREATE TABLE trace_prompts (trace BIGINT NOT NULL, prompt TEXT NOT NULL, PRIMARY KEY (trace, prompt));
CREATE INDEX trace_prompts_by_prompt ON trace_prompts (prompt, trace);
CREATE TABLE trace_spans (
  trace BIGINT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
  status TEXT NOT NULL, start_time BIGINT NOT NULL, end_time BIGINT NOT NULL, usage TEXT NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY (trace, id)
);
CREATE TABLE assessments (
  trace BIGINT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  number DOUBLE PRECISION, is_valid BOOLEAN NOT NULL, created_at BIGINT NOT NULL, body TEXT NOT NULL,
  PRIMARY KEY (trace, id)
);
CREATE TABLE evaluation_datasets (
  number BIGINT NOT NULL PRIMARY KEY, project TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
  schema_text TEXT NOT NULL, profile TEXT NOT NULL, digest TEXT NOT NULL, created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL, created_by TEXT NOT NULL, updated_by TEXT NOT NULL, UNIQUE (project, id)
);
CREATE TABLE evaluation_dataset_tags (
  dataset BIGINT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (dataset, key)
);
CREATE TABLE evaluation_dataset_experiments (
  dataset BIGINT NOT NULL, experiment BIGINT NOT NULL, PRIMARY KEY (dataset, experiment)
);
CREATE TABLE evaluation_records (
  dataset BIGINT NOT NULL, position BIGINT NOT NULL, id TEXT NOT NULL, input_hash TEXT NOT NULL,
  inputs TEXT NOT NULL, outputs TEXT, expectations TEXT, tags TEXT, source TEXT, source_type TEXT NOT NULL,
  source_id TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, created_by TEXT NOT NULL,
  updated_by TEXT NOT NULL, PRIMARY KEY (dataset, position), UNIQUE (dataset, input_hash), UNIQUE (dataset, id)
);
CREATE TABLE scorers (
  project TEXT NOT NULL, experiment BIGINT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, id TEXT NOT NULL,
  body TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (project, experiment, name, version)
);
CREATE TABLE issues (
  project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
  status TEXT NOT NULL, severity TEXT NOT NULL, root_causes TEXT NOT NULL, categories TEXT NOT NULL,
  source_run TEXT NOT NULL, created_by TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX issues_by_experiment ON issues (project, experiment, created_at DESC);
CREATE TABLE label_schemas (
  project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL, name TEXT NOT NULL, type TEXT NOT NULL,
  instruction TEXT, enable_comment BOOLEAN NOT NULL, input TEXT NOT NULL, is_default BOOLEAN NOT NULL,
  created_by TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (project, id),
  UNIQUE (project, experiment, name)
);
CREATE TABLE review_queues (
  project TEXT NOT NULL, id TEXT NOT NULL, experiment BIGINT NOT NULL, name TEXT NOT NULL, name_key TEXT NOT NULL,
  type TEXT NOT NULL, created_by TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
  PRIMARY KEY (project, id), UNIQUE (project, experiment, name_key)
);
CREATE TABLE review_queue_users (queue TEXT NOT NULL, user_id TEXT NOT NULL, PRIMARY KEY (queue, user_id));
CREATE TABLE review_queue_schemas (queue TEXT NOT NULL, label_schema TEXT NOT NULL, PRIMARY KEY (queue, label_schema));
CREATE TABLE review_queue_items (
  queue TEXT NOT NULL, item TEXT NOT NULL, status TEXT NOT NULL, completed_by TEXT NOT NULL, completed_at BIGINT,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (queue, item)
);
CREATE INDEX review_queue_items_by_item ON review_queue_items (item);
CREATE TABLE logged_model_metrics (
  model BIGINT NOT NULL, run TEXT NOT NULL, key TEXT NOT NULL, step BIGINT NOT NULL, at BIGINT NOT NULL,
  value DOUBLE PRECISION NOT NULL, is_nan BOOLEAN NOT NULL, dataset_name TEXT NOT NULL, dataset_digest TEXT NOT NULL,
  PRIMARY KEY (model, key, at, step, run)
);
CREATE TABLE version_stages (
  project TEXT NOT NULL, model TEXT NOT NULL, version BIGINT NOT NULL, stage TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (project, model, version)
);
