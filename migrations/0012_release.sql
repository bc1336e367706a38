CREATE TABLE releases (
  project TEXT NOT NULL, id TEXT NOT NULL, route TEXT NOT NULL, model TEXT NOT NULL,
  version BIGINT NOT NULL, from_version BIGINT NOT NULL, from_release TEXT NOT NULL, plan TEXT NOT NULL, plan_digest TEXT NOT NULL,
  state TEXT NOT NULL, stage BIGINT NOT NULL, stage_calls BIGINT NOT NULL, live_micros TEXT NOT NULL,
  slow_micros BIGINT NOT NULL, paused BOOLEAN NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL,
  created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX releases_one_open ON releases (project, route)
  WHERE state NOT IN ('closed', 'rolled_back', 'cancelled');
CREATE TABLE release_approvals (
  project TEXT NOT NULL, release TEXT NOT NULL, approver TEXT NOT NULL, digest TEXT NOT NULL,
  comment TEXT NOT NULL, given_at BIGINT NOT NULL, PRIMARY KEY (project, release, approver)
);
CREATE TABLE release_guards (
  project TEXT NOT NULL, release TEXT NOT NULL, guard TEXT NOT NULL, alpha DOUBLE PRECISION NOT NULL,
  looks BIGINT NOT NULL, verdict TEXT NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (project, release, guard)
);
CREATE TABLE release_looks (
  project TEXT NOT NULL, release TEXT NOT NULL, guard TEXT NOT NULL, number BIGINT NOT NULL,
  looked_at BIGINT NOT NULL, rho DOUBLE PRECISION NOT NULL, canary_calls BIGINT NOT NULL,
  canary_bad BIGINT NOT NULL, baseline_calls BIGINT NOT NULL, baseline_bad BIGINT NOT NULL,
  harm_log_e DOUBLE PRECISION NOT NULL, harm_threshold DOUBLE PRECISION NOT NULL,
  safe_log_e DOUBLE PRECISION NOT NULL, safe_threshold DOUBLE PRECISION NOT NULL, verdict TEXT NOT NULL,
  PRIMARY KEY (project, release, guard, number)
);
-- Where the controller reads on in the telemetry log: moved in the transaction of what it made of it.
CREATE TABLE release_positions (topic TEXT PRIMARY KEY, next_offset BIGINT NOT NULL);
CREATE TABLE release_units (
  project TEXT NOT NULL, release TEXT NOT NULL, purpose TEXT NOT NULL, unit TEXT NOT NULL,
  PRIMARY KEY (project, release, purpose, unit)
);
