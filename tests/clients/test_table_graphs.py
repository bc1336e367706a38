"""A version that is a graph of others: features by entity key, expressions, a registered model, and what of them is the answer."""

import json
import math

import numpy as np
import pytest

from bank import MEANS, write_means
from desk import ROUTE, desk_in

onnx = pytest.importorskip("onnx")
WORLD = MEANS + """kind: feature_schema
name: means
owner: bank
features: [{view: account_means, feature: mean}]
---
kind: model
name: odds
owner: bank
---
kind: price_list
name: standard
owner: bank
currency: USD
prices:
  - {meter: requests, price: "1", from: 2013-01-01}
"""
GRAPH = """# What an account usually pays, how far this payment is from it, the odds by the model, and what is done.
inputs:
  - {name: account, datatype: BYTES}
  - {name: amount, datatype: FP64}
nodes:
  - {name: history, kind: features, feature_schema: means, keys: {account: account}}
  - {name: ratio, kind: expression, expression: "amount / nullif(mean, 0)", values: {mean: history.mean}}
  - {name: risk, kind: model, model: "odds@1", inputs: {x: [ratio, amount]}}
  - {name: action, kind: expression, values: {odds: risk.score.0},
     expression: "CASE WHEN odds IS NULL THEN 'review' WHEN odds > 3 AND amount > 100 THEN 'stop' ELSE 'go' END"}
outputs:
  - {name: score, from: risk.score}
  - {name: action, from: action}
  - {name: ratio, from: ratio}
"""


def odds(folder):
    """[rows, 2] of FP32 in, the first column out as [rows, 1]."""
    from onnx import TensorProto, helper
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, 0.0])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["score"])], "odds",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
                              [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])], [weights])
    folder.mkdir()
    (folder / "model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
    return folder


def graph(folder, text=GRAPH):
    folder.mkdir()
    (folder / "graph.yaml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table-graphs")
    write_means(folder / "data" / "sources", {"a": 10.0, "b": 200.0})
    with desk_in(folder) as one:
        one.apply(WORLD)
        one.materialize()
        one.register("odds", odds(folder / "odds"))
        one.apply(ROUTE.format(model="payments", more="threshold: 3\n"))
        one.start_release("payments", one.register("payments", graph(folder / "v1")))
        yield one


def infer(desk, accounts, amounts, **more):
    return desk.ask("POST", "/v2/models/payments/infer", {
        "inputs": [{"name": "account", "datatype": "BYTES", "shape": [len(accounts)], "data": accounts},
                   {"name": "amount", "datatype": "FP64", "shape": [len(amounts)], "data": amounts}], **more})


def said(answer):
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["outputs"]}


def test_rows_go_through_features_expressions_and_a_model(desk):
    out = said(infer(desk, ["a", "b", "a"], [50.0, 400.0, 1000.0]))
    assert out["score"]["data"] == [5.0, 2.0, 100.0] and out["score"]["datatype"] == "FP32"
    assert out["action"]["data"] == ["go", "go", "stop"] and out["ratio"]["data"] == [5.0, 2.0, 100.0]
    assert out["decision"]["data"] == [True, False, True]


def test_it_describes_itself(desk):
    described = desk.ask("GET", "/v2/models/payments").json()
    assert described["platform"] == "penstock_graph"
    assert [(one["name"], one["datatype"]) for one in described["inputs"]] == [("account", "BYTES"), ("amount", "FP64")]
    assert [(one["name"], one["datatype"]) for one in described["outputs"]][:3] == [("score", "FP32"), ("action", "BYTES"), ("ratio", "FP64")]


def test_invocations_answer_too(desk):
    body = {"dataframe_split": {"columns": ["account", "amount"], "data": [["b", 1000.0], ["a", 20.0]]}}
    answer = desk.ask("POST", "/routes/payments/invocations", body)
    assert answer.status_code == 200, answer.text
    told = answer.json()["predictions"]
    assert json.dumps(told).count("stop") == 1 and "go" in json.dumps(told), told


def test_tritonclient_asks_a_graph(desk):
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(desk.server.url.removeprefix("http://"))
    account, amount = http.InferInput("account", [2], "BYTES"), http.InferInput("amount", [2], "FP64")
    account.set_data_from_numpy(np.array([b"a", b"b"], dtype=object))
    amount.set_data_from_numpy(np.array([5000.0, 5000.0]))
    got = client.infer("payments", [account, amount], headers={"Authorization": f"Bearer {desk.ana}"})
    assert got.as_numpy("action").tolist() == [b"stop", b"stop"] and got.as_numpy("score").reshape(-1).tolist() == [500.0, 25.0]
    client.close()


def test_each_node_is_metered(desk):
    answer = infer(desk, ["a", "b"], [10.0, 10.0], id="metered")
    assert answer.status_code == 200, answer.text
    event = desk.ask("GET", "/api/v1/predictions/metered.0").json()
    assert event["runtime"] == "graph" and event["version"] == 1
    assert [(node["name"], node["kind"], node["calls"], node["faults"]) for node in event["nodes"]] == [
        ("history", "features", 1, 0), ("ratio", "expression", 1, 0), ("risk", "model", 1, 0), ("action", "expression", 1, 0)]
    risk = event["nodes"][2]
    assert (risk["model"], risk["version"], risk["runtime"]) == ("odds", 1, "onnx") and risk["micros"] > 0
    assert "nodes" not in desk.ask("GET", "/api/v1/predictions/metered.1").json() or \
        desk.ask("GET", "/api/v1/predictions/metered.1").json()["nodes"] == []

    def models():
        rows = desk.ask("GET", "/api/v1/costs?by=model,meter").json()["rows"]
        return {tuple(row["keys"]) for row in rows}
    desk.server.wait(lambda: {("odds", "requests"), ("payments", "requests")} <= models())


def test_an_unknown_entity_has_no_features_and_the_graph_says_what_comes_of_that(desk):
    failed = infer(desk, ["nobody"], [10.0])
    assert failed.status_code >= 400 and "finite" in failed.text, failed.text  # the score is the model's, and it is NaN
    ok = infer(desk, ["a"], [10.0])
    assert ok.status_code == 200


def test_bad_inputs_are_the_callers_fault(desk):
    assert infer(desk, ["a", "b"], [1.0]).status_code == 400
    missing = desk.ask("POST", "/v2/models/payments/infer", {
        "inputs": [{"name": "account", "datatype": "BYTES", "shape": [1], "data": ["a"]}]})
    assert missing.status_code == 400 and "amount" in missing.text


@pytest.mark.parametrize("change, says", [
    (("history.mean}}", "nothing.mean}}"), "there is no input or node nothing"),
    (("from: risk.score}", "from: risk}"), "say which of its values"),
    (("odds@1", "odds"), "must be a registered version such as risk@3"),
    (("keys: {account: account}", "keys: {account: ratio}"), "is in a circle"),
    (("datatype: FP64", "datatype: FP65"), "is FP65"),
])
def test_a_graph_that_cannot_be_is_refused_when_it_is_registered(desk, tmp_path, change, says):
    assert says in desk.register("payments", graph(tmp_path / "wrong", GRAPH.replace(*change)), expect=2)


@pytest.mark.parametrize("change, says", [
    (("inputs: {x: [ratio, amount]}", "inputs: {y: [ratio, amount]}"), "gives input y, which odds@1 does not take"),
    (("amount / nullif(mean, 0)", "amount / nothing"), "has an expression that"),
    (("from: risk.score}", "from: risk.nothing}"), "has no output nothing"),
    (("odds@1", "odds@7"), "odds@7"),
])
def test_what_does_not_fit_is_said_when_it_is_released(desk, tmp_path, change, says):
    version = desk.register("payments", graph(tmp_path / "unfit", GRAPH.replace(*change)), "rollback_to: payments-v1\n")
    assert desk.server.run("models", "approve", f"payments@v{version}", "--for", "production").returncode == 0
    plan = desk.folder / "plan.yaml"
    started = desk.server.run("releases", "start", "payments", f"payments@v{version}", "--plan", str(plan), token=desk.ana)
    text = started.stdout + started.stderr
    if started.returncode == 0:
        release = text[text.index("release:") + 8:].split()[0]
        approved = desk.server.run("releases", "approve", release)
        text += approved.stdout + approved.stderr + desk.server.err.read_text()
        desk.server.run("releases", "rollback", release)
    assert says in text, text
    assert infer(desk, ["a"], [10.0]).status_code == 200, "it keeps what it served before"


def test_guardrails_and_cache_hold_for_graphs(desk):
    desk.apply("kind: guardrail\nname: no-mail\nowner: p\nside: input\nrule: pii\naction: block\ntags: [pii.email]\n")
    desk.apply(ROUTE.format(model="payments", more="threshold: 3\ncache: {keep: 1h}\nguardrails: [no-mail]\n"))
    first, again = infer(desk, ["b"], [20.0]), infer(desk, ["b"], [20.0])
    assert "x-penstock-cached" in again.headers and said(again)["score"]["data"] == said(first)["score"]["data"]
    assert infer(desk, ["ana@example.com"], [20.0]).status_code == 400
    desk.apply(ROUTE.format(model="payments", more="threshold: 3\n"))


def test_a_graph_is_loaded_again_after_a_restart(desk):
    desk.server.stop()
    desk.server.start("127.0.0.1:0", "--sources", str(desk.server.data / "sources"))
    assert math.isclose(said(infer(desk, ["a"], [50.0]))["score"]["data"][0], 5.0)
