"""A server with people at it: what tests of routes begin with, whatever answers behind them."""

import contextlib
import datetime
import re
import time
from pathlib import Path

import openai
import pytest
import requests

from conftest import Server
from openai_server import StandIn

ROUTE = """kind: model
name: {model}
owner: ml-platform
---
kind: route
name: {model}
owner: ml-platform
model: {model}
{more}"""
PLAN = """shadow: {calls: 0}
canary: [5000]
stage: {calls: 5}
bake: {calls: 5}
watch: {calls: 0}
guards:
  - {name: error, quantity: error, safe_ratio: 1000, required: true}
"""
UPSTREAM = """kind: upstream
name: {name}
owner: ml-platform
protocol: openai
url: {url}
{more}"""
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}]
SAYS = "I am a stand-in for a language model, not one. You said: Hello there"


class Desk:
    """A server, ana who develops (and calls), and the admin who approves."""

    def __init__(self, server: Server, folder):
        self.server, self.folder = server, folder
        self.ana = server.run("tokens", "create", "ana", "--actor", "user:ana", "--role", "developer").stdout.strip()

    def ask(self, method: str, path: str, body=None, token: str | None = None, **more) -> requests.Response:
        return requests.request(method, self.server.url + path, json=body,
                                headers={"Authorization": f"Bearer {token or self.ana}"}, timeout=60, **more)

    def apply(self, text: str, expect: int = 0) -> str:
        path = self.folder / "declared.yaml"
        path.write_text(text)
        applied = self.server.run("apply", str(path), token=self.ana)
        assert applied.returncode == expect, applied.stdout + applied.stderr
        return applied.stderr if expect else applied.stdout

    def measured_run(self) -> str:
        """A run of MLflow's API with a metric: what a record may name as its evaluation."""
        run = self.ask("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "0"}).json()["run"]["info"]["run_id"]
        logged = self.ask("POST", "/api/2.0/mlflow/runs/log-metric",
                          {"run_id": run, "key": "accuracy", "value": 0.9, "timestamp": 1, "step": 0})
        assert logged.status_code == 200, logged.text
        return f"run:{run}"

    def register(self, model: str, artifact, more: str = "", expect: int = 0) -> str:
        record = self.folder / "record.yaml"
        record.write_text(f"model_id: {model}\nartifact_uri: uploaded\nowner: ml-platform\n"
                          f"eval_report: {self.measured_run()}\n{more}")
        done = self.server.run("models", "register", "-f", str(record), "--artifact", str(artifact), token=self.ana)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stderr if expect else re.search(r"@v(\d+)", done.stdout)[1]

    def start_release(self, model: str, version: str) -> str:
        approved = self.server.run("models", "approve", f"{model}@v{version}", "--for", "production")
        assert approved.returncode == 0, approved.stderr
        plan = self.folder / "plan.yaml"
        plan.write_text(PLAN)
        started = self.server.run("releases", "start", model, f"{model}@v{version}", "--plan", str(plan), token=self.ana)
        assert started.returncode == 0, started.stderr
        release = re.search(r"release:(\S+)", started.stdout)[1]
        approved = self.server.run("releases", "approve", release)
        assert approved.returncode == 0, approved.stderr
        return release

    def materialize(self) -> None:
        """All that the sources of features hold by now."""
        until = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        filled = self.server.run("features", "materialize", "--until", until)
        assert filled.returncode == 0, filled.stderr

    def targets(self, route: str) -> list:
        return self.ask("GET", f"/api/v1/routes/{route}").json()["targets"]


@contextlib.contextmanager
def desk_in(folder: Path, *start: str, config: str = "", kind=Server):
    """A desk whose server, of that penstock.yaml, keeps its data below `folder`; it is stopped at the end, also where a set-up fails."""
    data = folder / "data"
    data.mkdir(exist_ok=True)
    if config:
        (data / "penstock.yaml").write_text(config)
    server = kind(data)
    server.start(*start)
    try:
        yield Desk(server, folder)
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="module")
def stand_in(request):
    """The stand-in for a language model of one module; it asks for the module's KEY where that has one."""
    one = StandIn(key=getattr(request.module, "KEY", "")).start()
    yield one
    one.stop()


@pytest.fixture
def nothing_wrong(stand_in):
    """Whatever a test told the stand-in to do wrong is over after it; and before, for who asks first."""
    stand_in.set_faults({})
    yield
    stand_in.set_faults({})


def onnx_model(folder: Path, slope: float) -> Path:
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.linear_model import LinearRegression

    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    folder.mkdir()
    model = to_onnx(LinearRegression().fit(rows, rows[:, 0] * slope), rows[:1])
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def remote(folder, text: str):
    folder.mkdir(exist_ok=True)
    (folder / "remote.yaml").write_text(text)
    return folder


def client(desk, **more) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{desk.server.url}/v1", api_key=more.pop("api_key", desk.ana),
                         max_retries=more.pop("max_retries", 0), **more)


def prediction(desk, headers_or_id) -> dict:
    name = headers_or_id if isinstance(headers_or_id, str) else headers_or_id["x-penstock-prediction"]
    for _ in range(300):  # a call's event comes behind its answer
        found = desk.ask("GET", f"/api/v1/predictions/{name}")
        if found.status_code == 200:
            return found.json()
        time.sleep(0.02)
    raise AssertionError(found.text)
