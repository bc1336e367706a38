"""A column that a person confirms as restricted makes restricted what was made of it, as far as predictions; and
nothing else."""

import csv
import json
import random
import uuid

import pytest
import requests

onnx = pytest.importorskip("onnx")

WORLD = """
kind: source
name: buyers
owner: crm
description: What people bought, and with which card.
path: buyers.csv
format: csv
event_time: seen_at
columns:
  - {name: buyer_id, type: text, classification: internal}
  - {name: seen_at, type: timestamp, classification: public}
  - {name: amount, type: double, classification: internal}
  - {name: card, type: text, classification: internal}
---
kind: entity
name: buyer
owner: crm
join_keys: [{name: buyer_id, type: text}]
"""

# Each of a view, a schema, a model and a route; `card` is read by the first alone.
CHAIN = """
---
kind: feature_view
name: {name}_view
owner: fraud
entity: buyer
sources: [buyers]
sql: SELECT buyer_id, seen_at, {feature} AS number FROM buyers
event_time: seen_at
ttl: 3650d
features: [{{name: number, type: double}}]
---
kind: feature_schema
name: {name}_features
owner: fraud
features: [{{view: {name}_view, feature: number}}]
---
kind: model
name: {name}
owner: fraud
---
kind: route
name: {name}
owner: shop
model: {name}
entity_keys: [buyer_id]
feature_schema: {name}_features
unit: buyer_id
threshold: 0.5
"""

CHAINS = {"cards": "CAST(length(card) AS DOUBLE)", "amounts": "amount"}


def luhn(body: str) -> str:
    total = sum(sum(divmod(int(d) * 2, 10)) if place % 2 == 0 else int(d) for place, d in enumerate(reversed(body)))
    return body + str(-total % 10)


def model_file(path) -> None:
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("Sigmoid", ["X"], ["score"])], "m",
                              [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 1])],
                              [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())


def judged_run(server) -> str:
    """What a record may name as its evaluation, in MLflow's words."""
    def post(path: str, body: dict) -> dict:
        answer = requests.post(f"{server.url}/api/2.0/mlflow/{path}", json=body, timeout=10,
                               headers={"Authorization": f"Bearer {server.token}"})
        assert answer.status_code == 200, answer.text
        return answer.json()
    run = post("runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
    post("runs/log-metric", {"run_id": run, "key": "auc", "value": 0.9, "timestamp": 1})
    return f"run:{run}"


@pytest.fixture(scope="module")
def live(server, tmp_path_factory):
    """Two routes that serve, each with a prediction: {name: its URNs}."""
    folder = tmp_path_factory.mktemp("flow")
    rng = random.Random(3)
    with (server.data / "sources" / "buyers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["buyer_id", "seen_at", "amount", "card"])
        for number in range(100):
            rows.writerow([f"b{number}", f"2026-01-01T00:{number % 60:02d}:00Z", number / 10,
                           luhn("4" + "".join(rng.choice("0123456789") for _ in range(14)))])

    def run(*arguments: str, token: str | None = None) -> str:
        done = server.run(*arguments, token=token)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (folder / "world.yaml").write_text(
        WORLD + "".join(CHAIN.format(name=name, feature=feature) for name, feature in CHAINS.items()))
    run("apply", str(folder / "world.yaml"))
    run("features", "materialize", "--until", "2026-02-01T00:00:00Z")
    ana = run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").strip()
    (folder / "model").mkdir()
    model_file(folder / "model" / "model.onnx")
    evaluation, out = judged_run(server), {}
    for name in CHAINS:
        (folder / "record.yaml").write_text(json.dumps(
            {"model_id": f"{name}-v1", "artifact_uri": "x", "owner": "fraud", "runtime": "onnx",
             "feature_schema": f"{name}_features", "eval_report": evaluation}))
        run("models", "register", "-f", str(folder / "record.yaml"), "--artifact", str(folder / "model"), token=ana)
        run("models", "approve", f"{name}@v1", "--for", "production")
        release = json.loads(run("releases", "start", name, f"{name}@v1", "--json", token=ana))["id"]
        run("releases", "approve", release)
        made = f"seen-{name}-{uuid.uuid4().hex}"
        run("predict", name, "--entity", "buyer_id=b7", "--event-time", "2026-01-02T00:00:00Z", "--id", made)
        out[name] = {"source": "source:buyers@1", "view": f"feature_view:{name}_view@1",
                     "schema": f"feature_schema:{name}_features@1", "model": f"model:{name}@v1",
                     "route": f"route:{name}", "prediction": f"prediction:{made}"}
    return out


def known(server, urn: str) -> tuple[str, list[str]]:
    """The class and the tags of the first node of its trace."""
    done = server.run("trace", urn, "--format", "json")
    assert done.returncode == 0, done.stderr
    node = json.loads(done.stdout)["nodes"][0]
    assert node["urn"] == urn
    return node["classification"], node["tags"]


def test_before_anybody_decides_all_of_it_is_internal(server, live):
    for urns in live.values():
        for urn in urns.values():
            assert known(server, urn) == ("internal", []), urn


def test_a_confirmed_class_and_its_tag_reach_the_model_the_route_and_the_prediction(server, live):
    assert server.run("sources", "classify", "buyers").returncode == 0
    for urns in live.values():
        assert known(server, urns["prediction"])[0] == "internal", "a suggestion is no decision"
    done = server.run("classification", "confirm", "buyers", "card", "financial.card")
    assert done.returncode == 0, done.stdout + done.stderr
    for what, urn in live["cards"].items():
        assert known(server, urn) == ("restricted", ["financial.card"]), what
        assert "restricted" in server.run("trace", urn).stdout.splitlines()[0]
    for what, urn in live["amounts"].items():
        if what != "source":
            assert known(server, urn) == ("internal", []), f"{what} reads another column"


def test_a_prediction_made_after_it_is_restricted_from_the_first(server, live):
    made = f"later-{uuid.uuid4().hex}"
    done = server.run("predict", "cards", "--entity", "buyer_id=b8", "--event-time", "2026-01-02T00:00:00Z", "--id", made)
    assert done.returncode == 0, done.stderr
    assert known(server, f"prediction:{made}") == ("restricted", ["financial.card"])


def test_the_record_and_the_evidence_say_so_too(server, live, tmp_path):
    import zipfile
    facts = json.loads(server.run("models", "show", "cards@v1", "--json").stdout)
    assert facts["classification"] == "restricted"
    file = tmp_path / "bundle.zip"
    assert server.run("evidence", "cards@v1", "-o", str(file)).returncode == 0
    with zipfile.ZipFile(file) as bundle:
        (first, *_) = json.loads(bundle.read("lineage.json"))["nodes"]
        actions = {json.loads(json.loads(line)["entry"])["action"]
                   for line in bundle.read("audit/events.jsonl").decode().splitlines()}
    assert first["classification"] == "restricted" and first["tags"] == ["financial.card"]
    assert "catalog.suggestion.confirmed" in actions, "who decided is in the bundle"
