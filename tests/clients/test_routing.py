"""Callers of a route: which version answers whom, and that no caller ever sees a shadow."""

import json
import os
import subprocess
import uuid

import pytest

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
mlflow = pytest.importorskip("mlflow")
pytest.importorskip("onnx")
import numpy as np  # noqa: E402
import requests  # noqa: E402

ROUTE = {
    "kind": "route", "name": "desk", "owner": "desk", "model": "arrivals", "entity_keys": [], "output": "variable",
    "sticky": "header:X-Session", "input_class": "internal",
    "rules": [{"when": 'header("x-beta") == "1" && user.startsWith("ana")', "version": 2},
              {"when": 'cookie("group") in ("shadow")', "version": 3}],
    "shadow": {"max_class": "internal", "max_concurrency": 64},
    "payloads": {"sample": 1},
    "experiment": {"id": "desk-1"},
}
PLAN = {"shadow": {"calls": 0}, "canary": [5000], "stage": {"calls": 1000000}, "bake": {"calls": 5},
        "watch": {"calls": 0}, "alpha": 1e-6,  # nothing is rolled back by the chance of a draw
        "guards": [{"name": "wrong", "quantity": "wrong", "safe_ratio": 1000}]}


def trained(slope: float):
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    return to_onnx(LinearRegression().fit(rows, rows[:, 0] * slope), rows[:1])


class Desk:
    """The route, its callers and the people behind it."""

    def __init__(self, server, folder):
        self.server = server
        self.folder = folder
        self.caller = server.run("tokens", "create", "caller", "--actor", "user:caller", "--role", "developer").stdout.strip()
        self.ana = server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()

    def apply(self, *declarations):
        path = self.folder / f"{uuid.uuid4().hex}.json"
        path.write_text("\n---\n".join(json.dumps(one) for one in declarations))
        return self.server.run("apply", str(path))

    def ask(self, method, path, token=None, **more):
        return requests.request(method, self.server.url + path,
                                headers={"Authorization": f"Bearer {token or self.server.token}"}, **more)

    def release(self, version: int, plan: dict) -> str:
        approved = self.server.run("models", "approve", f"arrivals@v{version}", "--for", "production")
        assert approved.returncode == 0, approved.stderr
        made = self.ask("POST", "/api/v1/releases", self.ana,
                        json={"route": "desk", "model": "arrivals", "version": version, "plan": plan})
        assert made.status_code == 200, made.text
        name = made.json()["id"]
        given = self.server.run("releases", "approve", name)
        assert given.returncode == 0, given.stderr
        return name

    def predict(self, headers=None, version=None, name=None, value=1.0):
        body = {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [value, value + 1]}]}
        if name:
            body["id"] = name
        path = "/v2/models/desk" + (f"/versions/{version}" if version else "") + "/infer"
        return requests.post(self.server.url + path, json=body,
                             headers={"Authorization": f"Bearer {self.caller}", **(headers or {})})

    def versions(self, calls=40, **more) -> set:
        return {self.predict(**more).json()["model_version"] for _ in range(calls)}


@pytest.fixture(scope="module")
def desk(server, tmp_path_factory):
    desk = Desk(server, tmp_path_factory.mktemp("desk"))
    applied = desk.apply({"kind": "model", "name": "arrivals", "owner": "ml-platform"}, ROUTE)
    assert applied.returncode == 0, applied.stderr
    os.environ["MLFLOW_TRACKING_USERNAME"] = "ana"
    os.environ["MLFLOW_TRACKING_PASSWORD"] = desk.ana
    mlflow.set_tracking_uri(server.url)
    mlflow.set_experiment("arrivals")
    for slope in (1.0, 2.0, 3.0):
        with mlflow.start_run():
            mlflow.log_metric("rmse", 0.5)
            mlflow.onnx.log_model(trained(slope), name="model", registered_model_name="arrivals")
    first = desk.release(1, {"shadow": {"calls": 0}, "canary": [], "watch": {"calls": 0}})
    for _ in range(20):
        desk.predict()
    server.wait(lambda: "closed" in server.run("releases", "show", first).stdout)
    yield desk
    del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]


def test_a_wrong_rule_is_refused_with_its_place(desk):
    wrong = {**ROUTE, "rules": [{"when": 'tenat == "a"', "version": 1}]}
    refused = desk.apply(wrong)
    assert refused.returncode != 0
    assert "rules[0].when" in refused.stderr and "at character 1" in refused.stderr, refused.stderr
    assert "known are tenant, user, actor" in refused.stderr, refused.stderr


def test_no_caller_sees_a_shadow(desk, server):
    shadowing = desk.release(3, {**PLAN, "shadow": {"calls": 1000000}})
    assert "shadow" in server.run("releases", "show", shadowing).stdout
    made = desk.predict(name="call-1")
    assert made.status_code == 200 and made.json()["model_version"] == "1", made.text

    def mirrored() -> int:
        report = desk.ask("GET", "/api/v1/routes/desk/shadows").json()
        return report["shadows"][0]["calls"]

    server.wait(lambda: mirrored() > 0)
    # By rule, header, cookie, version and stickiness.
    assert desk.versions(headers={"Cookie": "group=shadow"}) == {"1"}
    for session in range(40):
        assert desk.versions(1, headers={"X-Session": str(session), "X-Version": "3"}) == {"1"}
    asked = desk.predict(version=3)
    assert asked.status_code == 404 and "it serves 1" in asked.text, asked.text
    # By the id that its event has.
    guessed = desk.predict(name="call-1.shadow.v3")
    assert guessed.status_code == 400 and "id must not have .shadow.v" in guessed.text, guessed.text
    assert desk.ask("GET", "/api/v1/predictions/call-2.shadow.v3", desk.caller).status_code == 404
    desk.predict(name="call-2")
    server.wait(lambda: mirrored() >= 82)
    assert desk.ask("GET", "/api/v1/predictions/call-2.shadow.v3", desk.caller).status_code == 404
    # By what the protocol tells of models.
    told = desk.ask("GET", "/v2/models/desk", desk.caller).json()
    assert told["versions"] == ["1"], told
    assert desk.ask("GET", "/v2/models/desk/versions/3", desk.caller).status_code == 404
    assert desk.ask("GET", "/v2/models/desk/versions/3/ready", desk.caller).status_code == 404
    for path in ("/v2/models/desk/stats", "/v2/models/stats", "/v2/models/desk/versions/3/stats"):
        stats = desk.ask("GET", path, desk.caller)
        assert stats.status_code == 404 or '"version":"3"' not in stats.text.replace(" ", ""), stats.text
    index = desk.ask("POST", "/v2/repository/index", desk.caller, json={})
    assert index.status_code in (404, 405) or not [
        one for one in index.json() if one.get("version") == "3"], index.text
    # By topics of the log.
    assert "call-1" not in desk.ask("GET", "/api/v1/topics/penstock.inference/records", desk.caller).text

    shown = server.run("routes", "shadows", "desk")
    assert shown.returncode == 0 and "score_difference" in shown.stdout, shown.stdout + shown.stderr
    print(shown.stdout)
    assert server.run("releases", "rollback", shadowing, "--reason", "seen enough").returncode == 0


def test_rules_and_stickiness_choose_who_gets_the_canary(desk, server):
    release = desk.release(2, PLAN)
    beta = {"X-Beta": "1", "X-Penstock-User": "ana.k"}
    assert desk.versions(headers=beta) == {"2"}
    event = desk.ask("GET", "/api/v1/predictions/" + desk.predict(headers=beta, name="beta-1").json()["id"]).json()
    assert event["assignment_probability"] == 1 and event["user"] == "ana.k" and event["experiment"] == "", event
    seen = [desk.versions(5, headers={"X-Session": f"s{one}"}) for one in range(30)]
    assert all(len(one) == 1 for one in seen), "one session, one version"
    assert set.union(*seen) == {"1", "2"}
    event = desk.ask("GET", "/api/v1/predictions/" + desk.predict(
        headers={"X-Session": "s1"}, name="drawn-1").json()["id"]).json()
    assert event["assignment_probability"] == 0.5 and event["experiment"] == "desk-1", event
    assert event["unit"] and "s1" not in event["unit"], "a header may be a secret"
    assert desk.versions(3, version=1) == {"1"} and desk.versions(3, version=2) == {"2"}
    # Who was drawn reads of which experiment, and into which arm; who was not reads of none.
    drawn = desk.predict(headers={"X-Session": "s1"})
    assert drawn.headers["x-penstock-experiment"] == "desk-1"
    assert drawn.headers["x-penstock-version"] == drawn.json()["model_version"]
    rows = requests.post(f"{desk.server.url}/routes/desk/invocations", json={"inputs": {"X": [[1.0, 2.0]]}},
                         headers={"Authorization": f"Bearer {desk.caller}", "X-Session": "s1"})
    assert rows.status_code == 200, rows.text
    assert (rows.headers["x-penstock-experiment"], rows.headers["x-penstock-version"]) == (
        "desk-1", drawn.headers["x-penstock-version"])
    for apart in (desk.predict(headers=beta), desk.predict(version=1)):
        assert "x-penstock-experiment" not in apart.headers

    # Rewards of the experiment's arms.
    labels = []
    for one in range(200):
        made = desk.predict(headers={"X-Session": f"r{one}"}).json()
        version = made["model_version"]
        name = [t for t in made["outputs"] if t["name"] == "prediction_id"][0]["data"][0]
        labels.append({"prediction": name, "value": float(one % 10 < (6 if version == "2" else 3))})
    assert desk.ask("POST", "/api/v1/labels", json={"labels": labels}).status_code == 200
    server.wait(lambda: sum(
        arm["rewards"] for arm in desk.ask("GET", "/api/v1/experiments/desk-1").json()["arms"]) == 200)
    shown = server.run("experiments", "show", "desk-1")
    assert shown.returncode == 0 and "credible" in shown.stdout, shown.stdout + shown.stderr
    print(shown.stdout)
    assert server.run("releases", "rollback", release, "--reason", "seen enough").returncode == 0
    server.wait(lambda: desk.versions(headers=beta) == {"1"})


def test_weights_move_by_themselves_only_where_a_policy_lets_them(desk):
    adaptive = {**ROUTE, "experiment": {"id": "desk-1", "adaptive": True}}
    refused = desk.apply(adaptive)
    assert refused.returncode != 0 and "silence is no" in refused.stderr, refused.stderr
    print(refused.stderr)
    policy = {"kind": "policy", "name": "desk-adapts", "owner": "desk", "applies_to": ["adapt"],
              "routes": ["desk"], "message": "Weights stay where something is wrong",
              "sql": "SELECT i.title AS message FROM policy_subject AS s"
                     " JOIN policy_incidents AS i ON i.subject = s.urn"
                     " WHERE i.status <> 'resolved' AND i.severity = 'critical'"}
    applied = desk.apply(policy)
    assert applied.returncode == 0, applied.stderr
    allowed = desk.apply(adaptive)
    assert allowed.returncode == 0, allowed.stderr


def test_payloads_are_for_those_who_may(desk, server):
    desk.predict(name="kept-1", value=7.0)
    denied = desk.ask("GET", "/api/v1/predictions/kept-1/payload", desk.caller)
    assert denied.status_code == 403, denied.text

    def shown() -> subprocess.CompletedProcess:
        return server.run("predictions", "payload", "kept-1")

    server.wait(lambda: shown().returncode == 0)
    assert "7.0" in shown().stdout and "variable" not in shown().stderr, shown().stdout
    print(shown().stdout)
    audited = desk.ask("GET", "/api/v1/audit/events?limit=1000").text
    assert "serving.payload.read" in audited
    assert desk.ask("GET", "/api/v1/predictions/call-9/payload").status_code == 404
