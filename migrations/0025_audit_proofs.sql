-- Roots of full subtrees of the audit log's tree, of the levels 8, 16, ...: proofs hash the rest again.
CREATE TABLE audit_nodes (
  level BIGINT NOT NULL, idx BIGINT NOT NULL, hash TEXT NOT NULL, PRIMARY KEY (level, idx)
);
-- Signed heads of the audit log (C2SP tlog-checkpoint), each for ever.
CREATE TABLE audit_checkpoints (
  size BIGINT NOT NULL, key TEXT NOT NULL, root TEXT NOT NULL, at BIGINT NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (size, key)
);
