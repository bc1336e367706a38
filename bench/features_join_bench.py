#!/usr/bin/env python3
"""What a point-in-time join of 3 views and 50 features costs, beside DuckDB and Polars by hand on the same Parquet.

Defends: 1,000,000 entity rows no slower than the better of both, 10,000,000 at most 1.1x DuckDB's, within the memory
that was set (limits.join_memory_bytes), and every entity row once, in its order, with the values that DuckDB finds.

    features_join_bench.py [BINARY] [--rows 1000000 10000000] [--memory 4096] [--rounds 2] [--folder DIR]

All run in turn on the same files, twice, and the better time of each counts. Each peer is a process of its own with the
same limit of memory, where it has one; times are from the first read to the end of the written file. The views are
evaluated once before, which is said apart. DuckDB and Polars leave their rows in any order, Penstock in the asked one.
"""

import argparse
import json
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import peers

VIEWS = {"v0": ("user_id", 100_000, 2_000_000, 20), "v1": ("item_id", 10_000, 1_000_000, 15),
         "v2": ("place_id", 1_000, 500_000, 15)}
POLARS_MAX = 1_000_000  # it keeps all in memory
COMPRESSION = "snappy"  # of what comes out, as Penstock's


def features(view: str) -> list[tuple[str, str]]:
    return [(f"{view}_f{i}", "bigint" if i % 3 == 0 else "double") for i in range(VIEWS[view][3])]


# ---- what runs in the peers' environment ----

def make(folder: str, rows: str) -> None:
    import duckdb
    engine = duckdb.connect()
    engine.execute("SET threads = 2")
    when = "TIMESTAMP '2024-01-01' + to_microseconds((hash(i * {}) % 31536000000000)::BIGINT)"
    for place, (view, (key, keys, count, _)) in enumerate(VIEWS.items()):
        columns = ", ".join(
            f"(hash(i * {13 + j}) % 1000)::BIGINT AS {name}" if kind == "bigint" else f"hash(i * {13 + j}) % 1000003 / 1000.0 AS {name}"
            for j, (name, kind) in enumerate(features(view)))
        engine.execute(f"COPY (SELECT (hash(i * 3) % {keys})::BIGINT AS {key}, {when.format(11 + place)} AS seen, {columns} "
                       f"FROM range({count}) AS t(i)) TO '{folder}/{view}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    for count in rows.split(","):
        engine.execute(
            f"COPY (SELECT i AS id, (hash(i * 13) % 110000)::BIGINT AS user_id, (hash(i * 17) % 10000)::BIGINT AS item_id, "
            f"(hash(i * 19) % 1000)::BIGINT AS place_id, {when.format(23)} AS event_time, hash(i) % 2 = 0 AS label "
            f"FROM range({count}) AS t(i)) TO '{folder}/rows_{count}.parquet' (FORMAT parquet, COMPRESSION zstd)")


def duckdb_by_hand(folder: str, rows: str, out: str, memory: str) -> None:
    import duckdb
    engine = duckdb.connect()
    engine.execute(f"SET threads = 2; SET memory_limit = '{memory}MiB'; SET temp_directory = '{folder}/duckdb-spill'")
    columns = ", ".join(f"{view}.{name}" for view in VIEWS for name, _ in features(view))
    joins = " ".join(f"ASOF LEFT JOIN '{folder}/{view}.parquet' AS {view} ON e.{key} = {view}.{key} AND e.event_time >= {view}.seen"
                     for view, (key, *_) in VIEWS.items())
    engine.execute(f"COPY (SELECT e.*, {columns} FROM '{rows}' AS e {joins}) TO '{out}' (FORMAT parquet, COMPRESSION {COMPRESSION})")


def polars_by_hand(folder: str, rows: str, out: str, _memory: str) -> None:
    import warnings
    import polars
    warnings.simplefilter("ignore")
    table = polars.scan_parquet(rows).sort("event_time")
    for view, (key, *_) in VIEWS.items():
        right = polars.scan_parquet(f"{folder}/{view}.parquet").sort("seen")
        table = table.join_asof(right, left_on="event_time", right_on="seen", by=key, strategy="backward").drop("seen", strict=False)
    table.collect().write_parquet(out, compression=COMPRESSION)


def compare(ours: str, theirs: str) -> None:
    import duckdb
    engine = duckdb.connect()
    names = [name for view in VIEWS for name, _ in features(view)]
    said = ", ".join(["count(*)", "count(DISTINCT id)", *(f"sum(hash(id, {name}))" for name in names)])
    sums = [engine.execute(f"SELECT {said} FROM '{path}'").fetchone() for path in (ours, theirs)]
    assert sums[0] == sums[1], "the joins differ"
    unordered = engine.execute(f"SELECT count(*) FROM read_parquet('{ours}', file_row_number = true) WHERE id <> file_row_number").fetchone()
    assert unordered == (0,), f"{unordered[0]} rows are not where they were asked"


def peer(name: str, *arguments: str) -> None:
    started, before = time.perf_counter(), time.process_time()
    globals()[name](*arguments)
    print(json.dumps({"seconds": time.perf_counter() - started, "cpu": time.process_time() - before,
                      "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


# ---- here ----

def in_peer(python: str, *arguments: str) -> dict:
    done = subprocess.run([python, __file__, "--peer", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def declarations(folder: pathlib.Path) -> list[dict]:
    out = []
    for view, (key, *_) in VIEWS.items():
        columns = [{"name": key, "type": "bigint"}, {"name": "seen", "type": "timestamp"},
                   *({"name": name, "type": kind} for name, kind in features(view))]
        out.append({"kind": "source", "name": view, "owner": "bench", "path": str(folder / f"{view}.parquet"),
                    "columns": [{**column, "classification": "public"} for column in columns]})
        out.append({"kind": "entity", "name": f"of_{view}", "owner": "bench", "join_keys": [{"name": key, "type": "bigint"}]})
        out.append({"kind": "feature_view", "name": f"{view}_view", "owner": "bench", "entity": f"of_{view}", "sources": [view],
                    "sql": f"SELECT * FROM {view}", "event_time": "seen",
                    "features": [{"name": name, "type": kind} for name, kind in features(view)]})
    return out


class Penstock:
    def __init__(self, binary: str, folder: pathlib.Path, memory: int):
        folder.mkdir(parents=True)
        settings = folder / "penstock.yaml"
        settings.write_text(f"limits: {{join_memory_bytes: {memory << 20}, request_time: 1h}}\n")
        self.process, self.url = peers.penstock_server(binary, folder, "--config", str(settings))

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=3600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as fault:
            raise RuntimeError(fault.read().decode()) from None

    def join(self, rows: str) -> tuple[dict, float, float]:
        pathlib.Path(f"/proc/{self.process.process.pid}/clear_refs").write_text("5")  # the peak begins anew
        started, before = time.perf_counter(), self.process.cpu_seconds()
        made = self.post("/api/v1/features:historical", {
            "entity_path": rows, "features": [f"{view}_view:{name}" for view in VIEWS for name, _ in features(view)]})
        return made, time.perf_counter() - started, self.process.cpu_seconds() - before

    def peak_megabytes(self) -> float:
        status = pathlib.Path(f"/proc/{self.process.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def measure(server: Penstock, python: str, folder: pathlib.Path, count: int, options: argparse.Namespace) -> None:
    rows = str(folder / f"rows_{count}.parquet")
    names = ["duckdb_by_hand"] + (["polars_by_hand"] if count <= POLARS_MAX else [])
    best = {}
    for _ in range(options.rounds):
        made, seconds, cpu = server.join(rows)
        results = {"penstock": {"seconds": seconds, "cpu": cpu, "megabytes": server.peak_megabytes()}}
        for name in names:
            results[name] = in_peer(python, name, folder, rows, folder / f"{name}.parquet", options.memory)
        in_peer(python, "compare", made["uri"], folder / "duckdb_by_hand.parquet")
        pathlib.Path(made["uri"]).unlink()  # else it is there already when it is asked for again
        for name, result in results.items():
            if name not in best or result["seconds"] < best[name]["seconds"]:
                best[name] = result
    ours = best["penstock"]["seconds"]
    for name, result in best.items():
        ratio = "" if name == "penstock" else f"   penstock / {name}: {ours / result['seconds']:.2f}"
        print(f"{count:>12,} rows  {name:16}{result['seconds']:8.2f} s{result['cpu']:8.2f} s CPU{result['megabytes']:8.0f} MB peak{ratio}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--peer"]:
        return peer(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?", default=str(peers.ROOT / "build/release/bin/penstock"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--memory", type=int, default=4096, help="MB, of the server's joins and of DuckDB")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", default=None)
    parser.add_argument("--python", default=None, help="with duckdb and polars; else the peers' own")
    options = parser.parse_args()
    python = options.python or str(peers.environment() / "bin/python")
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = pathlib.Path(name)
        in_peer(python, "make", folder, ",".join(map(str, options.rows)))
        server = Penstock(options.binary, folder / "penstock", options.memory)
        try:
            server.post("/api/v1/resources:apply", {"documents": [{"file": "bench.yaml", "declaration": one} for one in declarations(folder)]})
            for view in VIEWS:
                started = time.perf_counter()
                server.post("/api/v1/features:historical", {
                    "entity_sql": f"SELECT 1 AS {VIEWS[view][0]}, TIMESTAMP '2024-06-01' AS event_time",
                    "features": [f"{view}_view:{view}_f0"]})
                print(f"view of {VIEWS[view][2]:,} rows and {VIEWS[view][3]} features evaluated in "
                      f"{time.perf_counter() - started:.1f} s", flush=True)
            for count in options.rows:
                measure(server, python, folder, count, options)
        finally:
            server.process.stop()


if __name__ == "__main__":
    sys.exit(main())
