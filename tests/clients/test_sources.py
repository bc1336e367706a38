"""Sources that lie elsewhere: Parquet and CSV below a prefix of a real S3 server."""

import datetime
import json
import os
import time
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from conftest import Server
from s3_server import ACCESS_KEY, PROGRAM, SECRET_KEY, S3Server

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="versitygw is not built; run tools/setup.sh")


def write_trips(s3: S3Server, month: str, first: int) -> None:
    folder = s3.folder / "data/lake/trips" / f"month={month}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"trip_id": list(range(first, first + 50)),
                             "city": ["Oslo" if i % 3 else "Bergen" for i in range(50)]}),
                   folder / "new")
    (folder / "new").rename(folder / "part-0.parquet")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    top = tmp_path_factory.mktemp("lake")
    s3 = S3Server(top / "s3", "lake")
    write_trips(s3, "2026-04", 0)
    write_trips(s3, "2026-05", 50)
    s3.start()
    (top / "secret").write_text(SECRET_KEY + "\n")
    (top / "wrong").write_text("another-secret-word\n")
    (top / "data").mkdir()
    os.environ["TEST_LAKE_KEY"] = ACCESS_KEY
    (top / "data/penstock.yaml").write_text("connections:\n" + "".join(
        f"  {name}:\n    s3:\n      endpoint: {s3.endpoint}\n      access_key: ${{ENV:TEST_LAKE_KEY}}\n"
        f"      secret_key: file:{top / secret}\n" for name, secret in (("lake", "secret"), ("wrong", "wrong"))))
    server = Server(top / "data")
    server.start()
    server.s3 = s3
    yield server
    server.process.terminate()
    ended = server.process.wait(30)
    s3.kill()
    assert ended == 0, f"the server ended with {ended}"


def test_a_prefix_becomes_a_source_in_two_commands(lake, tmp_path):
    declaration = tmp_path / "trips.yaml"
    found = lake.run("sources", "discover", "s3://lake/trips/", "--connection", "lake", "--owner", "rides",
                     "-o", str(declaration))
    assert found.returncode == 0, found.stderr
    text = declaration.read_text()
    assert "path: s3://lake/trips/" in text and "connection: lake" in text and "name: month" in text
    assert SECRET_KEY not in text and lake.s3.endpoint not in text
    applied = lake.run("apply", str(declaration))
    assert applied.returncode == 0, applied.stderr
    assert lake.run("apply", str(declaration)).returncode == 0
    assert "trips@1" in lake.run("sources", "show", "trips").stdout
    assert "s3://lake/trips/ (parquet, connection lake)" in lake.run("sources", "list").stdout


def test_it_is_measured_and_profiled(lake):
    measured = lake.run("sources", "refresh", "trips")
    assert measured.returncode == 0, measured.stdout + measured.stderr
    assert "100 rows  passed" in measured.stdout and "newest 20" in measured.stdout
    assert "Oslo 66, Bergen 34" in lake.run("sources", "profile", "trips").stdout


def test_the_same_objects_are_the_same_dataset(lake):
    sql = "SELECT month, count(*) AS trips FROM trips GROUP BY month"
    made = [json.loads(lake.run("datasets", "create", "months", "--sql", sql, "--json").stdout) for _ in range(2)]
    assert made[0]["digest"] == made[1]["digest"] and made[1]["version"] == 1 and made[0]["row_count"] == 2
    digest = made[0]["snapshots"][0]["digest"]
    measures = json.loads(lake.run("sources", "history", "trips", "--json").stdout)["measures"]
    assert digest == measures[0]["snapshot_digest"]
    lineage = lake.run("trace", "dataset:months").stdout
    assert "source:trips@1" in lineage


@pytest.mark.parametrize("name", ["trips", "trips/", "/trips"])
def test_openlineage_events_mean_the_same_prefix(lake, name):
    event = {"eventType": "COMPLETE", "eventTime": "2026-05-01T12:00:00Z", "producer": "https://example.com/test",
             "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
             "run": {"runId": str(uuid.uuid4())}, "job": {"namespace": "etl", "name": "load " + name.replace("/", "-")},
             "inputs": [], "outputs": [{"namespace": "s3://lake", "name": name}]}
    answer = requests.post(f"{lake.url}/api/v1/lineage", json=event, headers={"Authorization": f"Bearer {lake.token}"})
    assert answer.ok, answer.text
    assert event["job"]["name"] in lake.run("trace", "source:trips@1").stdout


def test_it_is_found_by_its_place(lake):
    for _ in range(1200):
        found = lake.run("search", "--place", "s3").stdout
        if "source:trips" in found:
            assert "place s3 1" in found
            return
        time.sleep(0.05)
    raise AssertionError(found)


def test_its_contract_comes_back_as_the_same_source(lake, tmp_path):
    file = tmp_path / "trips.odcs.yaml"
    contract = json.loads(lake.run("sources", "export-contract", "trips", "--json").stdout)
    assert contract["servers"] == [{"server": "trips", "type": "s3", "location": "s3://lake/trips/",
                                    "format": "parquet"}]
    assert lake.run("sources", "export-contract", "trips", "-o", str(file)).returncode == 0
    back = tmp_path / "back.yaml"
    taken = lake.run("sources", "import-contract", str(file), "-o", str(back))
    assert taken.returncode == 0, taken.stderr
    assert "connection: lake" in back.read_text() and "path: s3://lake/trips/" in back.read_text()


REFUSED = [
    (("s3://lake/trips/",), "connection must name an S3 connection of penstock.yaml: lake, wrong"),
    (("s3://lake/trips/", "--connection", "sea"), "connection must name an S3 connection"),
    (("s3://lake/trips/", "--connection", "wrong"), "connection wrong may not read s3://lake/trips/"),
    (("s3://no-such-bucket/x/", "--connection", "lake"), "there is no bucket no-such-bucket"),
    (("s3://lake/empty/", "--connection", "lake"), "names nothing that is there: s3://lake/empty/"),
    (("trips.parquet", "--connection", "lake"), "connection is only for paths that begin with s3://"),
]


@pytest.mark.parametrize("words, message", REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_read_is_said_clearly(lake, words, message):
    refused = lake.run("sources", "discover", *words)
    assert refused.returncode != 0 and message in refused.stderr, refused.stderr
    assert "another-secret-word" not in refused.stderr and SECRET_KEY not in refused.stderr


def test_features_of_rows_in_a_bucket_are_joined(lake, tmp_path):
    folder = lake.s3.folder / "data/lake/weather"
    folder.mkdir()
    at = [datetime.datetime(2026, 4, day) for day in (1, 2, 3)]
    pq.write_table(pa.table({"city": ["Oslo"] * 3, "seen": pa.array(at, pa.timestamp("us")), "heat": [1.0, 2.0, 3.0]}),
                   folder / "part-0.parquet")
    declarations = tmp_path / "weather.yaml"
    declarations.write_text("""
kind: source
name: weather
owner: rides
path: s3://lake/weather/
connection: lake
columns:
  - {name: city, type: text, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: heat, type: double, classification: public}
---
kind: entity
name: city
owner: rides
join_keys: [{name: city, type: text}]
---
kind: feature_view
name: city_heat
owner: rides
entity: city
sources: [weather]
sql: SELECT city, seen, heat FROM weather
event_time: seen
features: [{name: heat}]
""")
    applied = lake.run("apply", str(declarations))
    assert applied.returncode == 0, applied.stderr
    rows, out = tmp_path / "rows.csv", tmp_path / "features.parquet"
    rows.write_text("city,event_time\nOslo,2026-04-02T12:00:00Z\nBergen,2026-04-02T12:00:00Z\nOslo,2026-03-31T00:00:00Z\n")
    joined = lake.run("features", "get-historical", "--feature", "city_heat:heat", "--entities", str(rows),
                      "--output", str(out), "--dataset", "warm")
    assert joined.returncode == 0, joined.stderr
    assert joined.stdout == f"3 rows, {out}\ndataset:warm@1\n"
    assert pq.read_table(out)["heat"].to_pylist() == [2.0, None, None]
    shown = json.loads(lake.run("--json", "datasets", "show", "warm@1").stdout)
    assert [one["urn"] for one in shown["snapshots"]] == ["feature_view:city_heat@1", "source:weather@1"]


def test_a_server_that_is_gone_opens_an_incident_and_comes_back(lake, tmp_path):
    file = tmp_path / "may.yaml"
    file.write_text("kind: source\nname: may\nowner: rides\npath: s3://lake/trips/month=2026-05/\nconnection: lake\n"
                    "columns:\n  - {name: trip_id, type: bigint, classification: public}\n"
                    "  - {name: city, type: text, classification: public}\n")
    applied = lake.run("apply", str(file))
    assert applied.returncode == 0, applied.stderr
    lake.s3.kill()
    try:
        failed = lake.run("sources", "check", "may")
        assert failed.returncode == 1 and "the object store does not answer" in failed.stdout, failed.stdout
        incidents = json.loads(lake.run("incidents", "list", "--json").stdout)["incidents"]
        assert any(one["dedup_key"] == "source:may:unreadable" for one in incidents)
    finally:
        lake.s3.start()
    again = lake.run("sources", "check", "may")
    assert again.returncode == 0, again.stdout
    written = lake.out.read_text() + lake.err.read_text()
    assert "another-secret-word" not in written and SECRET_KEY not in written


def test_a_connection_that_is_none_ends_the_start_with_its_name(tmp_path):
    import subprocess
    from conftest import PENSTOCK
    for text, message in [("lake: {}", "connections.lake must say what it is"),
                          ("lake: {s3: {secret_key: '${ENV:PENSTOCK_NO_SUCH}'}}",
                           "connections.lake.s3: the environment variable PENSTOCK_NO_SUCH is not set"),
                          ("lake: {s4: {}}", "connections.lake.s4")]:
        (tmp_path / "penstock.yaml").write_text("connections:\n  " + text + "\n")
        ended = subprocess.run([PENSTOCK, "serve", "--data", str(tmp_path), "--http", "127.0.0.1:0"],
                               capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0 and message in ended.stderr, ended.stderr
