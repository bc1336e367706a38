-- When each source is measured next. A source without a row is measured when somebody asks.
CREATE TABLE source_schedules (
  project TEXT NOT NULL, source TEXT NOT NULL, every BIGINT NOT NULL, next_at BIGINT NOT NULL,
  PRIMARY KEY (project, source)
);
CREATE INDEX source_schedules_due ON source_schedules (next_at);
CREATE TABLE source_measures (
  project TEXT NOT NULL, source TEXT NOT NULL, version BIGINT NOT NULL, at BIGINT NOT NULL,
  actor TEXT NOT NULL, snapshot_digest TEXT NOT NULL, row_count BIGINT NOT NULL, bytes BIGINT NOT NULL,
  newest BIGINT, age_seconds DOUBLE PRECISION, fresh BOOLEAN NOT NULL, passed BOOLEAN NOT NULL,
  checks TEXT NOT NULL, drift TEXT NOT NULL, fault TEXT NOT NULL
);
CREATE INDEX source_measures_of ON source_measures (project, source, at);
CREATE TABLE source_profiles (
  project TEXT NOT NULL, source TEXT NOT NULL, version BIGINT NOT NULL, snapshot_digest TEXT NOT NULL,
  at BIGINT NOT NULL, row_count BIGINT NOT NULL, sampled_rows BIGINT NOT NULL, columns TEXT NOT NULL,
  PRIMARY KEY (project, source, version, snapshot_digest)
);
-- What a search finds: one row a thing, its words, and what it can be narrowed by. All three are made again
-- from the rest; the position says how much of the audit log they have seen.
CREATE TABLE search_documents (
  project TEXT NOT NULL, urn TEXT NOT NULL, parent TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  owner TEXT NOT NULL, classification TEXT NOT NULL, tags TEXT NOT NULL, summary TEXT NOT NULL,
  updated_at BIGINT NOT NULL, PRIMARY KEY (project, urn)
);
CREATE INDEX search_documents_parent ON search_documents (project, parent);
-- prefix: the first three letters of the term, so that what begins alike is found in any collation.
CREATE TABLE search_terms (
  project TEXT NOT NULL, prefix TEXT NOT NULL, term TEXT NOT NULL, urn TEXT NOT NULL, weight BIGINT NOT NULL,
  PRIMARY KEY (project, prefix, term, urn)
);
CREATE INDEX search_terms_urn ON search_terms (project, urn);
CREATE TABLE search_facets (
  project TEXT NOT NULL, facet TEXT NOT NULL, value TEXT NOT NULL, urn TEXT NOT NULL,
  PRIMARY KEY (project, facet, value, urn)
);
CREATE INDEX search_facets_urn ON search_facets (project, urn);
CREATE TABLE search_position (id BIGINT PRIMARY KEY, position BIGINT NOT NULL);
INSERT INTO search_position (id, position) VALUES (1, 0);
-- What a dataset was made of, so that the same inputs are known to be the same.
ALTER TABLE datasets ADD COLUMN schema_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE datasets ADD COLUMN snapshots TEXT NOT NULL DEFAULT '[]';
ALTER TABLE datasets ADD COLUMN inputs_digest TEXT NOT NULL DEFAULT '';
ALTER TABLE datasets ADD COLUMN profile TEXT NOT NULL DEFAULT '[]';
