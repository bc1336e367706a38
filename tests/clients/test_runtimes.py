"""Versions that other servers and worker processes run: declared, registered, released and called."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from conftest import Server
from desk import ROUTE, Desk, onnx_model, remote

UPSTREAM = """kind: upstream
name: vllm
owner: ml-platform
protocol: openai
url: http://127.0.0.1:9/v1
api_key: secret:vllm
"""
KEY = "sk-never-to-be-seen"


@pytest.fixture(scope="module")
def peer(tmp_path_factory):
    """Another Penstock that serves an ONNX model as `scorer`: it speaks V2 over HTTP and gRPC."""
    folder = tmp_path_factory.mktemp("peer")
    server = Server(folder / "data")
    server.start("127.0.0.1:0", "--grpc", "127.0.0.1:0")
    desk = Desk(server, folder)
    desk.grpc = re.search(r"grpc://(\S+)", server.out.read_text())[1]
    desk.apply(ROUTE.format(model="scorer", more="output: variable\n"))
    desk.start_release("scorer", desk.register("scorer", onnx_model(folder / "line", 3.0)))
    yield desk
    server.stop()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, peer):
    folder = tmp_path_factory.mktemp("runtimes")
    data = folder / "data"
    data.mkdir()
    (folder / "key").write_text(KEY + "\n")
    (folder / "peer").write_text(peer.ana + "\n")
    hosts = json.dumps([peer.server.url.removeprefix("http://"), peer.grpc])
    (data / "penstock.yaml").write_text(
        f"secrets:\n  vllm: {{value: 'file:{folder}/key', hosts: ['127.0.0.1:9']}}\n"
        f"  peer: {{value: 'file:{folder}/peer', hosts: {hosts}}}\n"
        f"python: {{interpreter: {sys.executable}, run_time: 20s, workers: 2}}\n")
    server = Server(data)
    server.start()
    yield Desk(server, folder)
    server.stop()


def flights():
    """A model of scikit-learn with columns of three types, and rows for it."""
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame({"distance": [100.0, 900.0, 400.0, 1500.0] * 5, "hour": range(20), "carrier": ["UA", "DL", "AA", "é"] * 5})
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), ("passthrough", ["distance", "hour"]))
    return make_pipeline(columns, LogisticRegression()).fit(rows, [0, 1, 0, 1, 1] * 4), rows


def saved(folder: Path) -> Path:
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model, rows = flights()
    mlflow.sklearn.save_model(model, str(folder), signature=infer_signature(rows, model.predict_proba(rows)),
                              pyfunc_predict_fn="predict_proba", pip_requirements=["scikit-learn"], metadata={"gpus": 0.5})
    return folder


def columns_of(rows) -> list:
    types = {"distance": "FP64", "hour": "INT64", "carrier": "BYTES"}
    return [{"name": name, "datatype": types[name], "shape": [len(rows)], "data": rows[name].tolist()} for name in types]


def workers_of(server: Server) -> list:
    """The process ids of its Python workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if str(server.data.resolve()).encode() in b" ".join(words) and b"-I" in words and state[0] != "Z":
            found.append(int(folder.name))
    return found


def test_a_remote_version_goes_from_nothing_to_a_route(desk, tmp_path):
    desk.apply(UPSTREAM)
    desk.apply(ROUTE.format(model="chat", more=""))
    version = desk.register("chat", remote(tmp_path / "v1", "upstream: vllm\nmodel: llama-3-8b\n"))
    shown = json.loads(desk.server.run("models", "show", f"chat@v{version}", "--json").stdout)
    assert shown["version"]["record"]["runtime"] == "openai" and shown["blockers"] == []
    first = desk.start_release("chat", version)
    desk.server.wait(lambda: "closed" in desk.server.run("releases", "show", first).stdout)
    assert [(t["version"], t["ready"]) for t in desk.targets("chat")] == [(1, True)]
    # It takes words: the tabular doors say where to go.
    tensors = desk.ask("POST", "/v2/models/chat/infer", {"inputs": []})
    assert tensors.status_code in (400, 409) and "/v1/chat/completions" in tensors.text, tensors.text

    second = desk.register("chat", remote(tmp_path / "v2", "upstream: vllm\nmodel: llama-3-70b\n"),
                           "rollback_to: chat-v1\n")
    release = desk.start_release("chat", second)
    assert sorted((t["version"], t["weight"]) for t in desk.targets("chat")) == [(1, 5000), (2, 5000)]
    assert desk.server.run("releases", "rollback", release).returncode == 0
    assert [(t["version"], t["weight"]) for t in desk.targets("chat")] == [(1, 10000)]


@pytest.mark.parametrize("change, says", [
    (("secret:vllm", KEY), "a key itself does not belong into a declaration"),
    (("secret:vllm", "secret:other"), "its owner adds secrets.other"),
    (("127.0.0.1:9", "127.0.0.1:10"), "may not go to 127.0.0.1:10"),
    (("127.0.0.1:9", "evil.test"), "may not go to evil.test:80"),
    (("127.0.0.1:9", f"me:{KEY}@127.0.0.1:9"), "must not hold a user"),
    (("http://", "grpc://"), "must begin with http:// or https://"),
])
def test_secrets_go_only_where_the_owner_of_the_server_said(desk, change, says):
    path = desk.folder / "refused.yaml"
    path.write_text(UPSTREAM.replace(*change))
    done = desk.server.run("apply", str(path), token=desk.ana)
    assert done.returncode in (1, 2)
    refused = done.stdout + done.stderr
    assert says in refused and KEY not in refused


def test_no_secret_is_told_or_kept(desk):
    assert KEY not in desk.server.err.read_text()
    for path in ("/api/v1/resources?kind=upstream", "/api/v1/routes", "/metrics", "/api/v1/audit/events"):
        assert KEY not in desk.ask("GET", path, token=desk.server.token).text
    table = (desk.server.data / "routing_table.json").read_text()
    assert "secret:vllm" in table and KEY not in table


@pytest.mark.parametrize("text, says", [
    ("upstream: nobody\nmodel: m\n", "which is not declared in project default"),
    ("upstream: vllm\n", "model is missing"),
    ("upstream: vllm\nmodel: m\ncolour: red\n", "colour"),
    ("upstream: vllm\nmodel: m\ngpus: -1\n", "gpus must be from 0 to 1024"),
])
def test_a_remote_yaml_that_cannot_be_is_refused_at_registration(desk, tmp_path, text, says):
    record = tmp_path / "record.yaml"
    record.write_text("model_id: chat\nartifact_uri: x\n")
    refused = desk.server.run("models", "register", "-f", str(record), "--artifact",
                              str(remote(tmp_path / "bad", text)), token=desk.ana)
    assert refused.returncode in (1, 2) and says in refused.stderr, refused.stderr


def test_a_model_of_scikit_learn_answers_from_a_worker_process(desk, tmp_path):
    desk.apply(ROUTE.format(model="flights", more="output: output-0\nthreshold: 0.5\n"))
    version = desk.register("flights", saved(tmp_path / "v1"))
    desk.start_release("flights", version)
    described = desk.ask("GET", "/v2/models/flights").json()
    assert [(one["name"], one["datatype"]) for one in described["inputs"]] == \
        [("distance", "FP64"), ("hour", "INT64"), ("carrier", "BYTES")]

    model, rows = flights()
    answer = desk.ask("POST", "/v2/models/flights/infer", {"id": "first", "inputs": columns_of(rows[:7])})
    assert answer.status_code == 200, answer.text
    outputs = {one["name"]: one for one in answer.json()["outputs"]}
    assert outputs["output-0"]["shape"] == [7, 2]
    expected = model.predict_proba(rows[:7])
    assert outputs["output-0"]["data"] == expected.reshape(-1).tolist(), "bit for bit"

    event = desk.ask("GET", "/api/v1/predictions/first.3").json()
    assert event["runtime"] == "python" and event["score"] == expected[3][1]
    events = [desk.ask("GET", f"/api/v1/predictions/first.{row}").json() for row in range(7)]
    used = sum(one["gpu_micros"] for one in events)
    assert abs(used - events[0]["model_micros"] * 0.5) <= 1, "half a GPU for as long as it took, over all rows"

    wrong = columns_of(rows[:2])
    wrong[0]["datatype"] = "FP32"
    refused = desk.ask("POST", "/v2/models/flights/infer", {"inputs": wrong})
    assert refused.status_code == 400 and "distance must be FP64 [any]" in refused.text, refused.text


def test_a_version_that_is_replaced_leaves_no_process(desk, tmp_path):
    before = workers_of(desk.server)
    assert len(before) == 2, before
    release = desk.start_release("flights", desk.register("flights", saved(tmp_path / "v2"), "rollback_to: flights-v1\n"))
    desk.server.wait(lambda: len(workers_of(desk.server)) == 4)
    assert desk.server.run("releases", "rollback", release).returncode == 0
    desk.server.wait(lambda: sorted(workers_of(desk.server)) == sorted(before))


def test_a_model_that_cannot_be_loaded_says_why_and_changes_nothing(desk, tmp_path):
    broken = saved(tmp_path / "broken")
    mlmodel = (broken / "MLmodel").read_text()
    (broken / "MLmodel").write_text(mlmodel.replace("loader_module: mlflow.sklearn", "loader_module: no_such_module"))
    version = desk.register("flights", broken, "rollback_to: flights-v1\n")
    assert desk.server.run("models", "approve", f"flights@v{version}", "--for", "production").returncode == 0
    started = desk.server.run("releases", "start", "flights", f"flights@v{version}", "--plan", str(desk.folder / "plan.yaml"),
                              token=desk.ana)
    assert started.returncode == 0, started.stderr
    release = re.search(r"release:(\S+)", started.stdout)[1]
    approved = desk.server.run("releases", "approve", release)
    assert "no_such_module" in approved.stderr + desk.server.err.read_text()
    desk.server.run("releases", "rollback", release)
    _, rows = flights()
    assert desk.ask("POST", "/v2/models/flights/infer", {"inputs": columns_of(rows[:1])}).status_code == 200


def test_prepare_makes_an_environment_or_says_why_not(desk, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    data = str(desk.server.data)
    failed = desk.server.run("models", "prepare", "flights@v1", "--data", data, "--python", sys.executable)
    assert failed.returncode == 1 and "-m pip failed" in failed.stderr and "No matching distribution" in failed.stderr, failed.stderr
    places = [path for path in (desk.server.data / "python").iterdir() if path.is_dir()]
    assert len(places) == 1 and not (places[0] / "ready").exists(), "one that failed is used by nobody"
    (places[0] / "ready").touch()
    again = desk.server.run("models", "prepare", "flights@v1", "--data", data)
    assert again.returncode == 0 and f"{places[0]} was ready already" in again.stdout
    (places[0] / "ready").unlink()
    none = desk.server.run("models", "prepare", "chat@v1", "--data", data)
    assert none.returncode == 1 and "has no requirements.txt" in none.stderr
    nowhere = desk.server.run("models", "prepare", "flights@v1", "--data", str(tmp_path / "gone"))
    assert nowhere.returncode == 1 and "is no directory" in nowhere.stderr


def large_model(folder: Path, megabytes: int) -> Path:
    """y = mean(X W) with that many megabytes of weights."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.ones((2, megabytes << 17), dtype=np.float32), "W")
    nodes = [helper.make_node("MatMul", ["X", "W"], ["wide"]),
             helper.make_node("ReduceMean", ["wide"], ["variable"], axes=[1], keepdims=1)]
    graph = helper.make_graph(nodes, "large", [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])],
                              [helper.make_tensor_value_info("variable", TensorProto.FLOAT, [None, 1])], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir()
    onnx.save(model, folder / "model.onnx")
    return folder


def megabytes_of(server: Server) -> float:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 2**20


def test_an_onnx_model_that_no_route_names_gives_its_memory_back(desk, tmp_path):
    desk.apply(ROUTE.format(model="large", more="output: variable\n"))
    desk.start_release("large", desk.register("large", onnx_model(tmp_path / "v1", 1.0)))
    version = desk.register("large", large_model(tmp_path / "v2", 200), "rollback_to: large-v1\n")
    before = megabytes_of(desk.server)
    release = desk.start_release("large", version)
    desk.server.wait(lambda: all(target["ready"] for target in desk.targets("large")))
    during = megabytes_of(desk.server)
    assert during > before + 150, (before, during)
    inputs = [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]
    assert desk.ask("POST", "/v2/models/large/versions/2/infer", {"inputs": inputs}).json()["outputs"]
    assert desk.server.run("releases", "rollback", release).returncode == 0
    desk.server.wait(lambda: megabytes_of(desk.server) < during - 150)


@pytest.mark.parametrize("protocol", ["kserve", "kserve_grpc"])
def test_another_server_answers_by_v2(desk, peer, tmp_path, protocol):
    name = protocol.replace("_", "-")
    url = peer.server.url if protocol == "kserve" else f"grpc://{peer.grpc}"
    desk.apply(f"kind: upstream\nname: {name}\nowner: o\nprotocol: {protocol}\nurl: {url}\napi_key: secret:peer\n")
    desk.apply(ROUTE.format(model=name, more=""))
    version = desk.register(name, remote(tmp_path / "v1", f"upstream: {name}\nmodel: scorer\ngpus: 1\n"))
    shown = json.loads(desk.server.run("models", "show", f"{name}@v{version}", "--json").stdout)
    assert shown["version"]["record"]["runtime"] == "kserve"
    desk.start_release(name, version)
    described = desk.ask("GET", f"/v2/models/{name}").json()
    assert [one["name"] for one in described["inputs"]] == ["X"]

    inputs = [{"name": "X", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 5, 6]}]
    answer = desk.ask("POST", f"/v2/models/{name}/infer", {"id": f"far-{name}", "inputs": inputs})
    assert answer.status_code == 200, answer.text
    scores = next(one for one in answer.json()["outputs"] if one["name"] == "score")["data"]
    assert scores == pytest.approx([3.0, 15.0], abs=1e-4)
    event = desk.ask("GET", f"/api/v1/predictions/far-{name}.0").json()
    assert event["score"] == scores[0] and event["runtime"] == "kserve" and event["upstream"] == f"default/{name}" and event["gpu_micros"] > 0

    wrong = [dict(inputs[0], shape=[1, 4])]
    refused = desk.ask("POST", f"/v2/models/{name}/infer", {"inputs": wrong})
    assert refused.status_code == 400 and "must be FP32" in refused.text, refused.text
    assert peer.ana not in desk.server.err.read_text()


def test_an_upstream_that_does_not_know_the_model_or_the_key_is_said(desk, peer, tmp_path):
    version = desk.register("kserve", remote(tmp_path / "v2", "upstream: kserve\nmodel: nobody\n"), "rollback_to: kserve-v1\n")
    assert desk.server.run("models", "approve", f"kserve@v{version}", "--for", "production").returncode == 0
    started = desk.server.run("releases", "start", "kserve", f"kserve@v{version}", "--plan", str(desk.folder / "plan.yaml"),
                              token=desk.ana)
    assert started.returncode == 0, started.stderr
    release = re.search(r"release:(\S+)", started.stdout)[1]
    approved = desk.server.run("releases", "approve", release)
    assert "does not know the model (404)" in approved.stderr + desk.server.err.read_text()
    desk.server.run("releases", "rollback", release)


@pytest.mark.skipif("MLSERVER" not in os.environ, reason="MLSERVER names no folder of an environment with mlserver-sklearn")
@pytest.mark.parametrize("protocol", ["kserve", "kserve_grpc"])
def test_mlserver_answers_by_v2(desk, tmp_path, protocol):
    binaries = Path(os.environ["MLSERVER"]) / "bin"
    ports = []
    for _ in range(3):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    (tmp_path / "settings.json").write_text(json.dumps(
        {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2], "parallel_workers": 0}))
    model = tmp_path / "line"
    model.mkdir()
    (model / "model-settings.json").write_text(json.dumps(
        {"name": "line", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./model.joblib"},
         "inputs": [{"name": "predict", "datatype": "FP32", "shape": [-1, 2]}]}))
    subprocess.run([binaries / "python", "-c", "import joblib, sys, numpy as np; from sklearn.linear_model import LinearRegression; "
                    "rows = np.arange(12).reshape(6, 2); joblib.dump(LinearRegression().fit(rows, rows[:, 0] * 3), sys.argv[1])",
                    model / "model.joblib"], check=True)
    log = (tmp_path / "log").open("w")
    mlserver = subprocess.Popen([binaries / "mlserver", "start", str(tmp_path)], stdout=log, stderr=log)
    try:
        def ready() -> bool:
            try:
                return requests.get(f"http://127.0.0.1:{ports[0]}/v2/models/line/ready", timeout=5).status_code == 200
            except requests.ConnectionError:
                return False
        desk.server.wait(ready)
        url = f"http://127.0.0.1:{ports[0]}" if protocol == "kserve" else f"grpc://127.0.0.1:{ports[1]}"
        name = f"mlserver-{protocol}".replace("_", "-")
        desk.apply(f"kind: upstream\nname: {name}\nowner: o\nprotocol: {protocol}\nurl: {url}\n")
        desk.apply(ROUTE.format(model=name, more="output: predict\n"))
        desk.start_release(name, desk.register(name, remote(tmp_path / "v1", f"upstream: {name}\nmodel: line\n")))
        answer = desk.ask("POST", f"/v2/models/{name}/infer", {"inputs": [
            {"name": "predict", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 5, 6]}]})
        assert answer.status_code == 200, answer.text
        scores = next(one for one in answer.json()["outputs"] if one["name"] == "predict")["data"]
        assert scores == pytest.approx([3.0, 15.0], abs=1e-4)
    finally:
        mlserver.terminate()
        mlserver.wait(60)


def test_an_upstream_that_comes_back_is_served_again(desk, peer):
    inputs = [{"name": "X", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]
    address = peer.server.url.removeprefix("http://")
    peer.server.stop()
    for route in ("kserve", "kserve-grpc"):
        away = desk.ask("POST", f"/v2/models/{route}/infer", {"inputs": inputs})
        assert away.status_code == 503 and "upstream" in away.text, away.text
    # Our own restart meets an upstream that is away: the others serve, and it comes when it can.
    desk.server.stop()
    desk.server.start()
    assert desk.targets("chat")[0]["ready"] and not desk.targets("kserve")[0]["ready"]
    peer.server.start(address, "--grpc", peer.grpc)
    desk.server.wait(lambda: desk.targets("kserve")[0]["ready"] and desk.targets("kserve-grpc")[0]["ready"])
    for route in ("kserve", "kserve-grpc"):
        assert desk.ask("POST", f"/v2/models/{route}/infer", {"inputs": inputs}).status_code == 200


def test_the_table_is_served_again_after_a_restart_and_a_kill_leaves_no_worker(desk):
    before = desk.targets("chat")
    assert len(workers_of(desk.server)) == 2
    left = workers_of(desk.server)
    os.kill(desk.server.process.pid, signal.SIGKILL)
    desk.server.process.wait(30)
    desk.server.wait(lambda: not set(left) & set(workers_of(desk.server)))
    desk.server.start()
    after = desk.targets("chat")
    assert [(t["version"], t["ready"]) for t in after] == [(t["version"], True) for t in before]
    assert len(workers_of(desk.server)) == 2
