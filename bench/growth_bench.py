#!/usr/bin/env python3
"""What tracking calls cost when the record is small, and when it is large.

Defends: at 1,000,000 runs and 100,000,000 metric points each call costs at most 2x what it costs at 10,000 runs and
1,000,000 points. Both servers run at once and are asked in turn, one call each, so that the machine's mood hits both
alike. Experiments hold 10,000 runs each. Rows go straight into the database file: through the API they would take hours.

    growth_bench.py [BINARY] [--runs 100000] [--points 100] [--calls 300] [--folder DIR]

By default a tenth of it, in a few minutes; --runs 1000000 takes about 25 GB of disk in --folder.
"""

import argparse
import pathlib
import sqlite3
import statistics
import sys
import tempfile
import time

import peers
from mlflow_bench import Connection, operations, text_of

SMALL = 10_000

# As each run is: loss and auc with half the points each, two params, two tags. A cheap hash makes the values.
FILL = """
PRAGMA synchronous = OFF;
PRAGMA cache_size = -1000000;
CREATE TEMP TABLE numbers AS
  WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :runs) SELECT i FROM n;
CREATE TEMP TABLE steps AS
  WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :points / 2) SELECT i FROM n;
CREATE TEMP TABLE keys (key TEXT, factor BIGINT);
INSERT INTO keys VALUES ('auc', 40503), ('loss', 2654435);
INSERT INTO experiments (project, id, name, artifact_location, lifecycle, created_at, updated_at)
  SELECT :project, 1000 + i, 'grown-' || i, 's3://bucket/' || i, 'active', 1, 1 FROM numbers WHERE i < (:runs + 9999) / 10000;
INSERT INTO tracked_runs (number, project, id, experiment, name, user_id, status, start_time, end_time, artifact_uri, lifecycle)
  SELECT 1000 + i, :project, printf('%032x', i), 1000 + i / 10000, 'run-' || i, 'bench', 'FINISHED', 1700000000000 + i,
    1700000001000 + i, 's3://bucket/' || i, 'active' FROM numbers;
INSERT INTO metric_points (run, key, step, at, value, is_nan)
  SELECT 1000 + n.i, k.key, s.i, s.i, ((n.i * k.factor + s.i * 7919) % 1000003) / 1000003.0, 0
  FROM numbers n CROSS JOIN keys k CROSS JOIN steps s;
INSERT INTO latest_metrics (run, project, experiment, key, step, at, value, is_nan)
  SELECT 1000 + n.i, :project, 1000 + n.i / 10000, k.key, :points / 2, :points / 2, ((n.i * k.factor) % 1000003) / 1000003.0, 0
  FROM numbers n CROSS JOIN keys k;
INSERT INTO tracked_params (run, key, value) SELECT 1000 + i, 'depth', CAST(i % 10 AS TEXT) FROM numbers;
INSERT INTO tracked_params (run, key, value) SELECT 1000 + i, 'rate', '0.1' FROM numbers;
INSERT INTO tracked_tags (run, key, value) SELECT 1000 + i, 'mlflow.runName', 'run-' || i FROM numbers;
INSERT INTO tracked_tags (run, key, value) SELECT 1000 + i, 'team', 't' || (i % 7) FROM numbers;
"""


class Grown:
    """A server whose record holds `runs` runs of `points` metric points each."""

    def __init__(self, binary: str, folder: pathlib.Path, runs: int, points: int):
        server, url = peers.penstock_server(binary, folder)
        Connection(url).call("POST", "experiments/create", {"name": "seed"})
        server.stop()
        started = time.perf_counter()
        database = sqlite3.connect(folder / "data/metadata.db", isolation_level=None)
        project = database.execute("SELECT project FROM experiments WHERE name = 'seed'").fetchone()[0]
        for statement in FILL.split(";\n"):
            said = {name: value for name, value in {"project": project, "runs": runs, "points": points}.items()
                    if f":{name}" in statement}
            database.execute(statement, said)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA optimize")
        database.close()
        print(f"{runs:,} runs, {runs * points:,} points: filled in {time.perf_counter() - started:.0f} s, "
              f"{(folder / 'data/metadata.db').stat().st_size / 1e9:.1f} GB", flush=True)
        self.server, url = peers.penstock_server(binary, folder)
        self.calls = operations(url, str(1000 + runs // SMALL // 2))
        self.url = url

    def connect(self) -> None:
        self.connection = Connection(self.url)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?", default=str(peers.ROOT / "build/release/bin/penstock"))
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        servers = []
        try:
            for name, runs in (("small", SMALL), ("large", options.runs)):
                servers.append(Grown(options.binary, pathlib.Path(folder) / name, runs, options.points))
            print(f"{'p50, ms':24}{'small':>12}{'large':>12}{'ratio':>10}   (goal: at most 2)")
            for one in servers:
                one.connect()  # one opened before the other was filled would be closed by now
            first = int(time.time()) * 1_000
            for name in servers[0].calls:
                first += 1_000_000
                print_ratio(name, servers, options.calls, first)
            print(f"memory: {servers[0].server.resident_megabytes():.0f} and {servers[1].server.resident_megabytes():.0f} MB")
        finally:
            for one in servers:
                one.server.stop()


def print_ratio(name: str, servers: list, count: int, first: int) -> None:
    times = ([], [])
    for number in range(count):
        for which, one in enumerate(servers):
            requests = [text_of(call, str(first + number)) for call in one.calls[name]]
            started = time.perf_counter()
            for request in requests:
                one.connection.ask(request)
            times[which].append((time.perf_counter() - started) * 1e3)
    small, large = map(statistics.median, times)
    print(f"{name:24}{small:12.3f}{large:12.3f}{large / small:10.2f}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
