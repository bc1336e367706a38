-- Rows that were pushed to the offline side: a view's offline table is made of its sources and of these. row is as it
-- was given; it counts from pushed_at on. id: of an event of a view with windows, which counts once however often it is
-- sent. number counts within the view and is never used again.
CREATE TABLE feature_pushed_rows (
  project TEXT NOT NULL, view TEXT NOT NULL, number BIGINT NOT NULL, id TEXT, keys TEXT NOT NULL,
  event_time BIGINT NOT NULL, pushed_at BIGINT NOT NULL, row_text TEXT NOT NULL,
  PRIMARY KEY (project, view, number)
);
CREATE UNIQUE INDEX feature_pushed_rows_id ON feature_pushed_rows (project, view, id);
-- changes grows with every change of a view's rows, last_at is the last pushed_at.
CREATE TABLE feature_pushed_counts (
  project TEXT NOT NULL, view TEXT NOT NULL, row_count BIGINT NOT NULL, last_number BIGINT NOT NULL,
  last_at BIGINT NOT NULL, changes BIGINT NOT NULL,
  PRIMARY KEY (project, view)
);
