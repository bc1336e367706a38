"""The Open Inference Protocol with Triton's own clients, and MLflow's scoring protocol, on one model of every datatype."""

import json
import os
import re

import numpy as np
import pytest
import requests

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
import mlflow  # noqa: E402
import onnx  # noqa: E402
import tritonclient.grpc as triton_grpc  # noqa: E402
import tritonclient.http as triton_http  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402
from tritonclient.utils import InferenceServerException  # noqa: E402

from conftest import Server  # noqa: E402

# Name, ONNX's type, and values that lose something in any other.
TYPES = {
    "BOOL": (TensorProto.BOOL, np.array([True, False])),
    "UINT8": (TensorProto.UINT8, np.array([0, 255], np.uint8)),
    "UINT16": (TensorProto.UINT16, np.array([0, 65535], np.uint16)),
    "UINT32": (TensorProto.UINT32, np.array([0, 2**32 - 1], np.uint32)),
    "UINT64": (TensorProto.UINT64, np.array([0, 2**64 - 1], np.uint64)),
    "INT8": (TensorProto.INT8, np.array([-128, 127], np.int8)),
    "INT16": (TensorProto.INT16, np.array([-2**15, 2**15 - 1], np.int16)),
    "INT32": (TensorProto.INT32, np.array([-2**31, 2**31 - 1], np.int32)),
    "INT64": (TensorProto.INT64, np.array([-2**63, 2**63 - 1], np.int64)),
    "FP16": (TensorProto.FLOAT16, np.array([0.5, -65504], np.float16)),
    "FP32": (TensorProto.FLOAT, np.array([0.1, -3e38], np.float32)),
    "FP64": (TensorProto.DOUBLE, np.array([0.1, -1e300])),
    "BYTES": (TensorProto.STRING, np.array(["", "ä\n\"x\""], dtype=object)),
}
DECLARED = """kind: model
name: echo
owner: desk
---
kind: route
name: echo
owner: desk
model: echo
entity_keys: []
output: score
---
kind: model
name: linear
owner: desk
---
kind: route
name: linear
owner: desk
model: linear
entity_keys: []
output: score
---
kind: route
name: idle
owner: desk
model: linear
entity_keys: []
output: score
"""
PLAN = """shadow: {calls: 0}
canary: [5000]
stage: {calls: 1}
bake: {calls: 1}
watch: {calls: 1}
guards: [{name: fails, quantity: error, safe_ratio: 1000}]
"""


class Both(Server):
    """A server of both protocols."""

    @property
    def grpc(self):
        return re.search(r"grpc://(\S+)", self.out.read_text())[1]

    @property
    def headers(self):
        """New ones each time: Triton's client writes into what it is given."""
        return {"authorization": f"Bearer {self.token}"}


def model_of(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made


def echo():
    """Gives each input back as out_NAME; the score is the FP32 input."""
    nodes, inputs, outputs = [], [], []
    for name, (kind, _) in TYPES.items():
        inputs.append(helper.make_tensor_value_info(name, kind, ["rows"]))
        outputs.append(helper.make_tensor_value_info(f"out_{name}", kind, ["rows"]))
        nodes.append(helper.make_node("Identity", [name], [f"out_{name}"]))
    nodes.append(helper.make_node("Identity", ["FP32"], ["score"]))
    outputs.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows"]))
    return model_of(nodes, inputs, outputs)


def linear():
    weights = helper.make_tensor("w", TensorProto.FLOAT, [2, 1], [1.0, 10.0])
    return model_of([helper.make_node("MatMul", ["x", "w"], ["score"])],
                    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
                    [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])], [weights])


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server with both protocols, and two routes in service."""
    folder = tmp_path_factory.mktemp("v2")
    one = Both(folder / "data")
    one.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    (folder / "declared.yaml").write_text(DECLARED)
    (folder / "plan.yaml").write_text(PLAN)
    applied = one.run("apply", str(folder / "declared.yaml"))
    assert applied.returncode == 0, applied.stderr
    ana = one.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()
    os.environ.update(MLFLOW_TRACKING_USERNAME="ana", MLFLOW_TRACKING_PASSWORD=ana)
    mlflow.set_tracking_uri(one.url)
    mlflow.set_experiment("v2")
    for name, made in (("echo", echo()), ("linear", linear())):
        with mlflow.start_run():
            mlflow.log_metric("auc", 0.9)
            mlflow.onnx.log_model(made, name="model", registered_model_name=name)
        assert one.run("models", "approve", f"{name}@v1", "--for", "production").returncode == 0
        begun = one.run("releases", "start", name, f"{name}@v1", "--plan", str(folder / "plan.yaml"), token=ana)
        assert begun.returncode == 0, begun.stderr
        release = json.loads(one.run("--json", "releases", "list").stdout)["releases"][0]["id"]
        approved = one.run("releases", "approve", release)
        assert approved.returncode == 0, approved.stderr
    one.wait(lambda: all(requests.get(f"{one.url}/v2/models/{name}/ready", headers=one.headers).ok
                         for name in ("echo", "linear")))
    yield one
    one.stop()
    del os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]


both = pytest.mark.parametrize("module", [triton_http, triton_grpc], ids=["http", "grpc"])


def client_of(served, module):
    return module.InferenceServerClient(served.grpc if module is triton_grpc else served.url.removeprefix("http://"))


def as_json(module):
    return {"as_json": True} if module is triton_grpc else {}


def echo_inputs(module, binary=True):
    inputs = []
    for name, (_, values) in TYPES.items():
        one = module.InferInput(name, [len(values)], name)
        if module is triton_http:
            one.set_data_from_numpy(values, binary_data=binary or name == "FP16")
        else:
            one.set_data_from_numpy(values)
        inputs.append(one)
    return inputs


def matrix(module, rows):
    one = module.InferInput("x", list(rows.shape), "FP32")
    one.set_data_from_numpy(rows)
    return [one]


def same(name, got):
    wanted = TYPES[name][1]
    if name == "BYTES":
        got = np.array([value.decode() if isinstance(value, bytes) else value for value in got], dtype=object)
    return got.dtype == wanted.dtype and (got == wanted).all()


@both
def test_every_datatype_comes_back_as_it_was_sent(served, module):
    result = client_of(served, module).infer("echo", echo_inputs(module), headers=served.headers, request_id=f"all-{module.__name__}")
    for name in TYPES:
        assert same(name, result.as_numpy(f"out_{name}")), (name, result.as_numpy(f"out_{name}"))
    assert result.get_response(**as_json(module))["id"] == f"all-{module.__name__}"


def test_json_and_binary_tensors_mix_both_ways(served):
    client = client_of(served, triton_http)
    outputs = [triton_http.InferRequestedOutput(f"out_{name}", binary_data=name in ("FP16", "FP32", "BYTES"))
               for name in TYPES]
    inputs = echo_inputs(triton_http, binary=False)
    inputs[0].set_data_from_numpy(TYPES["BOOL"][1], binary_data=True)
    result = client.infer("echo", inputs, outputs=outputs, headers=served.headers)
    for name in TYPES:
        assert same(name, result.as_numpy(f"out_{name}")), name
    said = {one["name"]: one for one in result.get_response()["outputs"]}
    assert "data" in said["out_INT64"] and said["out_FP32"]["parameters"]["binary_data_size"] == 8
    assert list(said) == [f"out_{name}" for name in TYPES], "only those that were asked for, in that order"
    refused = requests.post(f"{served.url}/v2/models/echo/infer", headers=served.headers, json={
        "inputs": [{"name": "FP16", "datatype": "FP16", "shape": [1], "data": [1]}]})
    assert refused.status_code == 400 and "no JSON form" in refused.json()["error"]


@both
def test_compressed_and_long_messages_pass(served, module):
    rows = np.random.default_rng(1).normal(size=(10_000, 2)).astype(np.float32)
    client = client_of(served, module)
    packed = {"compression_algorithm": "gzip"} if module is triton_grpc else {
        "request_compression_algorithm": "gzip", "response_compression_algorithm": "gzip"}
    result = client.infer("linear", matrix(module, rows), headers=served.headers, **packed)
    assert np.allclose(result.as_numpy("score")[:, 0], rows @ [1, 10], atol=1e-4)
    # Far above gRPC's own 4 MB.
    inputs = echo_inputs(module)
    long = np.array(["x" * 5_000_000, "y" * 5_000_000], dtype=object)
    inputs[-1] = module.InferInput("BYTES", [2], "BYTES")
    inputs[-1].set_data_from_numpy(long)
    result = client.infer("echo", inputs, headers=served.headers)
    assert [len(value) for value in result.as_numpy("out_BYTES")] == [5_000_000, 5_000_000]


def x(**changes):
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]} | changes]}


WRONG = {
    "shape": (x(shape=[1, 3], data=[1, 2, 3]), "input x must be FP32 [any,2], not FP32 [1,3]"),
    "rank": (x(shape=[2]), "input x must be FP32 [any,2]"),
    "short": (x(data=[1]), "has 1 elements; its shape says 2"),
    "long": (x(data=[1, 2, 3]), "has 3 elements; its shape says 2"),
    "datatype": (x(datatype="INT64"), "input x must be FP32"),
    "unknown datatype": (x(datatype="FLOAT"), "datatype FLOAT is unknown; expected BOOL"),
    "unknown input": (x(name="y"), "no input y: it takes x"),
    "element": (x(data=["a", "b"]), "is no value of datatype FP32"),
    "no rows": (x(shape=[0, 2], data=[]), "no row"),
    "negative": (x(shape=[-1, 2]), "negative"),
    "no inputs": ({}, "inputs is missing"),
    "unknown output": (x() | {"outputs": [{"name": "z"}]}, "there is no output z; there are score"),
    "no object": ([], "object"),
}


@pytest.mark.parametrize("body, message", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_a_400_that_says_what_was_expected(served, body, message):
    refused = requests.post(f"{served.url}/v2/models/linear/infer", json=body, headers=served.headers)
    assert refused.status_code == 400, refused.text
    assert list(refused.json()) == ["error"] and message in refused.json()["error"], refused.text


def test_unknown_models_versions_and_broken_bodies_are_told_apart(served):
    for path, status in (("nope/infer", 404), ("linear/versions/9/infer", 404), ("linear/versions/x/infer", 404),
                         ("linear/versions/1/infer", 200)):
        answer = requests.post(f"{served.url}/v2/models/{path}", json=x(), headers=served.headers)
        assert answer.status_code == status, answer.text
    broken = requests.post(f"{served.url}/v2/models/linear/infer", data=b'{"inputs": [', headers=served.headers)
    assert broken.status_code == 400 and "no JSON" in broken.json()["error"]
    large = requests.post(f"{served.url}/v2/models/linear/infer", data=b" " * (65 << 20), headers=served.headers)
    assert large.status_code == 413 and "larger than" in large.json()["error"]
    assert requests.post(f"{served.url}/v2/models/linear/infer", json=x()).status_code == 401


def test_grpc_says_it_with_its_codes(served):
    client = client_of(served, triton_grpc)
    cases = [("nope", "", matrix(triton_grpc, np.ones((1, 2), np.float32)), "NOT_FOUND"),
             ("linear", "9", matrix(triton_grpc, np.ones((1, 2), np.float32)), "NOT_FOUND"),
             ("linear", "", matrix(triton_grpc, np.ones((1, 3), np.float32)), "INVALID_ARGUMENT"),
             ("echo", "", echo_inputs(triton_grpc)[:3], "INVALID_ARGUMENT")]
    for model, version, inputs, code in cases:
        with pytest.raises(InferenceServerException) as refused:
            client.infer(model, inputs, model_version=version, headers=served.headers)
        assert refused.value.status() == f"StatusCode.{code}", refused.value
    with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
        client.infer("linear", matrix(triton_grpc, np.ones((1, 2), np.float32)))


@both
def test_the_server_and_its_models_describe_themselves(served, module):
    client = client_of(served, module)
    server = client.get_server_metadata(headers=served.headers, **as_json(module))
    assert server["name"] == "penstock" and re.fullmatch(r"\d+\.\d+\.\d+", server["version"])
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server["extensions"])
    model = client.get_model_metadata("linear", headers=served.headers, **as_json(module))
    assert model["platform"] == "onnx_onnxv1" and model["versions"] == ["1"]
    assert [(one["name"], one["datatype"], [int(size) for size in one["shape"]]) for one in model["inputs"]] == [
        ("x", "FP32", [-1, 2])]
    assert [one["name"] for one in model["outputs"]] == ["score", "decision", "prediction_id", "version"]


@both
def test_the_repository_lists_loads_and_refuses_to_unload(served, module):
    client = client_of(served, module)
    index = client.get_model_repository_index(headers=served.headers, **as_json(module))
    index = index.get("models", []) if module is triton_grpc else index
    states = {(one["name"], one.get("version", "")): one["state"] for one in index}
    assert states == {("echo", "1"): "READY", ("linear", "1"): "READY", ("idle", ""): "UNAVAILABLE"}
    client.load_model("linear", headers=served.headers)
    with pytest.raises(InferenceServerException, match="said by a release"):
        client.unload_model("linear", headers=served.headers)
    for change in (client.load_model, client.unload_model):
        for name, says in (("idle", "no version is released on route idle"), ("nope", "nope")):
            with pytest.raises(InferenceServerException, match=says) as refused:
                change(name, headers=served.headers)
            assert refused.value.status() in ("404", "StatusCode.NOT_FOUND")
    assert client.is_model_ready("linear", headers=served.headers)
    if module is triton_http:
        ready = requests.post(f"{served.url}/v2/repository/index", json={"ready": True}, headers=served.headers)
        assert {one["name"] for one in ready.json()} == {"echo", "linear"}


@both
def test_statistics_count_rows_and_calls(served, module):
    client = client_of(served, module)

    def now():
        said = client.get_inference_statistics("linear", headers=served.headers, **as_json(module))
        one = said["model_stats"][0]
        return int(one.get("inference_count", 0)), int(one.get("execution_count", 0)), one

    rows, calls, _ = now()
    client.infer("linear", matrix(module, np.ones((7, 2), np.float32)), headers=served.headers)
    more_rows, more_calls, said = now()
    assert (more_rows - rows, more_calls - calls) == (7, 1)
    assert int(said["inference_stats"]["success"]["ns"]) > 0 and int(said["last_inference"]) > 1_600_000_000_000
    everything = client.get_inference_statistics(headers=served.headers, **as_json(module))
    assert {one["name"] for one in everything["model_stats"]} == {"echo", "linear"}
    with pytest.raises(InferenceServerException, match="nope"):
        client.get_inference_statistics("nope", headers=served.headers)


def test_a_prediction_is_on_record_as_soon_as_it_is_asked_for(served):
    for _ in range(20):
        answer = requests.post(f"{served.url}/v2/models/linear/infer", json=x(), headers=served.headers).json()
        made = {one["name"]: one["data"][0] for one in answer["outputs"]}
        found = requests.get(f"{served.url}/api/v1/predictions/{made['prediction_id']}", headers=served.headers)
        assert found.status_code == 200 and found.json()["score"] == made["score"], found.text


INVOCATIONS = {
    "split": {"dataframe_split": {"index": [0, 1], "columns": ["a", "b"], "data": [[1, 2], [3, 4]]}},
    "records": {"dataframe_records": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]},
    "instances": {"instances": [[1, 2], [3, 4]]},
    "inputs": {"inputs": [[1, 2], [3, 4]]},
    "named": {"inputs": {"x": [[1, 2], [3, 4]]}},
}


@pytest.mark.parametrize("body", INVOCATIONS.values(), ids=INVOCATIONS)
def test_invocations_speak_as_mlflow_models_serve_does(served, body):
    url = f"{served.url}/routes/linear/invocations"
    answer = requests.post(url, json=body, headers=served.headers)
    assert answer.status_code == 200 and answer.json()["predictions"] == [21.0, 43.0], answer.text
    by_header = requests.post(f"{served.url}/invocations", json=body,
                              headers=served.headers | {"X-Penstock-Route": "linear"})
    assert by_header.json()["predictions"] == [21.0, 43.0]


def test_invocations_take_csv_and_refuse_in_mlflows_shape(served):
    url = f"{served.url}/routes/linear/invocations"
    csv = requests.post(url, data="a,b\n1,2\n3,4\n", headers=served.headers | {"Content-Type": "text/csv"})
    assert csv.json()["predictions"] == [21.0, 43.0], csv.text
    which = requests.post(f"{served.url}/invocations", json=INVOCATIONS["inputs"], headers=served.headers)
    assert which.status_code == 400 and "in service are echo, linear" in which.json()["message"]
    wrong = requests.post(url, json={"inputs": [[1, 2, 3]]}, headers=served.headers)
    assert wrong.status_code == 400 and "error_code" in wrong.json(), wrong.text
    assert requests.get(f"{served.url}/ping").status_code == 200
    assert requests.get(f"{served.url}/health").status_code == 200


def test_memory_of_loaded_models_is_measured(served):
    def gauges():
        return re.findall(r'penstock_model_memory_bytes{[^}]*model="(\w+)"[^}]*} (\S+)',
                          requests.get(f"{served.url}/metrics").text)

    served.wait(lambda: {name for name, _ in gauges()} == {"echo", "linear"})
    assert all(float(bytes_used) > 100 for _, bytes_used in gauges())
