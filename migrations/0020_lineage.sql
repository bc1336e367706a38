-- lineage_edges holds what is true now; where an edge ends it moves to lineage_past_edges. Every change of a
-- project's graph has a number, by which graphs in memory catch up.
ALTER TABLE lineage_edges ADD COLUMN masking BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE lineage_edges ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';
ALTER TABLE lineage_edges ADD COLUMN change BIGINT NOT NULL DEFAULT 0;
CREATE INDEX lineage_edges_change ON lineage_edges (project, change);
CREATE TABLE lineage_past_edges (
  project TEXT NOT NULL, from_urn TEXT NOT NULL, to_urn TEXT NOT NULL, relation TEXT NOT NULL,
  created_at BIGINT NOT NULL, masking BOOLEAN NOT NULL, detail TEXT NOT NULL, removed_at BIGINT NOT NULL,
  change BIGINT NOT NULL, PRIMARY KEY (project, change, from_urn, to_urn, relation)
);
CREATE TABLE lineage_counters (project TEXT PRIMARY KEY, change BIGINT NOT NULL);
-- Nodes whose own class or tags changed.
CREATE TABLE lineage_touched (
  project TEXT NOT NULL, urn TEXT NOT NULL, change BIGINT NOT NULL, PRIMARY KEY (project, urn)
);
CREATE INDEX lineage_touched_change ON lineage_touched (project, change);
-- OpenLineage, as it came. A name is (namespace, name); several may mean one node of the graph.
CREATE TABLE openlineage_names (
  project TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  urn TEXT NOT NULL, seen_at BIGINT NOT NULL, PRIMARY KEY (project, kind, namespace, name)
);
CREATE INDEX openlineage_names_of ON openlineage_names (project, urn);
-- What the newest event says of a dataset, a job or a run, one row a facet.
CREATE TABLE openlineage_facets (
  project TEXT NOT NULL, subject TEXT NOT NULL, name TEXT NOT NULL, at BIGINT NOT NULL,
  body TEXT NOT NULL, PRIMARY KEY (project, subject, name)
);
CREATE TABLE openlineage_runs (
  project TEXT NOT NULL, id TEXT NOT NULL, job TEXT NOT NULL, state TEXT NOT NULL,
  started_at BIGINT NOT NULL, at BIGINT NOT NULL, ended_at BIGINT, parent TEXT NOT NULL,
  PRIMARY KEY (project, id)
);
CREATE INDEX openlineage_runs_of ON openlineage_runs (project, job, started_at);
-- What a run read (direction input) and wrote (output).
CREATE TABLE openlineage_run_datasets (
  project TEXT NOT NULL, run TEXT NOT NULL, direction TEXT NOT NULL, dataset TEXT NOT NULL,
  PRIMARY KEY (project, run, direction, dataset)
);
CREATE INDEX openlineage_run_datasets_of ON openlineage_run_datasets (project, dataset, direction);
-- What a JobEvent declares; `at` is the time of that event.
CREATE TABLE openlineage_job_datasets (
  project TEXT NOT NULL, job TEXT NOT NULL, direction TEXT NOT NULL, dataset TEXT NOT NULL,
  at BIGINT NOT NULL, PRIMARY KEY (project, job, direction, dataset)
);
CREATE TABLE openlineage_events (
  project TEXT NOT NULL, digest TEXT NOT NULL, at BIGINT NOT NULL, received_at BIGINT NOT NULL,
  kind TEXT NOT NULL, run TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (project, digest)
);
CREATE INDEX openlineage_events_at ON openlineage_events (project, at, digest);
-- How far the audit log has been told as events: kept in openlineage_events, and sent elsewhere.
CREATE TABLE openlineage_positions (reader TEXT PRIMARY KEY, number BIGINT NOT NULL);
