"""Online features in Redis: the same answers from two servers, over kill -9 of either side."""

import json
import os
import subprocess
import time
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from conftest import PENSTOCK, Server
from redis_server import RedisServer

PASSWORD = "not-a-real-password"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
DECLARED = """kind: source
name: rides
owner: ops
path: rides.parquet
columns:
  - {name: city, type: text, classification: public}
  - {name: line, type: bigint, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: delay, type: double, classification: internal}
---
kind: entity
name: line
owner: ops
join_keys: [{name: city, type: text}, {name: line, type: bigint}]
---
kind: entity
name: city
owner: ops
join_keys: [{name: city, type: text}]
---
kind: feature_view
name: line_delay
owner: ops
entity: line
sources: [rides]
sql: SELECT city, line, seen, delay FROM rides
event_time: seen
features: [{name: delay}]
---
kind: feature_view
name: city_delay
owner: ops
entity: city
sources: [rides]
sql: SELECT city, seen, delay AS city_delay, line AS last_line FROM rides
event_time: seen
features: [{name: city_delay}, {name: last_line, type: bigint}]
---
kind: feature_schema
name: rides_v1
owner: ops
features: [{view: line_delay, feature: delay}, {view: city_delay, feature: city_delay},
           {view: city_delay, feature: last_line}]
"""


def instant(second: int) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """A Redis with a password, and two servers of it that have nothing else in common."""
    top = tmp_path_factory.mktemp("town")
    redis = RedisServer(top / "redis", PASSWORD)
    redis.start()
    os.environ["TEST_REDIS_PASSWORD"] = PASSWORD
    rows = 120_000
    rides = pa.table({
        "city": [f"c{i % 3_000}" for i in range(rows)], "line": [i % 3_000 % 7 for i in range(rows)],
        "seen": pa.array([START.replace(tzinfo=None) + timedelta(seconds=i // 100) for i in range(rows)],
                         pa.timestamp("us")),
        "delay": [i / 8 for i in range(rows)]})
    servers = []
    for name in ("one", "two"):
        (top / name / "data/sources").mkdir(parents=True)
        pq.write_table(rides, top / name / "data/sources/rides.parquet")
        (top / name / "data/penstock.yaml").write_text(
            f"online_store: redis://penstock:${{ENV:TEST_REDIS_PASSWORD}}@{redis.address}/0\n")
        server = Server(top / name / "data")
        server.start()
        (top / name / "rides.yaml").write_text(DECLARED)
        applied = server.run("apply", str(top / name / "rides.yaml"))
        assert applied.returncode == 0, applied.stderr
        servers.append(server)
    yield redis, *servers
    for server in servers:
        server.stop()
    redis.kill()
    for server in servers:
        assert PASSWORD not in server.out.read_text() + server.err.read_text()


def materialize(server: Server, second: int) -> subprocess.CompletedProcess:
    return server.run("features", "materialize", "--until", instant(second))


def read(server: Server, city: str, line: int, second: int) -> subprocess.CompletedProcess:
    return server.run("features", "get-online", "--schema", "rides_v1", "--entity", f"city={city}", "--entity",
                      f"line={line}", "--at", instant(second), "--json")


def values(server: Server, city: str, line: int, second: int) -> list:
    found = read(server, city, line, second)
    assert found.returncode == 0, found.stderr
    row = json.loads(found.stdout)["rows"][0]
    return list(zip(row["values"], row["statuses"]))


def test_what_one_server_moved_both_serve(town):
    redis, one, two = town
    moved = materialize(one, 300)
    assert moved.returncode == 0, moved.stderr
    assert redis.ask("DBSIZE") == "6003"  # a row of each city and line, two watermarks, the store's name
    for city, line in (("c0", 0), ("c17", 3), ("c2999", 3), ("nowhere", 3)):
        assert values(one, city, line, 301) == values(two, city, line, 301)
    assert values(two, "c0", 0, 301) == [(30_000 / 8, "PRESENT"), (30_000 / 8, "PRESENT"), (0, "PRESENT")]
    assert values(two, "nowhere", 0, 301)[0] == (None, "NOT_FOUND")
    # The other goes on where this one is, and finds nothing to do before that.
    again = json.loads(two.run("features", "materialize", "--until", instant(300), "--json").stdout)
    assert again["rows"] == 0
    for server in (one, two):
        checked = server.run("features", "verify", "rides_v1", "--sample", "5000")
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_server_that_is_killed_in_the_middle_goes_on(town):
    redis, one, two = town
    before = values(two, "c5", 5, 901)
    for turn in range(3):
        running = subprocess.Popen(
            [PENSTOCK, "--server", one.url, "features", "materialize", "--until", instant(900)],
            env={**os.environ, "PENSTOCK_TOKEN": one.token}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.05 + 0.1 * turn)
        one.process.kill()
        one.process.wait(30)
        running.wait(30)
        one.start()
    moved = materialize(one, 900)
    assert moved.returncode == 0, moved.stderr
    assert before[0] == (30_005 / 8, "PRESENT")
    for server in (two, one):
        checked = server.run("features", "verify", "rides_v1", "--sample", "5000")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert values(server, "c5", 5, 901) == [(90_005 / 8, "PRESENT"), (90_005 / 8, "PRESENT"), (5, "PRESENT")]


def test_a_redis_that_is_gone_is_said_at_once_and_found_again(town):
    redis, one, two = town
    expected = values(one, "c1", 1, 901)
    redis.kill()
    refused = read(one, "c1", 1, 901)
    assert refused.returncode == 1 and f"Redis at {redis.address}" in refused.stderr, refused.stderr
    assert materialize(two, 905).returncode == 1
    redis.start()
    Server.wait(lambda: read(one, "c1", 1, 901).returncode == 0)
    assert values(one, "c1", 1, 901) == expected
    assert materialize(two, 905).returncode == 0


def test_an_entity_that_is_erased_stays_away_on_both(town):
    redis, one, two = town
    moved = materialize(one, 1_000)
    assert moved.returncode == 0, moved.stderr
    assert values(two, "c4", 4, 1_001)[0][1] == "PRESENT"
    erased = one.run("features", "erase", "--entity", "city=c4", "--reason", "asked on 2 May")
    assert erased.returncode == 0, erased.stderr
    assert "city_delay@1" in erased.stdout and "source:rides" in erased.stdout, erased.stdout
    for server in (one, two):
        assert {status for _, status in values(server, "c4", 4, 1_001)} == {"NOT_FOUND"}
        assert materialize(server, 1_100).returncode == 0
        assert {status for _, status in values(server, "c4", 4, 1_101)} == {"NOT_FOUND"}
        assert values(server, "c5", 5, 1_101)[0][1] == "PRESENT"
    checked = one.run("features", "verify", "rides_v1", "--sample", "5000")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    events = json.loads(one.run("audit", "list", "--json").stdout)["events"]
    told = [event for event in events if event["action"] == "features.entity.erased"]
    assert len(told) == 1 and "c4" not in json.dumps(told[0]["detail"]["keys"])
    # A line of that city that nobody had seen: an old event stays away, a later one is a new fact.
    for second, ignored in ((1_050, 1), (400_000_000, 0)):
        pushed = requests.post(two.url + "/api/v1/features:push", timeout=30,
                               headers={"Authorization": f"Bearer {two.token}"},
                               json={"view": "line_delay", "rows": [
                                   {"city": "c4", "line": 99, "seen": instant(second), "delay": 1.0}]})
        assert pushed.status_code == 200 and pushed.json()["ignored"] == ignored, pushed.text
    assert values(one, "c4", 99, 400_000_001)[0] == (1.0, "PRESENT")
    unknown = one.run("features", "erase", "--entity", "carrier=UA")
    assert unknown.returncode == 1 and "no feature view has the join keys carrier" in unknown.stderr


def test_rows_that_redis_lost_are_found_and_written_anew(town):
    redis, one, two = town
    lost = redis.ask("EVAL", "local n = 0 for _, k in ipairs(redis.call('KEYS', '*line_delay@1*c5*')) do "
                             "if n < 10 then redis.call('DEL', k) n = n + 1 end end return n", "0")
    assert lost == "10"
    found = one.run("features", "verify", "line_delay", "--sample", "5000", "--json")
    assert json.loads(found.stdout)["causes"]["lost"] == 10, found.stdout
    repaired = one.run("features", "repair", "line_delay", "--json")
    assert repaired.returncode == 0, repaired.stderr
    assert json.loads(repaired.stdout)["views"][0]["written"] == 10
    again = one.run("features", "verify", "line_delay", "--sample", "5000", "--json")
    assert "lost" not in json.loads(again.stdout)["causes"], again.stdout
    assert "line_delay@1             0" in one.run("features", "repair", "line_delay").stdout


def test_a_store_that_is_none_is_refused_at_the_start(tmp_path):
    for line, message in (("redis://u:open-sesame@h/x", "the database after / must be a number"),
                          ("rediss://h?ca_file=/no/such", "ca_file"),
                          ("redis://u:${ENV:NO_SUCH_VARIABLE}@h", "NO_SUCH_VARIABLE is not set")):
        refused = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path / "data"), "--http", "127.0.0.1:0",
                                  "--online-store", line], capture_output=True, text=True, timeout=60)
        assert refused.returncode != 0 and message in refused.stderr, refused.stderr
        assert "open-sesame" not in refused.stderr
