-- The graph of URNs: from what was made to what it was made from.
CREATE TABLE lineage_edges (
  project TEXT NOT NULL, from_urn TEXT NOT NULL, to_urn TEXT NOT NULL, relation TEXT NOT NULL,
  created_at BIGINT NOT NULL, PRIMARY KEY (project, from_urn, to_urn, relation)
);
CREATE INDEX lineage_edges_to ON lineage_edges (project, to_urn, from_urn);
CREATE TABLE datasets (
  project TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL, digest TEXT NOT NULL,
  uri TEXT NOT NULL, row_count BIGINT NOT NULL, columns TEXT NOT NULL, created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL, query TEXT NOT NULL, feature_schema TEXT NOT NULL, sources TEXT NOT NULL,
  known_as_of BIGINT, PRIMARY KEY (project, name, version), UNIQUE (project, name, digest)
);
CREATE TABLE source_changes (
  project TEXT NOT NULL, source TEXT NOT NULL, version BIGINT NOT NULL, what TEXT NOT NULL,
  compatible BOOLEAN NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL
);
CREATE INDEX source_changes_of ON source_changes (project, source, version);
