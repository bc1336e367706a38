"""Online features as other people's clients ask for them: Feast's JSON over HTTP, and gRPC with grpcio."""

import re
import subprocess
from datetime import datetime, timedelta, timezone

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from conftest import ROOT, Server
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

NOW = datetime.now(timezone.utc).replace(microsecond=250_000)

DECLARATIONS = """
kind: source
name: drivers
owner: rides
path: drivers.parquet
columns:
  - {name: driver_id, type: bigint, classification: internal}
  - {name: seen, type: timestamp, classification: internal}
  - {name: created, type: timestamp, classification: internal}
  - {name: conv_rate, type: double, classification: internal}
  - {name: trips, type: bigint, classification: internal}
  - {name: active, type: boolean, classification: internal}
  - {name: city, type: text, classification: internal}
---
kind: entity
name: driver
owner: rides
join_keys: [{name: driver_id, type: bigint}]
---
kind: feature_view
name: driver_hourly_stats
owner: rides
entity: driver
sources: [drivers]
sql: SELECT * FROM drivers
event_time: seen
created_time: created
ttl: 1d
features:
  - {name: conv_rate}
  - {name: trips, type: bigint}
  - {name: active, type: boolean}
  - {name: city, type: text}
---
kind: feature_schema
name: driver_activity
owner: rides
features:
  - {view: driver_hourly_stats, feature: trips}
  - {view: driver_hourly_stats, feature: city, name: home}
---
kind: feature_schema
name: driver_offer
owner: rides
inputs:
  - {name: fare, type: double, nullable: true}
  - {name: seats, type: bigint}
  - {name: until, type: timestamp}
features:
  - {view: driver_hourly_stats, feature: trips}
  - {view: driver_hourly_stats, feature: city}
  - {name: worth, type: double, expression: "fare * trips"}
  - {name: full, type: boolean, expression: "seats > 3"}
  - {name: again, type: bigint, expression: "trips + seats"}
  - {name: home, type: text, expression: "lower(city)"}
  - {name: over, type: timestamp, expression: "until"}
"""


@pytest.fixture(scope="module")
def feast(tmp_path_factory):
    """A server with drivers 1001 (fresh), 1002 (nulls) and 1003 (older than the TTL), as a Feast user would have them."""
    top = tmp_path_factory.mktemp("feast")
    (top / "data/sources").mkdir(parents=True)
    times = [NOW - timedelta(hours=1), NOW - timedelta(hours=2), NOW - timedelta(days=3)]
    pq.write_table(pa.table({
        "driver_id": [1001, 1002, 1003], "seen": times, "created": times, "conv_rate": [0.5, None, 0.25],
        "trips": [7, None, 9], "active": [True, None, False], "city": ["Oslo", "Bergen", "Bodø"]}),
        top / "data/sources/drivers.parquet")
    (top / "drivers.yaml").write_text(DECLARATIONS)
    server = Server(top / "data")
    server.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    for command in (["apply", str(top / "drivers.yaml")], ["features", "materialize", "--until", NOW.isoformat()]):
        done = server.run(*command)
        assert done.returncode == 0, done.stderr
    server.viewer = server.run("tokens", "create", "v", "--actor", "user:vi", "--role", "viewer").stdout.strip()
    server.grpc = grpc.insecure_channel(re.search(r"grpc://(\S+)", server.out.read_text())[1])
    yield server
    server.grpc.close()
    server.stop()


def ask(server, path, body, token=None):
    return requests.post(server.url + path, json=body, timeout=30,
                         headers={"Authorization": f"Bearer {token or server.token}"})


def columns(answer):
    """As Feast's own `to_dict` reads an answer."""
    body = answer.json()
    return {name: [column[part] for part in ("values", "statuses", "event_timestamps")]
            for name, column in zip(body["metadata"]["feature_names"], body["results"], strict=True)}


FEATURES = [f"driver_hourly_stats:{name}" for name in ("conv_rate", "trips", "active", "city")]


def test_reads_as_a_feast_client_does(feast):
    answer = ask(feast, "/get-online-features", {"features": FEATURES, "entities": {"driver_id": [1001, 1002, 1003, 5]}})
    assert answer.status_code == 200, answer.text
    found = columns(answer)
    assert list(found) == ["driver_id", "conv_rate", "trips", "active", "city"]
    assert found["driver_id"] == [[1001, 1002, 1003, 5], ["PRESENT"] * 4, ["1970-01-01T00:00:00Z"] * 4]
    assert found["conv_rate"][0] == [0.5, None, None, None] and isinstance(found["conv_rate"][0][0], float)
    assert found["trips"][0] == [7, None, None, None] and isinstance(found["trips"][0][0], int)
    assert found["active"][0] == [True, None, None, None]
    assert found["city"][0] == ["Oslo", "Bergen", None, None]
    assert found["trips"][1] == ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert found["city"][1] == ["PRESENT", "PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert datetime.fromisoformat(found["city"][2][0].replace("Z", "+00:00")) == NOW - timedelta(hours=1)
    assert found["city"][2][2:] == ["1970-01-01T00:00:00Z"] * 2


def test_full_names_and_feature_services(feast):
    full = columns(ask(feast, "/get-online-features", {
        "features": FEATURES[:1], "entities": {"driver_id": [1001]}, "full_feature_names": True}))
    assert list(full) == ["driver_id", "driver_hourly_stats__conv_rate"]
    service = columns(ask(feast, "/get-online-features", {
        "feature_service": "driver_activity", "entities": {"driver_id": ["1001"]}}))
    assert service["trips"][0] == [7] and service["home"][0] == ["Oslo"]


def push(driver, rate, when=None):
    return {"push_source_name": "driver_hourly_stats", "to": "online", "allow_registry_cache": True,
            "transform_on_write": True,
            "df": {"driver_id": [driver], "seen": [when or str(datetime.now(timezone.utc).replace(tzinfo=None))],
                   "created": [str(datetime.now(timezone.utc))], "conv_rate": [rate]}}


def test_what_is_pushed_is_read_at_once_and_never_taken_back(feast):
    read = {"features": FEATURES[:1], "entities": {"driver_id": [2001]}}
    for number in range(20):
        assert ask(feast, "/push", push(2001, number / 8)).status_code == 200
        assert columns(ask(feast, "/get-online-features", read))["conv_rate"][:2] == [[number / 8], ["PRESENT"]]
    older = ask(feast, "/push", push(2001, 99.5, str(NOW - timedelta(hours=3))))
    assert older.json()["ignored"] == 1
    assert columns(ask(feast, "/get-online-features", read))["conv_rate"][0] == [19 / 8]


def offline(feast, driver, at):
    """What a training set says of a driver's conv_rate."""
    joined = ask(feast, "/api/v1/features:historical", {
        "entity_sql": f"SELECT {driver}::BIGINT AS driver_id, TIMESTAMPTZ '{at.isoformat()}' AS event_time",
        "features": FEATURES[:1]})
    assert joined.status_code == 200, joined.text
    return pq.read_table(joined.json()["uri"])["conv_rate"].to_pylist()[0]


def online(feast, driver):
    [found] = [part[:2] for part in [columns(ask(feast, "/get-online-features", {
        "features": FEATURES[:1], "entities": {"driver_id": [driver]}}))["conv_rate"]]]
    return found[0][0], found[1][0]


def differing(feast):
    """The drivers that verify tells of."""
    body = ask(feast, "/api/v1/features:verify", {"name": "driver_hourly_stats", "sample": 10_000}).json()
    return {one["entity"]: one["cause"] for one in body["differences"]}


def test_feast_says_where_a_push_goes(feast):
    rows = {to: number for number, to in enumerate(("online", "offline", "online_and_offline"), 2100)}
    started = datetime.now(timezone.utc)
    for to, driver in rows.items():
        answer = ask(feast, "/push", {**push(driver, 0.75), "to": to})
        assert answer.status_code == 200, answer.text
        assert answer.json()["written"] == 1 and answer.json()["kept"] == (to != "online")
    no_word = push(2103, 0.5)
    del no_word["to"]
    assert ask(feast, "/push", no_word).json()["kept"] == 0, "Feast's default is online"
    late = datetime.now(timezone.utc) + timedelta(minutes=1)
    assert {to: online(feast, driver) for to, driver in rows.items()} == {
        "online": (0.75, "PRESENT"), "offline": (None, "NOT_FOUND"), "online_and_offline": (0.75, "PRESENT")}
    assert {to: offline(feast, driver, late) for to, driver in rows.items()} == {
        "online": None, "offline": 0.75, "online_and_offline": 0.75}
    assert offline(feast, rows["offline"], started) is None, "no training set sees what came after its instant"
    told = differing(feast)
    assert told[str(rows["online"])].startswith("pushed only")
    assert str(rows["offline"]) not in told and str(rows["online_and_offline"]) not in told, told
    # Feast's materialize moves what offline holds.
    done = feast.run("features", "materialize", "--until", datetime.now(timezone.utc).isoformat())
    assert done.returncode == 0, done.stderr
    assert online(feast, rows["offline"]) == (0.75, "PRESENT")
    told = differing(feast)
    assert set(told) >= {str(rows["online"])} and not set(told) & {str(rows["offline"]), str(rows["online_and_offline"])}


def test_what_is_kept_offline_outlives_a_kill(feast):
    assert ask(feast, "/push", {**push(2200, 0.125), "to": "offline"}).status_code == 200
    feast.process.kill()
    feast.process.wait()
    feast.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    feast.grpc.close()
    feast.grpc = grpc.insecure_channel(re.search(r"grpc://(\S+)", feast.out.read_text())[1])
    assert offline(feast, 2200, datetime.now(timezone.utc) + timedelta(minutes=1)) == 0.125


@pytest.mark.parametrize("path, body, status, named", [
    ("/get-online-features", {"features": ["nothing:x"], "entities": {"driver_id": [1]}}, 404, "nothing"),
    ("/get-online-features", {"features": ["driver_hourly_stats:x"], "entities": {"driver_id": [1]}}, 404, "x"),
    ("/get-online-features", {"feature_service": "none", "entities": {"driver_id": [1]}}, 404, "none"),
    ("/get-online-features", {"features": FEATURES, "entities": {"rider": [1]}}, 400, "rider"),
    ("/get-online-features", {"features": FEATURES, "entities": {"driver_id": ["one"]}}, 400, "driver_id"),
    ("/get-online-features", {"features": FEATURES, "entities": {"driver_id": [None]}}, 400, "driver_id"),
    ("/get-online-features", {"features": FEATURES, "entities": {"driver_id": []}}, 400, "entities"),
    ("/get-online-features", {"features": "all", "entities": {"driver_id": [1]}}, 400, "features"),
    ("/push", push(1, "fast"), 400, "conv_rate"),
    ("/push", {**push(1, 1.0), "to": "both"}, 400, "to must be online, offline or online_and_offline"),
    ("/push", {**push(1, 1.0), "to": 1}, 400, "to must be online, offline or online_and_offline"),
    ("/push", {**push(1, "fast"), "to": "offline"}, 400, "conv_rate"),
    ("/push", {**push(1, 1.0), "to": "offline", "push_source_name": "none"}, 404, "none"),
    ("/push", {**push(1, 1.0), "push_source_name": "none"}, 404, "none"),
], ids=lambda value: str(value)[:40])
def test_says_what_is_wrong(feast, path, body, status, named):
    answer = ask(feast, path, body)
    assert answer.status_code == status and named in answer.json()["detail"], answer.text


def test_tokens_are_asked_for(feast):
    read = {"features": FEATURES, "entities": {"driver_id": [1001]}}
    assert ask(feast, "/get-online-features", read, "pst_wrong").status_code == 401
    assert ask(feast, "/get-online-features", read, feast.viewer).status_code == 200
    assert ask(feast, "/push", push(1001, 1.0), feast.viewer).status_code == 403


def test_half_a_batch_is_bad_and_the_counts_reconcile(feast):
    when = datetime.now(timezone.utc).isoformat()
    rows = [{"driver_id": 3000 + i, "seen": when, "trips": i if i % 2 else "many"} for i in range(10)]
    body = ask(feast, "/api/v1/features:push", {"view": "driver_hourly_stats", "rows": rows}).json()
    assert (body["written"], body["ignored"], body["rejected"]) == (5, 0, 5)
    assert body["rejects"][0] == {"row": 0, "field": "trips", "value": '"many"', "reason": "must be of type bigint"}
    assert [one["row"] for one in body["rejects"]] == [0, 2, 4, 6, 8]
    found = columns(ask(feast, "/get-online-features", {
        "features": FEATURES[1:2], "entities": {"driver_id": list(range(3000, 3010))}}))
    assert found["trips"][1] == ["NOT_FOUND", "PRESENT"] * 5
    refused = ask(feast, "/api/v1/features:push", {"view": "driver_hourly_stats", "rows": rows, "all_or_nothing": True})
    assert refused.status_code == 400 and "nothing was written" in refused.json()["detail"]


def test_our_own_answer_says_how_old_each_value_is(feast):
    body = ask(feast, "/api/v1/features:online", {
        "features": FEATURES, "entities": [{"driver_id": "1001"}, {"driver_id": "5"}],
        "event_time": (NOW + timedelta(minutes=1)).isoformat()}).json()
    assert body["rows"][0]["ages"] == [3660.0] * 4 and body["rows"][1]["ages"] == [None] * 4


# ---- gRPC ----


class Stub:
    """penstock.features.v1.FeatureService, from its proto file as it is."""

    def __init__(self, channel, folder):
        described = folder / "features.bin"
        subprocess.run(["protoc", f"--proto_path={ROOT / 'api'}", f"--descriptor_set_out={described}", "features.proto"],
                       check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self.types = message_factory.GetMessageClassesForFiles(["features.proto"], pool)
        self.channel = channel

    def call(self, method, request, token):
        def named(name):
            return self.types["penstock.features.v1." + name]
        ask_it = self.channel.unary_unary(
            f"/penstock.features.v1.FeatureService/{method}",
            request_serializer=lambda body: named(method + "Request")(**body).SerializeToString(),
            response_deserializer=named(method + "Response").FromString)
        return ask_it(request, timeout=30, metadata=[("authorization", f"Bearer {token}")])


@pytest.fixture(scope="module")
def stub(feast, tmp_path_factory):
    return Stub(feast.grpc, tmp_path_factory.mktemp("proto"))


def test_grpc_reads_columns_of_typed_values(feast, stub):
    at = NOW + timedelta(minutes=1)
    micros = int(at.timestamp() * 1e6)
    answer = stub.call("GetOnlineFeatures", {
        "features": FEATURES, "event_time": micros,
        "entities": [{"name": "driver_id", "bigints": {"values": [1001, 1002, 1003, 5]}}]}, feast.viewer)
    assert answer.event_time == micros and not answer.feature_schema
    rate, trips, active, city = answer.columns
    assert [column.name for column in answer.columns] == ["conv_rate", "trips", "active", "city"]
    assert list(rate.doubles.values) == [0.5, 0, 0, 0] and list(trips.bigints.values) == [7, 0, 0, 0]
    assert list(active.booleans.values) == [True, False, False, False]
    assert list(city.texts.values) == ["Oslo", "Bergen", "", ""]
    assert list(trips.statuses) == [1, 2, 4, 3] and list(city.statuses) == [1, 1, 4, 3]
    assert list(city.event_times) == [micros - 3_660_000_000, micros - 7_260_000_000, 0, 0]
    schema = stub.call("GetOnlineFeatures", {
        "feature_schema": "driver_activity", "entities": [{"name": "driver_id", "texts": {"values": ["1001"]}}]},
        feast.viewer)
    assert schema.feature_schema == "driver_activity@1" and schema.columns[1].name == "home"


def test_grpc_computes_from_columns_of_inputs(feast, stub):
    at = NOW + timedelta(minutes=1)
    micros = int(at.timestamp() * 1e6)
    request = {"feature_schema": "driver_offer", "event_time": micros, "entities": [
        {"name": "driver_id", "bigints": {"values": [1001, 1002, 5]}},
        {"name": "fare", "doubles": {"values": [2.5, 4, 0]}, "nulls": [2]},
        {"name": "seats", "bigints": {"values": [4, 2, 3]}},
        {"name": "until", "times": {"values": [micros, micros + 1, micros + 2]}}]}
    answer = stub.call("GetOnlineFeatures", request, feast.viewer)
    trips, city, worth, full, again, home, over = answer.columns
    assert [column.name for column in answer.columns] == ["trips", "city", "worth", "full", "again", "home", "over"]
    assert list(worth.doubles.values) == [17.5, 0, 0] and list(worth.statuses)[:2] == [1, 2]
    assert list(full.booleans.values) == [True, False, False] and list(full.statuses) == [1, 1, 1]
    assert list(again.bigints.values) == [11, 0, 0] and list(home.texts.values) == ["oslo", "bergen", ""]
    assert list(over.times.values) == [micros, micros + 1, micros + 2]
    assert list(trips.bigints.values) == [7, 0, 0] and list(city.texts.values) == ["Oslo", "Bergen", ""]
    # As over HTTP, status for status.
    rows = [{"driver_id": driver, **fare, "seats": seats, "until": NOW.isoformat()}
            for driver, fare, seats in (("1001", {"fare": "2.5"}, "4"), ("1002", {"fare": "4"}, "2"), ("5", {}, "3"))]
    other = ask(feast, "/api/v1/features:online", {"feature_schema": "driver_offer", "event_time": at.isoformat(),
                                                   "entities": rows})
    assert other.status_code == 200, other.text
    names = ["", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
    for row, said in enumerate(other.json()["rows"]):
        assert [names[column.statuses[row]] for column in answer.columns] == said["statuses"]
    with pytest.raises(grpc.RpcError) as refused:
        stub.call("GetOnlineFeatures", {**request, "entities": request["entities"][:2]}, feast.viewer)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "seats" in refused.value.details()


def test_grpc_pushes(feast, stub):
    micros = int(datetime.now(timezone.utc).timestamp() * 1e6)
    request = {"view": "driver_hourly_stats", "columns": [
        {"name": "driver_id", "bigints": {"values": [4001, 4002, 4003]}},
        {"name": "seen", "times": {"values": [micros, micros, micros]}, "nulls": [2]},
        {"name": "conv_rate", "doubles": {"values": [0.5, 0, 0]}, "nulls": [1]}]}
    done = stub.call("Push", request, feast.token)
    assert (done.written, done.ignored, done.rejected) == (2, 0, 1)
    assert (done.rejects[0].row, done.rejects[0].field, done.rejects[0].reason) == (2, "seen", "is missing")
    found = columns(ask(feast, "/get-online-features", {
        "features": FEATURES[:1], "entities": {"driver_id": [4001, 4002, 4003]}}))
    assert found["conv_rate"][1] == ["PRESENT", "NULL_VALUE", "NOT_FOUND"]
    with pytest.raises(grpc.RpcError) as refused:
        stub.call("Push", {**request, "all_or_nothing": True}, feast.token)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    kept = stub.call("Push", {**request, "to": "online_and_offline"}, feast.token)
    assert (kept.kept, kept.written) == (2, 2)
    assert offline(feast, 4001, datetime.now(timezone.utc) + timedelta(minutes=1)) == 0.5
    with pytest.raises(grpc.RpcError) as refused:
        stub.call("Push", {**request, "to": "both"}, feast.token)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "to must be online" in refused.value.details()


@pytest.mark.parametrize("method, body, code, named", [
    ("GetOnlineFeatures", {"features": ["none:x"]}, "NOT_FOUND", "none"),
    ("GetOnlineFeatures", {"features": FEATURES, "feature_schema": "driver_activity"}, "INVALID_ARGUMENT", "features"),
    ("GetOnlineFeatures", {"features": FEATURES}, "INVALID_ARGUMENT", "entities"),
    ("GetOnlineFeatures", {"features": FEATURES, "entities": [{"name": "driver_id", "texts": {"values": ["x"]}}]},
     "INVALID_ARGUMENT", "driver_id"),
    ("GetOnlineFeatures", {"features": FEATURES, "entities": [{"name": "rider", "texts": {"values": ["x"]}}]},
     "INVALID_ARGUMENT", "rider"),
    ("GetOnlineFeatures", {"features": FEATURES, "entities": [
        {"name": "driver_id", "bigints": {"values": [1]}, "nulls": [7]}]}, "INVALID_ARGUMENT", "driver_id"),
    ("Push", {"view": "driver_hourly_stats"}, "INVALID_ARGUMENT", "columns"),
    ("Push", {"view": "none", "columns": [{"name": "driver_id", "bigints": {"values": [1]}}]}, "NOT_FOUND", "none"),
], ids=lambda value: str(value)[:30])
def test_grpc_says_what_is_wrong(feast, stub, method, body, code, named):
    with pytest.raises(grpc.RpcError) as refused:
        stub.call(method, body, feast.token)
    assert refused.value.code() == grpc.StatusCode[code] and named in refused.value.details()


def test_grpc_asks_for_tokens(feast, stub):
    read = {"features": FEATURES, "entities": [{"name": "driver_id", "bigints": {"values": [1001]}}]}
    with pytest.raises(grpc.RpcError) as refused:
        stub.call("GetOnlineFeatures", read, "pst_wrong")
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    with pytest.raises(grpc.RpcError) as refused:
        stub.call("Push", {"view": "driver_hourly_stats"}, feast.viewer)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED
