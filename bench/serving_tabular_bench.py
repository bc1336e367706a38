#!/usr/bin/env python3
"""A tabular model through the Open Inference Protocol, beside FastAPI with onnxruntime on the same machine.

Gradient boosting of 100 trees on 30 features, registered and released as any other; tokens, metering, telemetry and
audit are on. Defends, load generator included, on 2 cores: one row p50 at most 150 us and at least 12,000 calls a second
at 32 callers; 64 rows at least 3 times FastAPI's rate; gRPC no slower than HTTP.

`serving_tabular_bench.py [BINARY [SECONDS [PEER...]]]`, peers: `mlserver`, `kserve`, each installed on first use; ask
make for `serving_load` first.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import peers  # noqa: E402

ROUTE = """kind: model
name: delay
owner: desk
---
kind: route
name: delay
owner: desk
model: delay
entity_keys: []
output: probabilities
"""
PLAN = """shadow: {calls: 0}
canary: [5000]
stage: {calls: 1}
bake: {calls: 1}
watch: {calls: 1}
guards: [{name: fails, quantity: error, safe_ratio: 1000}]
"""
FEATURES = 30


def trained(folder: pathlib.Path) -> str:
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.ensemble import HistGradientBoostingClassifier

    random = np.random.default_rng(1)
    rows = random.normal(size=(20_000, FEATURES)).astype(np.float32)
    late = rows[:, 0] + rows[:, 1] * rows[:, 2] + random.normal(size=len(rows)) > 0.5
    model = HistGradientBoostingClassifier(max_iter=100, early_stopping=False).fit(rows, late)
    path = folder / "model.onnx"
    path.write_bytes(to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString())
    return str(path)


class Penstock:
    def __init__(self, binary: str, folder: pathlib.Path, path: str, config: str = ""):
        self.binary = binary
        self.grpc = f"127.0.0.1:{peers.free_port()}"
        (folder / "penstock.yaml").write_text(f"grpc: {self.grpc}\n{config}")
        self.url = f"http://127.0.0.1:{peers.free_port()}"
        self.process = peers.Process(
            [binary, "serve", "--data", folder / "data", "--http", self.url.removeprefix("http://"), "--config",
             folder / "penstock.yaml"], self.url + "/healthz", folder / "server.log")
        self.token = (folder / "data/admin.token").read_text().strip()
        self.release(folder, path)

    def run(self, *arguments: str, token: str = "") -> str:
        done = subprocess.run([self.binary, "--server", self.url, *arguments], capture_output=True, text=True,
                              env={**os.environ, "PENSTOCK_TOKEN": token or self.token})
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def release(self, folder: pathlib.Path, path: str) -> None:
        """As a data scientist does with MLflow's client; somebody else approves."""
        ana = self.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer")
        os.environ.update(MLFLOW_TRACKING_USERNAME="ana", MLFLOW_TRACKING_PASSWORD=ana, GIT_PYTHON_REFRESH="quiet",
                          MLFLOW_DISABLE_TELEMETRY="true")
        import mlflow
        import onnx

        mlflow.set_tracking_uri(self.url)
        (folder / "route.yaml").write_text(ROUTE)
        self.run("apply", str(folder / "route.yaml"))
        mlflow.set_experiment("delay")
        with mlflow.start_run():
            mlflow.log_metric("auc", 0.9)
            mlflow.onnx.log_model(onnx.load(path), name="model", registered_model_name="delay")
        self.run("models", "approve", "delay@v1", "--for", "production")
        (folder / "plan.yaml").write_text(PLAN)
        self.run("releases", "start", "delay", "delay@v1", "--plan", str(folder / "plan.yaml"), token=ana)
        release = json.loads(self.run("--json", "releases", "list"))["releases"][0]["id"]
        self.run("releases", "approve", release)
        for _ in range(100):
            if '"ready":true' in self.run("--json", "routes", "show", "delay").replace(" ", ""):
                return
            time.sleep(0.1)
        raise RuntimeError("the route never came into service")


def body_of(rows: int) -> str:
    import numpy as np

    data = np.random.default_rng(2).normal(size=rows * FEATURES).astype(np.float32)
    return json.dumps({"inputs": [{"name": "X", "datatype": "FP32", "shape": [rows, FEATURES],
                                   "data": [round(float(one), 4) for one in data]}],
                       "outputs": [{"name": "probabilities"}, {"name": "label"}]})


def request_of(folder: pathlib.Path, rows: int, token: str) -> pathlib.Path:
    body = body_of(rows)
    more = f"Authorization: Bearer {token}\r\n" if token else ""
    path = folder / f"request-{rows}{'-token' if token else ''}"
    path.write_bytes((f"POST /v2/models/delay/infer HTTP/1.1\r\nHost: bench\r\n{more}Content-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
    return path


def message_of(folder: pathlib.Path, rows: int) -> pathlib.Path:
    import numpy as np
    from tritonclient.grpc import service_pb2

    asked = json.loads(body_of(rows))["inputs"][0]
    message = service_pb2.ModelInferRequest(model_name="delay")
    message.inputs.add(name="X", datatype="FP32", shape=asked["shape"])
    message.raw_input_contents.append(np.array(asked["data"], dtype=np.float32).tobytes())
    for name in ("probabilities", "label"):
        message.outputs.add(name=name)
    path = folder / f"message-{rows}"
    path.write_bytes(message.SerializeToString())
    return path


def main() -> None:
    binary = sys.argv[1] if len(sys.argv) > 1 else str(peers.ROOT / "build/release/bin/penstock")
    seconds = sys.argv[2] if len(sys.argv) > 2 else "5"
    load = pathlib.Path(binary).parent / "serving_load"
    if not load.exists():
        load = peers.ROOT / "build/release/bin/serving_load"
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        path = trained(folder)
        running = []
        try:
            ours = Penstock(binary, folder, path)
            running.append(ours.process)
            url = f"http://127.0.0.1:{peers.free_port()}"
            fastapi = peers.Process(
                [sys.executable, "-m", "uvicorn", "serving_peer:app", "--port", url.rpartition(":")[2], "--workers", "2",
                 "--log-level", "warning", "--app-dir", peers.ROOT / "bench"],
                url + "/healthz", folder / "fastapi.log", MODEL=path)
            running.append(fastapi)
            others = {}
            for name in sys.argv[3:]:
                others[name] = {"mlserver": mlserver, "kserve": kserve}[name](folder, path)
                running.append(others[name][0])
            measure(load, folder, seconds, ours, fastapi, url, others)
        finally:
            for process in running:
                process.stop()


def mlserver(folder: pathlib.Path, path: str) -> tuple[peers.Process, str]:
    """MLServer binds every address by default; here loopback alone."""
    ports = [peers.free_port() for _ in range(3)]
    place = folder / "mlserver"
    place.mkdir()
    (place / "settings.json").write_text(json.dumps(
        {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2], "debug": False,
         "parallel_workers": 0}))
    (place / "model-settings.json").write_text(json.dumps(
        {"name": "delay", "implementation": "mlserver_peer.Delay", "parameters": {"uri": path}}))
    venv = peers.environment("bench-mlserver")
    url = f"http://127.0.0.1:{ports[0]}"
    return peers.Process([venv / "bin/mlserver", "start", place], url + "/v2/models/delay/ready", folder / "mlserver.log",
                         PYTHONPATH=str(peers.ROOT / "bench")), url


def kserve(folder: pathlib.Path, path: str) -> tuple[peers.Process, str]:
    port = peers.free_port()
    url = f"http://127.0.0.1:{port}"
    return peers.Process([peers.environment("bench-kserve") / "bin/python", peers.ROOT / "bench/kserve_peer.py", path, port],
                         url + "/v2/models/delay/ready", folder / "kserve.log"), url


def measure(load: pathlib.Path, folder: pathlib.Path, seconds: str, ours: Penstock, fastapi: peers.Process,
            url: str, others: dict) -> None:
    rates = {}
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    print(f"{'who':<16}{'rows':>5}{'callers':>8}{'calls/s':>10}{'p50 us':>9}{'p99 us':>9}{'cpu us/call':>13}")
    for rows in (1, 64):
        ways = [("penstock http", "http", ours.url, request_of(folder, rows, ours.token), ours.process),
                ("penstock grpc", "grpc", ours.grpc, message_of(folder, rows), ours.process),
                ("fastapi http", "http", url, request_of(folder, rows, ""), fastapi)]
        ways += [(f"{name} http", "http", other, request_of(folder, rows, ""), process)
                 for name, (process, other) in others.items()]
        for callers in (1, 32):
            for who, protocol, address, file, process in ways:
                metadata = {"PENSTOCK_TOKEN": ours.token}
                before = process.cpu_seconds()
                done = subprocess.run([load, protocol, address.removeprefix("http://"), str(callers), seconds, file],
                                      capture_output=True, text=True, env={**os.environ, **metadata})
                if done.returncode:
                    raise RuntimeError(done.stderr)
                said = json.loads(done.stdout)
                cpu = (process.cpu_seconds() - before) / (float(seconds) + 0.5) / said["rate"] * 1e6
                rates[who, rows, callers] = said
                print(f"{who:<16}{rows:>5}{callers:>8}{said['rate']:>10}{said['p50']:>9}{said['p99']:>9}{cpu:>13.0f}",
                      flush=True)
    one, many = rates["penstock http", 1, 1], rates["penstock http", 1, 32]
    print(f"one row: p50 {one['p50']:.0f} us (goal 150), {many['rate']} calls/s at 32 callers (goal 12,000)")
    for name in others:
        peer, busy = rates[f"{name} http", 1, 1], rates[f"{name} http", 1, 32]
        print(f"beside {name}: p50 {peer['p50'] / one['p50']:.0f} times shorter, {many['rate'] / busy['rate']:.0f} times the calls")
    times = rates["penstock http", 64, 32]["rate"] / rates["fastapi http", 64, 32]["rate"]
    print(f"64 rows: {times:.1f} times FastAPI's rate (goal 3)")
    print(f"gRPC beside HTTP at 32 callers: {rates['penstock grpc', 1, 32]['rate'] / many['rate']:.2f} (goal 1)")
    with urllib.request.urlopen(ours.url + "/metrics") as metrics:
        told = dict(re.findall(r"^penstock_telemetry_(\w+)_total (\d+)", metrics.read().decode(), re.MULTILINE))
    print(f"inference events: {told['events']} logged, {told['dropped']} dropped")
    print(f"memory: penstock {ours.process.resident_megabytes():.0f} MB, FastAPI {fastapi.resident_megabytes():.0f} MB")


if __name__ == "__main__":
    main()
