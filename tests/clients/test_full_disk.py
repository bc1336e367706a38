"""The telemetry log on a disk that is really full: a small file system of its own. Calls go on, an incident is opened, what was
acknowledged as logged is not lost, and all comes right by itself when there is space again."""

import subprocess

import pytest
import requests

from conftest import Server
from desk import ROUTE, Desk, onnx_model


@pytest.fixture
def small_disk(tmp_path):
    """A data directory whose log lies on 48 MB of their own."""
    state = tmp_path / "data" / "state"
    state.mkdir(parents=True)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "penstock-test", str(state)], capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"a file system can be made by root alone: {made.stderr.strip()}")
    yield state
    subprocess.run(["umount", "--lazy", str(state)], check=True)


def fill(state):
    """To the last block."""
    with (state / "filler").open("ab", buffering=0) as filler:
        for size in (1 << 20, 4 << 10):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError as full:
                assert full.errno == 28, full


def test_calls_go_on_and_nothing_acknowledged_is_lost(small_disk, tmp_path):
    server = Server(tmp_path / "data")
    server.start()
    try:
        desk = Desk(server, tmp_path)
        desk.apply(ROUTE.format(model="scorer", more="output: variable\n"))
        desk.start_release("scorer", desk.register("scorer", onnx_model(tmp_path / "model", 3.0)))

        def predict(**more):
            return desk.ask("POST", "/v2/models/scorer/infer", {
                "inputs": [{"name": "X", "datatype": "FP32", "shape": [1000, 2], "data": [1.0, 2.0] * 1000}], **more})

        def made():
            answer = predict()
            assert answer.status_code == 200, answer.text
            named = next(one for one in answer.json()["outputs"] if one["name"] == "prediction_id")
            return named["data"]

        def is_logged(prediction):
            return desk.ask("GET", f"/api/v1/predictions/{prediction}").status_code == 200

        def trouble():
            listed = desk.ask("GET", "/api/v1/incidents", token=server.token).json()["incidents"]
            return [one for one in listed if "telemetry" in one["dedup_key"]]

        acknowledged = [name for _ in range(5) for name in made()]
        assert is_logged(acknowledged[0]) and is_logged(acknowledged[-1])
        before = trouble()
        assert not before, before

        fill(small_disk)
        held = []
        for _ in range(3000):
            held.append(made()[-1])
            if trouble():
                break
        assert trouble()[0]["status"] != "resolved" and trouble()[0]["severity"] == "critical", trouble()
        held += [made()[-1] for _ in range(50)]
        # Nobody is told that it is logged: neither who looks, nor who needs it for a retry.
        assert desk.ask("GET", f"/api/v1/predictions/{held[-1]}").status_code >= 500
        refused = predict(id="to-be-repeated")
        assert refused.status_code >= 500 and refused.json()["error"], refused.text

        (small_disk / "filler").unlink()
        server.wait(lambda: is_logged(held[-1]))
        assert all(is_logged(name) for name in held), "they waited in memory"
        incident, = trouble()
        server.wait(lambda: '"over"' in desk.ask("GET", f"/api/v1/incidents/{incident['id']}", token=server.token).text)
        assert '"dropped":0' in desk.ask("GET", f"/api/v1/incidents/{incident['id']}", token=server.token).text
        again = predict(id="to-be-repeated")
        assert again.status_code == 200, again.text
        acknowledged += held + [name for _ in range(5) for name in made()]
        assert is_logged(acknowledged[-1])

        server.process.kill()
        server.process.wait()
        server.start()
        lost = [name for name in acknowledged[::100] + held if not is_logged(name)]
        assert not lost
        assert requests.get(f"{server.url}/v2/health/ready").ok
    finally:
        server.stop()
