CREATE TABLE incidents (
  project TEXT NOT NULL, id TEXT NOT NULL, dedup_key TEXT NOT NULL, title TEXT NOT NULL,
  severity TEXT NOT NULL, status TEXT NOT NULL, subject TEXT NOT NULL, owner TEXT NOT NULL,
  occurrences BIGINT NOT NULL, suspects TEXT NOT NULL, opened_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL, resolved_at BIGINT, PRIMARY KEY (project, id)
);
CREATE UNIQUE INDEX incidents_one_open ON incidents (project, dedup_key) WHERE status <> 'resolved';
CREATE TABLE incident_timeline (
  project TEXT NOT NULL, incident TEXT NOT NULL, at BIGINT NOT NULL, actor TEXT NOT NULL,
  event TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX incident_timeline_of ON incident_timeline (project, incident, at);
