"""Routes that read features by entity keys: guardrails look at the keys that callers send, and an answer is kept by what was read."""

import datetime

import numpy as np
import pytest

from bank import MEANS, write_means
from desk import ROUTE, desk_in
from test_classifiers import CLASSIFIER, as_onnx, toxicity
from test_guarded_tables import event_of, said
from test_v2 import Both

onnx = pytest.importorskip("onnx")
WORLD = MEANS + """kind: feature_schema
name: means
owner: bank
inputs: [{name: amount, type: double}, {name: note, type: text, nullable: true}]
features:
  - {view: account_means, feature: mean}
  - {name: ratio, type: double, expression: "amount / mean"}
  - {name: never, type: bigint, expression: "CASE WHEN note = 'never' THEN 1 ELSE 0 END"}
---
kind: guardrail
name: no-mail
owner: privacy
side: input
rule: pii
action: block
tags: [pii.email]
---
kind: guardrail
name: masked
owner: privacy
rule: pii
action: mask
tags: [pii.email]
---
kind: guardrail
name: outward
owner: privacy
side: output
rule: pii
action: block
---
kind: guardrail
name: falcon
owner: privacy
rule: deny_list
action: flag
phrases: [blue falcon]
---
kind: model
name: toxicity
owner: safety
"""
READS = "feature_schema: means\nentity_keys: [account, amount, note]\nthreshold: 1\n"


def adder(folder):
    """[rows, 3] of FP32 in, their sum out."""
    from onnx import TensorProto, helper
    graph = helper.make_graph([helper.make_node("ReduceSum", ["x", "axes"], ["score"], keepdims=0)], "adder",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
                              [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
                              [helper.make_tensor("axes", TensorProto.INT64, [1], [1])])
    folder.mkdir()
    (folder / "model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entities")
    write_means(folder / "data" / "sources", {"a": 10.0, "b": 200.0, "ana@example.com": 5.0})
    with desk_in(folder, "127.0.0.1:0", "--grpc", "127.0.0.1:0", kind=Both) as one:
        one.apply(WORLD)
        one.materialize()
        one.register("toxicity", as_onnx(folder / "toxicity", toxicity()))
        one.apply(CLASSIFIER.format(name="insults", more="side: input\naction: block\nmodel: toxicity@1\nlabels: [toxic]\n"))
        for route, more in (("guarded", "guardrails: [no-mail, falcon, insults]\n"), ("kept", "cache: {keep: 1h}\n")):
            one.apply(ROUTE.format(model=route, more=READS + more))
            one.start_release(route, one.register(route, adder(folder / route)))
        yield one


def infer(desk, route, accounts, amounts=None, notes=None, **more):
    amounts, notes = amounts or ["1"] * len(accounts), notes or [""] * len(accounts)
    inputs = [{"name": name, "datatype": "BYTES", "shape": [len(accounts)], "data": data}
              for name, data in (("account", accounts), ("amount", amounts), ("note", notes))]
    return desk.ask("POST", f"/v2/models/{route}/infer", {"inputs": inputs, **more})


def test_a_key_that_is_personal_data_is_blocked_by_every_protocol(desk):
    assert said(infer(desk, "guarded", ["a"], ["20"]))["score"] == [12.0]
    refused = infer(desk, "guarded", ["b", "ana@example.com"])
    assert refused.status_code == 400 and "guardrail no-mail blocks pii.email" in refused.text and "example" not in refused.text
    rows = desk.ask("POST", "/routes/guarded/invocations",
                    {"dataframe_records": [{"account": "ana@example.com", "amount": 1.0, "note": ""}]})
    assert rows.status_code == 400 and "guardrail no-mail blocks pii.email" in rows.text and "example" not in rows.text
    grpc = pytest.importorskip("tritonclient.grpc")
    from tritonclient.utils import InferenceServerException
    client = grpc.InferenceServerClient(desk.server.grpc)
    inputs = []
    for name, value in (("account", b"ana@example.com"), ("amount", b"1"), ("note", b"")):
        one = grpc.InferInput(name, [1], "BYTES")
        one.set_data_from_numpy(np.array([value], dtype=object))
        inputs.append(one)
    with pytest.raises(InferenceServerException) as told:
        client.infer("guarded", inputs, headers={"authorization": f"Bearer {desk.ana}"})
    assert "INVALID_ARGUMENT" in told.value.status() and "no-mail" in told.value.message() and "example" not in told.value.message()
    client.close()


def test_what_comes_beside_the_keys_is_looked_at_too(desk):
    flagged = infer(desk, "guarded", ["a", "a"], notes=["the blue falcon", "fine"])
    assert [event_of(desk, flagged, row)["guardrails"] for row in range(2)] == [["falcon:deny_list:flag"], []]
    assert infer(desk, "guarded", ["a"], notes=["mail bo@example.org"]).status_code == 400
    judged = infer(desk, "guarded", ["a"], notes=["you stupid idiot moron"])
    assert judged.status_code == 400 and "guardrail insults blocks classifier.toxic" in judged.text, judged.text
    node = event_of(desk, infer(desk, "guarded", ["a"], notes=["thank you for your help"]))["nodes"][0]
    assert node["model"] == "toxicity" and node["calls"] == 3, "each value alone"


def test_nothing_that_was_blocked_is_in_the_log(desk):
    assert infer(desk, "guarded", ["carla@example.net"]).status_code == 400
    assert said(infer(desk, "guarded", ["b"], notes=["this may be kept"], id="after"))
    desk.server.stop()

    def holding(text):
        paths = [path for path in desk.server.data.rglob("*") if path.is_file()] + [desk.server.out, desk.server.err]
        return [path for path in paths if text in path.read_bytes()]
    assert holding(b"this may be kept") and holding(b"carla@example.net") == []
    desk.server.start("127.0.0.1:0", "--sources", str(desk.server.data / "sources"), "--grpc", "127.0.0.1:0")


@pytest.mark.parametrize("name, says", [("masked", "masks (action: flag or block"), ("outward", "side: output")])
def test_a_guardrail_that_could_not_do_what_it_says_is_refused(desk, name, says):
    told = desk.apply(ROUTE.format(model="guarded", more=READS + f"guardrails: [{name}]\n"), expect=2)
    assert "guardrails[0]" in told and says in told and "means by entity keys" in told, told
    assert infer(desk, "guarded", ["a"]).status_code == 200, "it keeps what it served"


def test_an_answer_is_given_again_only_while_its_features_are_the_same(desk):
    first, again = infer(desk, "kept", ["a"], ["20"]), infer(desk, "kept", ["a"], ["20"])
    assert "x-penstock-cached" not in first.headers
    assert again.headers["x-penstock-cached"] == said(first)["prediction_id"][0]
    assert said(again)["score"] == said(first)["score"] == [12.0]
    event = event_of(desk, again)
    assert event["from_cache"] and event["model_micros"] == 0 and event["features"] == [10.0, 2.0, 0.0]
    assert "x-penstock-cached" not in infer(desk, "kept", ["a"], ["30"]).headers
    now = datetime.datetime.now(datetime.timezone.utc).isoformat()
    pushed = desk.ask("POST", "/api/v1/features:push", {"view": "account_means", "rows": [{"account": "a", "seen": now, "mean": 20.0}]},
                      token=desk.server.token)
    assert pushed.status_code == 200, pushed.text
    after = infer(desk, "kept", ["a"], ["20"])
    assert "x-penstock-cached" not in after.headers and said(after)["score"] == [21.0]
    assert "x-penstock-cached" in infer(desk, "kept", ["a"], ["20"]).headers
