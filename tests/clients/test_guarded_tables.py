"""Guardrails on the texts of tabular calls, and answers that are given again: over V2 (JSON and tritonclient) and /invocations."""

import re

import numpy as np
import pytest

from conftest import Server
from desk import ROUTE, Desk
from test_classifiers import CLASSIFIER, as_onnx, toxicity

onnx = pytest.importorskip("onnx")
RULES = """kind: guardrail
name: no-mail
owner: privacy
side: both
rule: pii
action: mask
tags: [pii.email]
---
kind: guardrail
name: short
owner: privacy
side: input
rule: size
action: block
max_characters: 60
---
kind: guardrail
name: no-falcon
owner: privacy
side: output
rule: deny_list
action: block
phrases: [blue falcon]
---
kind: guardrail
name: cards
owner: privacy
side: input
rule: pii
action: flag
tags: [financial.card]
"""


def noter(folder):
    """Gives back the text of each row, and adds up its two numbers."""
    from onnx import TensorProto, helper
    text = helper.make_tensor_value_info("text", TensorProto.STRING, [None])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    nodes = [helper.make_node("Identity", ["text"], ["said"]),
             helper.make_node("ReduceSum", ["x", "axes"], ["score"], keepdims=0)]
    graph = helper.make_graph(nodes, "noter", [text, x],
                              [helper.make_tensor_value_info("said", TensorProto.STRING, [None]),
                               helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
                              [helper.make_tensor("axes", TensorProto.INT64, [1], [1])])
    folder.mkdir()
    (folder / "model.onnx").write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString())
    return folder


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    data = folder / "data"
    data.mkdir()
    server = Server(data)
    server.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    one = Desk(server, folder)
    one.grpc = re.search(r"grpc://(\S+)", server.out.read_text())[1]
    one.apply(RULES)
    for route, more in (("notes", "guardrails: [no-mail, short, no-falcon, cards]\n"),
                        ("kept", "cache: {keep: 1h}\nguardrails: [no-mail]\n"),
                        ("judged", "guardrails: [insults]\n"),
                        ("shy", "guardrails: [no-mail]\npayloads: {sample: 1}\ninput_class: internal\n")):
        if route == "judged":
            one.apply("kind: model\nname: toxicity\nowner: safety\n")
            one.register("toxicity", as_onnx(folder / "toxicity", toxicity()))
            one.apply(CLASSIFIER.format(name="insults", more="side: input\naction: block\nmodel: toxicity@1\nthreshold: 0.5\n"))
        one.apply(ROUTE.format(model=route, more=more))
        one.start_release(route, one.register(route, noter(folder / route)))
    yield one
    server.stop()


def call(desk, route, texts, x=None, **more):
    x = x or [[1.0, 2.0]] * len(texts)
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts},
                       {"name": "x", "datatype": "FP32", "shape": [len(texts), 2], "data": x}], **more}
    return desk.ask("POST", f"/v2/models/{route}/infer", body)


def said(answer):
    assert answer.status_code == 200, answer.text
    return {one["name"]: one["data"] for one in answer.json()["outputs"]}


def event_of(desk, answer, row=0):
    return desk.ask("GET", f"/api/v1/predictions/{said(answer)['prediction_id'][row]}").json()


def test_texts_are_masked_row_by_row(desk):
    answer = call(desk, "notes", ["write to ana@example.com now", "nothing here", "4111 1111 1111 1111"])
    assert said(answer)["said"] == ["write to [pii.email] now", "nothing here", "4111 1111 1111 1111"]
    assert said(answer)["score"] == [3.0, 3.0, 3.0]
    assert [event_of(desk, answer, row)["guardrails"] for row in range(3)] == [["no-mail:pii.email:mask"], [], ["cards:financial.card:flag"]]


def test_what_is_blocked_is_a_400_that_names_the_input_and_never_the_text(desk):
    refused = call(desk, "notes", ["fine", "far too long " * 9])
    assert refused.status_code == 400 and "guardrail short blocks size" in refused.json()["error"], refused.text
    assert "far too long" not in refused.text
    withheld = call(desk, "notes", ["the blue falcon flies"])
    assert withheld.status_code == 400 and "the answer was withheld: guardrail no-falcon blocks deny_list" in withheld.text


def test_invocations_are_guarded_too(desk):
    body = {"inputs": {"text": ["ana@example.com"], "x": [[1.0, 1.0]]}}
    answer = desk.ask("POST", "/routes/notes/invocations", body)
    assert answer.status_code == 200 and "[pii.email]" in answer.text and "ana@example.com" not in answer.text, answer.text
    refused = desk.ask("POST", "/routes/notes/invocations", {"inputs": {"text": ["long " * 30], "x": [[1.0, 1.0]]}})
    assert refused.status_code == 400 and "guardrail short blocks size" in refused.text


def test_a_classifier_judges_tabular_texts_too(desk):
    assert said(call(desk, "judged", ["thank you for your help"]))["score"] == [3.0]
    refused = call(desk, "judged", ["you stupid idiot moron"])
    assert refused.status_code == 400 and "guardrail insults blocks classifier" in refused.text, refused.text
    node = event_of(desk, call(desk, "judged", ["hello there", "you are kind"]))["nodes"][0]
    assert node["model"] == "toxicity" and node["calls"] == 2


def test_what_was_masked_is_nowhere_in_what_is_kept(desk):
    answer = call(desk, "shy", ["mail bo@example.org please"])
    name = said(answer)["prediction_id"][0]
    def shown():
        return desk.server.run("predictions", "payload", name).stdout
    desk.server.wait(lambda: '"text"' in shown())
    assert "bo@example.org" not in shown()


def test_the_same_tensors_get_the_same_answer_again(desk):
    first = call(desk, "kept", ["keep me", "b@example.com"], [[1.0, 2.0], [3.0, 4.0]])
    again = call(desk, "kept", ["keep me", "b@example.com"], [[1.0, 2.0], [3.0, 4.0]])
    assert "x-penstock-cached" not in first.headers
    assert again.headers["x-penstock-cached"] == said(first)["prediction_id"][0]
    for name in ("said", "score", "decision", "version"):
        assert said(again)[name] == said(first)[name]
    assert said(again)["prediction_id"] != said(first)["prediction_id"]
    event = event_of(desk, again, 1)
    assert event["from_cache"] and event["model_micros"] == 0 and event["score"] == 7.0
    assert not event_of(desk, first, 1)["from_cache"]
    swapped = call(desk, "kept", ["keep me", "b@example.com"], [[1.0, 2.0], [3.0, 4.5]])
    assert "x-penstock-cached" not in swapped.headers and said(swapped)["score"] == [3.0, 7.5]
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [[1.0, 2.0], [3.0, 4.0]]},
                       {"name": "text", "datatype": "BYTES", "shape": [2], "data": ["keep me", "b@example.com"]}]}
    assert "x-penstock-cached" in desk.ask("POST", "/v2/models/kept/infer", body).headers, "in whatever order they come"
    other = desk.server.run("tokens", "create", "bo", "--actor", "user:bo", "--tenant", "other", "--role", "developer").stdout.strip()
    assert "x-penstock-cached" not in desk.ask("POST", "/v2/models/kept/infer", body, token=other).headers, "a tenant's answers are its own"


def test_cached_answers_cost_a_request_and_no_time(desk):
    def meters():
        rows = desk.ask("GET", "/api/v1/costs?by=tenant,meter").json()["rows"]
        return {row["keys"][1]: int(row["quantity"]) for row in rows if row["keys"][0] == "counter"}
    token = desk.server.run("tokens", "create", "counter", "--actor", "user:counter", "--tenant", "counter", "--role", "developer").stdout.strip()
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["count me"]},
                       {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 2.0]}]}
    answers = [desk.ask("POST", "/v2/models/kept/infer", body, token=token) for _ in range(3)]
    assert ["x-penstock-cached" in one.headers for one in answers] == [False, True, True]
    desk.server.wait(lambda: meters().get("requests") == 3)
    assert meters()["compute_microseconds"] == event_of(desk, answers[0])["model_micros"]


def test_tritonclient_gets_masked_and_cached_answers(desk):
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(desk.server.url.removeprefix("http://"))
    text, x = http.InferInput("text", [1], "BYTES"), http.InferInput("x", [1, 2], "FP32")
    text.set_data_from_numpy(np.array([b"c@example.com twice"], dtype=object))
    x.set_data_from_numpy(np.array([[2.0, 2.0]], dtype=np.float32))
    headers = {"Authorization": f"Bearer {desk.ana}"}
    for turn in range(2):
        got = client.infer("kept", [text, x], headers=headers)
        assert got.as_numpy("said").tolist() == [b"[pii.email] twice"] and got.as_numpy("score").tolist() == [4.0]
    client.close()

    grpc = pytest.importorskip("tritonclient.grpc")
    client = grpc.InferenceServerClient(desk.grpc)
    text, x = grpc.InferInput("text", [1], "BYTES"), grpc.InferInput("x", [1, 2], "FP32")
    text.set_data_from_numpy(np.array([b"d@example.com twice"], dtype=object))
    x.set_data_from_numpy(np.array([[2.0, 2.0]], dtype=np.float32))
    headers = {"authorization": f"Bearer {desk.ana}"}
    first, again = (client.infer("kept", [text, x], headers=headers) for _ in range(2))
    assert "x-penstock-cached" not in first.get_response().parameters
    assert (again.get_response().parameters["x-penstock-cached"].string_param.encode()
            == first.as_numpy("prediction_id")[0])
    client.close()


def test_both_can_be_declared_later(desk):
    desk.apply(ROUTE.format(model="notes", more="guardrails: [no-mail, short, no-falcon, cards]\ncache: {keep: 1m}\n"))
    assert "x-penstock-cached" not in call(desk, "notes", ["again"]).headers
    assert "x-penstock-cached" in call(desk, "notes", ["again"]).headers
    assert call(desk, "notes", ["far too long " * 9]).status_code == 400
    # A guardrail that comes later has not seen what was kept.
    for _ in range(2):
        kept = call(desk, "notes", ["an osprey"])
    assert "x-penstock-cached" in kept.headers and said(kept)["said"] == ["an osprey"]
    desk.apply("kind: guardrail\nname: no-birds\nowner: safety\nside: output\nrule: deny_list\naction: mask\nphrases: [osprey]\n---\n"
               + ROUTE.format(model="notes", more="guardrails: [no-birds]\ncache: {keep: 1m}\n"))
    later = call(desk, "notes", ["an osprey"])
    assert "x-penstock-cached" not in later.headers and "osprey" not in said(later)["said"][0]
