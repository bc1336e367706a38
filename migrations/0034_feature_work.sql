-- What the newest declaration of a view asks to be done again and again.
CREATE TABLE feature_schedules (
  project TEXT NOT NULL, view TEXT NOT NULL, schedule BIGINT, freshness BIGINT, verify_every BIGINT,
  PRIMARY KEY (project, view)
);
-- What was done last for each version of a view in each online store, and who has it now.
CREATE TABLE feature_view_states (
  store TEXT NOT NULL, project TEXT NOT NULL, view TEXT NOT NULL, version BIGINT NOT NULL,
  holder TEXT NOT NULL, held_until BIGINT, last_run BIGINT, next_run BIGINT,
  last_error TEXT NOT NULL, failures BIGINT NOT NULL, row_count BIGINT NOT NULL, written BIGINT NOT NULL,
  ignored BIGINT NOT NULL, rejected BIGINT NOT NULL, checks TEXT NOT NULL, definition TEXT NOT NULL,
  program TEXT NOT NULL, newest_event BIGINT, last_push BIGINT, missed_since BIGINT, profile_from BIGINT,
  profiled_digest TEXT NOT NULL, last_verified BIGINT, next_verify BIGINT, verify_error TEXT NOT NULL,
  differing BIGINT, PRIMARY KEY (store, project, view, version)
);
-- One row for each day of UTC that rows of a view have their event time on.
CREATE TABLE feature_profiles (
  project TEXT NOT NULL, view TEXT NOT NULL, version BIGINT NOT NULL, day BIGINT NOT NULL,
  digest TEXT NOT NULL, at BIGINT NOT NULL, row_count BIGINT NOT NULL, sampled_rows BIGINT NOT NULL,
  columns TEXT NOT NULL, PRIMARY KEY (project, view, version, day)
);
