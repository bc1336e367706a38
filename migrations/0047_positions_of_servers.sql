-- Where the readers of a server's inference log read on in it. Each server has a log of its own; server '' is from
-- before that was said, and a server that has no row begins there.
CREATE TABLE monitor_positions_2 (
  server TEXT NOT NULL, topic TEXT NOT NULL, next_offset BIGINT NOT NULL, PRIMARY KEY (server, topic)
);
INSERT INTO monitor_positions_2 SELECT '', topic, next_offset FROM monitor_positions;
DROP TABLE monitor_positions;
ALTER TABLE monitor_positions_2 RENAME TO monitor_positions;
CREATE TABLE release_positions_2 (
  server TEXT NOT NULL, topic TEXT NOT NULL, next_offset BIGINT NOT NULL, PRIMARY KEY (server, topic)
);
INSERT INTO release_positions_2 SELECT '', topic, next_offset FROM release_positions;
DROP TABLE release_positions;
ALTER TABLE release_positions_2 RENAME TO release_positions;
