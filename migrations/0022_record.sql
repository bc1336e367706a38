-- The packages of an interpreter that ran steps, one a line, under the digest that run_steps names.
CREATE TABLE run_environments (
  digest TEXT NOT NULL PRIMARY KEY, packages TEXT NOT NULL
);
-- Signatures over the files of an artifact, as OpenSSF Model Signing writes them; one for each key.
CREATE TABLE artifact_signatures (
  project TEXT NOT NULL, artifact TEXT NOT NULL, key_id TEXT NOT NULL, bundle TEXT NOT NULL,
  signed_at BIGINT NOT NULL, added_by TEXT NOT NULL, PRIMARY KEY (project, artifact, key_id)
);
