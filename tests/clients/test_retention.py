"""Predictions that are older than the retention are gone, and everything that would have used them says so; nothing goes before
it was metered, also where the server is killed amid it all."""

import json
import time

import pytest

from conftest import Server
from desk import ROUTE, desk_in, onnx_model

KEEP = 4
TOPIC = "penstock.inference"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retention")
    with desk_in(folder, config=f"retention: {{predictions: {KEEP}s}}\n") as desk:
        desk.apply(ROUTE.format(model="scorer", more="output: variable\n"))
        desk.start_release("scorer", desk.register("scorer", onnx_model(folder / "model", 3.0)))
        desk.server.wait(lambda: infer(desk).ok)
        yield desk


def infer(desk, rows: int = 1, **more):
    return desk.ask("POST", "/v2/models/scorer/infer", {
        "inputs": [{"name": "X", "datatype": "FP32", "shape": [rows, 2], "data": [1.0, 2.0] * rows}], **more})


def id_of(answer) -> str:
    assert answer.status_code == 200, answer.text
    return next(one for one in answer.json()["outputs"] if one["name"] == "prediction_id")["data"][0]


def find(desk, prediction: str):
    return desk.ask("GET", f"/api/v1/predictions/{prediction}")


def kept(desk) -> dict:
    said = desk.server.run("predictions", "retention", "--json")
    assert said.returncode == 0, said.stderr
    return {one["topic"]: one for one in json.loads(said.stdout)["topics"]}


def requests_metered(desk) -> int:
    rows = desk.ask("GET", "/api/v1/costs", params={"by": "route,meter"}).json()["rows"]
    return sum(row["quantity"] for row in rows if row["keys"] == ["scorer", "requests"])


def test_what_is_gone_is_said_to_be_gone(desk):
    asked = time.time()
    ours = id_of(infer(desk))
    assert id_of(infer(desk, id="mine")) == "mine"
    assert id_of(infer(desk, id="mine")) == "mine"
    assert find(desk, ours).ok and find(desk, "mine").ok
    told = desk.ask("POST", "/api/v1/labels", {"labels": [{"prediction": "mine", "value": 1}]}).json()
    assert (told["added"], told["unknown"]) == (1, 0)
    desk.server.wait(lambda: find(desk, ours).status_code == 404)
    assert time.time() - asked > KEEP
    desk.server.wait(lambda: find(desk, "mine").status_code == 404)  # it came after the other

    said = find(desk, ours).json()["detail"]
    assert f"prediction {ours} of 20" in said and "older than the retention" in said, said
    said = find(desk, "mine").json()["detail"]
    assert "there is no prediction mine, or it is too old" in said, said
    again = infer(desk, id="mine")
    assert again.status_code == 409, again.text
    assert "was answered before" in again.json()["error"] and "take a new id" in again.json()["error"]
    lines = desk.server.run("cost", "lines", "inference", "mine", "--json")
    assert lines.returncode == 0, lines.stderr
    assert [one["quantity"] for one in json.loads(lines.stdout)["lines"] if one["meter"] == "requests"] == [1]

    topic = kept(desk)[TOPIC]
    assert topic["gone_until"] and {one["name"] for one in topic["readers"]} == {"metering", "monitor", "reports", "release"}
    shown = desk.server.run("predictions", "retention").stdout
    assert f"predictions are kept {KEEP}s" in shown and TOPIC in shown, shown
    measured = desk.ask("GET", "/metrics").text
    for name in ("penstock_log_bytes", "penstock_log_oldest_seconds", "penstock_log_records", "penstock_log_removed_total"):
        assert f'{name}{{topic="{TOPIC}"}}' in measured, name

    refused = desk.ask("POST", "/api/v1/features:from-predictions", {
        "route": "scorer", "from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z", "dataset": "served"})
    assert refused.status_code == 409, refused.text
    assert "from must be later than 20" in refused.json()["detail"], refused.text


def test_nothing_goes_before_it_was_metered_however_often_the_server_is_killed(desk):
    desk.server.wait(lambda: all(one["unread"] == 0 for one in kept(desk)[TOPIC]["readers"]))
    before = requests_metered(desk)
    answered = 0
    for round in range(4):
        end = time.time() + KEEP * (0.4 + 0.3 * round)
        number = 0
        while time.time() < end:
            number += 1
            # With an id, so that what was answered is in the log.
            assert infer(desk, id=f"call-{round}-{number}").ok
            answered += 1
        desk.server.process.kill()
        desk.server.process.wait()
        desk.server.start()
        desk.server.wait(lambda: infer(desk, id=f"up-{round}").ok)
        answered += 1
        newest = find(desk, f"up-{round}")
        assert newest.ok, newest.text
    desk.server.wait(lambda: requests_metered(desk) >= before + answered)
    assert requests_metered(desk) == before + answered
    desk.server.wait(lambda: kept(desk)[TOPIC]["records"] == 0)
    assert requests_metered(desk) == before + answered


def test_a_retention_that_makes_no_sense_is_refused(tmp_path):
    for said, fault in [("{predictions: 0s}", "retention.predictions must be from 1s to 36500d"),
                        ("{predictions: soon}", "retention.predictions"),
                        ("{prediction_bytes: 5}", "retention.prediction_bytes"),
                        ("{labels: 5d}", "retention.labels")]:
        data = tmp_path / fault.replace(" ", "_")
        data.mkdir()
        (data / "penstock.yaml").write_text(f"retention: {said}\n")
        server = Server(data)
        with pytest.raises(AssertionError, match="ended at once"):
            server.start()
        assert fault in server.err.read_text(), server.err.read_text()
