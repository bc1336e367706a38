-- The class of each column of the newest version of a source, as catalog/classes.cc says it; written where it changes.
-- anchor: the column's name as URNs write it.
CREATE TABLE source_columns (
  project TEXT NOT NULL, source TEXT NOT NULL, number BIGINT NOT NULL, column_name TEXT NOT NULL,
  anchor TEXT NOT NULL, type TEXT NOT NULL, classification TEXT NOT NULL, class_rank BIGINT NOT NULL,
  tags TEXT NOT NULL, PRIMARY KEY (project, source, number)
);
-- What each policy that was asked said, one row a policy and decision.
CREATE TABLE policy_results (
  project TEXT NOT NULL, decision TEXT NOT NULL, policy TEXT NOT NULL, policy_version BIGINT NOT NULL,
  policy_digest TEXT NOT NULL, severity TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
  route TEXT NOT NULL, purpose TEXT NOT NULL, outcome TEXT NOT NULL, allowed BOOLEAN NOT NULL,
  message TEXT NOT NULL, violations BIGINT NOT NULL, shown TEXT NOT NULL, actor TEXT NOT NULL,
  at BIGINT NOT NULL, PRIMARY KEY (project, decision, policy)
);
CREATE INDEX policy_results_of ON policy_results (project, subject, at);
CREATE INDEX policy_results_at ON policy_results (project, at);
-- Who let what through a freeze: it does not hold the subject before `until`.
CREATE TABLE freeze_overrides (
  project TEXT NOT NULL, subject TEXT NOT NULL, freeze_name TEXT NOT NULL, reason TEXT NOT NULL,
  actor TEXT NOT NULL, at BIGINT NOT NULL, until BIGINT NOT NULL,
  PRIMARY KEY (project, subject, freeze_name, until)
);
