#!/usr/bin/env python3
"""What a team's tracking calls cost here and on a real `mlflow server`, each asked in turn in one run.

Defends: at 32 callers at least 50x MLflow's rate, at one caller at most a tenth of its p50, every write durable when it
is acknowledged; ready in under 300 ms, under 80 MB idle.

    mlflow_bench.py [BINARY] [--runs 10000] [--seconds 3] [--calls 200] [--postgres URL]

Both stores hold the same runs (two metrics, two params, two tags each). One caller is a kept plain socket that sends a
request in one piece, which takes out the stall that MLflow's own client has from Nagle's algorithm; 32 callers are wrk,
whose time hides no server. The requests are the same bytes for both. With --postgres both keep their rows there, in
schemas of their own.
"""

import argparse
import json
import pathlib
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import peers

CALLERS = 32


class Connection(peers.Connection):
    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        return json.loads(self.ask(bytes_of(method, path, body)))


def bytes_of(method: str, path: str, body: dict | None = None) -> bytes:
    text = json.dumps(body) if body is not None else ""
    return (f"{method} /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}").encode()


# ---- what both hold ----


def fill_through_the_api(url: str, runs: int) -> str:
    """Experiment `bench` with `runs` runs; gives its id."""
    one = Connection(url)
    experiment = one.call("POST", "experiments/create", {"name": "bench"})["experiment_id"]
    for number in range(runs):
        run = one.call("POST", "runs/create", {"experiment_id": experiment, "start_time": 1_700_000_000_000 + number,
                                               "run_name": f"run-{number}",
                                               "tags": [{"key": "team", "value": f"t{number % 7}"}]})
        one.call("POST", "runs/log-batch", {
            "run_id": run["run"]["info"]["run_id"],
            "metrics": [{"key": "loss", "value": value_of(number), "timestamp": 1, "step": 1},
                        {"key": "auc", "value": 1 - value_of(number), "timestamp": 1, "step": 1}],
            "params": [{"key": "depth", "value": str(number % 10)}, {"key": "rate", "value": "0.1"}]})
    return experiment


def value_of(number: int) -> float:
    return random.Random(number).random()


def fill_tables(connect, mark: str, url: str, runs: int) -> str:
    """The same straight into MLflow's tables: through its API that would take minutes."""
    experiment = Connection(url).call("POST", "experiments/create", {"name": "bench"})["experiment_id"]
    rows = {"runs": [], "latest_metrics": [], "metrics": [], "params": [], "tags": []}
    for number in range(runs):
        run = uuid.UUID(int=number + 1).hex
        rows["runs"].append((run, f"run-{number}", "UNKNOWN", "", "", "bench", "RUNNING",
                             1_700_000_000_000 + number, None, None, "", "active", f"s3://bucket/{experiment}/{run}/artifacts",
                             int(experiment)))
        for key, value in (("loss", value_of(number)), ("auc", 1 - value_of(number))):
            rows["latest_metrics"].append((key, value, 1, 1, False, run))
            rows["metrics"].append((key, value, 1, run, 1, False))
        rows["params"] += [("depth", str(number % 10), run), ("rate", "0.1", run)]
        rows["tags"] += [("team", f"t{number % 7}", run), ("mlflow.runName", f"run-{number}", run)]
    columns = {"runs": "run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time, "
                       "end_time, deleted_time, source_version, lifecycle_stage, artifact_uri, experiment_id",
               "latest_metrics": "key, value, timestamp, step, is_nan, run_uuid",
               "metrics": "key, value, timestamp, run_uuid, step, is_nan",
               "params": "key, value, run_uuid", "tags": "key, value, run_uuid"}
    database = connect()
    cursor = database.cursor()
    for table, values in rows.items():
        cursor.executemany(f"INSERT INTO {table} ({columns[table]}) VALUES ({', '.join([mark] * len(values[0]))})", values)
    database.commit()
    database.close()
    return experiment


# ---- what is asked ----


def operations(url: str, experiment: str) -> dict:
    """Of each operation the requests of one call, as a Lua function for wrk and a Python one for one caller."""
    one = Connection(url)
    run = one.call("POST", "runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    one.call("POST", "registered-models/create", {"name": "served"})
    for _ in range(3):
        one.call("POST", "model-versions/create", {"name": "served", "source": "s3://bucket/model"})
    one.call("POST", "registered-models/alias", {"name": "served", "alias": "champion", "version": "2"})
    hundred = ", ".join('{"key": "m%d", "value": %s.5, "timestamp": 1, "step": STEP}' % (i, i) for i in range(100))
    search = {"experiment_ids": [experiment], "filter": "metrics.loss < 0.5 and params.depth = '3'",
              "order_by": ["metrics.auc DESC"], "max_results": 100}
    # A text of a request; NEW stands for a number that no other call has.
    return {
        "log-metric": [("POST", "runs/log-metric", '{"run_id": "%s", "key": "loss", "value": 0.5, "timestamp": 1, '
                                                   '"step": NEW}' % run)],
        "log-batch of 100": [("POST", "runs/log-batch",
                              '{"run_id": "%s", "metrics": [%s]}' % (run, hundred.replace("STEP", "NEW")))],
        "create run": [("POST", "runs/create", '{"experiment_id": "0", "start_time": NEW, "user_id": "bench"}')],
        "get run": [("GET", f"runs/get?run_id={run_with_little(one, experiment)}", "")],
        "search 10,000 runs": [("POST", "runs/search", json.dumps(search))],
        "create model + version": [("POST", "registered-models/create", '{"name": "model-NEW"}'),
                                   ("POST", "model-versions/create",
                                    '{"name": "model-NEW", "source": "s3://bucket/model"}')],
        "get by alias": [("GET", "registered-models/alias?name=served&alias=champion", "")],
        "search versions": [("GET", "model-versions/search?filter=name%3D%27served%27&max_results=100", "")],
    }


def run_with_little(one: Connection, experiment: str) -> str:
    found = one.call("POST", "runs/search", {"experiment_ids": [experiment], "max_results": 1})
    return found["runs"][0]["info"]["run_id"]


def one_caller(url: str, calls: list, count: int, first: int) -> float:
    """The median of a call in milliseconds: of several requests, their sum."""
    one = Connection(url)
    times = []
    for number in range(count):
        requests = [text_of(call, str(first + number)) for call in calls]
        started = time.perf_counter()
        for request in requests:
            one.ask(request)
        times.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times)


def text_of(call: tuple, new: str) -> bytes:
    method, path, body = call
    body = body.replace("NEW", new)
    return (f"{method} /api/2.0/mlflow/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


# The pair of requests of a call follow each other on one connection only as far as wrk has it: each thread of wrk
# is one Lua state, so calls that need an order are asked as two numbers apart. A version of a model that another
# connection is about to make is refused, which would be counted as a fault: so the model of the call before is named.
LUA = """
local number, turn, calls = {first}, 0, {{{calls}}}
function request()
  local call = calls[turn % #calls + 1]
  if turn % #calls == 0 then number = number + 1 end
  local new = number
  if turn % #calls > 0 then new = number - {behind} end
  turn = turn + 1
  local body = call[3]:gsub("NEW", tostring(math.floor(new)))
  return wrk.format(call[1], "/api/2.0/mlflow/" .. call[2], {{["Content-Type"] = "application/json"}}, body)
end
"""


def many_callers(url: str, calls: list, seconds: float, first: int, scratch: pathlib.Path) -> tuple[float, int]:
    """Calls a second of 32 callers, and how many requests were refused."""
    quoted = ", ".join("{" + ", ".join(json.dumps(part) for part in call) + "}" for call in calls)
    script = scratch / "calls.lua"
    script.write_text(LUA.format(first=first, calls=quoted, behind=2 * CALLERS if len(calls) > 1 else 0))
    if len(calls) > 1:  # the first models that are named must exist
        one = Connection(url)
        for number in range(first - 2 * CALLERS, first + 2):  # wrk asks for one before it begins
            one.ask(text_of(calls[0], str(number)))
    said = subprocess.run(["wrk", "-t1", f"-c{CALLERS}", f"-d{seconds}s", "--timeout", "20s", "-s", str(script), url],
                          check=True, capture_output=True, text=True).stdout
    requests = int(re.search(r"(\d+) requests in ([\d.]+)(m?s)", said)[1])
    took = float(re.search(r"requests in ([\d.]+)s", said)[1])
    refused = int((re.search(r"Non-2xx or 3xx responses: (\d+)", said) or [0, 0])[1])
    if "Socket errors" in said:
        refused += sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout) (\d+)", said))
    return (requests - refused) / len(calls) / took, refused


def compare(ours: str, theirs: str, experiments: tuple, options, scratch: pathlib.Path) -> None:
    mine, other = operations(ours, experiments[0]), operations(theirs, experiments[1])
    print(f"{'':24}{'one caller, p50 ms':>36}{'32 callers, calls/s':>40}")
    print(f"{'':24}{'penstock':>12}{'mlflow':>12}{'ratio':>12}{'penstock':>14}{'mlflow':>12}{'ratio':>14}")
    first = int(time.time()) * 1_000
    for name in mine:
        first += 10_000_000
        p50 = (one_caller(ours, mine[name], options.calls, first),
               one_caller(theirs, other[name], max(20, options.calls // 10), first))
        first += 1_000_000
        (rate, refused), (their_rate, their_refused) = (
            many_callers(ours, mine[name], options.seconds, first, scratch),
            many_callers(theirs, other[name], options.seconds, first, scratch))
        faults = f"  refused: {refused} and {their_refused}" if refused or their_refused else ""
        print(f"{name:24}{p50[0]:12.3f}{p50[1]:12.2f}{p50[0] / p50[1]:12.4f}{rate:14,.0f}{their_rate:12,.1f}"
              f"{rate / max(their_rate, 0.1):13.0f}x{faults}", flush=True)
    print("goals: ratio of p50 at most 0.1, of rates at least 50x")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?", default=str(peers.ROOT / "build/release/bin/penstock"))
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--postgres", default="", help="postgresql://... that holds both, in schemas of their own")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        more, store, connect, mark = [], "", lambda: sqlite3.connect(scratch / "mlflow/mlflow.db", timeout=60), "?"
        if options.postgres:
            import psycopg2  # noqa: PLC0415: of the peers' environment
            (scratch / "penstock").mkdir()
            (scratch / "penstock/penstock.yaml").write_text(f"metadata: {options.postgres}\n")
            more = ["--config", str(scratch / "penstock/penstock.yaml")]
            store, mark = options.postgres, "%s"
            connect = lambda: psycopg2.connect(options.postgres)  # noqa: E731
        ours, our_url = peers.penstock_server(options.binary, scratch / "penstock", *more)
        theirs = None
        try:
            theirs, their_url = peers.mlflow_server(scratch / "mlflow", store=store)
            time.sleep(2)
            print(f"ready after {ours.ready_seconds * 1e3:.0f} ms and {theirs.ready_seconds * 1e3:,.0f} ms (goal: under 300); "
                  f"idle {ours.resident_megabytes():.0f} MB and {theirs.resident_megabytes():,.0f} MB in "
                  f"{len(theirs.members())} processes (goal: under 80)", flush=True)
            experiments = (fill_through_the_api(our_url, options.runs),
                           fill_tables(connect, mark, their_url, options.runs))
            compare(our_url, their_url, experiments, options, scratch)
        finally:
            ours.stop()
            if theirs:
                theirs.stop()


if __name__ == "__main__":
    sys.exit(main())
