"""What goes on by itself in a feature store: schedules, gates, freshness, verify, profiles, and the features that
predictions were made from; by a real server, over files that change under it."""

import datetime
import json
import os
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

from conftest import Server

DECLARED = """kind: source
name: readings
owner: sensors
path: readings.parquet
columns:
  - {name: place, type: text, classification: public}
  - {name: seen, type: timestamp, classification: public}
  - {name: heat, type: double, classification: public}
  - {name: damp, type: double, classification: public}
---
kind: entity
name: place
owner: sensors
join_keys: [{name: place, type: text}]
---
kind: feature_view
name: weather
owner: sensors
entity: place
sources: [readings]
sql: SELECT place, seen, heat, damp FROM readings
event_time: seen
features: [{name: heat}, {name: damp}]
schedule: 1s
freshness: 1h
verify_every: 1m
checks:
  - {feature: heat, rule: max, value: 100}
  - {feature: damp, rule: not_null, reject_rows: true}
---
kind: feature_schema
name: weather_v1
owner: sensors
features: [{view: weather, feature: heat}, {view: weather, feature: damp}]
"""
NOW = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)


def write(server: Server, rows: list) -> None:
    """(place, seconds before now, heat, damp) each; the file is replaced whole."""
    folder = server.data / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table({"place": [row[0] for row in rows],
                      "seen": pa.array([(NOW - datetime.timedelta(seconds=row[1])).replace(tzinfo=None) for row in rows],
                                       pa.timestamp("us")),
                      "heat": pa.array([row[2] for row in rows], pa.float64()),
                      "damp": pa.array([row[3] for row in rows], pa.float64())})
    pq.write_table(table, folder / "new")
    (folder / "new").rename(folder / "readings.parquet")


def asked(server: Server, method: str, path: str, body=None):
    answer = requests.request(method, server.url + path, json=body,
                              headers={"Authorization": f"Bearer {server.token}"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def online(server: Server, place: str) -> dict:
    found = asked(server, "POST", "/api/v1/features:online",
                  {"features": ["weather:heat", "weather:damp"], "entities": [{"place": place}]})
    return dict(found["rows"][0], names=found["names"])


def state(server: Server) -> dict:
    [view] = asked(server, "GET", "/api/v1/feature-views")["views"]
    return view


def incidents(server: Server, key: str) -> list:
    return [one for one in asked(server, "GET", "/api/v1/incidents")["incidents"]
            if one["dedup_key"] == f"feature_view:weather@1:{key}"]


GOOD = [("oslo", 900, 5.0, 0.5), ("rome", 800, 25.0, 0.25), ("cairo", 700, 35.0, None)]


@pytest.fixture(scope="module")
def weather(server, tmp_path_factory):
    write(server, GOOD)
    declared = tmp_path_factory.mktemp("weather") / "weather.yaml"
    declared.write_text(DECLARED)
    applied = server.run("apply", str(declared))
    assert applied.returncode == 0, applied.stderr
    server.declared = declared
    return server


def test_rows_come_online_by_schedule_and_bad_ones_are_kept_out(weather):
    weather.wait(lambda: online(weather, "oslo")["statuses"] == ["PRESENT", "PRESENT"])
    row = online(weather, "oslo")
    assert row["values"] == [5.0, 0.5]
    age = (datetime.datetime.now(datetime.timezone.utc) - NOW).total_seconds() + 900
    assert age - 60 < row["ages"][0] <= age + 1
    assert online(weather, "cairo")["statuses"] == ["NOT_FOUND", "NOT_FOUND"]
    view = state(weather)
    assert view["fresh"] is True and view["work"]["last_error"] == ""
    assert (view["work"]["row_count"], view["work"]["written"], view["work"]["rejected"]) == (3, 2, 1)
    assert view["work"]["next_run"] > view["work"]["last_run"]
    listed = weather.run("features", "list")
    assert "NEXT RUN" in listed.stdout and "weather" in listed.stdout, listed.stdout
    shown = weather.run("features", "get-online", "--feature", "weather:heat", "--entity", "place=rome")
    assert "AGE" in shown.stdout and "25" in shown.stdout, shown.stdout + shown.stderr


def test_a_failing_gate_keeps_the_last_good_values(weather):
    write(weather, GOOD + [("oslo", 600, 400.0, 0.5)])
    weather.wait(lambda: incidents(weather, "check:heat:max"))
    [incident] = incidents(weather, "check:heat:max")
    assert incident["owner"] == "sensors" and "heat is above 100 in 1 of" in incident["title"], incident
    assert online(weather, "oslo")["values"] == [5.0, 0.5]
    assert "heat is above 100" in state(weather)["work"]["last_error"]
    by_hand = weather.run("features", "materialize", "--until", datetime.datetime.now(
        datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert by_hand.returncode == 1 and "check heat max does not hold" in by_hand.stderr, by_hand.stderr
    assert "such as oslo" in by_hand.stderr, by_hand.stderr
    write(weather, GOOD + [("oslo", 600, 7.0, 0.5)])
    weather.wait(lambda: online(weather, "oslo")["values"] == [7.0, 0.5])
    [incident] = incidents(weather, "check:heat:max")
    # The rows are there a moment before the run that moved them is over, and tells so.
    weather.wait(lambda: asked(weather, "GET", f"/api/v1/incidents/{incident['id']}")["timeline"][-1]["event"] == "over")


def test_days_are_profiled_and_staleness_is_measured(weather):
    def profiled():
        shown = weather.run("features", "profile", "weather", "--json")
        return shown.returncode == 0 and json.loads(shown.stdout)["profile"]["row_count"] > 0
    weather.wait(profiled)
    text = weather.run("features", "profile", "weather").stdout
    assert "feature_view:weather@1" in text and "heat" in text and "QUARTERS" in text, text
    none = weather.run("features", "profile", "weather", "--day", "1999-01-01")
    assert none.returncode == 1 and "no rows on 1999-01-01" in none.stderr, none.stderr
    label = '{project="default",view="weather@1"}'

    def measured():
        metrics = requests.get(weather.url + "/metrics", timeout=10).text
        return f"penstock_features_staleness_seconds{label}" in metrics and \
            f"penstock_features_fresh{label} 1" in metrics
    weather.wait(measured)


def test_verify_says_what_each_difference_came_from(weather):
    assert weather.run("features", "verify", "weather").returncode == 0
    pushed = asked(weather, "POST", "/api/v1/features:push",
                   {"view": "weather", "rows": [{"place": "lima", "seen": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
                                                 "heat": 20.0, "damp": 0.75}]})
    assert pushed["written"] == 1
    found = weather.run("features", "verify", "weather")
    assert found.returncode == 1 and "pushed only: offline has no such entity" in found.stdout, found.stdout


def test_a_view_in_use_is_not_changed_in_place(weather):
    text = DECLARED.replace("features: [{name: heat}, {name: damp}]", "features: [{name: heat}]").replace(
        "  - {feature: damp, rule: not_null, reject_rows: true}\n", "").replace(", {view: weather, feature: damp}", "")
    weather.declared.write_text(text)
    refused = weather.run("apply", str(weather.declared))
    assert refused.returncode == 2, refused.stdout
    assert "features lack damp, which was there in version 1" in refused.stderr, refused.stderr
    assert "feature_schema:weather_v1@1" in refused.stderr and "compatibility: none" in refused.stderr
    assert state(weather)["version"] == 1
    weather.declared.write_text(DECLARED.replace("join_keys: [{name: place, type: text}]",
                                                 "join_keys: [{name: town, type: text}]"))
    refused = weather.run("apply", str(weather.declared))
    assert refused.returncode == 2 and "feature_view:weather" in refused.stderr, refused.stderr


SERVED = """kind: model
name: comfort
owner: sensors
---
kind: route
name: comfort
owner: sensors
model: comfort
entity_keys: [place]
feature_schema: weather_v1
output: variable
alias: champion
---
kind: release_plan
name: comfort
owner: sensors
plan:
  shadow: {calls: 0}
  canary: [5000]
  stage: {calls: 5}
  bake: {calls: 5}
  watch: {calls: 5}
  guards:
    - {name: wrong, quantity: wrong, safe_ratio: 1000}
"""


@pytest.fixture(scope="module")
def served(weather, tmp_path_factory):
    """A route whose model reads the two features."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("onnx")
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    declared = tmp_path_factory.mktemp("served") / "served.yaml"
    declared.write_text(SERVED)
    applied = weather.run("apply", str(declared))
    assert applied.returncode == 0, applied.stderr
    ana = weather.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()
    os.environ["MLFLOW_TRACKING_USERNAME"] = "ana"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = ana
    try:
        mlflow.set_tracking_uri(weather.url)
        mlflow.set_experiment("comfort")
        rows = np.arange(12, dtype=np.float32).reshape(6, 2)
        with mlflow.start_run():
            mlflow.log_metric("rmse", 0.5)
            mlflow.onnx.log_model(to_onnx(LinearRegression().fit(rows, rows[:, 0]), rows[:1]), name="model",
                                  registered_model_name="comfort")
        approved = weather.run("models", "approve", "comfort@v1", "--for", "production")
        assert approved.returncode == 0, approved.stderr
        with pytest.raises(mlflow.exceptions.RestException) as waits:
            mlflow.MlflowClient().set_registered_model_alias("comfort", "champion", "1")
        release = waits.value.message.split("release:")[1].split()[0]
        assert weather.run("releases", "approve", release).returncode == 0
    finally:
        del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]
    return weather


def test_training_sets_are_made_of_what_was_really_read(served):
    ids = {}
    for place in ("oslo", "rome", "lima"):
        ids[place] = uuid.uuid4().hex
        answer = requests.post(f"{served.url}/api/v1/routes/comfort:predict",
                               json={"id": ids[place], "entities": {"place": place}},
                               headers={"Authorization": f"Bearer {served.token}"}, timeout=60)
        assert answer.status_code == 200, answer.text
    asked(served, "POST", "/api/v1/labels", {"labels": [{"prediction": ids["oslo"], "value": 1}]})
    logged = asked(served, "GET", f"/api/v1/predictions/{ids['rome']}")
    assert logged["feature_statuses"] == "P" and logged["feature_times"][0].endswith("Z")
    made = served.run("features", "from-predictions", "--route", "comfort", "--from", "2020-01-01", "--to", "2100-01-01",
                      "--dataset", "comfort_served", "--json")
    assert made.returncode == 0, made.stderr
    made = json.loads(made.stdout)
    assert made["dataset"] == "dataset:comfort_served@1" and made["row_count"] == 3 and made["labelled"] == 1
    assert made["feature_schema"] == "weather_v1@1"
    table = {row["prediction"]: row for row in pq.read_table(made["uri"]).to_pylist()}
    assert (table[ids["oslo"]]["heat"], table[ids["oslo"]]["label"]) == (7.0, 1.0)

    # What stands in the sources is joined to the same values for the same instants.
    entities = served.data / "sources" / "entities.parquet"
    pq.write_table(pq.read_table(made["uri"]).select(["prediction", "event_time", "place"]), entities)
    joined = served.run("features", "get-historical", "--schema", "weather_v1", "--entity-path", str(entities), "--json")
    assert joined.returncode == 0, joined.stderr
    offline = {row["prediction"]: row for row in pq.read_table(json.loads(joined.stdout)["uri"]).to_pylist()}
    assert offline.keys() == table.keys()
    for prediction, row in table.items():
        if prediction != ids["lima"]:  # pushed, and not in the sources yet
            assert (row["heat"], row["damp"]) == (offline[prediction]["heat"], offline[prediction]["damp"])

    told = served.run("features", "from-predictions", "--route", "comfort", "--from", "2020-01-01", "--to", "2100-01-01",
                      "--dataset", "comfort_served")
    assert told.stdout.startswith("dataset:comfort_served@1  3 rows, 1 with a label"), told.stdout + told.stderr
    lineage = served.run("trace", "dataset:comfort_served").stdout
    assert "route:comfort" in lineage and "feature_schema:weather_v1@1" in lineage, lineage
    nothing = served.run("features", "from-predictions", "--route", "comfort", "--from", "2020-01-01", "--to",
                         "2020-01-02", "--dataset", "none")
    assert nothing.returncode == 1 and "answered no prediction" in nothing.stderr, nothing.stderr


def test_a_killed_server_goes_on_where_it_was(weather):
    write(weather, GOOD + [("oslo", 600, 7.0, 0.5), ("oslo", 300, 8.0, 0.5)])
    weather.process.kill()
    weather.process.wait(30)
    weather.start()
    weather.wait(lambda: online(weather, "oslo")["values"] == [8.0, 0.5])
    assert weather.run("features", "verify", "weather").returncode == 1  # what was pushed still is
