"""The Python SDK against a real server: Arrow, pandas and Polars in, Arrow out."""

import datetime
import hashlib
import sys

import pandas
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "sdk/python/src"))
from penstock import Client, PenstockError  # noqa: E402

UTC = datetime.timezone.utc
START = datetime.datetime(2026, 3, 1, tzinfo=UTC)

DECLARATIONS = """
kind: source
name: readings
owner: sensors
path: readings.parquet
columns:
  - {name: place, type: text, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: written, type: timestamp, classification: public}
  - {name: heat, type: double, classification: internal}
  - {name: count, type: bigint, classification: internal}
---
kind: entity
name: place
owner: sensors
join_keys: [{name: place, type: text}]
---
kind: feature_view
name: place_heat
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen, written, heat, count FROM readings
event_time: seen
created_time: written
features: [{name: heat}, {name: count, type: bigint}]
---
kind: feature_schema
name: heat_v1
owner: sensors
features: [{view: place_heat, feature: heat}, {view: place_heat, feature: count}]
"""


def minutes(count: float) -> datetime.datetime:
    return START + datetime.timedelta(minutes=count)


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    rows = [{"place": f"p{i % 5}", "seen": minutes(i), "written": minutes(i + (30 if i == 60 else 0)),
             "heat": float(i), "count": i} for i in range(100)]
    (server.data / "sources").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), server.data / "sources/readings.parquet")
    file = tmp_path_factory.mktemp("sdk") / "views.yaml"
    file.write_text(DECLARATIONS)
    applied = server.run("apply", str(file))
    assert applied.returncode == 0, applied.stderr
    with Client(server.url, server.token) as one:
        yield one


def entities() -> pa.Table:
    return pa.table({"id": [3, 1, 1, 2], "place": ["p0", "p1", "p1", None],
                     "event_time": pa.array([minutes(62), minutes(7), minutes(7), minutes(9)], pa.timestamp("us", "UTC"))})


EXPECTED = [{"id": 3, "place": "p0", "heat": 55.0, "count": 55}, {"id": 1, "place": "p1", "heat": 6.0, "count": 6},
            {"id": 1, "place": "p1", "heat": 6.0, "count": 6}, {"id": 2, "place": None, "heat": None, "count": None}]


@pytest.mark.parametrize("of", [
    lambda table: table,
    lambda table: table.to_pandas(),
    lambda table: polars.from_arrow(table),
    lambda table: polars.from_arrow(table).lazy(),
    lambda table: table.to_reader(max_chunksize=1),
    lambda table: table.to_pylist(),
], ids=["arrow", "pandas", "polars", "lazy", "reader", "dicts"])
def test_every_kind_of_table_gives_the_same_features_in_its_order(client, of):
    got = client.features.get_historical(of(entities()), schema="heat_v1")
    assert isinstance(got, pa.Table)
    assert got.drop_columns(["event_time"]).to_pylist() == EXPECTED
    assert [at.replace(tzinfo=UTC) for at in got["event_time"].to_pylist()] == entities()["event_time"].to_pylist()


def test_pandas_and_polars_stand_on_top(client):
    got = client.features.get_historical(entities(), features=["place_heat:heat"])
    assert got.to_pandas()["heat"].tolist()[:3] == [55.0, 6.0, 6.0]
    assert polars.from_arrow(got)["heat"].to_list() == [55.0, 6.0, 6.0, None]


def test_what_arrived_later_is_seen_only_where_it_is_asked_for(client):
    late = client.features.get_historical(entities(), schema="heat_v1", known_as_of=minutes(91))
    assert late["heat"].to_pylist()[0] == 60.0
    early = client.features.get_historical(entities(), schema="heat_v1", known_as_of=minutes(50).replace(tzinfo=None))
    assert early["heat"].to_pylist()[0] == 50.0


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_file_of_the_client_is_sent(client, tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    if suffix == "csv":
        file.write_text("id,place,event_time\n3,p0,2026-03-01T02:02:00+01:00\n1,p1,2026-03-01 00:07:00\n")
    else:
        pq.write_table(entities().slice(0, 2), file)
    got = client.features.get_historical(file, schema="heat_v1")
    assert got.select(["id", "place", "heat", "count"]).to_pylist() == EXPECTED[:2]


def test_large_results_stream(client, server):
    count = 300_000
    many = pa.table({"id": range(count), "place": [f"p{i % 7}" for i in range(count)],
                     "event_time": pa.array([minutes(200)] * count, pa.timestamp("us", "UTC"))})
    rows = 0
    for batch in client.features.iter_historical(many, schema="heat_v1", batch_rows=50_000):
        assert batch.num_rows <= 50_000
        assert batch["id"][0].as_py() == rows
        rows += batch.num_rows
    assert rows == count
    assert not list((server.data / "scratch/entity-rows").rglob("*.parquet")), "what was sent is gone"


def test_a_dataset_is_kept(client, server):
    client.features.get_historical(sql="SELECT place, seen AS event_time, count AS n FROM readings", schema="heat_v1", dataset="sdk_set")
    shown = client.call("GET", "/api/v1/datasets/sdk_set/versions/1")
    assert shown["row_count"] == 100
    assert {one["urn"].split(":")[0] for one in shown["snapshots"]} == {"source", "feature_view"}
    digest = hashlib.sha256((server.data / "sources/readings.parquet").read_bytes()).hexdigest()
    assert [one["digest"] for one in shown["snapshots"] if one["urn"] == "source:readings@1"] == [digest]
    heat = next(column for column in shown["profile"] if column["name"] == "heat")
    assert heat["max"] == "99.0" and heat["nulls"] == 0


def test_online_push_materialize_and_verify(client):
    moved = client.features.materialize(minutes(200), ["place_heat"])
    assert moved["rows"] == 100
    assert client.features.verify("place_heat")["differing"] == 0
    online = client.features.get_online([{"place": "p1"}, {"place": "nowhere"}], schema="heat_v1", event_time=minutes(200))
    assert online.to_dicts() == [{"heat": 96.0, "count": 96}, {"heat": None, "count": None}]
    assert online.statuses[1] == ["NOT_FOUND", "NOT_FOUND"]
    pushed = client.features.push("place_heat", pandas.DataFrame(
        {"place": ["p1", "p9"], "seen": [minutes(300), minutes(301)], "heat": [1.5, float("nan")], "count": [7, 8]}))
    assert pushed["written"] == 2 and pushed["kept"] == 0
    table = client.features.get_online(polars.DataFrame({"place": ["p1", "p9"]}), features=["place_heat:heat"],
                                       event_time=minutes(400)).to_arrow()
    assert table.to_pydict() == {"heat": [1.5, None]}
    assert client.features.delete("place_heat", [{"place": "p9", "seen": minutes(302)}])["written"] == 1
    gone = client.features.get_online([{"place": "p9"}], features=["place_heat:heat"], event_time=minutes(400))
    assert gone.statuses == [["NOT_FOUND"]]
    assert client.features.repair(["place_heat"])["views"][0]["written"] == 0
    both = client.features.push("place_heat", [{"place": "p1", "seen": minutes(310), "heat": 2.5, "count": 9}], to="online_and_offline")
    assert (both["written"], both["kept"]) == (1, 1)
    served = client.features.get_online([{"place": "p1"}], features=["place_heat:heat"], event_time=minutes(400))
    assert served.to_dicts() == [{"heat": 2.5}]
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    trained = client.features.get_historical(pa.table({"place": ["p1"], "event_time": [later]}), features=["place_heat:heat"])
    assert trained["heat"].to_pylist() == [2.5]
    assert [view["view"]["name"] for view in client.features.list()] == ["place_heat"]


@pytest.mark.parametrize("ask, said", [
    (lambda f: f.get_historical(entities(), schema="nothing"), "nothing"),
    (lambda f: f.get_historical(entities(), features=["place_heat:cold"]), "has no feature cold"),
    (lambda f: f.get_historical(entities().drop_columns(["place"]), schema="heat_v1"), "entity_upload must give the join key place"),
    (lambda f: f.get_historical(entities().set_column(2, "event_time", pa.array(["x"] * 4)), schema="heat_v1"),
     "gives event_time as VARCHAR; make it a TIMESTAMPTZ"),
    (lambda f: f.get_historical(entities().append_column("heat", pa.array([1] * 4)), schema="heat_v1"),
     "gives heat, which is a feature: rename it"),
    (lambda f: f.get_historical(entities()), "give schema"),
    (lambda f: f.get_historical(schema="heat_v1"), "give entities or sql"),
    (lambda f: f.get_historical(7, schema="heat_v1"), "and are int"),
    (lambda f: f.get_online([{"town": "p1"}], schema="heat_v1"), "place"),
    (lambda f: f.push("place_heat", [{"place": "p1", "seen": minutes(1), "heat": "hot"}]), "rows[0].heat must be of type double"),
    (lambda f: f.materialize(minutes(1), ["nothing"]), "no online feature view nothing"),
], ids=range(11))
def test_what_is_wrong_is_said(client, ask, said):
    with pytest.raises(PenstockError) as fault:
        ask(client.features)
    assert said in str(fault.value), fault.value
    assert client.features.list(), "the connection goes on"


def test_who_is_not_there_or_not_known_is_said(server):
    with pytest.raises(PenstockError, match="is the server running"):
        Client("http://127.0.0.1:9").features.list()
    with pytest.raises(PenstockError) as fault:
        Client(server.url, "no-such-token").features.list()
    assert fault.value.status == 401
    with pytest.raises(PenstockError, match="url must be"):
        Client("ftp://somewhere")


def test_other_bytes_than_were_promised_are_refused(client, server, monkeypatch):
    made = client.call("POST", "/api/v1/features:historical", {
        "entity_sql": "SELECT place, seen AS event_time FROM readings", "feature_schema": "heat_v1"})
    file = next((server.data / "blobs").rglob(made["digest"] + ".parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"X")
    with pytest.raises(PenstockError, match="other bytes"):
        client.fetch(f"/api/v1/historical/{made['digest']}", made["digest"], made["bytes"], open("/dev/null", "wb"))
    file.write_bytes(whole)
