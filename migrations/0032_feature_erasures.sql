-- Entities whose rows are not to come back: of one view, or (view '') of every view that has these join keys. entity
-- is a hash under salt, which all of a project share. number grows with every change.
CREATE TABLE feature_erasures (
  project TEXT NOT NULL, view TEXT NOT NULL, keys TEXT NOT NULL, entity TEXT NOT NULL, salt TEXT NOT NULL,
  erased_at BIGINT NOT NULL, reason TEXT NOT NULL, erased_by TEXT NOT NULL, number BIGINT NOT NULL,
  PRIMARY KEY (project, view, keys, entity)
);
CREATE INDEX feature_erasures_number ON feature_erasures (project, number);
