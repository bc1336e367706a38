"""Expressions over values of the request and stored features: the same online, by Feast's protocol, in historical rows,
in a route's predictions and in a batch."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests

onnx = pytest.importorskip("onnx")

WORLD = """
kind: source
name: accounts
owner: bank
path: accounts.parquet
columns:
  - {name: account, type: bigint, classification: internal}
  - {name: seen, type: timestamp, classification: internal}
  - {name: mean, type: double, classification: confidential}
  - {name: home, type: text, classification: internal}
---
kind: source
name: payments
owner: bank
path: payments.parquet
columns:
  - {name: id, type: text, classification: internal}
  - {name: account, type: bigint, classification: internal}
  - {name: event_time, type: timestamp, classification: internal}
  - {name: amount, type: double, classification: internal}
  - {name: country, type: text, classification: internal}
---
kind: entity
name: account
owner: bank
join_keys: [{name: account, type: bigint}]
---
kind: feature_view
name: account_means
owner: bank
entity: account
sources: [accounts]
sql: SELECT account, seen, mean, home FROM accounts
event_time: seen
features: [{name: mean}, {name: home, type: text}]
---
kind: feature_schema
name: payment
owner: bank
inputs:
  - {name: amount, type: double}
  - {name: country, type: text, nullable: true}
features:
  - {view: account_means, feature: mean, name: mean_30d}
  - {name: ratio, type: double, expression: "amount / nullif(mean_30d, 0)"}
  - {view: account_means, feature: home}
  - {name: abroad, expression: "lower(country) <> home"}
  - {name: risk, expression: "CASE WHEN ratio > 3 AND abroad THEN ratio ELSE ln(1 + ratio) END"}
---
kind: model
name: fraud
owner: bank
---
kind: route
name: fraud
owner: bank
model: fraud
entity_keys: [account, amount, country]
feature_schema: payment
unit: account
threshold: 0.5
"""
AT = "2026-01-02T00:00:00Z"


def model_file(path) -> None:
    """Scores the second feature, `ratio`."""
    from onnx import TensorProto, helper
    nodes = [helper.make_node("Gather", ["X", "at"], ["one"], axis=1), helper.make_node("Sigmoid", ["one"], ["score"])]
    graph = helper.make_graph(nodes, "m", [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 5])],
                              [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
                              [helper.make_tensor("at", TensorProto.INT64, [1], [1])])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())


def post(server, path: str, body: dict) -> requests.Response:
    return requests.post(server.url + path, json=body, timeout=30, headers={"Authorization": f"Bearer {server.token}"})


def run(server, *arguments: str, token: str | None = None) -> str:
    done = server.run(*arguments, token=token)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def bank(server, tmp_path_factory):
    day = 1_767_225_600_000_000  # 2026-01-01
    micros = pa.timestamp("us")
    pq.write_table(pa.table({"account": [1, 2, 3], "seen": pa.array([day] * 3, micros),
                             "mean": [40.0, 0.0, None], "home": ["de", "fr", None]}),
                   server.data / "sources" / "accounts.parquet")
    rows = 40
    pq.write_table(pa.table({
        "id": [f"p{n}" for n in range(rows)], "account": [n % 4 for n in range(rows)],
        "event_time": pa.array([day + 3_600_000_000 + n for n in range(rows)], micros),
        "amount": [n * 7.3 + 0.1 for n in range(rows)],
        "country": [["DE", "FR", None][n % 3] for n in range(rows)]}), server.data / "sources" / "payments.parquet")
    world = tmp_path_factory.mktemp("bank") / "world.yaml"
    world.write_text(WORLD)
    run(server, "apply", str(world))
    run(server, "features", "materialize", "--until", "2026-02-01T00:00:00Z")
    return server


def online(server, entity: dict, at: str = AT) -> dict:
    answer = post(server, "/api/v1/features:online",
                  {"feature_schema": "payment", "entities": [entity], "event_time": at})
    assert answer.status_code == 200, answer.text
    out = answer.json()
    return dict(zip(out["names"], zip(out["rows"][0]["values"], out["rows"][0]["statuses"])))


def test_a_read_gives_what_is_computed_with_its_status(bank):
    row = online(bank, {"account": "1", "amount": "200", "country": "FR"})
    assert row["ratio"] == (5.0, "PRESENT") and row["abroad"] == (True, "PRESENT") and row["risk"] == (5.0, "PRESENT")
    row = online(bank, {"account": "2", "amount": "200"})
    assert row["ratio"] == (None, "NULL_VALUE") and row["mean_30d"] == (0.0, "PRESENT")
    assert online(bank, {"account": "9", "amount": "1"})["mean_30d"] == (None, "NOT_FOUND")
    shown = run(bank, "features", "get-online", "--schema", "payment", "--entity", "account=1", "--entity", "amount=20",
                "--at", AT)
    assert [line.split() for line in shown.splitlines() if line.startswith("ratio")][0][1:3] in \
        (["0.5", "PRESENT"], ["5E-1", "PRESENT"])


def test_a_request_that_lacks_or_breaks_an_input_is_told_so(bank):
    for entity, problem in (({"account": "1"}, "is missing"),
                            ({"account": "1", "amount": "much"}, "must be of type double")):
        answer = post(bank, "/api/v1/features:online", {"feature_schema": "payment", "entities": [entity]})
        assert answer.status_code == 400 and problem in answer.text and "entities[0].amount" in answer.text, answer.text


def test_feast_s_clients_send_inputs_beside_the_keys(bank):
    body = {"feature_service": "payment", "full_feature_names": True,
            "entities": {"account": [1, 2], "amount": [200.0, 20], "country": ["FR", None]}}
    answer = post(bank, "/get-online-features", body)
    assert answer.status_code == 200, answer.text
    names = answer.json()["metadata"]["feature_names"]
    assert names[-5:] == ["account_means__mean_30d", "payment__ratio", "account_means__home", "payment__abroad",
                          "payment__risk"]
    ratio = answer.json()["results"][names.index("payment__ratio")]
    assert ratio["values"] == [5.0, None] and ratio["statuses"] == ["PRESENT", "NULL_VALUE"]
    assert ratio["event_timestamps"][0] == "2026-01-01T00:00:00Z"
    body["entities"]["amount"] = [None, 1]
    answer = post(bank, "/get-online-features", body)
    assert answer.status_code == 400 and "amount is missing" in answer.text, answer.text


def test_historical_rows_are_what_online_reads_gave(bank, tmp_path):
    made = tmp_path / "rows.parquet"
    run(bank, "features", "get-historical", "--schema", "payment", "--entity-sql", "SELECT * FROM payments", "--output",
        str(made))
    table = pq.read_table(made).to_pylist()
    assert [row["id"] for row in table] == [f"p{n}" for n in range(40)]
    for row in table:
        entity = {"account": str(row["account"]), "amount": repr(row["amount"])}
        if row["country"]:
            entity["country"] = row["country"]
        read = online(bank, entity, row["event_time"].isoformat() + "Z")
        for name in ("mean_30d", "ratio", "home", "abroad", "risk"):
            assert read[name][0] == row[name], (row, name)
    assert any(row["risk"] is not None for row in table) and any(row["risk"] is None for row in table)


def test_what_cannot_be_computed_is_refused(bank, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("kind: feature_schema\nname: wrong\nowner: bank\ninputs: [{name: amount}]\n"
                     "features: [{name: x, expression: \"amount * random()\"}]\n")
    done = bank.run("apply", str(wrong))
    assert done.returncode != 0
    assert "features[0].expression calls random, which is no function of an expression; there are abs" in \
        done.stdout + done.stderr
    assert "mean" in run(bank, "trace", "feature_schema:payment@1#risk")


def test_a_route_and_a_batch_decide_by_the_same_values(bank, tmp_path):
    ana = run(bank, "tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").strip()
    (tmp_path / "model").mkdir()
    model_file(tmp_path / "model" / "model.onnx")
    made = post(bank, "/api/2.0/mlflow/runs/create", {"experiment_id": "0", "start_time": 1}).json()
    evaluation = made["run"]["info"]["run_id"]
    post(bank, "/api/2.0/mlflow/runs/log-metric", {"run_id": evaluation, "key": "auc", "value": 0.9, "timestamp": 1})
    record = tmp_path / "record.yaml"
    record.write_text(json.dumps({"model_id": "fraud-v1", "artifact_uri": "x", "owner": "bank", "runtime": "onnx",
                                  "feature_schema": "payment", "eval_report": f"run:{evaluation}"}))
    run(bank, "models", "register", "-f", str(record), "--artifact", str(tmp_path / "model"), token=ana)
    run(bank, "models", "approve", "fraud@v1", "--for", "production")
    release = json.loads(run(bank, "releases", "start", "fraud", "fraud@v1", "--json", token=ana))["id"]
    run(bank, "releases", "approve", release)

    def predict(**entity) -> dict:
        pairs = [word for key, value in entity.items() for word in ("--entity", f"{key}={value}")]
        return bank.run("predict", "fraud", *pairs, "--event-time", AT, "--json")

    good = predict(account=1, amount=80)
    assert good.returncode == 0, good.stdout + good.stderr
    assert math.isclose(json.loads(good.stdout)["score"], 1 / (1 + math.exp(-2)), rel_tol=1e-5)
    for wrong, problem in (({"account": 1}, "amount is missing"), ({"account": 1, "amount": "much"}, "of type double")):
        done = predict(**wrong)
        assert done.returncode != 0 and problem in done.stdout + done.stderr, done.stdout + done.stderr

    # What was read with the prediction gives the same transforms when it is computed offline.
    verified = run(bank, "features", "verify", "payment")
    assert verified == "3 entities, 9 values, 0 differ, with the transforms of 1 prediction\n", verified

    rows = "SELECT * FROM payments WHERE account = 1"
    scored = json.loads(run(bank, "batch", "score", "--route", "fraud", "--rows", rows, "--output", "all", "--json"))
    assert scored["rows"] == 10
    files = sorted(bank.data.rglob("part.parquet"))
    table = pq.read_table(files[-1]).to_pylist()
    for row in table:
        ratio = online(bank, {"account": "1", "amount": row["amount"]}, AT)["ratio"][0]
        assert math.isclose(row["score"], 1 / (1 + math.exp(-ratio)), rel_tol=1e-5)
        assert row["country"] in ("DE", "FR", None)
    assert {row["country"] for row in table} == {"DE", "FR", None}
