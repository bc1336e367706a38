CREATE TABLE stored_files (
  digest TEXT NOT NULL PRIMARY KEY, size BIGINT NOT NULL, stored_at BIGINT NOT NULL, used_at BIGINT NOT NULL
);
CREATE INDEX stored_files_by_use ON stored_files (used_at);
CREATE TABLE artifact_parts (
  artifact TEXT NOT NULL, file TEXT NOT NULL, PRIMARY KEY (artifact, file)
);
CREATE INDEX artifact_parts_by_file ON artifact_parts (file);
CREATE INDEX artifact_files_by_digest ON artifact_files (digest);
